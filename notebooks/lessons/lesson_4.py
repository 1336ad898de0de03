"""Exercises of lesson 4, training and evaluation."""

import math

from lessons.answers import Choice, Number


def first_loss() -> Number:
    return Number(
        hint="With random centers cos θ_j has variance 1/D, so the mean of e^(s cos) is about e^(s²/2D).",
        truth=math.log(160) + 24**2 / (2 * 128),
        right="ln 160 + 24²/(2 · 128) = 5.08 + 2.25 = 7.3. The logarithm is of a *sum* of exponentials, which the"
        " largest cosines dominate. A first loss far from this value indicates an error.",
        slips={
            math.log(160): "ln C is the loss for equal logits. Random logits differ, and the largest dominate the sum.",
            math.log(160)
            + 24: "This assumes that every sample is opposite to its center. Random ones are at about 90°.",
            0: "0 is the loss of a perfect network. This network is untrained.",
        },
        otherwise="Add to ln C the contribution of the variance of random cosines, s²/(2D), with s = 24 and D = 128.",
        tolerance=0.06,
    )


def why_it_fell() -> Choice:
    return Choice(
        hint="What changed between the two steps: the network or the loss function?",
        reasons={
            "a": (False, "One optimizer step does not change the loss so much: earlier steps changed it by tenths."),
            "b": (
                True,
                "The network is the same; the loss function changed. The logit of a hard negative was s (t cos + α)"
                " before and is s cos after: smaller by about s α = 24 · 0.15 = 3.6. Values of different losses are not"
                " comparable.",
            ),
            "c": (False, "The learning rate follows its schedule without a jump, and it is not part of the loss."),
        },
    )


EXERCISES = (first_loss, why_it_fell)
