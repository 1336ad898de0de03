"""Scenes: settings worth seeing, each with the sentence that says what to look for; failures that teach included."""

from dataclasses import dataclass, field
from typing import Any

PLAIN = {"recipe": "preset"}  # the values as they are, from the first step on


@dataclass(frozen=True)
class TrainingScene:
    """A session to start: settings of LiveSession beside the data; says: what to look for; needs: at least so many
    classes."""

    title: str
    description: str
    settings: dict[str, Any] = field(default_factory=dict)
    needs: int = 2


SCENES = (
    TrainingScene(
        "NPCFace, warmed up",
        "The margin grows over the first 200 steps. Watch the boundary move away from the halfway line as it does,"
        " and the positive margin follow the samples' hard negatives.",
        {"method": "npcface"},
    ),
    TrainingScene(
        "No margin",
        "Norm-softmax sorts the classes and then has nothing more to ask: the boundary stays halfway, the genuine"
        " cosines stay low.",
        {"method": "norm_softmax"},
    ),
    TrainingScene(
        "ArcFace, warmed up",
        "The boundary moves towards the target center while m grows; the gap between the classes opens with it.",
        {"method": "arcface"},
    ),
    TrainingScene(
        "CurricularFace: the boundary shrinks",
        "t rises with training. N rises with it among hard samples, and the actual boundary falls below the ideal one.",
        {"method": "curricularface"} | PLAIN,
    ),
    TrainingScene(
        "ReCurricularFace: repaired",
        "The same curriculum, but the boundary starts wide and comes down to the ideal one, never below it.",
        {"method": "recurricularface"} | PLAIN,
    ),
    TrainingScene(
        "m too large: collapse",
        "ArcFace with m = 1.2 and no warm-up. The loss falls to nothing, and yet every sample is misclassified: past"
        " θ = π - m the unguarded cos(θ + m) rises again, so the samples flee to the far side of their centers."
        " With guard mm or easy they cannot flee, but m stays too large: lower m too, and reset the weights.",
        {"method": "arcface", "parameters": {"m": 1.2}} | PLAIN,
    ),
    TrainingScene(
        "MV-softmax at t = 1.3: collapse",
        "Hard negatives are pushed so hard that all embeddings run to one point: alignment 1, accuracy that of"
        " guessing. At t = 1.1 it trains.",
        {"method": "mv_arc", "parameters": {"t": 1.3}} | PLAIN,
    ),
    TrainingScene(
        "s too small",
        "At s = 2 even perfect embeddings keep a loss of more than 1: the softmax cannot get near 1 from cosines of"
        " at most 1. The gradient never dies, and the classes never get tight.",
        {"method": "arcface", "parameters": {"s": 2.0}} | PLAIN,
    ),
    TrainingScene(
        "Learning rate too large: collapse",
        "lr = 5: within a few steps all embeddings point one way. Restore the last good snapshot, lower lr, play.",
        {"method": "arcface", "lr": 5.0} | PLAIN,
    ),
    TrainingScene(
        "No warm-up: an empty queue",
        "MutualFace after the abstract (a reconstruction): a batch meets its own classes, the queued hard negatives of"
        " these and random others. Queues filled before the features have formed hold nothing worth having: watch ages"
        " and cosines in the queue view while the embeddings settle.",
        {"method": "npcface", "centers": "queued", "class_set": {"K": 8, "max_active": 40, "warmup": 0}},
        needs=60,
    ),
)


def scenes_for(classes: int) -> dict[str, TrainingScene]:
    """The scenes that make sense with so many classes, by title."""
    return {scene.title: scene for scene in SCENES if classes >= scene.needs}
