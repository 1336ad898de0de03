"""Random appearance of a head: vertex colors of skin, hair, brows, lips, beard, moles and irises; hair volume, long
hair and glasses.

Each region is a soft mask in the coordinates of the neutral mesh (decimeters: x right, y up, z towards the viewer), so
it fits every face shape. Colors are sRGB in [0, 1]. V + E is the number of vertices of `HeadModel`.
"""

from dataclasses import dataclass

import numpy as np

from workbench.data.heads.model import HeadModel, shape_weights


def _rgb(*codes: str) -> np.ndarray:
    return np.array([list(bytes.fromhex(code)) for code in codes]) / 255


SKIN = _rgb("f0c8b0", "deaa88", "bc825c", "86563a", "4c2e22")  # by increasing melanin
HAIR = _rgb("161212", "302018", "543a28", "804022", "b0844e", "dec28c")
GREY_HAIR = _rgb("bcbab6")[0]
DYES = _rgb("465aaa", "be4678", "3c8c6e", "783c96")
IRIS = _rgb("301c12", "5c3a1e", "786838", "4e805a", "5284b8", "849098")
LIPSTICK = _rgb("ad1f29", "c75766", "731a33")
FRAMES = _rgb("121214", "5c341a", "961e24", "c4a454", "a8acb2", "283c78")
PUPIL, SCLERA, MOUTH, BLUSH = _rgb("080808", "ede8e0", "521717", "cc5247")
# Relative frequencies of the colors of HAIR and IRIS; rows: African, Asian, Caucasian.
HAIR_ODDS = np.array([[6, 3, 0.6, 0.2, 0.2, 0.2], [6, 3, 1, 0.4, 0.2, 0.1], [1, 2, 3, 1.5, 2.5, 2]])
IRIS_ODDS = np.array([[5, 2, 0.5, 0.2, 0.2, 0.1], [5, 3, 0.5, 0.2, 0.1, 0.1], [1, 2, 2, 2, 3, 2]])
MELANIN = np.array([0.78, 0.32, 0.14])  # for the same rows, in [0, 1]
EYE_X, EYE_Y = 0.3077, 7.2842  # coordinates of the pupils: +-EYE_X, EYE_Y
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
    skin = _skin_color(ancestry, rng)
    hair = _hair_color(ancestry, old, rng)
    locks = hair * rng.uniform(0.75, 1.15, (LOCKS, 1))
    scalp, lift, long_hair = _hair_style(model, male, rng)

    colors = skin * (1 + 0.02 * rng.standard_normal((len(rest), 1)))
    _paint_face(colors, model.base, skin, rng)
    _paint(colors, _brows(model.base, rng), hair * rng.uniform(0.55, 0.95))
    _paint(colors, _lips(model.base), _lip_color(skin, male, rng))
    if male > 0.5:
        _paint(colors, _beard(model.base, rng), 0.85 * hair)
    around = np.arctan2(model.base[:, 0], model.base[:, 2] - 0.45) / (2 * np.pi) + 0.5
    _paint(colors, scalp, locks[(around * LOCKS).astype(int) % LOCKS])
    _paint(colors, _inner_mouth(model.base), MOUTH)
    colors *= _shade(model, rest)[:, None]
    _paint_eyes(colors, model, IRIS[_pick(ancestry @ IRIS_ODDS, rng)] * rng.uniform(0.8, 1.2, 3))
    return Appearance(rest, colors.clip(0, 1), lift, locks, long_hair, _glasses(rng) if rng.random() < 0.28 else None)


def _pick(odds: np.ndarray, rng: np.random.Generator) -> int:
    return int(rng.choice(len(odds), p=odds / odds.sum()))


def _paint(colors: np.ndarray, mask: np.ndarray, color: np.ndarray) -> None:
    """Blend a color (3,) or vertex colors (V + E, 3) into `colors` in place; mask (V + E,) in [0, 1]."""
    colors += mask[:, None] * (color - colors)


def _step(x: np.ndarray, width: float) -> np.ndarray:
    """Smoothstep from 0 at x = -width to 1 at x = width."""
    t = np.clip(0.5 + 0.5 * x / width, 0, 1)
    return t * t * (3 - 2 * t)


def _across_up_out(base: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """|x|, y and z of the vertices: both sides of the face are painted equally."""
    return np.abs(base[:, 0]), base[:, 1], base[:, 2]


def _skin_color(ancestry: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    melanin = np.clip(ancestry @ MELANIN + 0.13 * rng.standard_normal(), 0, 1) * (len(SKIN) - 1)
    tone = np.array([np.interp(melanin, range(len(SKIN)), channel) for channel in SKIN.T])
    ruddy, bright = [0.05, 0.06] * rng.standard_normal(2)
    return np.clip(tone * [1 + bright + ruddy, 1 + bright, 1 + bright - ruddy], 0.08, 1)


def _hair_color(ancestry: np.ndarray, old: float, rng: np.random.Generator) -> np.ndarray:
    color = HAIR[_pick(ancestry @ HAIR_ODDS, rng)] * rng.uniform(0.8, 1.2)
    if rng.random() < 0.08:
        return DYES[rng.integers(len(DYES))]
    grey = np.clip((old - 0.55) * 2.5, 0, 1) * rng.uniform(0.3, 1)
    return color + grey * (GREY_HAIR - color)


def _lip_color(skin: np.ndarray, male: float, rng: np.random.Generator) -> np.ndarray:
    natural = skin * [0.85, 0.62, 0.62]
    if rng.random() > 0.5 * (1 - male):
        return natural
    return natural + rng.uniform(0.3, 0.9) * (LIPSTICK[rng.integers(len(LIPSTICK))] - natural)


def _paint_face(colors: np.ndarray, base: np.ndarray, skin: np.ndarray, rng: np.random.Generator) -> None:
    """Paint red cheeks and nose, shadows around the eyes, and moles, in place."""
    x, y, z = _across_up_out(base)

    def spot(at_x: float, at_y: float, radius: float) -> np.ndarray:
        return np.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / radius**2) * (z > 0.7)

    _paint(colors, rng.uniform(0, 0.3) * spot(0.42, 6.88, 0.22), BLUSH * skin.max())
    _paint(colors, rng.uniform(0, 0.3) * spot(0, 6.92, 0.16), BLUSH * skin.max())
    _paint(colors, rng.uniform(0, 0.5) * spot(EYE_X, EYE_Y + rng.uniform(-0.1, 0.05), 0.19), 0.55 * skin)
    face = np.flatnonzero((z > 0.95) & (y > 6.3) & (y < 7.9))
    for center in base[rng.choice(face, rng.poisson(1.0))]:
        distance = np.linalg.norm(base - center, axis=1)
        _paint(colors, 0.9 * np.exp(-((distance / rng.uniform(0.025, 0.05)) ** 2)), 0.3 * skin)


def _brows(base: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mask of the brows: a rising, arched band that becomes thinner towards the outer end."""
    x, y, z = _across_up_out(base)
    along = (x - rng.uniform(0.1, 0.18)) / rng.uniform(0.38, 0.46)  # 0 at the inner end, 1 at the outer
    arch = 4 * rng.uniform(0.02, 0.1) * along * (1 - along) + rng.uniform(-0.06, 0.08) * along
    thick = rng.uniform(0.022, 0.06) * (1.25 - 0.7 * along)
    band = _step(thick - np.abs(y - (7.46 + rng.uniform(-0.02, 0.03) + arch)), 0.025)
    return rng.uniform(0.6, 1) * band * _step(along, 0.08) * _step(1 - along, 0.12) * (z > 0.9)


def _lips(base: np.ndarray) -> np.ndarray:
    x, y, z = _across_up_out(base)
    open_up = np.sqrt(np.clip(1 - (x / 0.265) ** 2, 0, 1))
    top = 6.615 + 0.105 * open_up - 0.03 * np.exp(-((x / 0.035) ** 2))  # minus the Cupid's bow
    return _step(top - y, 0.018) * _step(y - (6.615 - 0.125 * open_up), 0.018) * (x < 0.25) * (z > 1.4)


def _inner_mouth(base: np.ndarray) -> np.ndarray:
    x, y, z = _across_up_out(base)
    return ((x < 0.18) & (np.abs(y - 6.62) < 0.17) & (z < 1.37)).astype(float)


def _beard(base: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    x, y, z = _across_up_out(base)
    side = np.arctan2(x, z - 0.45)  # 0 in front, pi / 2 at the ears
    cheek = np.interp(side, [0, 0.25, 0.45, 0.8, 1.1, 1.3], [6.45, 6.5, 6.72, 6.78, 6.95, 7.2])
    cheek += rng.uniform(-0.06, 0.08)
    jaw = _step(cheek - y, 0.06) * _step(1.35 - side, 0.08) * _step(y - 5.9 - 0.25 * (z < 0.7), 0.1)
    chin = _step(rng.uniform(0.14, 0.24) - x, 0.05) * _step(6.46 - y, 0.04) * (z > 0.9)
    moustache = (
        _step(0.075 - np.abs(y - 6.78 + 0.35 * np.clip(x - 0.1, 0, 1)), 0.03) * _step(0.34 - x, 0.05) * (z > 1.2)
    )
    density = rng.uniform(0.8, 1)
    match rng.choice(["none", "stubble", "full", "goatee", "moustache"], p=[0.42, 0.2, 0.16, 0.12, 0.1]):
        case "none":
            return np.zeros(len(base))
        case "stubble":
            mask = 0.4 * np.maximum(jaw, moustache)
        case "full":
            mask = np.maximum(jaw, moustache)
        case "goatee":
            mask = np.maximum(chin, moustache)
        case "moustache":
            mask = moustache
    return density * mask * rng.uniform(0.75, 1, len(base)) * (1 - _lips(base))


def _hair_style(
    model: HeadModel, male: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, LongHair | None]:
    """Hair density (V + E,) in [0, 1], distance of the hair from the skull (V + E,) in dm, and long hair if any."""
    x, y, z = _across_up_out(model.base)
    side = np.arctan2(x, z - 0.45)  # 0 in front, pi at the back
    front = rng.uniform(7.6, 7.8) if rng.random() < 0.2 else rng.uniform(7.95, 8.2)  # with bangs, or without
    temple, sideburn = front + rng.uniform(-0.05, 0.15), rng.uniform(6.95, 7.45)
    hairline = np.interp(
        side,
        [0, 0.45, 0.75, 1.0, 1.2, 1.35, 1.6, 1.95, 2.4, np.pi],
        [front, temple, min(temple, 8.0) - 0.1, 7.65, sideburn, 7.3, 7.35, 6.8, 6.6, 6.55],
    )
    ears = np.clip(3 * model.reach("ear-wing-incr|pos", "ear-lobe-incr|pos"), 0, 1)
    scalp = _step(y - hairline, 0.07) * (1 - ears)
    style = rng.choice(
        ["bald", "cropped", "short", "long"], p=[0.1, 0.2, 0.4, 0.3] if male > 0.5 else [0.02, 0.08, 0.4, 0.5]
    )
    if style == "bald":  # a ring of hair of random density remains
        return scalp * _step(rng.uniform(7.3, 8.0) - y, 0.15) * rng.uniform(0, 0.9), np.zeros(len(x)), None
    if style == "cropped":
        return scalp * rng.uniform(0.6, 1), 0.01 * scalp, None
    volume = rng.uniform(0.03, 0.16) if rng.random() < 0.75 else rng.uniform(0.2, 0.38)
    crown, sides = rng.uniform(-0.5, 0.9) * _step(y - 8.1, 0.4), rng.uniform(-0.4, 0.3) * _step(x - 0.4, 0.3)
    curls = 1 + rng.uniform(0, 0.3) * rng.uniform(-1, 1, len(x))
    lift = volume * np.clip(1 + crown + sides, 0.2, None) * curls * _step(y - hairline - 0.03, 0.1) * (1 - ears)
    return scalp, lift, LongHair(rng.uniform(-1.6, -0.4), rng.uniform(1.15, 1.6)) if style == "long" else None


def _shade(model: HeadModel, rest: np.ndarray) -> np.ndarray:
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


def _paint_eyes(colors: np.ndarray, model: HeadModel, iris: np.ndarray) -> None:
    x, y, _ = _across_up_out(model.base)
    distance = np.hypot(x - EYE_X, y - EYE_Y)
    colors[model.eye] = SCLERA
    for color, radius in ((0.6 * iris, 0.078), (iris, 0.066), (PUPIL, 0.03)):
        _paint(colors, model.eye * _step(radius - distance, 0.008), color)


def _glasses(rng: np.random.Generator) -> Glasses:
    color = FRAMES[rng.integers(len(FRAMES))]
    return Glasses(rng.uniform(0.2, 0.27), rng.uniform(0.14, 0.22), rng.uniform(2, 5), rng.uniform(0.014, 0.032), color)
