"""The two files of a run that only grow, steps.csv and events.jsonl: their lines, checked one by one."""

import json
from pathlib import Path
from typing import Any

from workbench.core.errors import InputError


def read_lines(path: Path) -> list[str]:
    """The lines of a file that only grows; a last one without its end was cut off, and is left out."""
    try:
        whole = path.read_bytes().split(b"\n")[:-1]
    except OSError as error:
        raise InputError(f"{path} is missing or damaged: {error}") from None
    return [line.decode("utf-8", "replace").rstrip("\r") for line in whole]


def parse_step(path: Path, number: int, line: str, columns: int) -> list[float]:
    """The numbers of a line of steps.csv; InputError with the line's number where it is damaged."""
    try:
        values = [float(value) for value in line.split(",")]
    except ValueError:
        raise damaged_line(path, number, f"{line[:40]!r} is not a line of numbers") from None
    if len(values) != columns:
        raise damaged_line(path, number, f"{len(values)} values, {columns} columns")
    return values


def parse_event(path: Path, number: int, line: str) -> dict[str, Any]:
    """The event in a line of events.jsonl; InputError with the line's number where it is damaged."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        raise damaged_line(path, number, f"{line[:40]!r} is not JSON") from None
    if not isinstance(event, dict) or not isinstance(event.get("step"), int) or not {"name", "new"} <= event.keys():
        raise damaged_line(path, number, "not an event: step (an integer), name, new")
    return event


def damaged_line(path: Path, number: int, why: str) -> InputError:
    return InputError(f"{path} is damaged: line {number}: {why}")
