"""Angles as text."""

import math
from collections.abc import Iterable


def format_angle(theta: float, digits: int = 1) -> str:
    """'31.9° (0.557 rad)': an angle in rad, with `digits` decimals of the degrees and two more of the radians."""
    return f"{math.degrees(theta):.{digits}f}° ({theta:.{digits + 2}f} rad)"


def format_angles(thetas: Iterable[float], none: str = "none") -> str:
    """Angles in rad, separated by commas; `none` if there are none."""
    return ", ".join(map(format_angle, thetas)) or none
