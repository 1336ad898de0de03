"""Angles as text."""

import math


def format_angle(theta: float, digits: int = 1) -> str:
    """'31.9° (0.557 rad)': an angle in rad, with `digits` decimals of the degrees and two more of the radians."""
    return f"{math.degrees(theta):.{digits}f}° ({theta:.{digits + 2}f} rad)"
