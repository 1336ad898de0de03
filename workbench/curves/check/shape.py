"""The laws of a margin as a formula: finite, T falling, N without a step down, gradients that point the right way.

A finding is a fault, or a *note*: a true fact of a formula that trains all the same. Published margins have notes, and
what they do draws the line: hardly a sample is very near its own center or very far from it (RARE), a curriculum
weakens hard negatives only at first, and a negative past 90 degrees is no danger.
"""

import dataclasses
import math

import torch
from torch import Tensor

from workbench.core.errors import InputError
from workbench.curves.check.trials import (
    CLASSES,
    NORMS,
    SAME,
    Finding,
    Findings,
    batch,
    gravest,
    place,
    rare,
    rows_of,
    situations,
    states,
    stretch,
    stretches,
    when,
)
from workbench.curves.gradients import gradients, objective_of
from workbench.curves.slice import jumps
from workbench.margins.base import Margin, State
from workbench.margins.source import evaluate, formula, formula_error

STILL = {"hard_mean": 0.3, "hard_weight": 2.0, "logsumexp": 1.0, "N_sum": 0.6}  # row statistics while T is looked at
THETA = torch.linspace(0, math.pi, 8 * 180 + 1, dtype=torch.float64)  # a sweep over an angle
WIDTH = float(THETA[1])
COARSE = THETA[::8]


def T_of(margin: Margin, c: Tensor, state: State, norm: float = NORMS[0]) -> Tensor:
    """T (P,) of samples with cosines c (P,) to their own centers, the statistics of their negatives held still."""
    others = torch.full((len(c), CLASSES - 1), 0.3, dtype=c.dtype)
    rows = rows_of(margin, torch.cat([c[:, None], others], dim=1), state, norm)
    for name, value in STILL.items():
        setattr(rows, name, torch.full_like(rows.pos, value))
    return evaluate(margin, "T", rows.pos, rows.ctx, rows).squeeze(1)


def N_of(margin: Margin, c: Tensor, own: float, state: State) -> Tensor:
    """N (P,) of negatives with cosines c (P,), for a sample whose cosine to its own center is `own`."""
    rows = rows_of(margin, torch.tensor([[own, 0.0]], dtype=c.dtype), state)
    return evaluate(margin, "N", c[None], rows.ctx).squeeze(0)


def finite(margin: Margin) -> Findings:
    """T and N and their gradients are finite at |cos| = 1, just inside and a rounding error past it"""
    for words, other in at_limits(margin).items():
        try:
            found = next(at_ends(other, words), None)
        except Exception as error:
            found = Finding("finite", str(formula_error(other, error)), words)
        if found:
            yield found
            return


def at_ends(margin: Margin, words: str) -> Findings:
    """What is not finite where cosines end."""
    for state_words, state in states(margin).items():
        for dtype in (torch.float64, torch.float32):
            eps = torch.finfo(dtype).eps
            inside = torch.tensor([1, 1 + eps, 1 - eps, 1 - 1e-6], dtype=dtype)
            edge = torch.cat([inside, -inside]).requires_grad_()
            for name, which in (("T", "θ_y"), ("N", "θ_j")):
                value = T_of(margin, edge, state) if name == "T" else N_of(margin, edge, 0.5, state)
                slope = torch.autograd.grad(value.sum(), edge, allow_unused=True)[0] if value.requires_grad else None
                for what, numbers in ((name, value.detach()), (f"the gradient of {name}", slope)):
                    if numbers is None or torch.isfinite(numbers).all():
                        continue
                    k = int((~torch.isfinite(numbers)).nonzero()[0])
                    c = float(edge.detach()[k])
                    theta = 0.0 if c > 0 else math.pi
                    says = f"{what} is {float(numbers[k])}; use add_angle, angle and sine of workbench.core.geometry"
                    where = f"cos {which} = {c} ({which} = {math.degrees(theta):.0f}°, {theta:.3f} rad), {dtype}"
                    where += when(words, state_words)
                    yield Finding("finite", says, where, formula(margin, name), at=(theta,))


def at_limits(margin: Margin) -> dict[str, Margin]:
    """The margin, and the same with each parameter at the ends of its range, by words."""
    made = {"": margin}
    for name, p in margin.parameters().items():
        for end in {p.low, p.high} - {math.inf, -math.inf} if not p.choices else ():
            try:
                made[f"{p.symbol} = {end:g}"] = dataclasses.replace(margin, **{name: end})
            except InputError:  # not together with the other values
                continue
    return made


def falls(margin: Margin) -> Findings:
    """T falls as θ_y grows: a sample farther from its center never scores higher"""

    def found(state: State, norm: float, words: str) -> Findings:
        rises = T_of(margin, THETA.cos(), state, norm).diff()
        for low, high in stretches(THETA[1:], rises > SAME):
            much = float(rises[THETA[1:].ge(low) & THETA[1:].le(high)].sum())
            jump = low == high and much > 0.01
            where = place("θ_y", low - WIDTH) if jump else stretch("θ_y", low - WIDTH, high)
            says = f"T {'jumps up' if jump else 'rises'} by {much:.3g}: a sample farther from its center scores higher"
            at = (low - WIDTH, high)
            yield Finding("falls", says, where + words, formula(margin, "T"), rare(*at), at, much)

    yield from gravest(list(found(*at)) for at in situations(margin))


def asks(margin: Margin) -> Findings:
    """T is never above N at the same cosine: a margin asks for more than softmax, not for less"""

    def found(state: State, norm: float, words: str) -> Findings:
        rows = rows_of(margin, COARSE.cos()[:, None].repeat(1, 2), state, norm)
        lead = T_of(margin, COARSE.cos(), state, norm) - evaluate(margin, "N", rows.cos, rows.ctx)[:, 1]
        for low, high in stretches(COARSE, lead > SAME):
            much = float(lead[COARSE.ge(low) & COARSE.le(high)].max())
            says = f"T is up to {much:.3g} above N at the same cosine: the target wins more easily than with softmax"
            where = stretch("θ_y", low, high) + words
            if not rare(low, high):
                yield Finding("asks", says, where, formula(margin, "T"), False, (low, high), high - low)

    yield from gravest(list(found(*at)) for at in situations(margin))


def step(margin: Margin) -> Findings:
    """N never steps down where a negative becomes hard: harder must not count less"""

    def found(state: State, words: str) -> Findings:
        for own in COARSE[::30].tolist():

            def N(theta: Tensor, own: float = own) -> Tensor:
                return N_of(margin, theta.cos(), math.cos(own), state)

            for at in jumps(N, math.pi).tolist():
                far, near = N(torch.tensor([at + 1e-7, at - 1e-7], dtype=torch.float64)).tolist()
                says = f"N steps down from {far:.3f} to {near:.3f}, by {far - near:.3f}, where a negative comes nearer"
                where = f"{place('θ_j', at)}, for a sample with {place('θ_y', own)}{when(words)}"
                if far - near > 1e-5:
                    yield Finding("step", says, where, formula(margin, "N"), False, (at, own), round(far - near, 6))

    drops = [max(found(state, words), key=lambda f: f.size, default=None) for words, state in states(margin).items()]
    sizes = [drop.size if drop else 0.0 for drop in drops]
    for drop in drops:
        if drop and drop.size == max(sizes):  # a curriculum weakens hard negatives at first, less and less
            yield dataclasses.replace(drop, note=sizes[-1] < sizes[0])
            return


def gradient(margin: Margin) -> Findings:
    """The training loss pulls every sample to its own center and pushes it off every other"""
    own, other = (part.flatten() for part in torch.meshgrid(COARSE, COARSE, indexing="ij"))
    cos = torch.stack([own, other], dim=1).cos()

    def pushed(by_own: Tensor, words: str) -> Findings:
        says = "dL/dcos θ_y > 0: samples are pushed away from their own center"
        for at in stretches(COARSE, (by_own > SAME).view(len(COARSE), -1).any(dim=1)):
            where = stretch("θ_y", *at) + words
            yield Finding("gradient", says, where, formula(margin, "T"), rare(*at), at, at[1] - at[0])

    def pulled(by_other: Tensor, words: str) -> Findings:
        says = "dL/dcos θ_j < 0: samples are pulled to centers of other classes"
        for at in stretches(COARSE, (by_other < -SAME).view(len(COARSE), -1).any(dim=0)):
            y = own[(by_other < -SAME) & (other >= at[0]) & (other <= at[1])]
            where = f"{stretch('θ_j', *at)}, of samples with {stretch('θ_y', float(y.min()), float(y.max()))}{words}"
            yield Finding("gradient", says, where, formula(margin, "N"), at[0] > math.pi / 2, at, at[1] - at[0])

    seen = [
        (*gradients(objective_of(margin, s=4.0, classes=2, state=state), cos, norm)[0].T, words)
        for state, norm, words in situations(margin)
    ]
    yield from gravest(list(pushed(by_own, words)) for by_own, _, words in seen)
    yield from gravest(list(pulled(by_other, words)) for _, by_other, words in seen)


def softmax(margin: Margin) -> Findings:
    """With every parameter at its neutral value it is softmax"""
    zero = {name: p.neutral for name, p in margin.parameters().items() if p.neutral is not None}
    if not zero and margin.parameters():
        says = "no parameter declares a neutral value, so no warm-up can start from softmax"
        yield Finding("softmax", says, note=True)
        return
    plain = dataclasses.replace(margin, **zero)
    values = ", ".join(f"{margin.parameters()[name].symbol} = {value:g}" for name, value in zero.items())
    cos, norm, y = batch()
    for words, state in states(margin).items():
        given, rows = (rows_of(each, cos, state, norm, y) for each in (margin, plain))
        off = {"T": (rows.T - rows.pos).abs().max(), "N": (rows.N - cos).abs().max()}
        moved = {"T": rows.T - given.T, "N": evaluate(plain, "N", cos, given.ctx) - given.N}
        for name, much in off.items():
            if much > 1e-6:
                by = bool((moved[name].abs() > SAME).any())  # else it is a part that no parameter turns off
                says = f"{name} differs by {float(much):.3g} from the cosine at {values or 'these values'}"
                says += "" if by else ": no parameter turns it off"
                yield Finding("softmax", says, words, formula(margin, name), note=not by)
                return
