"""Tuning: everything about a loss that may change during a training, as one immutable, validated object.

A change makes a new Tuning, which the trainer applies before its next step. An invalid value is so refused at once, and
no step uses a part of a change.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from workbench.centers import CENTERS
from workbench.core.errors import InputError, unknown
from workbench.core.parameters import Param
from workbench.losses.criteria import WEIGHTINGS
from workbench.methods.method import Method, made
from workbench.training.config import Config

LR = Param("lr", "learning rate", low=1e-6, high=10.0)
AXES = ("method", "preset", "weighting")  # a change of these needs another objective; in the order of application


@dataclass(frozen=True)
class Tuning:
    """A method with a preset, a weighting of samples, the value of each parameter, and the learning rate.

    known: the methods to choose from; config: its recipe changes a preset's values. class_set: options of the class
    set that may change.
    """

    known: Mapping[str, Method] = field(repr=False, compare=False)
    config: Config = field(repr=False, compare=False)
    method: str
    preset: str
    weighting: str
    values: Mapping[str, Any]
    lr: float
    class_set: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, known: Mapping[str, Method], config: Config, method: str, preset: str) -> "Tuning":
        """A method with the values of a preset and the recipe. InputError for an unknown method or preset."""
        if method not in known:
            raise unknown("method", method, known)
        chosen = known[method]
        weighting = next(name for name, kind in WEIGHTINGS.items() if kind is chosen.weighting)
        values = config.method_parameters(chosen, preset)
        return cls(known, config, method, preset, weighting, values, config.lr, live_options(config))

    @property
    def composed(self) -> Method:
        """The method with the selected weighting."""
        return replace(self.known[self.method], weighting=WEIGHTINGS[self.weighting])

    def with_changes(self, **changes: Any) -> "Tuning":
        """A copy with changes by name: method, preset, weighting, lr, class_set, and parameters of the loss.

        Another method or preset starts from the recipe's values. InputError for an unknown name and for values that
        are invalid, alone or together.
        """
        new = self
        if "method" in changes or "preset" in changes:
            method = changes.get("method", self.method)
            preset = changes.get("preset") or (
                self.preset if method == self.method else first_preset(self.known, method)
            )
            new = Tuning.of(self.known, self.config, method, preset)
            new = replace(new, lr=self.lr, class_set=self.class_set)
        if "weighting" in changes:
            new = new._with_weighting(changes["weighting"])
        if "class_set" in changes:
            new = replace(new, class_set=new._class_set_with(changes["class_set"]))
        lr = LR.check("training", "lr", changes.get("lr", new.lr))
        rest = {name: v for name, v in changes.items() if name not in (*AXES, "lr", "class_set")}
        return replace(new, lr=lr, values=new._values_with(rest))

    def differences(self, other: "Tuning") -> dict[str, Any]:
        """The changes by which `with_changes` turns another tuning into this one."""
        axes = {name: getattr(self, name) for name in AXES if getattr(self, name) != getattr(other, name)}
        base = other.with_changes(**axes)
        values = {name: value for name, value in self.values.items() if value != base.values[name]}
        changes = axes | values | ({"lr": self.lr} if self.lr != other.lr else {})
        if self.class_set != other.class_set:
            changes["class_set"] = {k: v for k, v in self.class_set.items() if other.class_set.get(k) != v}
        return changes

    def _class_set_with(self, changes: Mapping[str, Any]) -> Mapping[str, Any]:
        """The class set's options with changes, validated."""
        live = CENTERS[self.config.centers].Options.live()
        if not isinstance(changes, Mapping):
            raise InputError(f"class_set = {changes!r}: a mapping of options is needed, such as {{'max_active': 64}}")
        for name in changes:
            if name not in live:
                raise unknown(f"option of {self.config.centers} centers that may change", name, live or ["none"])
        return dict(self.class_set) | {
            k: live[k].check(f"{self.config.centers} centers", k, v) for k, v in changes.items()
        }

    def _with_weighting(self, weighting: str) -> "Tuning":
        if weighting not in WEIGHTINGS:
            raise unknown("weighting", weighting, WEIGHTINGS)
        if not self.known[self.method].has_logits:
            raise InputError(f"weighting = {weighting}: {self.method} has none")
        new = replace(self, weighting=weighting)
        defaults = {name: value for part in new.composed.parts for name, value in part.defaults().items()}
        values = {name: self.values.get(name, value) for name, value in defaults.items()}
        undeclared = {name: v for name, v in self.values.items() if name not in self.composed.parameters()}
        return replace(new, values=values | undeclared)

    def _values_with(self, changes: Mapping[str, Any]) -> Mapping[str, Any]:
        """The values with changes, validated one by one and together."""
        method = self.composed
        params, values = method.parameters(), dict(self.values)
        for name, value in changes.items():
            if name not in values:
                raise unknown(f"parameter of {self.method}", name, [*values, *AXES, "lr", "class_set"])
            values[name] = params[name].check(self.method, name, value) if name in params else value
        for part in method.parts:
            made(part, values)
        return values


def live_options(config: Config) -> dict[str, Any]:
    """The initial values of the class set's options that may change during the training."""
    declared = CENTERS[config.centers].Options
    options = declared.defaults() | config.class_set
    return {name: options[name] for name in declared.live()}


def first_preset(known: Mapping[str, Method], method: str) -> str:
    """A method's default preset."""
    if method not in known:
        raise unknown("method", method, known)
    return next(iter(known[method].presets))
