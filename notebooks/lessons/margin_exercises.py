"""The exercises of the lesson on one's own margin (notebook 08)."""

import math

from lessons.answers import Choice, Number, OwnMargin
from workbench.core.geometry import add_angle


def linear_turn() -> Number:
    truth = math.degrees(math.pi - math.atan(0.5))
    return Number(
        hint="dT/dθ_y = −sin θ_y − m cos θ_y. Where is it zero, with m = 0.5?",
        truth=truth,
        unit="degrees",
        right=f"tan θ_y = −m at 180° − arctan 0.5 = {truth:.1f}°, 2.1° later than ArcFace's own turn. The first order"
        " of ArcFace is an ArcFace: cos θ_y − m sin θ_y = √(1 + m²) cos(θ_y + arctan m).",
        slips={
            math.degrees(math.pi - 0.5): "That is where ArcFace turns, θ_y + m = 180°. Here the slope is"
            " −sin θ_y − m cos θ_y.",
            math.degrees(math.atan(0.5)): "tan θ_y = −m, with a minus: it is the angle beyond 90°.",
            math.degrees(math.atan(2)): "You solved T = 0; the question is where its *slope* is zero.",
            180: "At 180° cos θ_y turns; the sine turns it earlier.",
            math.degrees(math.pi - math.atan(2)): "That is arctan(1/m). The slope is zero where sin θ_y = −m cos θ_y.",
        },
        otherwise="Solve sin θ_y = −0.5 cos θ_y.",
    )


def seen_in_a_curve() -> Choice:
    return Choice(
        hint="A panel draws values of T and N, for one other class, in float64.",
        reasons={
            "a": (
                False,
                "Its curve is ArcFace's to the last digit: what is infinite is a *gradient*, at one point, and a panel"
                " draws values. In training one sample on its center is enough: every weight becomes NaN.",
            ),
            "b": (
                True,
                "With the sign turned round T lies above the cosine, and the boundary on the wrong side of 40°. The"
                " other two draw perfectly reasonable curves: a picture is no proof.",
            ),
            "c": (
                False,
                "T and N have the values that were wanted, and the boundary is LinearArc's. What is wrong is a"
                " gradient: N takes cos θ_y out of the context together with its derivative, so that every hard"
                " negative also pulls the sample home, which nobody wrote.",
            ),
        },
    )


def repaired() -> OwnMargin:
    return OwnMargin(
        hint="workbench.core.geometry has add_angle(c, m), which never takes an arccos.",
        T=lambda margin, rows: add_angle(rows.pos, margin.m),
        needs=("m",),
        right="The same T, and no gradient that is infinite: cos(θ + m) = cos θ cos m − sin θ sin m needs the sine"
        " alone, and that is kept away from a root of zero.",
        slips={
            "Now the sample is easier than under softmax: the margin has the wrong sign.": lambda margin, rows: (
                add_angle(rows.pos, -margin.m)
            ),
            "This is sound, but it is no longer ArcFace: the margin is taken off the cosine.": lambda margin, rows: (
                rows.pos - margin.m
            ),
            "This is sound because there is no margin left.": lambda margin, rows: rows.pos,
        },
        otherwise="It should stay cos(θ_y + m).",
    )


def collaboration() -> OwnMargin:
    return OwnMargin(
        hint="`rows.hard_mean` is the mean cosine of this sample's hard negatives; add m1 times it to the angle m.",
        T=lambda margin, rows: add_angle(rows.pos, margin.m + margin.m1 * rows.hard_mean),
        needs=("m", "m1"),
        right="m̃ = m + m₁ · (mean hard cosine) is NPCFace's Eq. (11), and your T its Eq. (12): a sample's negatives"
        " now decide how strongly it is pulled home.",
        slips={
            "This is CurricularFace still: every sample has the same margin.": lambda margin, rows: add_angle(
                rows.pos, margin.m
            ),
            "The sign is turned round: the closer its hard negatives, the *less* would be asked of a sample.": (
                lambda margin, rows: add_angle(rows.pos, margin.m - margin.m1 * rows.hard_mean)
            ),
            "That takes it off the cosine, as CosFace would. Eq. (11) adds it to the angle, inside of the cosine.": (
                lambda margin, rows: add_angle(rows.pos, margin.m) - margin.m1 * rows.hard_mean
            ),
            "Without m, a sample that has no hard negatives gets no margin at all.": lambda margin, rows: add_angle(
                rows.pos, margin.m1 * rows.hard_mean
            ),
            "That is the sum over the hard negatives: it grows with the number of classes. Eq. (11) divides by it.": (
                lambda margin, rows: add_angle(rows.pos, margin.m + margin.m1 * rows.hard_mean * rows.hard_weight)
            ),
            "t is one number for all samples: the mean of *target* cosines. The hard negatives of this very sample are"
            " in rows.": lambda margin, rows: add_angle(rows.pos, margin.m + margin.m1 * rows.ctx.t),
            "That is how close the sample is to its *own* center. Eq. (11) looks at the others.": lambda margin, rows: (
                add_angle(rows.pos, margin.m + margin.m1 * rows.pos)
            ),
        },
        otherwise="It should be cos(θ_y + m + m1 · rows.hard_mean).",
    )
