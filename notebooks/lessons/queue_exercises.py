"""The exercises of the lesson on hard queues (notebook 07)."""

from lessons.answers import Choice, Number


def luck_of_the_draw() -> Number:
    truth = 1 - 0.9**4
    return Number(
        hint="How likely is it that a random tenth of the classes misses one look-alike? And all four?",
        truth=truth,
        right=f"1 − 0.9⁴ = {truth:.3f}. In two batches of three, a sample meets none of the four classes that it is"
        " confused with, and hears nothing of its own confusion.",
        slips={
            0.4: "The four chances do not add up: of ten look-alikes one would then be met for certain.",
            0.9**4: "That is the chance to meet none of them.",
            0.1**4: "That is the chance to meet all four.",
            0.1: "That is the chance to meet one certain class of the four.",
        },
        otherwise="Take the chance that all four are missed, 0.9 each, from 1.",
        tolerance=0.01,
    )


def bytes_of_the_queues() -> Number:
    truth = 2e6 * 32 * 8 / 1e6
    return Number(
        hint="An entry is an id (4 bytes), its score (2) and its age (2). How many entries are there?",
        truth=truth,
        right="2,000,000 · 32 · 8 bytes = 512 MB: a quarter of what the centers take in half precision, 2,048 MB. An"
        " *id* is enough, since the center itself is in the bank.",
        slips={
            2e6 * 32 * 4 / 1e6: "The id alone takes 4 bytes. A score and an age go with it, 2 bytes each.",
            2e6 * 8 / 1e6: "That is one entry a class. A queue has 32.",
            2e6 * 32 * 512 * 2 / 1e6: "That would be queues of *vectors*, each of 512 numbers of 2 bytes: 65 GB. They"
            " hold ids.",
            2e6 * 32 * 8 / 2**20: "That is in MiB, 2²⁰ bytes. The question asks for MB, 10⁶ bytes.",
        },
        otherwise="Multiply classes, entries in a queue and bytes of an entry, and divide by 10⁶.",
    )


def exact_and_useless() -> Choice:
    return Choice(
        hint="The queue knows which centers are near to each other. Which centers are near to the *sample*?",
        reasons={
            "a": (
                False,
                "The search is exact: recall 1. It found the 32 nearest centers of every center; nothing was missed.",
            ),
            "b": (
                True,
                "A queue holds what is near to the sample's *center*, and the sample is not there yet: its own center"
                " is as far from it as all others. All push about alike, and 32 of 2,000 hold about their share.",
            ),
            "c": (
                False,
                "A longer queue holds more, but in proportion: 200 of 2,000 would hold about a tenth, as a random"
                " choice does. Before warm-up K buys nothing.",
            ),
        },
    )
