"""Random appearance of a head: shape, vertex colors, hair volume, long hair and glasses.

Each face region is a soft mask in the coordinates of the neutral mesh, so it fits every face shape. Colors are sRGB in
[0, 1]. V + E is the number of vertices of `HeadModel`.
"""

from dataclasses import dataclass

import numpy as np

from workbench.data.heads import palette
from workbench.data.heads.masks import EYE_X, EYE_Y, across_up_out, beard, brows, inner_mouth, lips, shade, step
from workbench.data.heads.model import HeadModel, shape_weights

LOCKS = 90  # strands of hair around the head


@dataclass(frozen=True)
class Glasses:
    """Half-width and half-height of a lens (dm), exponent of its superellipse, frame thickness (dm) and color."""

    width: float
    height: float
    exponent: float
    thickness: float
    color: np.ndarray


@dataclass(frozen=True)
class LongHair:
    """Height of the lower end relative to the head center (dm, negative) and start angle from the front (rad)."""

    bottom: float
    start: float


@dataclass(frozen=True)
class Appearance:
    """Shape and colors of one synthetic identity.

    rest (V + E, 3): vertices without expression; colors (V + E, 3); lift (V + E,): distance of the hair from the skull
    in decimeters; locks (LOCKS, 3): colors of the strands around the head, from the back over the left side.
    """

    rest: np.ndarray
    colors: np.ndarray
    lift: np.ndarray
    locks: np.ndarray
    long_hair: LongHair | None
    glasses: Glasses | None


def random_appearance(model: HeadModel, rng: np.random.Generator) -> Appearance:
    """Draw a random appearance, determined by the state of the generator."""
    ancestry = rng.dirichlet([0.35, 0.35, 0.35])
    male, old = rng.beta(0.3, 0.3), rng.uniform() ** 2
    rest = model.base + model.displacement(shape_weights(model, ancestry, male, old, rng))
    skin = palette.skin_color(ancestry, rng)
    hair = palette.hair_color(ancestry, old, rng)
    locks = hair * rng.uniform(0.75, 1.15, (LOCKS, 1))
    scalp, lift, long_hair = _hair_style(model, male, rng)

    colors = skin * (1 + 0.02 * rng.standard_normal((len(rest), 1)))
    _paint_face(colors, model.base, skin, rng)
    _paint(colors, brows(model.base, rng), hair * rng.uniform(0.55, 0.95))
    _paint(colors, lips(model.base), palette.lip_color(skin, male, rng))
    if male > 0.5:
        _paint(colors, beard(model.base, rng), 0.85 * hair)
    around = np.arctan2(model.base[:, 0], model.base[:, 2] - 0.45) / (2 * np.pi) + 0.5
    _paint(colors, scalp, locks[(around * LOCKS).astype(int) % LOCKS])
    _paint(colors, inner_mouth(model.base), palette.MOUTH)
    colors *= shade(model, rest)[:, None]
    _paint_eyes(colors, model, palette.IRIS[palette.pick(ancestry @ palette.IRIS_ODDS, rng)] * rng.uniform(0.8, 1.2, 3))
    return Appearance(rest, colors.clip(0, 1), lift, locks, long_hair, _glasses(rng) if rng.random() < 0.28 else None)


def _paint(colors: np.ndarray, mask: np.ndarray, color: np.ndarray) -> None:
    """Blend a color (3,) or vertex colors (V + E, 3) into `colors` in place; mask (V + E,) in [0, 1]."""
    colors += mask[:, None] * (color - colors)


def _paint_face(colors: np.ndarray, base: np.ndarray, skin: np.ndarray, rng: np.random.Generator) -> None:
    """Paint red cheeks and nose, shadows around the eyes, and moles, in place."""
    x, y, z = across_up_out(base)

    def spot(at_x: float, at_y: float, radius: float) -> np.ndarray:
        return np.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / radius**2) * (z > 0.7)

    _paint(colors, rng.uniform(0, 0.3) * spot(0.42, 6.88, 0.22), palette.BLUSH * skin.max())
    _paint(colors, rng.uniform(0, 0.3) * spot(0, 6.92, 0.16), palette.BLUSH * skin.max())
    _paint(colors, rng.uniform(0, 0.5) * spot(EYE_X, EYE_Y + rng.uniform(-0.1, 0.05), 0.19), 0.55 * skin)
    face = np.flatnonzero((z > 0.95) & (y > 6.3) & (y < 7.9))
    for center in base[rng.choice(face, rng.poisson(1.0))]:
        distance = np.linalg.norm(base - center, axis=1)
        _paint(colors, 0.9 * np.exp(-((distance / rng.uniform(0.025, 0.05)) ** 2)), 0.3 * skin)


def _hair_style(
    model: HeadModel, male: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, LongHair | None]:
    """Hair density (V + E,) in [0, 1], distance of the hair from the skull (V + E,) in dm, and long hair if any."""
    x, y, z = across_up_out(model.base)
    side = np.arctan2(x, z - 0.45)  # 0 in front, pi at the back
    front = rng.uniform(7.6, 7.8) if rng.random() < 0.2 else rng.uniform(7.95, 8.2)  # with bangs, or without
    temple, sideburn = front + rng.uniform(-0.05, 0.15), rng.uniform(6.95, 7.45)
    hairline = np.interp(
        side,
        [0, 0.45, 0.75, 1.0, 1.2, 1.35, 1.6, 1.95, 2.4, np.pi],
        [front, temple, min(temple, 8.0) - 0.1, 7.65, sideburn, 7.3, 7.35, 6.8, 6.6, 6.55],
    )
    ears = np.clip(3 * model.reach("ear-wing-incr|pos", "ear-lobe-incr|pos"), 0, 1)
    scalp = step(y - hairline, 0.07) * (1 - ears)
    style = rng.choice(
        ["bald", "cropped", "short", "long"], p=[0.1, 0.2, 0.4, 0.3] if male > 0.5 else [0.02, 0.08, 0.4, 0.5]
    )
    if style == "bald":  # a ring of hair of random density remains
        return scalp * step(rng.uniform(7.3, 8.0) - y, 0.15) * rng.uniform(0, 0.9), np.zeros(len(x)), None
    if style == "cropped":
        return scalp * rng.uniform(0.6, 1), 0.01 * scalp, None
    volume = rng.uniform(0.03, 0.16) if rng.random() < 0.75 else rng.uniform(0.2, 0.38)
    crown, sides = rng.uniform(-0.5, 0.9) * step(y - 8.1, 0.4), rng.uniform(-0.4, 0.3) * step(x - 0.4, 0.3)
    curls = 1 + rng.uniform(0, 0.3) * rng.uniform(-1, 1, len(x))
    lift = volume * np.clip(1 + crown + sides, 0.2, None) * curls * step(y - hairline - 0.03, 0.1) * (1 - ears)
    return scalp, lift, LongHair(rng.uniform(-1.6, -0.4), rng.uniform(1.15, 1.6)) if style == "long" else None


def _paint_eyes(colors: np.ndarray, model: HeadModel, iris: np.ndarray) -> None:
    x, y, _ = across_up_out(model.base)
    distance = np.hypot(x - EYE_X, y - EYE_Y)
    colors[model.eye] = palette.SCLERA
    for color, radius in ((0.6 * iris, 0.078), (iris, 0.066), (palette.PUPIL, 0.03)):
        _paint(colors, model.eye * step(radius - distance, 0.008), color)


def _glasses(rng: np.random.Generator) -> Glasses:
    color = palette.FRAMES[rng.integers(len(palette.FRAMES))]
    return Glasses(rng.uniform(0.2, 0.27), rng.uniform(0.14, 0.22), rng.uniform(2, 5), rng.uniform(0.014, 0.032), color)
