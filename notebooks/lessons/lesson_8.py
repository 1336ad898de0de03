"""Exercises of lesson 8, custom margins."""

import math

from lessons.answers import Choice, Number, OwnMargin
from workbench.core.geometry import add_angle


def linear_turn() -> Number:
    truth = math.degrees(math.pi - math.atan(0.5))
    return Number(
        hint="dT/dθ_y = −sin θ_y − m cos θ_y. Where is it zero, with m = 0.5?",
        truth=truth,
        unit="degrees",
        right=f"tan θ_y = −m at 180° − arctan 0.5 = {truth:.1f}°, 2.1° later than for ArcFace. The first-order form is"
        " a scaled ArcFace: cos θ_y − m sin θ_y = √(1 + m²) cos(θ_y + arctan m).",
        slips={
            math.degrees(math.pi - 0.5): "That is the minimum for ArcFace, θ_y + m = 180°. Here the slope is"
            " −sin θ_y − m cos θ_y.",
            math.degrees(math.atan(0.5)): "tan θ_y = −m, with a minus sign: the angle is larger than 90°.",
            math.degrees(math.atan(2)): "You solved T = 0. The question asks where its *slope* is zero.",
            180: "At 180° cos θ_y has its minimum. The sine term moves the minimum of T to a smaller angle.",
            math.degrees(
                math.pi - math.atan(2)
            ): "That uses arctan(1/m). The slope is zero where sin θ_y = −m cos θ_y.",
        },
        otherwise="Solve sin θ_y = −0.5 cos θ_y.",
    )


def visible_in_a_curve() -> Choice:
    return Choice(
        hint="The figure shows values of T and N, for one other class, in float64.",
        reasons={
            "a": (
                False,
                "Its curve equals that of ArcFace. The error is an infinite *gradient* at one point, and the figure"
                " shows values. In training, one sample at its center makes all weights NaN.",
            ),
            "b": (
                True,
                "With the wrong sign T is larger than the cosine, and the boundary is on the wrong side of 40°. The"
                " curves of the other two look correct: a figure of values does not show errors of gradients.",
            ),
            "c": (
                False,
                "T and N have the intended values, and the boundary is that of LinearArc. The error is in the gradient:"
                " N uses cos θ_y from the context with its derivative, so every hard negative also pulls the sample to"
                " its center.",
            ),
        },
    )


def finite_arcface() -> OwnMargin:
    return OwnMargin(
        hint="workbench.core.geometry has add_angle(c, m), which does not compute an arccos.",
        T=lambda margin, rows: add_angle(rows.pos, margin.m),
        needs=("m",),
        right="The same T with finite gradients: cos(θ + m) = cos θ cos m − sin θ sin m needs only the sine, and"
        " `add_angle` keeps the argument of its square root above zero.",
        slips={
            "The sign of the margin is wrong: the loss is now lower than without a margin.": lambda margin, rows: (
                add_angle(rows.pos, -margin.m)
            ),
            "This is finite, but it is not ArcFace: the margin is subtracted from the cosine.": lambda margin, rows: (
                rows.pos - margin.m
            ),
            "This is finite, but it has no margin.": lambda margin, rows: rows.pos,
        },
        otherwise="T must be cos(θ_y + m).",
    )


def collaboration() -> OwnMargin:
    return OwnMargin(
        hint="`rows.hard_mean` is the mean cosine of the sample's hard negatives. Add m1 times this mean to the"
        " angle m.",
        T=lambda margin, rows: add_angle(rows.pos, margin.m + margin.m1 * rows.hard_mean),
        needs=("m", "m1"),
        right="m̃ = m + m₁ · (mean hard cosine) is Eq. (11) of NPCFace, and your T is Eq. (12): the margin of a sample"
        " depends on its hard negatives.",
        slips={
            "This is still CurricularFace: every sample has the same margin.": lambda margin, rows: add_angle(
                rows.pos, margin.m
            ),
            "The sign is wrong: closer hard negatives must give a larger margin.": (
                lambda margin, rows: add_angle(rows.pos, margin.m - margin.m1 * rows.hard_mean)
            ),
            "This subtracts from the cosine, as CosFace does. Eq. (11) adds to the angle, inside the cosine.": (
                lambda margin, rows: add_angle(rows.pos, margin.m) - margin.m1 * rows.hard_mean
            ),
            "Without m, a sample without hard negatives has no margin.": lambda margin, rows: add_angle(
                rows.pos, margin.m1 * rows.hard_mean
            ),
            "This is the sum over the hard negatives; it grows with the number of classes. Eq. (11) has the mean.": (
                lambda margin, rows: add_angle(rows.pos, margin.m + margin.m1 * rows.hard_mean * rows.hard_weight)
            ),
            "t is one number for all samples, the mean of the *target* cosines. The hard negatives of this sample are"
            " in rows.": lambda margin, rows: add_angle(rows.pos, margin.m + margin.m1 * rows.ctx.t),
            "This is the cosine of the sample to its *own* center. Eq. (11) uses the hard negatives.": (
                lambda margin, rows: add_angle(rows.pos, margin.m + margin.m1 * rows.pos)
            ),
        },
        otherwise="T must be cos(θ_y + m + m1 · rows.hard_mean).",
    )


EXERCISES = (linear_turn, visible_in_a_curve, finite_arcface, collaboration)
