"""Text from the command line -> the values of a sweep and the seconds of a budget."""

import re
from decimal import Decimal, InvalidOperation

from workbench.core.errors import InputError, quote

MOST = 1000  # values in one sweep; more is a slip of the step
UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
DURATION = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)\s*([smh]?)")

Value = float | bool | str


def values(text: str, option: str) -> tuple[Value, ...]:
    """The values of a sweep: numbers or words between commas, and ranges START:END:STEP whose end is included.

    "0:0.5:0.25" is 0, 0.25, 0.5; the steps are decimal, so 0:0.5:0.05 has no 0.15000000000000002. Raises InputError
    that begins with `option` for an empty value, a value given twice, and a range that is not one.
    """
    words = [word.strip() for word in text.split(",")]
    if "" in words:
        raise InputError(f"{option}: an empty value; give values like 1.0,1.1 or a range like 0:0.5:0.05")
    found = tuple(value for word in words for value in (spread(word, option) if ":" in word else (single(word),)))
    twice = next((value for i, value in enumerate(found) if value in found[:i]), None)
    if twice is not None:
        raise InputError(f"{option}: the value {quote(twice)} is there twice")
    return found


def spread(text: str, option: str) -> tuple[float, ...]:
    """The numbers of START:END:STEP, computed in decimals."""
    parts = text.split(":")
    numbers = [decimal(part) for part in parts]
    if len(parts) != 3 or None in numbers:
        raise InputError(f"{option}: '{quote(text)}' is not a range; expected START:END:STEP, three numbers")
    start, end, step = numbers
    if step == 0 or (end - start) * step < 0:
        raise InputError(
            f"{option}: the range '{quote(text)}' is empty: from {quote(start)} a step of {quote(step)} never comes to"
            f" {quote(end)}"
        )
    if (end - start) / step >= MOST:
        raise InputError(f"{option}: the range '{quote(text)}' has more than {MOST} values; take a larger step")
    return tuple(float(start + k * step) for k in range(int((end - start) / step) + 1))


def single(word: str) -> Value:
    """A number, true or false where the word reads like one, else the word itself."""
    if word in ("true", "false"):
        return word == "true"
    number = decimal(word)
    return word if number is None else float(number)


def decimal(text: str) -> Decimal | None:
    """A finite decimal number of a size that a float holds, or None."""
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() and -400 < number.adjusted() < 300 else None


def seconds(text: str, option: str = "--budget") -> float:
    """Seconds of a duration such as 60s, 2m, 1.5h or 90. InputError where it is none, or not more than nothing."""
    found = DURATION.fullmatch(text.strip())
    duration = float(found[1]) * UNITS[found[2]] if found else 0.0
    if not 0 < duration < float("inf"):
        raise InputError(f"{option} {quote(text)}: expected a time such as 60s, 2m, 1.5h or 90 (seconds), more than 0")
    return duration
