"""Exercises of lesson 5, NPCFace."""

from lessons.answers import Choice, Number


def same_emphasis() -> Number:
    truth = (1.3 * 0.5 + 0.3) - 1.1 * 0.5
    return Number(
        hint="Set 1.1 · 0.5 + α of NPCFace equal to 1.3 · 0.5 + 0.3 of MV-softmax.",
        truth=truth,
        right="α = 0.95 − 0.55 = 0.4: equal odds, with a slope of 1.1 instead of 1.3. α adds the same value to every"
        " hard negative; the effect of t grows with the cosine. The two methods agree only at a cosine of 0.5.",
        slips={
            0.3: "0.3 is the shift t − 1 of MV-softmax. Its factor is also larger, 1.3 instead of 1.1, which adds"
            " 0.2 · 0.5.",
            0.45: "0.45 is what MV-softmax adds to the cosine. The factor of NPCFace already adds 0.1 · 0.5; α is the"
            " remainder.",
            0.2: "0.2 is the difference of the two factors. They are multiplied by 0.5, and MV-softmax adds t − 1.",
            0.25: "0.25 is α of the paper. At a cosine of 0.5 it corresponds to MV-softmax with t = 1.2, not 1.3.",
            0.95: "0.95 is the logit of MV-softmax. Subtract 1.1 · 0.5 to get α.",
        },
        otherwise="Solve 1.1 · 0.5 + α = 1.3 · 0.5 + 1.3 − 1.",
    )


def one_more_hard_negative() -> Choice:
    return Choice(
        hint="Insert both cases into Eq. (11): what is the mean of 0.6 alone, and of 0.6 and 0.45?",
        reasons={
            "a": (
                False,
                "The paper says so below Eq. (12): “When the sample has more hard negatives, then the collaborative"
                " margin will increase”. But Eq. (11) divides by their number, and 0.45 lowers the mean.",
            ),
            "b": (
                True,
                "The mean falls from 0.6 to 0.525, so m̃ falls from 0.52 to 0.4 + 0.2 · 0.525 = 0.505 rad. m̃ depends"
                " on the mean cosine of the hard negatives, not on their number.",
            ),
            "c": (False, "It stays if the new cosine equals the mean, 0.6. The new cosine is 0.45."),
        },
    )


def what_the_interval_says() -> Choice:
    return Choice(
        hint="Does the interval contain zero? Does it contain an improvement of one point?",
        reasons={
            "a": (False, "The interval contains zero. A difference of this size can occur by chance."),
            "b": (
                False,
                "“No difference detected” does not mean “no difference”: a loss that is two points better, or two"
                " points worse, is compatible with an interval of this width.",
            ),
            "c": (
                True,
                "The interval contains zero, a clear gain and a clear loss. More seeds make it narrower. As long as it"
                " contains zero, the order of the means is not evidence.",
            ),
        },
    )


EXERCISES = (same_emphasis, one_more_hard_negative, what_the_interval_says)
