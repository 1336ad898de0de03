"""Exercises of lesson 7, hard-negative queues."""

from lessons.answers import Choice, Number


def sampled_hard_negatives() -> Number:
    truth = 1 - 0.9**4
    return Number(
        hint="What is the probability that a random tenth of the classes contains none of the four?",
        truth=truth,
        right=f"1 − 0.9⁴ = {truth:.3f}. In two batches of three, none of the four hard negatives of the sample"
        " is sampled.",
        slips={
            0.4: "The four probabilities do not add up: with ten hard negatives the sum would be 1.",
            0.9**4: "That is the probability that none of them is sampled.",
            0.1**4: "That is the probability that all four are sampled.",
            0.1: "That is the probability that one particular class of the four is sampled.",
        },
        otherwise="Subtract from 1 the probability that none of the four is sampled, 0.9 for each.",
        tolerance=0.01,
    )


def memory_of_the_queues() -> Number:
    truth = 2e6 * 32 * 8 / 1e6
    return Number(
        hint="An entry is an id (4 bytes), its score (2) and its age (2). How many entries are there?",
        truth=truth,
        right="2,000,000 · 32 · 8 bytes = 512 MB: a quarter of the centers in half precision, 2,048 MB. Queues store"
        " ids only; the centers are stored once, in the bank.",
        slips={
            2e6 * 32 * 4 / 1e6: "The id alone takes 4 bytes. Add 2 bytes for the score and 2 for the age.",
            2e6 * 8 / 1e6: "That is one entry per class. A queue has 32.",
            2e6
            * 32
            * 512
            * 2
            / 1e6: "That is for queues of *vectors* of 512 numbers of 2 bytes: 65 GB. Queues store ids.",
            2e6 * 32 * 8 / 2**20: "That is in MiB, 2²⁰ bytes. The question asks for MB, 10⁶ bytes.",
        },
        otherwise="Multiply classes, entries per queue and bytes per entry, and divide by 10⁶.",
    )


def queue_at_step_0() -> Choice:
    return Choice(
        hint="The queue contains the centers that are near the own center. Which centers are near the *sample*?",
        reasons={
            "a": (False, "The search is exact (recall 1): it returns the 32 nearest centers of every center."),
            "b": (
                True,
                "A queue contains the neighbors of the sample's *center*. At step 0 the sample is not near its center:"
                " its own center is as far away as all others. All negatives have similar probabilities, so 32 of 2,000"
                " have about 1.6 % of the mass.",
            ),
            "c": (
                False,
                "A longer queue captures more, but only in proportion to its length: 200 of 2,000 would capture about a"
                " tenth, like a random sample. Before the warm-up K has no benefit.",
            ),
        },
    )


EXERCISES = (sampled_hard_negatives, queue_at_step_0, memory_of_the_queues)
