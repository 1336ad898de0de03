"""Batches: which images a step trains on, and how they are augmented.

Both are functions of the seed and the step, so a training can stop anywhere and continue with the same batches.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from workbench.core.errors import InputError
from workbench.core.random import generator

# Ranges of the affine augmentation, in both directions:
TURN = 0.2  # rotation, rad
ZOOM = 0.1  # share of the image's size
MOVE = 0.1  # shift, share of half the image's side
TINT = 0.3  # exponent of 2 by which each color channel is multiplied


def to_device(images: np.ndarray, labels: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
    """Images (n, S, S, 3) uint8 and labels (n,) as tensors (n, 3, S, S) uint8 and (n,) int64 on the device."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).to(device).permute(0, 3, 1, 2)
    return pixels, torch.from_numpy(np.ascontiguousarray(labels, dtype=np.int64)).to(device)


def normalize(pixels: Tensor) -> Tensor:
    """(p - 127.5) / 128 in channels-last memory format (NPCFace, section V-A)."""
    return ((pixels.float() - 127.5) / 128).contiguous(memory_format=torch.channels_last)


def batch_indices(n: int, size: int, step: int, seed: int) -> Tensor:
    """Indices (size,) of the batch of step `step` among n images: each epoch in its own shuffled order."""
    first, last = step * size, (step + 1) * size
    orders = [
        torch.randperm(n, generator=generator(seed, f"epoch {e}")) for e in range(first // n, (last - 1) // n + 1)
    ]
    start = first - (first // n) * n
    return torch.cat(orders)[start : start + size]


def make_sampler(labels: np.ndarray, images_per_class: int) -> Callable[[int, int, int], Tensor]:
    """A function (batch size, step, seed) -> indices of a batch.

    images_per_class: 1 for batches of all images; else a batch has this many images of each of its classes.
    """
    if images_per_class == 1:
        return lambda size, step, seed: batch_indices(len(labels), size, step, seed)
    members = [torch.from_numpy(np.flatnonzero(labels == identity)) for identity in np.unique(labels)]

    def sample(size: int, step: int, seed: int) -> Tensor:
        rng = generator(seed, f"identities {step}")
        classes = torch.randperm(len(members), generator=rng)[: max(2, size // images_per_class)]
        return torch.cat(
            [members[i][torch.randperm(len(members[i]), generator=rng)[:images_per_class]] for i in classes]
        )

    return sample


def augment(pixels: Tensor, step: int, seed: int) -> Tensor:
    """Mirror each image with probability 1/2, then rotate, zoom, shift and tint it. Borders repeat the edge pixels."""
    rng, n = generator(seed, f"augment {step}"), len(pixels)

    def uniform(*shape: int) -> Tensor:
        return 2 * torch.rand(*shape, generator=rng, dtype=torch.float32) - 1

    turn, zoom, move, tint = TURN * uniform(n), 1 + ZOOM * uniform(n), MOVE * uniform(n, 2), TINT * uniform(n, 3, 1, 1)
    sign = uniform(n).sign()
    x_axis = torch.stack([sign * zoom * turn.cos(), sign * zoom * turn.sin()], dim=1)
    y_axis = torch.stack([-zoom * turn.sin(), zoom * turn.cos()], dim=1)
    maps = torch.stack([x_axis, y_axis, move], dim=2).to(pixels.device)  # (n, 2, 3)
    grid = nn.functional.affine_grid(maps, list(pixels.shape), align_corners=False)
    warped = nn.functional.grid_sample(pixels.float(), grid, padding_mode="border", align_corners=False)
    return (warped * tint.exp2().to(pixels.device)).clamp_(0, 255)


def mirror(pixels: Tensor, step: int, seed: int) -> Tensor:
    """Mirror each image with probability 1/2 (NPCFace, section V-A)."""
    flip = torch.rand(len(pixels), generator=generator(seed, f"augment {step}"), dtype=torch.float32) < 0.5
    return torch.where(flip.to(pixels.device)[:, None, None, None], pixels.flip(3), pixels)


AUGMENTATIONS = {"affine": augment, "flip": mirror}


class Feed:
    """The batches of a job from images (n, S, S, 3) uint8 and labels (n,): a function of its seed and the step.

    images_per_class: images of each class that a batch needs (1: no requirement). Raises InputError for labels outside
    the job's classes and for fewer than 2 images.
    """

    def __init__(self, job: Any, images: np.ndarray, labels: np.ndarray, images_per_class: int) -> None:
        check_labels(labels, job.objective.centers.classes)
        self._pixels, self._labels = to_device(images, labels, job.device)
        self._batch, self._seed = job.config.batch, job.config.seed
        self._augment = AUGMENTATIONS[job.config.augmentation]
        self._sample = make_sampler(labels, images_per_class)

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """The augmented images (B, 3, S, S) and labels (B,) of a step."""
        indices = self._sample(self._batch, step, self._seed).to(self._labels.device)
        return self._augment(self._pixels[indices], step, self._seed), self._labels[indices]


def check_labels(labels: np.ndarray, classes: int) -> None:
    """InputError unless there are at least 2 labels, all in 0..classes-1."""
    if len(labels) < 2:
        raise InputError(f"{len(labels)} images to train on: at least 2")
    if labels.min() < 0 or labels.max() >= classes:
        bad = int(labels.max() if labels.max() >= classes else labels.min())
        raise InputError(f"label {bad} is outside 0..{classes - 1} ({classes} classes)")
