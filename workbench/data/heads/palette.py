"""Colors of synthetic heads: palettes of skin, hair, irises, lips and frames, and random choices among them."""

import numpy as np


def rgb(*codes: str) -> np.ndarray:
    """sRGB colors (n, 3) in [0, 1] from hexadecimal codes."""
    return np.array([list(bytes.fromhex(code)) for code in codes]) / 255


SKIN = rgb("f0c8b0", "deaa88", "bc825c", "86563a", "4c2e22")  # by increasing melanin
HAIR = rgb("161212", "302018", "543a28", "804022", "b0844e", "dec28c")
GRAY_HAIR = rgb("bcbab6")[0]
DYES = rgb("465aaa", "be4678", "3c8c6e", "783c96")
IRIS = rgb("301c12", "5c3a1e", "786838", "4e805a", "5284b8", "849098")
LIPSTICK = rgb("ad1f29", "c75766", "731a33")
FRAMES = rgb("121214", "5c341a", "961e24", "c4a454", "a8acb2", "283c78")
PUPIL, SCLERA, MOUTH, BLUSH = rgb("080808", "ede8e0", "521717", "cc5247")
# Relative frequencies of the colors of HAIR and IRIS; rows: African, Asian, Caucasian.
HAIR_ODDS = np.array([[6, 3, 0.6, 0.2, 0.2, 0.2], [6, 3, 1, 0.4, 0.2, 0.1], [1, 2, 3, 1.5, 2.5, 2]])
IRIS_ODDS = np.array([[5, 2, 0.5, 0.2, 0.2, 0.1], [5, 3, 0.5, 0.2, 0.1, 0.1], [1, 2, 2, 2, 3, 2]])
MELANIN = np.array([0.78, 0.32, 0.14])  # for the same rows, in [0, 1]


def pick(odds: np.ndarray, rng: np.random.Generator) -> int:
    """A random index, with probabilities proportional to `odds`."""
    return int(rng.choice(len(odds), p=odds / odds.sum()))


def skin_color(ancestry: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    melanin = np.clip(ancestry @ MELANIN + 0.13 * rng.standard_normal(), 0, 1) * (len(SKIN) - 1)
    tone = np.array([np.interp(melanin, range(len(SKIN)), channel) for channel in SKIN.T])
    ruddy, bright = [0.05, 0.06] * rng.standard_normal(2)
    return np.clip(tone * [1 + bright + ruddy, 1 + bright, 1 + bright - ruddy], 0.08, 1)


def hair_color(ancestry: np.ndarray, old: float, rng: np.random.Generator) -> np.ndarray:
    color = HAIR[pick(ancestry @ HAIR_ODDS, rng)] * rng.uniform(0.8, 1.2)
    if rng.random() < 0.08:
        return DYES[rng.integers(len(DYES))]
    gray = np.clip((old - 0.55) * 2.5, 0, 1) * rng.uniform(0.3, 1)
    return color + gray * (GRAY_HAIR - color)


def lip_color(skin: np.ndarray, male: float, rng: np.random.Generator) -> np.ndarray:
    natural = skin * [0.85, 0.62, 0.62]
    if rng.random() > 0.5 * (1 - male):
        return natural
    return natural + rng.uniform(0.3, 0.9) * (LIPSTICK[rng.integers(len(LIPSTICK))] - natural)
