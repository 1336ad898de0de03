"""Exercises of lesson 2, margins in T."""

import math

from lessons.answers import THETA, M, Number
from workbench import ArcFace, CosFace, InputError, boundaries


def same_boundary() -> Number:
    at = float(boundaries(CosFace(m=0.35), THETA)[0])
    truth = THETA - 2 * at

    def otherwise(m: float) -> str:
        try:
            angles = boundaries(ArcFace(m=m), THETA)
        except InputError as error:
            return f"{error}."
        where = f"is at {math.degrees(angles[0]):.2f}°" if len(angles) else "does not exist"
        return f"With this m the boundary of ArcFace {where}; that of CosFace is at {math.degrees(at):.2f}°."

    return Number(
        hint="The boundary of ArcFace is at (θ − m)/2. Read the boundary of CosFace from the panel and solve for m.",
        truth=truth,
        unit="rad",
        right=f"With m = {truth:.4f} rad = {math.degrees(truth):.1f}° both boundaries are at {math.degrees(at):.2f}°."
        " At other angles between the centers they differ: one margin is a difference of cosines, the other an angle.",
        slips={
            0.35: "0.35 is the margin of CosFace, a difference of cosines. The margin of ArcFace is an angle.",
            at: "That is the boundary. The margin is θ − 2 · boundary.",
            THETA / 2 - at: "That is the shift of the boundary. The margin is twice as large: θ − 2 · boundary.",
        },
        otherwise=otherwise,
    )


def closest_centers() -> Number:
    truth = math.degrees(math.acos(1 - 0.35))
    return Number(
        hint="The boundary disappears when it reaches φ = 0, where T = 1 − 0.35 and N = cos θ.",
        truth=truth,
        unit="degrees",
        right=f"arccos 0.65 = {truth:.1f}°. If two centers are closer than this, every sample is misclassified, even a"
        " sample at its own center. For ArcFace with m = 0.5 the limit is 28.6°. Random centers are about 80° apart in"
        " high dimensions; centers of similar identities may be closer.",
        slips={
            math.degrees(0.5): "28.6° is the limit of ArcFace, θ = m. That of CosFace follows from cos θ = 1 − m.",
            math.degrees(math.acos(0.35)): "You solved cos θ = m. At φ = 0 the equation is 1 − m = cos θ.",
            math.degrees(math.asin(0.35)): "You solved sin θ = m. At φ = 0 the equation is 1 − m = cos θ.",
        },
        otherwise="Solve cos θ = 1 − 0.35.",
    )


def turning_point() -> Number:
    truth = math.degrees(math.pi - M)
    return Number(
        hint="T = cos(θ_y + m) has the slope −sin(θ_y + m). Where does the sine change its sign?",
        truth=truth,
        unit="degrees",
        right=f"At 180° − 28.6° = {truth:.1f}° the gradient of T is zero. At larger angles the exact gradient pushes"
        " the sample *away* from its own center; guards prevent this. In high dimensions few samples are at"
        " such angles.",
        slips={
            180: "At 180° cos θ_y has its minimum. The margin is added to the angle, so T has its minimum earlier.",
            math.degrees(M): "28.6° is m. T has its minimum where θ_y + m = 180°.",
            90: "At 90° cos θ_y changes its sign (the guard `easy` starts there), but T still decreases.",
            90 - math.degrees(M): "There T is zero. The question asks where its *slope* is zero.",
        },
        otherwise="Solve θ_y + m = 180°.",
    )


EXERCISES = (same_boundary, closest_centers, turning_point)
