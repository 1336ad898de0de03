"""Exercises of lesson 3, margins in N."""

import math

from lessons.answers import THETA, M, Number

A, B = (THETA - M) / 2, (THETA + M) / 2  # rad from the ideal boundary to the target center and to the other center


def from_which_t() -> Number:
    truth = 1 - math.cos(B)
    return Number(
        hint="Just outside the ideal boundary the cosine c = cos b, b = (θ + m)/2, is hard. When is c (t + c) > c?",
        truth=truth,
        right=f"t = 1 − cos b = {truth:.3f}. For larger t the boundary is where the mask switches: inside it a negative"
        " is easy and N is its plain cosine, whatever t is.",
        slips={
            1
            - math.cos(A): "You used the angle to the target center, a = 25.7°. The hard cosine is that to the *other*"
            " center, b = 54.3°.",
            math.cos(B): "cos b is the hard cosine. c (t + c) exceeds c if t + c exceeds 1.",
            1: "c (t + c) exceeds c for t > 1 − c, which is smaller than 1.",
            0: "At t = 0 a hard negative is *weakened*, c² < c, and the boundary is 7.6° wider than the ideal one.",
        },
        otherwise="Solve c (t + c) = c with c = cos b, b = (80° + 28.6°)/2.",
        tolerance=0.01,
    )


def alpha() -> Number:
    k = 1 / math.cos(A)
    truth = 1 - k * math.cos(B)
    return Number(
        hint="At t = 1 the factor I = k cos b + α must be 1, with k = 1/cos a, a = 25.7°, b = 54.3°.",
        truth=truth,
        right=f"α = 1 − cos b / cos a = {truth:.4f}; the paper prints 0.4. With this α and k = {k:.4f} instead of 1.1"
        " the final boundary is exactly the ideal one, with or without a mask (preset `closed`).",
        slips={
            (1 - A) * B: "That is Eq. (5) as printed, (1 − a) b in rad. The cosines are missing there.",
            0.4: "0.4 is rounded in the paper. Give three digits.",
            math.cos(B)
            * (1 - k): "That is Eq. (4) as printed, which sets I equal to T. But N = cos θ_j · I, so cos b · I"
            " must equal T = cos b.",
            k: "That is k. α = 1 − k cos b.",
        },
        otherwise="Solve k cos b + α = 1.",
        tolerance=0.003,
    )


def collaborative_margin() -> Number:
    truth = 0.4 + 0.2 * (0.5 + 0.2 + 0.583) / 3
    return Number(
        hint="Which of the four negatives exceed cos(θ_y + 0.5) = 0.143? Insert their mean into Eq. (11).",
        truth=truth,
        unit="rad",
        right=f"m̃ = 0.4 + 0.2 · (0.5 + 0.2 + 0.583)/3 = {truth:.4f} rad: three of the four negatives are hard.",
        slips={
            0.4: "m̃ = m₀ holds for a sample without hard negatives. This sample has three.",
            0.4 + 0.2 * (0.5 + 0.2 - 0.1 + 0.583) / 4: "−0.1 is below 0.143, so it is not hard and not in the mean.",
            0.4 + 0.2 * (0.5 + 0.2 + 0.583): "That uses the sum of the hard cosines. Eq. (11) divides by their number.",
            0.4 + 0.2 * (0.5 + 0.583) / 2: "0.2 is hard too, because 0.2 > 0.143. (With the mask margin 0.35 of the"
            " configuration in FaceX-Zoo it is not.)",
            0.4
            + 0.2 * (0.6 + 0.5 + 0.2 + 0.583) / 4: "0.6 is the cosine to the own center; only negatives can be hard.",
        },
        otherwise="m̃ = m₀ + m₁ · mean of the hard cosines, with m₀ = 0.4 and m₁ = 0.2.",
        tolerance=0.001,
    )


EXERCISES = (from_which_t, alpha, collaborative_margin)
