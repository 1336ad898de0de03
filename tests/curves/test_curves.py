"""Curves and boundaries against closed forms and against the logits of training."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from workbench.centers.similarity import Dot
from workbench.core.errors import InputError
from workbench.core.geometry import expected_angle, nearest_center_angles
from workbench.curves import boundaries, curve, ideal_boundaries
from workbench.margins import ArcFace, CosFace, CurricularFace, MVSoftmax, NormSoftmax, NPCFace, ReCurricularFace
from workbench.methods import METHODS, build

THETA = math.radians(80)


@given(st.floats(0.5, 3.1), st.floats(0.0, 0.45))
def test_arcface_boundary_is_half_of_what_the_margin_leaves(theta, m):
    # A sample theta - phi from the other center; theta + m must stay below pi for the closed form.
    positions = boundaries(ArcFace(m=m), theta)
    assert positions[0] == pytest.approx((theta - m) / 2, abs=1e-9)
    assert ideal_boundaries(ArcFace(m=m), theta)[0] == pytest.approx((theta - m) / 2, abs=1e-9)


def test_cosface_boundary():
    phi = boundaries(CosFace(m=0.35), THETA)
    assert len(phi) == 1
    assert math.cos(phi[0]) - 0.35 == pytest.approx(math.cos(THETA - phi[0]), abs=1e-12)


def test_norm_softmax_boundary_is_the_middle():
    assert boundaries(NormSoftmax(), THETA) == pytest.approx([THETA / 2])


@pytest.mark.parametrize(
    ("margin", "t", "degrees"),
    [
        (ReCurricularFace(), 0.0, 31.93),  # wider first ...
        (ReCurricularFace(), 1.0, 25.68),  # ... then the ideal boundary, where the jump of N is
        (ReCurricularFace(mask="all"), 1.0, 25.0),
        (ReCurricularFace(product="I", mask="all"), 0.0, 23.7),
        (ReCurricularFace(product="I", mask="all"), 1.0, 10.2),
        (CurricularFace(), 0.42, 25.68),  # with the mask in force CurricularFace does not shrink below the ideal
        (CurricularFace(), 0.0, 33.3),
    ],
)
def test_published_boundaries_at_80_degrees(margin, t, degrees):
    positions = boundaries(margin, THETA, {"t": t})
    assert math.degrees(positions[0]) == pytest.approx(degrees, abs=0.06)


def test_closed_coefficients_meet_the_ideal_boundary_exactly():
    margin = ReCurricularFace(coeffs="closed", mask="all")
    assert boundaries(margin, THETA, {"t": 1.0})[0] == pytest.approx((THETA - 0.5) / 2, abs=1e-12)
    k, alpha = margin.coefficients(THETA)
    assert (k, alpha) == pytest.approx((1.1096, 0.3529), abs=1e-4)
    assert ReCurricularFace(coeffs="literal").coefficients(THETA)[1] == pytest.approx(0.523, abs=1e-3)


@pytest.mark.parametrize("margin", [MVSoftmax(), NPCFace(), CurricularFace()], ids=lambda m: type(m).__name__)
def test_jumps_are_where_the_mask_switches(margin):
    c = curve(margin, THETA, state={"t": 0.3} if margin.states else None)
    assert len(c.N_jumps) == 1
    edge = float(c.N_jumps[0])
    m_mask = getattr(margin, "m_mask", getattr(margin, "m", None))
    threshold = math.cos(edge) - m_mask if isinstance(margin, MVSoftmax) else math.cos(edge + m_mask)
    assert math.cos(THETA - edge) == pytest.approx(threshold, abs=1e-9)


def test_a_guard_jump_of_T_is_found():
    c = curve(ArcFace(guard="plain"), math.pi)
    assert c.T_jumps == pytest.approx([math.pi - 0.5], abs=1e-9)
    assert len(curve(ArcFace(), math.pi).T_jumps) == 0


STATE = {"t": 0.4, "lam": 5.0, "mu": 2.0, "sigma": 1.5}  # as during training


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.has_logits])
def test_a_curve_is_the_logits_of_training(name):
    obj = build(name, 2, 2).double()
    directions = torch.tensor([[1.0, 0.0], [math.cos(THETA), math.sin(THETA)]])
    with torch.no_grad():
        away = torch.arange(len(obj.centers.weight)) % obj.centers.sub  # all but the first sub-center of a class
        side = torch.where(away > 0, -1.0, 1.0)[:, None]
        obj.centers.weight.copy_(side * directions.repeat_interleave(obj.centers.sub, dim=0))
        for state in obj.margin.states:
            if state in STATE:
                obj.get_buffer(f"state_{state}").fill_(STATE[state])
    length = 1.0 if isinstance(obj.centers.similarity, Dot) else 3.0  # a dot product equals the cosine for norm 1 only
    c = curve(obj.margin, THETA, points=37, state=obj.state, norm=length)
    x = torch.tensor(np.stack([np.cos(c.phi), np.sin(c.phi)], 1)) * length
    both = obj.margin_logits(x, torch.zeros(37, dtype=torch.long)).detach().numpy()
    inner = slice(1, -1)  # at the ends a cosine rounds to 1
    assert np.abs(both[inner, 0] - c.T[inner]).max() < 1e-7
    assert np.abs(both[inner, 1] - c.N[inner]).max() < 1e-7


def test_state_may_be_numbers_and_is_reported():
    assert curve(CurricularFace(), THETA, state={"t": 0.25}).state == {"t": 0.25}


def test_a_slice_needs_an_angle():
    with pytest.raises(InputError, match="theta = 0"):
        boundaries(ArcFace(), 0)


def test_expected_angle_and_the_measured_nearest_angle():
    assert math.degrees(expected_angle(10572, 512)) == pytest.approx(55.7, abs=0.05)
    assert math.degrees(expected_angle(10572, 128)) == pytest.approx(50.9, abs=0.05)
    W = torch.randn(10575, 512, generator=torch.Generator().manual_seed(0))
    assert math.degrees(float(nearest_center_angles(W).mean())) == pytest.approx(80.2, abs=0.3)
    with pytest.raises(InputError, match="dim = 1"):
        expected_angle(10, 1)
