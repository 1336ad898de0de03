"""The exercises of the lesson on the live lab (notebook 06)."""

import math

from lessons.answers import Choice, Number

FAR = math.radians(162)  # rad from every center to the one point where all embeddings lie
M = 1.2  # rad, the margin that is too large


def won_by_fleeing() -> Number:
    T, N = math.cos(FAR + M), math.cos(FAR)
    return Number(
        hint="T is cos(θ_y + m), N is cos θ_j, and both angles are 162°. 1.2 rad are 68.8°.",
        truth=T - N,
        right=f"cos(230.8°) − cos(162°) = {T:.3f} + {-N:.3f} = {T - N:.2f}. The margin, made to push the target's logit"
        " down, lifts it: past θ + m = 180° the cosine rises again. Times s = 64 it is a lead of 20: the loss is 0.",
        slips={
            math.cos(M) - 1: "That is T − N for a sample that lies *on* its center and on all others.",
            N - T: "That is N − T: the sign tells who wins.",
            math.cos(FAR - M) - N: "The margin is added to the angle.",
            64 * (T - N): "That is after the scale; the question asks for it before.",
        },
        otherwise="Put θ_y = θ_j = 162° into T = cos(θ_y + 1.2) and N = cos θ_j, angles in the same unit.",
        tolerance=0.01,
    )


def what_a_restore_keeps() -> Choice:
    return Choice(
        hint="What would the next step need to be the very step that it was the first time?",
        reasons={
            "a": (
                False,
                "With the weights alone the next step would start without momentum, and with a margin and a state of"
                " now: other bits after one step.",
            ),
            "b": (
                False,
                "Close: weights, momentum, parameters and state. But which images the next batch holds, and how they"
                " are turned, depends on the step that is counted.",
            ),
            "c": (
                True,
                "All of it. What a step draws is a function of the seed and the step, so there is no generator to"
                " save, and the same 50 steps end at the same bits.",
            ),
        },
    )
