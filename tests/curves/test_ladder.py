"""Ladders against the exact curves and marks of workbench.curves."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.core.errors import InputError
from workbench.core.parameters import Param
from workbench.curves import boundaries, curve, ideal_boundaries
from workbench.curves.ladder import POINTS, RUNGS, has_range, ladder, moves, rung_values
from workbench.margins import ArcFace, CosFace, CurricularFace, MagFace, Margin, NPCFace
from workbench.methods import METHODS

THETA = math.radians(80)
STATE = {"t": 0.3, "lam": 5.0, "mu": 2.0, "sigma": 1.5}


@pytest.mark.parametrize("key", [key for key, method in METHODS.items() if method.has_logits])
def test_every_rung_is_the_margin_itself(key):
    margin = METHODS[key].margin_of(METHODS[key].settings())
    for name, p in margin.parameters().items():
        if not has_range(p):
            continue
        for rung in ladder(margin, name, p, THETA, STATE, norm=3.0, rungs=4):
            same = dataclasses.replace(margin, **{name: rung.value})
            exact = curve(same, THETA, POINTS, STATE, norm=3.0)
            assert np.array_equal(rung.T, exact.T)
            assert np.array_equal(rung.N, exact.N)


@pytest.mark.parametrize(
    ("margin", "name"),
    [
        (ArcFace(), "m"),
        (CosFace(), "m"),
        (NPCFace(), "m0"),
        (NPCFace(), "m_mask"),
        (NPCFace(), "alpha"),
        (CurricularFace(), "m"),
    ],
    ids=lambda v: v if isinstance(v, str) else type(v).__name__,
)
def test_marks_are_those_of_the_exact_curves(margin, name):
    for rung in ladder(margin, name, margin.parameters()[name], THETA, STATE, rungs=8):
        same = dataclasses.replace(margin, **{name: rung.value})
        exact = curve(same, THETA, state=STATE)
        for positions, wanted in (
            (rung.T_jumps, exact.T_jumps),
            (rung.N_jumps, exact.N_jumps),
            (rung.actual, boundaries(same, THETA, STATE)),
            (rung.ideal, ideal_boundaries(same, THETA, STATE)),
        ):
            assert positions == pytest.approx(wanted, abs=1e-6)


def test_a_jump_of_T_is_found():
    rungs = ladder(ArcFace(guard="plain"), "m", ArcFace.parameters()["m"], math.pi, rungs=4)
    for rung in list(rungs)[1:]:
        assert rung.T_jumps == pytest.approx([math.pi - rung.value], abs=1e-6)


@settings(max_examples=20)
@given(st.floats(0.5, 3.0), st.floats(0.05, 0.45))
def test_arcface_boundary_on_every_rung(theta, high):
    p = dataclasses.replace(ArcFace.parameters()["m"], high=high)
    for rung in ladder(ArcFace(), "m", p, theta, rungs=3):
        assert rung.actual == pytest.approx([(theta - rung.value) / 2], abs=1e-5)


def test_rungs_cover_the_range_and_wide_ranges_in_equal_factors():
    values = rung_values(ArcFace.parameters()["m"])
    assert (len(values), values[0], values[-1]) == (RUNGS, 0.0, 1.5)
    assert rung_values(Param("η", "", low=1e-4, high=1.0), 3) == pytest.approx([1e-4, 1e-2, 1.0])


@pytest.mark.parametrize("p", [Param("g", "", choices=("a", "b")), Param("v", ""), Param("λ", "", low=0, high=1e5)])
def test_what_has_no_range_has_no_ladder(p):
    assert not has_range(p)
    with pytest.raises(InputError, match=f"{p.symbol}: a ladder needs"):
        rung_values(p)


def test_a_value_that_the_margin_refuses_has_no_rung():
    margin = MagFace()  # the smallest length, l_a, must stay below the largest
    p = MagFace.parameters()["l_a"]
    values = [rung.value for rung in ladder(margin, "l_a", p, THETA, norm=20.0)]
    assert 0 < len(values) < RUNGS
    assert max(values) < margin.u_a


def test_what_moves():
    def of(margin: Margin, name: str) -> tuple[bool, bool]:
        return moves(list(ladder(margin, name, margin.parameters()[name], THETA, STATE, rungs=3)))

    assert of(NPCFace(), "m0") == (True, False)
    assert of(NPCFace(), "alpha") == (False, True)
    assert of(CurricularFace(), "m") == (True, True)
    assert of(CurricularFace(), "momentum") == (False, False)


def test_a_margin_of_ones_own():
    @dataclasses.dataclass(frozen=True)
    class Halved(Margin):
        k: float = 0.5

        def T(self, c: torch.Tensor, ctx: object, rows: object) -> torch.Tensor:
            return self.k * c

    rungs = list(ladder(Halved(), "k", Param("k", "", low=0.0, high=1.0), THETA, rungs=3))
    phi = np.linspace(0, THETA, POINTS)
    assert [r.value for r in rungs] == [0.0, 0.5, 1.0]
    for rung in rungs:
        assert np.allclose(rung.T, rung.value * np.cos(phi), rtol=0, atol=1e-12)
