"""Exercises of lesson 1, softmax on the sphere."""

import math

from lessons.answers import THETA, Number


def longer_center() -> Number:
    truth = math.degrees(math.atan((0.5 - math.cos(THETA)) / math.sin(THETA)))
    return Number(
        hint="The two logits are cos φ and 2 cos(80° − φ). Set them equal and solve for tan φ.",
        truth=truth,
        unit="degrees",
        right=f"At {truth:.1f}° the logits are equal. A center of twice the norm gets more than half of the arc. With"
        " both centers normalized the boundary is at 40°.",
        slips={
            40: "40° is the boundary between centers of equal norm. Here the second logit has a factor of 2.",
            80 / 3: "The boundary is not proportional to the norms: a logit is a norm times a *cosine*.",
            80 - truth: "That is the angle to the longer center. The question asks for the angle to the shorter one.",
        },
        otherwise="Solve cos φ = 2 cos(80° − φ).",
    )


def lowest_loss() -> Number:
    truth = math.log1p(9 * math.exp(-10 / 9))
    return Number(
        hint="The optimal arrangement of ten centers is a simplex: the cosine between any two of them is −1/9.",
        truth=truth,
        right=f"{truth:.3f}: a sample at its own center has cosine 1 to it and −1/9 to the nine others. With s = 1 the"
        " loss cannot be lower than this, for any network.",
        slips={
            0: "A loss of 0 needs unbounded differences of logits. With s = 1 all logits are in [−1, 1].",
            math.log1p(9 * math.exp(-2)): "This assumes cosine −1 to all nine other centers. Only one direction is"
            " opposite to a sample, and the nine centers must also be apart from each other.",
            math.log1p(
                9 * math.exp(-1)
            ): "This assumes cosine 0 to the other centers. For ten centers −1/9 is possible.",
            math.log(10): "ln 10 is the loss if all ten logits are equal, as for an untrained network.",
        },
        otherwise="Insert cosine 1 and nine times −1/9 into −ln(e^s / (e^s + 9 e^(−s/9))), with s = 1.",
    )


def scale_for_a_half() -> Number:
    truth = 2 * math.log(159)
    adacos = math.sqrt(2) * math.log(159)
    return Number(
        hint="p = 1/2 if the exponential of the target equals the sum of the 159 others: e^(s cos 60°) = 159.",
        truth=truth,
        right=f"s = ln 159 / cos 60° = {truth:.2f}. With 45° instead of 60° this is the fixed scale of AdaCos,"
        f" √2 ln(C − 1) = {adacos:.2f}. The scale depends on the number of classes.",
        slips={
            math.log(159): "ln 159 must equal s cos 60° = s/2, not s.",
            adacos: "That is the scale for a sample at 45° (AdaCos). This sample is at 60°.",
            2 * math.log10(159): "The softmax has base e. Use the natural logarithm.",
        },
        otherwise="Solve e^(s/2) = 159.",
        tolerance=0.002,
    )


EXERCISES = (longer_center, lowest_loss, scale_for_a_half)
