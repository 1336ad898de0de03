"""Soft masks (V + E,) in [0, 1] of face regions, in the coordinates of the neutral mesh, and shading.

Coordinates are in decimeters: x right, y up, z towards the viewer.
"""

import numpy as np

from workbench.data.heads.model import HeadModel

EYE_X, EYE_Y = 0.3077, 7.2842  # coordinates of the pupils: +-EYE_X, EYE_Y


def step(x: np.ndarray, width: float) -> np.ndarray:
    """Smoothstep from 0 at x = -width to 1 at x = width."""
    t = np.clip(0.5 + 0.5 * x / width, 0, 1)
    return t * t * (3 - 2 * t)


def across_up_out(base: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """|x|, y and z of the vertices: both sides of the face are painted equally."""
    return np.abs(base[:, 0]), base[:, 1], base[:, 2]


def brows(base: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mask of the brows: a rising, arched band that becomes thinner towards the outer end."""
    x, y, z = across_up_out(base)
    along = (x - rng.uniform(0.1, 0.18)) / rng.uniform(0.38, 0.46)  # 0 at the inner end, 1 at the outer
    arch = 4 * rng.uniform(0.02, 0.1) * along * (1 - along) + rng.uniform(-0.06, 0.08) * along
    thick = rng.uniform(0.022, 0.06) * (1.25 - 0.7 * along)
    band = step(thick - np.abs(y - (7.46 + rng.uniform(-0.02, 0.03) + arch)), 0.025)
    return rng.uniform(0.6, 1) * band * step(along, 0.08) * step(1 - along, 0.12) * (z > 0.9)


def lips(base: np.ndarray) -> np.ndarray:
    x, y, z = across_up_out(base)
    open_up = np.sqrt(np.clip(1 - (x / 0.265) ** 2, 0, 1))
    top = 6.615 + 0.105 * open_up - 0.03 * np.exp(-((x / 0.035) ** 2))  # minus the Cupid's bow
    return step(top - y, 0.018) * step(y - (6.615 - 0.125 * open_up), 0.018) * (x < 0.25) * (z > 1.4)


def inner_mouth(base: np.ndarray) -> np.ndarray:
    x, y, z = across_up_out(base)
    return ((x < 0.18) & (np.abs(y - 6.62) < 0.17) & (z < 1.37)).astype(float)


def beard(base: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    x, y, z = across_up_out(base)
    side = np.arctan2(x, z - 0.45)  # 0 in front, pi / 2 at the ears
    cheek = np.interp(side, [0, 0.25, 0.45, 0.8, 1.1, 1.3], [6.45, 6.5, 6.72, 6.78, 6.95, 7.2])
    cheek += rng.uniform(-0.06, 0.08)
    jaw = step(cheek - y, 0.06) * step(1.35 - side, 0.08) * step(y - 5.9 - 0.25 * (z < 0.7), 0.1)
    chin = step(rng.uniform(0.14, 0.24) - x, 0.05) * step(6.46 - y, 0.04) * (z > 0.9)
    mustache = step(0.075 - np.abs(y - 6.78 + 0.35 * np.clip(x - 0.1, 0, 1)), 0.03) * step(0.34 - x, 0.05) * (z > 1.2)
    density = rng.uniform(0.8, 1)
    match rng.choice(["none", "stubble", "full", "goatee", "mustache"], p=[0.42, 0.2, 0.16, 0.12, 0.1]):
        case "none":
            return np.zeros(len(base))
        case "stubble":
            mask = 0.4 * np.maximum(jaw, mustache)
        case "full":
            mask = np.maximum(jaw, mustache)
        case "goatee":
            mask = np.maximum(chin, mustache)
        case "mustache":
            mask = mustache
    return density * mask * rng.uniform(0.75, 1, len(base)) * (1 - lips(base))


def shade(model: HeadModel, rest: np.ndarray) -> np.ndarray:
    """Color factor (V + E,) in [0.5, 1.1], dark in concave regions: an approximation of ambient occlusion."""
    count = len(model.neutral)
    ends = np.concatenate([model.edges, model.edges[:, ::-1]])
    neighbors = np.bincount(ends[:, 0], minlength=count)

    def mean_around(values: np.ndarray) -> np.ndarray:
        return np.bincount(ends[:, 0], values[ends[:, 1]], count) / neighbors

    offset = np.stack([mean_around(rest[:count, i]) for i in range(3)], axis=1) - rest[:count]
    normals = model.normals(rest)[:count]
    hollow = (offset * normals).sum(axis=1) / (np.linalg.norm(offset, axis=1) + 0.02)
    for _ in range(2):  # smoothing over neighboring vertices
        hollow = 0.4 * hollow + 0.6 * mean_around(hollow)
    return model.refine(np.clip(1 - 0.75 * hollow, 0.5, 1.1))
