"""Exercises of lesson 6, the live lab."""

import math

from lessons.answers import Choice, Number

FAR = math.radians(162)  # rad between the collapsed embeddings and every class center
M = 1.2  # rad, a margin that is too large


def content_of_a_snapshot() -> Choice:
    return Choice(
        hint="Which values does the next step depend on?",
        reasons={
            "a": (
                False,
                "With weights and centers alone the next step starts without momentum, and with the present margin and"
                " state. The result differs after one step.",
            ),
            "b": (
                False,
                "Weights, momentum, parameters and state are needed. But the images of the next batch and their"
                " augmentation depend on the step number.",
            ),
            "c": (
                True,
                "All of it. The random numbers of a step are a function of the seed and the step, so no generator state"
                " has to be saved, and the repeated 50 steps give bitwise identical results.",
            ),
        },
    )


def difference_at_162_degrees() -> Number:
    T, N = math.cos(FAR + M), math.cos(FAR)
    return Number(
        hint="T = cos(θ_y + m) and N = cos θ_j; both angles are 162°, and 1.2 rad = 68.8°.",
        truth=T - N,
        right=f"cos(230.8°) − cos(162°) = {T:.3f} + {-N:.3f} = {T - N:.2f}. The margin should lower the target logit,"
        " but for θ + m > 180° the cosine increases again. Times s = 64 the difference is 20, so the loss is 0.",
        slips={
            math.cos(M) - 1: "That is T − N for a sample at 0° from its own and all other centers.",
            N - T: "That is N − T. The sign matters.",
            math.cos(FAR - M) - N: "The margin is added to the angle, not subtracted.",
            64 * (T - N): "That is after the scale. The question asks for the value before the scale.",
        },
        otherwise="Insert θ_y = θ_j = 162° into T = cos(θ_y + 1.2) and N = cos θ_j, with both angles in the same unit.",
        tolerance=0.01,
    )


EXERCISES = (content_of_a_snapshot, difference_at_162_degrees)
