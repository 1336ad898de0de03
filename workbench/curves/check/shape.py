"""Checks of a margin's formula: finite values, monotonic T, no downward step of N, gradients of the right sign.

A finding is a fault, or a note: a property of a formula that trains nevertheless. Properties of the published margins
are notes: few samples are very near to or very far from their own center (RARE), a curriculum weakens hard negatives
only at first, and negatives past 90 degrees do not matter.
"""

import dataclasses
import math

import torch
from torch import Tensor

from workbench.core.angles import format_angle
from workbench.core.errors import InputError
from workbench.curves.check.trials import (
    CLASSES,
    NORMS,
    SAME,
    Finding,
    Findings,
    batch,
    conditions,
    format_interval,
    format_position,
    intervals,
    is_rare,
    most_severe,
    rows_of,
    situations,
    states,
)
from workbench.curves.gradients import as_objective, gradients
from workbench.curves.slice import jumps
from workbench.margins.base import Margin, State
from workbench.margins.source import called, explained, formula

FIXED = {"hard_mean": 0.3, "hard_weight": 2.0, "logsumexp": 1.0, "N_sum": 0.6}  # row statistics while T is evaluated
THETA = torch.linspace(0, math.pi, 8 * 180 + 1, dtype=torch.float64)
WIDTH = float(THETA[1])
COARSE = THETA[::8]


def T_of(margin: Margin, c: Tensor, state: State, norm: float = NORMS[0]) -> Tensor:
    """T (P,) at cosines c (P,) to the own center, with fixed statistics of the negatives."""
    others = torch.full((len(c), CLASSES - 1), 0.3, dtype=c.dtype)
    rows = rows_of(margin, torch.cat([c[:, None], others], dim=1), state, norm)
    for name, value in FIXED.items():
        setattr(rows, name, torch.full_like(rows.pos, value))
    return called(margin, "T", rows.pos, rows.ctx, rows).squeeze(1)


def N_of(margin: Margin, c: Tensor, own: float, state: State) -> Tensor:
    """N (...) of negatives with cosines c (...), for a sample with cosine `own` to its own center."""
    rows = rows_of(margin, torch.tensor([[own, 0.0]], dtype=c.dtype), state)
    return called(margin, "N", c.reshape(1, -1), rows.ctx).view_as(c)


def check_finite(margin: Margin) -> Findings:
    """T and N and their gradients are finite at |cos| = 1, and within rounding error of it"""
    for words, other in at_limits(margin).items():
        try:
            finding = next(not_finite(other, words), None)
        except Exception as error:
            finding = Finding(str(explained(other, error)), words)
        if finding:
            yield finding
            return


def not_finite(margin: Margin, words: str) -> Findings:
    """Non-finite values and gradients at |cos| = 1."""
    for state_words, state in states(margin).items():
        for dtype in (torch.float64, torch.float32):
            eps = torch.finfo(dtype).eps
            inside = torch.tensor([1, 1 + eps, 1 - eps, 1 - 1e-6], dtype=dtype)
            edge = torch.cat([inside, -inside]).requires_grad_()
            for name, angle in (("T", "θ_y"), ("N", "θ_j")):
                value = T_of(margin, edge, state) if name == "T" else N_of(margin, edge, 0.5, state)
                slope = torch.autograd.grad(value.sum(), edge, allow_unused=True)[0] if value.requires_grad else None
                for what, numbers in ((name, value.detach()), (f"the gradient of {name}", slope)):
                    if numbers is None or torch.isfinite(numbers).all():
                        continue
                    k = int((~torch.isfinite(numbers)).nonzero()[0])
                    c = float(edge.detach()[k])
                    theta = 0.0 if c > 0 else math.pi
                    message = f"{what} is {float(numbers[k])}; use add_angle, angle and sine of workbench.core.geometry"
                    where = f"cos {angle} = {c}, {angle} = {format_angle(theta, 0)}, {dtype}"
                    where += conditions(words, state_words)
                    yield Finding(message, where, formula(margin, name), at=(theta,))


def at_limits(margin: Margin) -> dict[str, Margin]:
    """By description: the margin, and the margin with each parameter at the ends of its range."""
    margins = {"": margin}
    for name, p in margin.parameters().items():
        for end in {p.low, p.high} - {math.inf, -math.inf} if not p.choices else ():
            try:
                margins[f"{p.symbol} = {end:g}"] = dataclasses.replace(margin, **{name: end})
            except InputError:  # not allowed with the other values
                continue
    return margins


def check_falls(margin: Margin) -> Findings:
    """T falls as θ_y grows: a sample farther from its center never scores higher"""

    def find(state: State, norm: float, words: str) -> Findings:
        rises = T_of(margin, THETA.cos(), state, norm).diff()
        for low, high in intervals(THETA[1:], rises > SAME):
            size = float(rises[THETA[1:].ge(low) & THETA[1:].le(high)].sum())
            jump = low == high and size > 0.01
            at = (low - WIDTH, high)
            where = format_position("θ_y", at[0]) if jump else format_interval("θ_y", *at)
            message = (
                f"T {'jumps up' if jump else 'rises'} by {size:.3g}: a sample farther from its center scores higher"
            )
            yield Finding(message, where + words, formula(margin, "T"), is_rare(*at), at, size)

    yield from most_severe(list(find(*situation)) for situation in situations(margin))


def check_asks(margin: Margin) -> Findings:
    """T is never above N at the same cosine: the margin is not negative"""

    def find(state: State, norm: float, words: str) -> Findings:
        rows = rows_of(margin, COARSE.cos()[:, None].repeat(1, 2), state, norm)
        lead = T_of(margin, COARSE.cos(), state, norm) - called(margin, "N", rows.cos, rows.ctx)[:, 1]
        for low, high in intervals(COARSE, lead > SAME):
            largest = float(lead[COARSE.ge(low) & COARSE.le(high)].max())
            message = f"T is up to {largest:.3g} above N at the same cosine: easier for the target than softmax"
            where = format_interval("θ_y", low, high) + words
            if not is_rare(low, high):
                yield Finding(message, where, formula(margin, "T"), False, (low, high), high - low)

    yield from most_severe(list(find(*situation)) for situation in situations(margin))


def check_step(margin: Margin) -> Findings:
    """N never steps down where a negative becomes hard: a harder negative must not count less"""

    def find(state: State, words: str) -> Findings:
        for own in COARSE[::30].tolist():

            def N(theta: Tensor, own: float = own) -> Tensor:
                return N_of(margin, theta.cos(), math.cos(own), state)

            for at in jumps(N, math.pi).tolist():
                far, near = N(torch.tensor([at + 1e-7, at - 1e-7], dtype=torch.float64)).tolist()
                message = f"N steps down from {far:.3f} to {near:.3f}, by {far - near:.3f}, as θ_j decreases"
                where = f"{format_position('θ_j', at)}, for a sample with {format_position('θ_y', own)}"
                if far - near > 1e-5:
                    where += conditions(words)
                    yield Finding(message, where, formula(margin, "N"), False, (at, own), round(far - near, 6))

    drops = [max(find(state, words), key=lambda f: f.size, default=None) for words, state in states(margin).items()]
    sizes = [drop.size if drop else 0.0 for drop in drops]
    for drop in drops:
        if drop and drop.size == max(sizes):  # a curriculum weakens hard negatives less and less
            yield dataclasses.replace(drop, note=sizes[-1] < sizes[0])
            return


def check_gradient(margin: Margin) -> Findings:
    """The training loss pulls every sample to its own center and pushes it off every other"""
    own, other = (part.flatten() for part in torch.meshgrid(COARSE, COARSE, indexing="ij"))
    cos = torch.stack([own, other], dim=1).cos()

    def find_pushes(by_own: Tensor, words: str) -> Findings:
        for at in intervals(COARSE, (by_own > SAME).view(len(COARSE), -1).any(dim=1)):
            message = "dL/dcos θ_y > 0: samples are pushed away from their own center"
            where = format_interval("θ_y", *at) + words
            yield Finding(message, where, formula(margin, "T"), is_rare(*at), at, at[1] - at[0])

    def find_pulls(by_other: Tensor, words: str) -> Findings:
        for at in intervals(COARSE, (by_other < -SAME).view(len(COARSE), -1).any(dim=0)):
            y = own[(by_other < -SAME) & (other >= at[0]) & (other <= at[1])]
            message = "dL/dcos θ_j < 0: samples are pulled to centers of other classes"
            where = f"{format_interval('θ_j', *at)}, of samples with "
            where += format_interval("θ_y", float(y.min()), float(y.max())) + words
            yield Finding(message, where, formula(margin, "N"), at[0] > math.pi / 2, at, at[1] - at[0])

    results = [
        (*gradients(as_objective(margin, s=4.0, classes=2, state=state), cos, norm)[0].T, words)
        for state, norm, words in situations(margin)
    ]
    yield from most_severe(list(find_pushes(by_own, words)) for by_own, _, words in results)
    yield from most_severe(list(find_pulls(by_other, words)) for _, by_other, words in results)


def check_softmax(margin: Margin) -> Findings:
    """With every parameter at its neutral value it is softmax"""
    zero = {name: p.neutral for name, p in margin.parameters().items() if p.neutral is not None}
    if not zero and margin.parameters():
        yield Finding("no parameter declares a neutral value, so a warm-up cannot start from softmax", note=True)
        return
    plain = dataclasses.replace(margin, **zero)
    values = ", ".join(f"{margin.parameters()[name].symbol} = {value:g}" for name, value in zero.items())
    cos, norm, y = batch()
    for words, state in states(margin).items():
        with_margin, rows = (rows_of(each, cos, state, norm, y) for each in (margin, plain))
        errors = {"T": (rows.T - rows.pos).abs().max(), "N": (rows.N - cos).abs().max()}
        moved = {"T": rows.T - with_margin.T, "N": called(plain, "N", cos, with_margin.ctx) - with_margin.N}
        for name, error in errors.items():
            if error > 1e-6:
                depends = bool((moved[name].abs() > SAME).any())
                message = f"{name} differs by {float(error):.3g} from the cosine at {values or 'these values'}"
                message += "" if depends else ": no parameter turns it off"
                yield Finding(message, words, formula(margin, name), note=not depends)
                return
