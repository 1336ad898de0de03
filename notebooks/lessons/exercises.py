"""The notebooks' exercises. Each knows the answer, and for the usual slips of thought the number they lead to and why.

`lessons.checks.check` judges an answer by its name here.
"""

import math
from collections.abc import Mapping

from lessons.answers import Choice, Number, OwnMargin
from lessons.live_exercises import what_a_restore_keeps, won_by_fleeing
from lessons.margin_exercises import collaboration, linear_turn, repaired, seen_in_a_curve
from lessons.queue_exercises import bytes_of_the_queues, exact_and_useless, luck_of_the_draw
from workbench.core.errors import InputError
from workbench.curves import boundaries
from workbench.margins import ArcFace, CosFace

THETA = math.radians(80)  # rad between the two centers of the lessons' slice
M = 0.5  # rad, ArcFace's margin
A, B = (THETA - M) / 2, (THETA + M) / 2  # rad from the ideal boundary to the target center and to the other one


def longer_center() -> Number:
    truth = math.degrees(math.atan((0.5 - math.cos(THETA)) / math.sin(THETA)))
    return Number(
        hint="The two logits are cos φ and 2 cos(80° − φ); set them equal and solve for tan φ.",
        truth=truth,
        unit="degrees",
        right=f"At {truth:.1f}° the logits are equal. A center twice as long takes more than half of the arc, whoever"
        " lies there. With both centers on the unit sphere the boundary is back at 40°.",
        slips={
            40: "40° is the boundary between centers of equal length. Here the second logit counts twice.",
            80 / 3: "The arc is not shared in proportion to the lengths: a logit is a length times a *cosine*.",
            80 - truth: "That is the angle to the longer center. The question asks for the angle to the shorter one.",
        },
        otherwise="Solve cos φ = 2 cos(80° − φ).",
    )


def lowest_loss() -> Number:
    truth = math.log1p(9 * math.exp(-10 / 9))
    return Number(
        hint="The best that ten centers can do is a simplex: every cosine between two of them is −1/9.",
        truth=truth,
        right=f"{truth:.3f}: a sample on its own center has cosine 1 to it and −1/9 to the nine others, and with s = 1"
        " that is no great lead. No network, however good, gets below this: the loss cannot tell good from perfect.",
        slips={
            0: "A loss of 0 needs logits that differ without bound, but s = 1 keeps all of them inside [−1, 1].",
            math.log1p(9 * math.exp(-2)): "This has all nine other centers at cosine −1. Only one direction is opposite"
            " to a sample; nine centers cannot all lie there and be apart from each other.",
            math.log1p(9 * math.exp(-1)): "This has the other centers at right angles, cosine 0. Ten centers can do a"
            " little better: −1/9.",
            math.log(10): "ln 10 is the loss of a network that knows nothing: all ten logits alike.",
        },
        otherwise="Put cosine 1 and nine times −1/9 into −ln(e^s / (e^s + 9 e^(−s/9))), with s = 1.",
    )


def scale_for_a_half() -> Number:
    truth = 2 * math.log(159)
    adacos = math.sqrt(2) * math.log(159)
    return Number(
        hint="p = 1/2 where the target's exponential equals the sum of the 159 others: e^(s cos 60°) = 159.",
        truth=truth,
        right=f"s = ln 159 / cos 60° = {truth:.2f}. With 45° in place of 60° this is AdaCos' fixed scale,"
        f" √2 ln(C − 1) = {adacos:.2f}: how large s must be follows from the number of classes.",
        slips={
            math.log(159): "ln 159 must equal s cos 60° = s/2, not s.",
            adacos: "That is the scale for a sample at 45° (AdaCos); this one is at 60°.",
            2 * math.log10(159): "The softmax has e as its base: take the natural logarithm.",
        },
        otherwise="Solve e^(s/2) = 159.",
        tolerance=0.002,
    )


def same_boundary() -> Number:
    at = float(boundaries(CosFace(m=0.35), THETA)[0])
    truth = THETA - 2 * at

    def otherwise(m: float) -> str:
        try:
            found = boundaries(ArcFace(m=m), THETA)
        except InputError as error:
            return f"{error}."
        where = f"is at {math.degrees(found[0]):.2f}°" if len(found) else "has vanished"
        return f"With it ArcFace's boundary {where}; CosFace's is at {math.degrees(at):.2f}°."

    return Number(
        hint="ArcFace's boundary is at (θ − m)/2. Take CosFace's from the panel and solve for m.",
        truth=truth,
        unit="rad",
        right=f"m = {truth:.4f} rad = {math.degrees(truth):.1f}° puts both at {math.degrees(at):.2f}°. At any other"
        " angle between the centers they part again: one margin is a difference of cosines, the other an angle.",
        slips={
            0.35: "0.35 is CosFace's own margin, a difference of cosines. ArcFace's is an angle: they do not compare.",
            at: "That is the boundary itself. The margin is what it leaves: θ − 2 · boundary.",
            THETA / 2 - at: "That is how far the boundary moved. The margin takes twice as much: θ − 2 · boundary.",
        },
        otherwise=otherwise,
    )


def closest_centers() -> Number:
    truth = math.degrees(math.acos(1 - 0.35))
    return Number(
        hint="The boundary vanishes when it reaches φ = 0, where T = 1 − 0.35 and N = cos θ.",
        truth=truth,
        unit="degrees",
        right=f"arccos 0.65 = {truth:.1f}°. Centers closer than that lose every sample, even one that lies on its own"
        " center; ArcFace with m = 0.5 allows 28.6°. Random centers are 80° apart, look-alikes are not.",
        slips={
            math.degrees(0.5): "28.6° is ArcFace's limit, θ = m. CosFace's follows from cos θ = 1 − m.",
            math.degrees(math.acos(0.35)): "You solved cos θ = m. At φ = 0 it is T = 1 − m that N = cos θ reaches.",
            math.degrees(math.asin(0.35)): "You solved sin θ = m. At φ = 0 it is T = 1 − m that N = cos θ reaches.",
        },
        otherwise="Solve cos θ = 1 − 0.35.",
    )


def turning_point() -> Number:
    truth = math.degrees(math.pi - M)
    return Number(
        hint="T = cos(θ_y + m) has the slope −sin(θ_y + m). Where does that sine change sign?",
        truth=truth,
        unit="degrees",
        right=f"At 180° − 28.6° = {truth:.1f}° the pull is gone, and past it the exact gradient pushes a sample *away*"
        " from its own center. That is what guards are for. In many dimensions hardly a sample is out there.",
        slips={
            180: "At 180° the plain cosine turns. The margin is added first, so T turns earlier.",
            math.degrees(M): "28.6° is m itself. T turns where θ_y + m reaches 180°.",
            90: "At 90° cos θ_y changes sign (there the guard `easy` switches), but T still falls.",
            90 - math.degrees(M): "There T itself is zero; the question is where its *slope* is.",
        },
        otherwise="Solve θ_y + m = 180°.",
    )


def from_which_t() -> Number:
    truth = 1 - math.cos(B)
    return Number(
        hint="Just outside the ideal boundary the cosine c = cos b, b = (θ + m)/2, is hard: when is c (t + c) > c?",
        truth=truth,
        right=f"t = 1 − cos b = {truth:.3f}. From there on the mask itself is the boundary: inside it a negative is"
        " easy and keeps its plain cosine, so N cannot win there, however large t becomes.",
        slips={
            1 - math.cos(A): "You took the angle to the target, a = 25.7°. The cosine that is hard is the one to the"
            " *other* center, b = 54.3°.",
            math.cos(B): "cos b is the hard cosine itself; c (t + c) exceeds c where t + c exceeds 1.",
            1: "c (t + c) exceeds c as soon as t exceeds 1 − c, well before t = 1.",
            0: "At t = 0 a hard negative is *weakened*, c² < c: the boundary is 7.6° wider than the ideal one.",
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
        right=f"α = 1 − cos b / cos a = {truth:.4f}, which the paper prints as 0.4. With it and k = {k:.4f} in place of"
        " 1.1 the boundary ends exactly at the ideal one, mask or no mask (preset `closed`).",
        slips={
            (1 - A) * B: "That is Eq. (5) taken literally, (1 − a) b in rad: its cosines got lost in print.",
            0.4: "0.4 is the paper's rounding. Give three digits.",
            math.cos(B) * (1 - k): "That is Eq. (4) as printed, which sets I equal to T. But N = cos θ_j · I, so it is"
            " cos b · I that equals T = cos b.",
            k: "That is k. α is what it leaves: 1 − k cos b.",
        },
        otherwise="Solve k cos b + α = 1.",
        tolerance=0.003,
    )


def collaborative_margin() -> Number:
    truth = 0.4 + 0.2 * (0.5 + 0.2 + 0.583) / 3
    return Number(
        hint="Which of the four negatives exceed cos(θ_y + 0.5) = 0.143? Their mean goes into Eq. (11).",
        truth=truth,
        unit="rad",
        right=f"m̃ = 0.4 + 0.2 · (0.5 + 0.2 + 0.583)/3 = {truth:.4f} rad: three of the four negatives are hard.",
        slips={
            0.4: "m₀ alone is for a sample without hard negatives; this one has three.",
            0.4 + 0.2 * (0.5 + 0.2 - 0.1 + 0.583) / 4: "−0.1 is below 0.143: it is not hard, so not in the mean.",
            0.4
            + 0.2 * (0.5 + 0.2 + 0.583): "That takes the sum of the hard cosines. Eq. (11) divides by their number.",
            0.4 + 0.2 * (0.5 + 0.583) / 2: "0.2 is hard too: 0.2 > 0.143. (The mask margin 0.35 of FaceX-Zoo's"
            " configuration leaves it out.)",
            0.4 + 0.2 * (0.6 + 0.5 + 0.2 + 0.583) / 4: "0.6 is the target's own cosine; only negatives can be hard.",
        },
        otherwise="m̃ = m₀ + m₁ · mean of the hard cosines, with m₀ = 0.4 and m₁ = 0.2.",
        tolerance=0.001,
    )


def first_loss() -> Number:
    return Number(
        hint="With random centers cos θ_j has variance 1/D, so the mean of e^(s cos) is e^(s²/2D).",
        truth=math.log(160) + 24**2 / (2 * 128),
        right="ln 160 + 24²/(2 · 128) = 5.08 + 2.25 = 7.3. The logarithm is of a *sum*, which the few largest cosines"
        " rule. A first loss far from this is a bug, not bad luck.",
        slips={
            math.log(160): "ln C is the loss of equal logits. Random ones differ, and the largest rule the sum.",
            math.log(160)
            + 24: "This has every sample exactly opposite to its center; random ones are at right angles.",
            0: "0 is for a network that knows everything. This one knows nothing yet.",
        },
        otherwise="Add to ln C what the spread of random cosines adds: s²/(2D), with s = 24 and D = 128.",
        tolerance=0.06,
    )


def why_it_fell() -> Choice:
    return Choice(
        hint="What changed between the two steps: the network, or the question it is asked?",
        reasons={
            "a": (False, "One step of the optimiser does not do that: the steps before moved the loss by tenths."),
            "b": (
                True,
                "The network is the same; it is asked an easier question. A hard negative counted s (t cos + α) before"
                " and s cos after: about s α = 24 · 0.15 = 3.6 less. Never compare the values of different losses.",
            ),
            "c": (False, "The learning rate follows its schedule and does not jump, and it is not part of the loss."),
        },
    )


def same_emphasis() -> Number:
    truth = (1.3 * 0.5 + 0.3) - 1.1 * 0.5
    return Number(
        hint="Set NPCFace's 1.1 · 0.5 + α equal to MV-softmax's 1.3 · 0.5 + 0.3.",
        truth=truth,
        right="α = 0.95 − 0.55 = 0.4: the same odds, with a slope of 1.1 instead of 1.3. α adds the same to every hard"
        " negative, t the more the larger its cosine: the two agree at 0.5 and nowhere else.",
        slips={
            0.3: "0.3 is MV-softmax's own shift t − 1. Its factor is larger as well, 1.3 against 1.1, which is worth"
            " another 0.2 · 0.5.",
            0.45: "0.45 is what MV-softmax adds to the cosine. Of that NPCFace's factor adds 0.1 · 0.5 by itself; α is"
            " the rest.",
            0.2: "0.2 is the difference of the two factors. Their products with 0.5 count, and MV-softmax adds t − 1.",
            0.25: "0.25 is the paper's α. At 0.5 it gives what MV-softmax gives at t = 1.2, not at 1.3.",
            0.95: "0.95 is MV-softmax's whole logit. α is what 1.1 · 0.5 leaves of it.",
        },
        otherwise="Solve 1.1 · 0.5 + α = 1.3 · 0.5 + 1.3 − 1.",
    )


def one_more_hard_negative() -> Choice:
    return Choice(
        hint="Put both samples into Eq. (11): what is the mean of 0.6 alone, and of 0.6 and 0.45?",
        reasons={
            "a": (
                False,
                "So the paper says below Eq. (12): “When the sample has more hard negatives, then the collaborative"
                " margin will increase”. But Eq. (11) divides by their number, and 0.45 pulls the mean down.",
            ),
            "b": (
                True,
                "The mean falls from 0.6 to 0.525, so m̃ falls from 0.52 to 0.4 + 0.2 · 0.525 = 0.505 rad. m̃ tells how"
                " close the hard negatives are on average, not how many there are.",
            ),
            "c": (False, "It would stay if the new one had the cosine of the mean, 0.6. It has 0.45."),
        },
    )


def what_the_interval_says() -> Choice:
    return Choice(
        hint="Is zero inside the interval? And is an improvement of one point inside it?",
        reasons={
            "a": (
                False,
                "A mean of few differences always leans to one side. Zero is well inside the interval: luck alone"
                " brings such a mean.",
            ),
            "b": (
                False,
                "“No difference seen” is not “no difference”: one loss may be two points better, or two points worse,"
                " and an interval this wide would still hold it.",
            ),
            "c": (
                True,
                "The interval holds zero, a clear gain and a clear loss. More seeds narrow it; until it leaves zero"
                " out, a ranking by the means is a ranking of luck.",
            ),
        },
    )


EXERCISES: Mapping[str, Number | Choice | OwnMargin] = {
    make.__name__.replace("_", " "): make()
    for make in (
        longer_center,
        lowest_loss,
        scale_for_a_half,
        same_boundary,
        closest_centers,
        turning_point,
        from_which_t,
        alpha,
        collaborative_margin,
        first_loss,
        why_it_fell,
        same_emphasis,
        one_more_hard_negative,
        what_the_interval_says,
        won_by_fleeing,
        what_a_restore_keeps,
        luck_of_the_draw,
        bytes_of_the_queues,
        exact_and_useless,
        linear_turn,
        seen_in_a_curve,
        repaired,
        collaboration,
    )
}
