"""Checks of a margin's methods: shapes, dtypes, independence of other samples and classes, no side effects."""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch

from workbench.curves.check.trials import (
    CLASSES,
    DIM,
    SAME,
    Finding,
    Findings,
    batch,
    conditions,
    format_position,
    rows_of,
    states,
)
from workbench.losses.rows import DenseRows
from workbench.margins.base import Margin
from workbench.margins.source import called, formula

STATISTICS = "hard_mean", "hard_weight", "logsumexp", "N_sum"  # sums over the negatives


def check_computes(margin: Margin) -> Findings:
    """T, N and hard have the shape and dtype of their cosines: for one sample, for two classes, in float32"""
    cos, norm, _ = batch()
    for dtype in (torch.float64, torch.float32):
        for B, C in ((6, CLASSES), (1, CLASSES), (6, 2), (1, 2)):
            rows = rows_of(margin, cos[:B, :C].to(dtype, copy=True), margin.init(CLASSES, DIM), norm[:B])
            results = {name: called(margin, name, rows.cos, rows.ctx) for name in ("hard", "N")}
            results["T"] = called(margin, "T", rows.pos, rows.ctx, rows)
            for name in ("T", "N"):
                if results[name].dtype != dtype:
                    yield Finding(f"{name} returns {results[name].dtype} for {dtype}", "", formula(margin, name))
                    return
            out = [float(w) for w in results["hard"].flatten() if not 0 <= w <= 1]
            if out:
                yield Finding(f"hard is {out[0]:.3g}; weights must be in [0, 1]", "", formula(margin, "hard"))
                return


def check_elementwise(margin: Margin) -> Findings:
    """N and hard are elementwise, and samples are independent: any tile of a batch gives the same"""
    cos, norm, y = batch()
    for words, state in states(margin).items():
        rows = rows_of(margin, cos, state, norm, y)
        for name in ("N", "hard"):
            whole = called(margin, name, cos, rows.ctx)
            for a, b in ((0, 1), (1, 4), (4, CLASSES)):
                part = called(margin, name, cos[:, a:b].clone(), rows.ctx)
                if not torch.allclose(part.double(), whole[:, a:b].double(), rtol=0, atol=SAME):
                    i, j = divmod(int((part.double() - whole[:, a:b].double()).abs().argmax()), b - a)
                    message = f"{name} of one cosine depends on other columns: {float(whole[i, a + j]):.4f} among all"
                    message += f" {CLASSES} classes, {float(part[i, j]):.4f} among columns {a} to {b - 1}"
                    where = format_position("θ_j", math.acos(float(cos[i, a + j]))) + conditions(words)
                    yield Finding(message, where, formula(margin, name))
                    return
        for i in range(len(cos)):
            alone = rows_of(margin, cos[i : i + 1], state, norm[i : i + 1], y[i : i + 1])
            for name in ("T", "N"):
                apart, together = getattr(alone, name)[0], getattr(rows, name)[i]
                if not torch.allclose(apart, together, rtol=0, atol=SAME):
                    k = int((apart - together).abs().argmax())
                    message = f"{name} of a sample depends on the others of its batch: {float(together[k]):.4f} among"
                    message += f" {len(cos)}, {float(apart[k]):.4f} alone"
                    where = format_position("θ_y", math.acos(float(rows.pos[i]))) + conditions(words)
                    yield Finding(message, where, formula(margin, name) + "\n" + formula(margin, "context"))
                    return


def check_apart(margin: Margin) -> Findings:
    """No gradient flows from N into the context: thresholds are detached"""
    cos, norm, y = batch()
    for words, state in states(margin).items():
        rows = rows_of(margin, cos, state, norm.requires_grad_(), y)
        rows.pos = cos.gather(1, y).requires_grad_()
        rows.params = {name: value.requires_grad_() for name, value in rows.params.items()}
        sources = {"cos θ_y": rows.pos, "|x|": rows.norm} | rows.params
        N = called(margin, "N", cos, rows.ctx)
        if not N.requires_grad:
            continue
        slopes = torch.autograd.grad(N.sum(), list(sources.values()), allow_unused=True)
        for name, slope in zip(sources, slopes, strict=True):
            if slope is not None and slope.abs().max() > 0:
                message = f"N has a gradient into {name} (up to {float(slope.abs().max()):.3g}) through the context;"
                message += " detach it there"
                where = words
                if slope.shape == rows.pos.shape:
                    own = rows.pos.detach()[slope.abs().argmax()]
                    where = format_position("θ_y", math.acos(float(own))) + conditions(words)
                yield Finding(message, where, formula(margin, "context") + "\n" + formula(margin, "N"))
                return


def check_pure(margin: Margin) -> Findings:
    """context, hard, N, T and penalty change neither state nor inputs, and are deterministic"""
    cos, norm, y = batch()
    for words, state in states(margin).items():
        rows = rows_of(margin, cos, state, norm, y)
        inputs = rows.state | {"pos": rows.pos, "norm": rows.norm, "y": rows.y} | rows.params
        before = {name: value.clone() for name, value in inputs.items()}
        values = {}
        for name, call in CALLS.items():
            values[name] = call(margin, rows)
            for key, value in (inputs | rows.state).items():
                if key not in before or not torch.equal(value, before[key]):
                    what = f"the state '{key}'" if key in rows.state else key
                    message = f"{name} writes {what}; only observe returns a new state"
                    yield Finding(message, words, formula(margin, name))
                    return
        again = rows_of(margin, cos, state, norm, y)
        for name in ("N", "T"):
            if not torch.equal(values[name], getattr(again, name)):
                message = f"{name} differs between two calls: derive random numbers from (seed, step) in the state"
                yield Finding(message, words, formula(margin, "context") + "\n" + formula(margin, name))
                return


CALLS: dict[str, Callable[[Margin, DenseRows], Any]] = {
    "context": lambda margin, rows: rows.ctx,
    "hard": lambda margin, rows: called(margin, "hard", rows.cos, rows.ctx),
    "N": lambda margin, rows: rows.N,
    "T": lambda margin, rows: rows.T,
    "penalty": lambda margin, rows: margin.penalty(rows.ctx, rows.params),
}


def check_observe(margin: Margin) -> Findings:
    """observe returns new tensors for the states that init declares, also for a batch of one"""
    cos, norm, _ = batch()
    known = margin.init(CLASSES, DIM)
    source = formula(margin, "observe")
    for B in (6, 1):
        state = {name: value.clone() for name, value in known.items()}
        new = margin.observe(cos[:B, :1].float(), norm[:B].float(), torch.eye(CLASSES, DIM), state)
        for name in known:
            if name not in state or not torch.equal(state[name], known[name]):
                yield Finding(f"observe changes the state '{name}' in place; return a new tensor", "", source)
                return
        for name, value in new.items():
            where = f"batch of {B}"
            if name not in known:
                yield Finding(f"observe returns '{name}', which init does not declare", where, source)
            elif torch.as_tensor(value).shape != known[name].shape:
                shapes = f"{tuple(torch.as_tensor(value).shape)}, not {tuple(known[name].shape)} as in init"
                yield Finding(f"observe returns '{name}' with shape {shapes}", where, source)
            elif not torch.isfinite(torch.as_tensor(value)).all():
                yield Finding(f"observe returns '{name}' = {float(value)}", where, source)
            else:
                continue
            return


def check_streams(margin: Margin) -> Findings:
    """T uses only row statistics that can be summed tile by tile"""
    cos, norm, y = batch()
    rows = rows_of(margin, cos, margin.init(CLASSES, DIM), norm, y)
    sums = StreamedRows(**{name: getattr(rows, name) for name in STATISTICS})
    try:
        margin.T(rows.pos, rows.ctx, sums)
    except AttributeError as error:
        if error.obj is not sums:
            raise
        message = f"T uses rows.{error.name}; without all B x C cosines only {', '.join(STATISTICS)} exist"
        yield Finding(message, "", formula(margin, "T"))


class StreamedRows(SimpleNamespace):
    """The row statistics of a streaming loss, which never holds all B x C cosines."""
