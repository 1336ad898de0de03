"""The laws of a margin as a part of training: shapes, what its methods may look at, and what they may change."""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch

from workbench.curves.check.trials import CLASSES, DIM, SAME, Finding, Findings, batch, place, rows_of, states, when
from workbench.losses.rows import DenseRows
from workbench.margins.base import Margin
from workbench.margins.source import evaluate, formula

STATISTICS = "hard_mean", "hard_weight", "logsumexp", "N_sum"  # sums over the negatives, however they are gathered


def computes(margin: Margin) -> Findings:
    """T, N and hard have the shape and the type of their cosines: for one sample, for two classes, in float32"""
    cos, norm, _ = batch()
    for dtype in (torch.float64, torch.float32):
        for B, C in ((6, CLASSES), (1, CLASSES), (6, 2), (1, 2)):
            rows = rows_of(margin, cos[:B, :C].to(dtype, copy=True), margin.init(CLASSES, DIM), norm[:B])
            made = {name: evaluate(margin, name, rows.cos, rows.ctx) for name in ("hard", "N")}
            made["T"] = evaluate(margin, "T", rows.pos, rows.ctx, rows)
            for name in ("T", "N"):
                if made[name].dtype != dtype:
                    yield Finding("computes", f"{name} makes {made[name].dtype} of {dtype}", "", formula(margin, name))
                    return
            out = [float(w) for w in made["hard"].flatten() if not 0 <= w <= 1]
            if out:
                yield Finding("computes", f"hard is {out[0]:.3g}; weights are in [0, 1]", "", formula(margin, "hard"))
                return


def elementwise(margin: Margin) -> Findings:
    """N and hard see one cosine at a time, samples do not see each other: any tile of a batch gives the same"""
    cos, norm, y = batch()
    for words, state in states(margin).items():
        rows = rows_of(margin, cos, state, norm, y)
        for name in ("N", "hard"):
            whole = evaluate(margin, name, cos, rows.ctx)
            for a, b in ((0, 1), (1, 4), (4, CLASSES)):
                part = evaluate(margin, name, cos[:, a:b].clone(), rows.ctx)
                if not torch.allclose(part.double(), whole[:, a:b].double(), rtol=0, atol=SAME):
                    i, j = divmod(int((part.double() - whole[:, a:b].double()).abs().argmax()), b - a)
                    says = f"{name} of one cosine depends on other columns: {float(whole[i, a + j]):.4f} among all"
                    says += f" {CLASSES} classes, {float(part[i, j]):.4f} among columns {a} to {b - 1}"
                    where = place("θ_j", math.acos(float(cos[i, a + j]))) + when(words)
                    yield Finding("elementwise", says, where, formula(margin, name))
                    return
        for i in range(len(cos)):
            alone = rows_of(margin, cos[i : i + 1], state, norm[i : i + 1], y[i : i + 1])
            for name in ("T", "N"):
                apart, together = getattr(alone, name)[0], getattr(rows, name)[i]
                if not torch.allclose(apart, together, rtol=0, atol=SAME):
                    k = int((apart - together).abs().argmax())
                    says = f"{name} of a sample depends on the others of its batch: {float(together[k]):.4f} among"
                    says += f" {len(cos)}, {float(apart[k]):.4f} alone"
                    where = place("θ_y", math.acos(float(rows.pos[i]))) + when(words)
                    yield Finding("elementwise", says, where, formula(margin, name) + "\n" + formula(margin, "context"))
                    return


def apart(margin: Margin) -> Findings:
    """No gradient flows from N into the context: a sample is not moved by how its threshold is made"""
    cos, norm, y = batch()
    for words, state in states(margin).items():
        rows = rows_of(margin, cos, state, norm.requires_grad_(), y)
        rows.pos = cos.gather(1, y).requires_grad_()
        rows.params = {name: value.requires_grad_() for name, value in rows.params.items()}
        sources = {"cos θ_y": rows.pos, "|x|": rows.norm} | rows.params
        N = evaluate(margin, "N", cos, rows.ctx)
        if not N.requires_grad:
            continue
        slopes = torch.autograd.grad(N.sum(), list(sources.values()), allow_unused=True)
        for name, slope in zip(sources, slopes, strict=True):
            if slope is not None and slope.abs().max() > 0:
                says = f"N sends gradient into {name} (up to {float(slope.abs().max()):.3g}) by way of the context;"
                says += " detach it there"
                where = words
                if slope.shape == rows.pos.shape:
                    own = rows.pos.detach()[slope.abs().argmax()]
                    where = place("θ_y", math.acos(float(own))) + when(words)
                yield Finding("apart", says, where, formula(margin, "context") + "\n" + formula(margin, "N"))
                return


def pure(margin: Margin) -> Findings:
    """Reading changes nothing: neither the state nor what was given, and read twice it is the same"""
    cos, norm, y = batch()
    for words, state in states(margin).items():
        rows = rows_of(margin, cos, state, norm, y)
        given = rows.state | {"pos": rows.pos, "norm": rows.norm, "y": rows.y} | rows.params
        before = {name: value.clone() for name, value in given.items()}
        values = {}
        for name, read in READINGS.items():
            values[name] = read(margin, rows)
            for key, value in (given | rows.state).items():
                if key not in before or not torch.equal(value, before[key]):
                    what = f"the state '{key}'" if key in rows.state else key
                    says = f"{name} writes {what}; only observe returns a new state"
                    yield Finding("pure", says, words, formula(margin, name))
                    return
        again = rows_of(margin, cos, state, norm, y)
        for name in ("N", "T"):
            if not torch.equal(values[name], getattr(again, name)):
                says = f"{name} differs when read twice: it draws at random; draw from (seed, step) kept in the state"
                yield Finding("pure", says, words, formula(margin, "context") + "\n" + formula(margin, name))
                return


READINGS: dict[str, Callable[[Margin, DenseRows], Any]] = {
    "context": lambda margin, rows: rows.ctx,
    "hard": lambda margin, rows: evaluate(margin, "hard", rows.cos, rows.ctx),
    "N": lambda margin, rows: rows.N,
    "T": lambda margin, rows: rows.T,
    "penalty": lambda margin, rows: margin.penalty(rows.ctx, rows.params),
}


def observe(margin: Margin) -> Findings:
    """observe returns new tensors for the names that init declares, also for a batch of one"""
    cos, norm, _ = batch()
    known = margin.init(CLASSES, DIM)
    source = formula(margin, "observe")
    for B in (6, 1):
        state = {name: value.clone() for name, value in known.items()}
        new = margin.observe(cos[:B, :1].float(), norm[:B].float(), torch.eye(CLASSES, DIM), state)
        for name in known:
            if name not in state or not torch.equal(state[name], known[name]):
                yield Finding(
                    "observe", f"observe changes the state '{name}' in place; return a new tensor", "", source
                )
                return
        for name, value in new.items():
            where = f"batch of {B}"
            if name not in known:
                yield Finding("observe", f"observe returns '{name}', which init does not know", where, source)
            elif torch.as_tensor(value).shape != known[name].shape:
                shapes = f"{tuple(torch.as_tensor(value).shape)}, not {tuple(known[name].shape)} as in init"
                yield Finding("observe", f"observe returns '{name}' with shape {shapes}", where, source)
            elif not torch.isfinite(torch.as_tensor(value)).all():
                yield Finding("observe", f"observe returns '{name}' = {float(value)}", where, source)
            else:
                continue
            return


def streams(margin: Margin) -> Findings:
    """T needs no more of the other classes than sums that can be gathered tile by tile"""
    cos, norm, y = batch()
    rows = rows_of(margin, cos, margin.init(CLASSES, DIM), norm, y)
    sums = Sums(**{name: getattr(rows, name) for name in STATISTICS})
    try:
        margin.T(rows.pos, rows.ctx, sums)
    except AttributeError as error:
        if error.obj is not sums:
            raise
        says = f"T asks for rows.{error.name}; without all B x C cosines there are {', '.join(STATISTICS)}"
        yield Finding("streams", says, "", formula(margin, "T"))


class Sums(SimpleNamespace):
    """Row statistics as a loss has them that never holds B x C cosines."""
