"""The README's table "Where is …?": every row has an existing file that defines the named function or class."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| (.+?) \| \[.+?\]\((.+?)\) \| `(\w+)` \|$", re.MULTILINE)
TOPICS = (
    *(
        "loss",
        "margin",
        "class set",
        "queue",
        "boundary",
        "gradient",
        "EER",
        "verification",
        "identification",
        "replay",
    ),
    *(
        "checkpoint",
        "snapshot",
        "probe",
        "UMAP",
        "report",
        "live lab",
        "method catalogue",
        "custom margin",
        "benchmark",
    ),
    *("data manifest", "notebooks' exercises"),
)


def where_rows() -> list[tuple[str, str, str]]:
    """(what, file, name) of each row."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Where is …?")[2].partition("\n## ")[0]
    rows = ROW.findall(section)
    assert len(rows) == section.count("\n|") - 2, "a row has another form than | what | [path](path) | `name` |"
    return rows


def definitions(path: Path) -> set[str]:
    """The names of the functions and classes that a module defines at its top level."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return {node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}


@pytest.mark.parametrize(("what", "file", "name"), where_rows(), ids=lambda value: value[:30])
def test_the_file_defines_the_name(what, file, name):
    assert name in definitions(ROOT / file)


def test_each_topic_has_a_row_and_each_row_is_unique():
    what = [row[0] for row in where_rows()]
    assert [topic for topic in TOPICS if not any(topic in one for one in what)] == []
    assert len(set(what)) == len(what)


def test_the_row_of_the_loss_is_margin_softmax():
    (row,) = [row for row in where_rows() if row[0].startswith("loss:")]
    assert row[1:] == ("workbench/losses/margin_softmax.py", "MarginSoftmax")
