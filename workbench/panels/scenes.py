"""Scenes: predefined training sessions with a description, including failures."""

from dataclasses import dataclass, field
from typing import Any

PRESET = {"recipe": "preset"}  # the preset's values from the first step on, without warm-up


@dataclass(frozen=True)
class TrainingScene:
    """A session to start. settings: of LiveSession; description: what to observe; needs: minimum number of classes."""

    title: str
    description: str
    settings: dict[str, Any] = field(default_factory=dict)
    needs: int = 2


SCENES = (
    TrainingScene(
        "NPCFace with warm-up",
        "The margin increases over the first 200 steps. The boundary moves away from the halfway line, and the positive"
        " margin follows the hard negatives of the samples.",
        {"method": "npcface"},
    ),
    TrainingScene(
        "No margin",
        "Norm-softmax separates the classes, and the loss has no further effect: the boundary stays halfway, and the"
        " genuine cosines stay low.",
        {"method": "norm_softmax"},
    ),
    TrainingScene(
        "ArcFace with warm-up",
        "The boundary moves toward the target center while m increases, and the gap between the classes opens.",
        {"method": "arcface"},
    ),
    TrainingScene(
        "CurricularFace: the boundary shrinks",
        "t increases during training. It raises N for hard samples, and the actual boundary falls below the ideal one.",
        {"method": "curricularface"} | PRESET,
    ),
    TrainingScene(
        "ReCurricularFace: corrected boundary",
        "The same curriculum, but the boundary starts wide and decreases to the ideal one, never below it.",
        {"method": "recurricularface"} | PRESET,
    ),
    TrainingScene(
        "m too large: collapse",
        "ArcFace with m = 1.2 and no warm-up. The loss falls to 0, but every sample is misclassified: for θ > π - m,"
        " cos(θ + m) without a guard increases again, so the samples move to the far side of their centers. Guard mm or"
        " easy prevents this, but m stays too large: decrease m too, and reset the weights.",
        {"method": "arcface", "parameters": {"m": 1.2}} | PRESET,
    ),
    TrainingScene(
        "MV-softmax at t = 1.3: collapse",
        "Hard negatives are repelled so strongly that all embeddings move to one point: alignment 1, accuracy at chance"
        " level. At t = 1.1 the training converges.",
        {"method": "mv_arc", "parameters": {"t": 1.3}} | PRESET,
    ),
    TrainingScene(
        "s too small",
        "At s = 2 even perfect embeddings have a loss above 1: with cosines of at most 1 the softmax cannot approach 1."
        " The gradient does not vanish, and the classes do not become compact.",
        {"method": "arcface", "parameters": {"s": 2.0}} | PRESET,
    ),
    TrainingScene(
        "Learning rate too large: collapse",
        "lr = 5: within a few steps all embeddings have the same direction. Restore the snapshot 'last good', decrease"
        " lr, and play.",
        {"method": "arcface", "lr": 5.0} | PRESET,
    ),
    TrainingScene(
        "Queues without warm-up",
        "MutualFace (reconstructed from its abstract): the active classes of a batch are its own classes, their queued"
        " hard negatives and random others. Queues filled before the embeddings separate hold no useful negatives:"
        " watch ages and cosines in the queue view.",
        {"method": "npcface", "centers": "queued", "class_set": {"K": 8, "max_active": 40, "warmup": 0}},
        needs=60,
    ),
)


def scenes_for(classes: int) -> dict[str, TrainingScene]:
    """The scenes that can run with this number of classes, by title."""
    return {scene.title: scene for scene in SCENES if classes >= scene.needs}
