"""Lines of the two append-only files of a run, steps.csv and events.jsonl, and their checks."""

import json
from pathlib import Path
from typing import Any

from workbench.core.errors import InputError


def read_lines(path: Path) -> list[str]:
    """The lines of an append-only file; an incomplete last line is dropped."""
    try:
        complete = path.read_bytes().split(b"\n")[:-1]
    except OSError as error:
        raise InputError(f"{path} is missing or damaged: {error}") from None
    return [line.decode("utf-8", "replace").rstrip("\r") for line in complete]


def parse_step(path: Path, number: int, line: str, columns: int) -> list[float]:
    """The numbers of a line of steps.csv. Raises InputError with the line number if it is damaged."""
    try:
        values = [float(value) for value in line.split(",")]
    except ValueError:
        raise damaged_line(path, number, f"{line[:40]!r} is not a line of numbers") from None
    if len(values) != columns:
        raise damaged_line(path, number, f"{len(values)} values, {columns} columns")
    return values


def parse_event(path: Path, number: int, line: str) -> dict[str, Any]:
    """The event in a line of events.jsonl. Raises InputError with the line number if it is damaged."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        raise damaged_line(path, number, f"{line[:40]!r} is not JSON") from None
    if not isinstance(event, dict) or not isinstance(event.get("step"), int) or not {"name", "new"} <= event.keys():
        raise damaged_line(path, number, "not an event: step (an integer), name, new")
    return event


def damaged_line(path: Path, number: int, why: str) -> InputError:
    """The error for a damaged line of a file."""
    return InputError(f"{path} is damaged: line {number}: {why}")
