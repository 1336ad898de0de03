"""Text from the command line -> the values of a sweep and the seconds of a budget."""

import re
from decimal import Decimal, InvalidOperation

from workbench.core.errors import InputError, quote

MAX_VALUES = 1000  # in one range
UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
DURATION = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)\s*([smh]?)")

Value = float | bool | str


def parse_values(text: str, option: str) -> tuple[Value, ...]:
    """The values of a sweep: numbers or words between commas, and ranges START:END:STEP that include END.

    The steps of a range are decimal: "0:0.5:0.05" has 0.15, not 0.15000000000000002. Raises InputError, which begins
    with `option`, for an empty or repeated value and for an invalid range.
    """
    values: list[Value] = []
    for word in map(str.strip, text.split(",")):
        if not word:
            raise InputError(f"{option}: an empty value; give values like 1.0,1.1 or a range like 0:0.5:0.05")
        values += parse_range(word, option) if ":" in word else (parse_value(word),)
    repeated = next((value for i, value in enumerate(values) if value in values[:i]), None)
    if repeated is not None:
        raise InputError(f"{option}: the value {quote(repeated)} is given twice")
    return tuple(values)


def parse_range(text: str, option: str) -> tuple[float, ...]:
    """The numbers of START:END:STEP, computed in decimal arithmetic."""
    numbers = [parse_decimal(part) for part in text.split(":")]
    if len(numbers) != 3 or None in numbers:
        raise InputError(f"{option}: '{quote(text)}' is not a range; expected START:END:STEP, three numbers")
    start, end, step = numbers
    if step == 0 or (end - start) * step < 0:
        raise InputError(
            f"{option}: the range '{quote(text)}' is empty: steps of {quote(step)} from {quote(start)} do not reach"
            f" {quote(end)}"
        )
    if (end - start) / step >= MAX_VALUES:
        raise InputError(f"{option}: the range '{quote(text)}' has more than {MAX_VALUES} values; use a larger step")
    return tuple(float(start + k * step) for k in range(int((end - start) / step) + 1))


def parse_value(word: str) -> Value:
    """A number, true or false, or the word itself."""
    if word in ("true", "false"):
        return word == "true"
    number = parse_decimal(word)
    return word if number is None else float(number)


def parse_decimal(text: str) -> Decimal | None:
    """A finite decimal number within the range of a float, or None."""
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() and -400 < number.adjusted() < 300 else None


def parse_duration(text: str, option: str = "--budget") -> float:
    """Seconds of a duration such as 60s, 2m, 1.5h or 90. Raises InputError for other text and for zero."""
    match = DURATION.fullmatch(text.strip())
    duration = float(match[1]) * UNITS[match[2]] if match else 0.0
    if not 0 < duration < float("inf"):
        raise InputError(f"{option} {quote(text)}: expected a time such as 60s, 2m, 1.5h or 90 (seconds), more than 0")
    return duration
