"""README, documents and notebooks import from `workbench` every name that it exports."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import workbench

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])  # docs/methods is generated
LESSONS = sorted((ROOT / "notebooks" / "lessons").glob("*.py"))
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))
DOTTED = re.compile(r"\bworkbench(?:\.[a-z_]\w*)+\.(\w+)")


def sources(path: Path) -> Iterator[str]:
    """The Python sources in a document, notebook or module."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        yield from re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    elif path.suffix == ".ipynb":
        yield from ("".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code")
    else:
        yield text


def prose(path: Path) -> str:
    """The text of a document, or of a notebook's Markdown cells."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown")


def deep_imports(source: str) -> list[str]:
    """The imports from modules of workbench that could be imported from workbench itself."""
    statements = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    deep = [node for node in statements if (node.module or "").startswith("workbench.")]
    return [f"{node.module}.{alias.name}" for node in deep for alias in node.names if alias.name in workbench.__all__]


@pytest.mark.parametrize("path", DOCUMENTS + LESSONS + NOTEBOOKS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_code_imports_from_the_front_door(path):
    assert [name for source in sources(path) for name in deep_imports(source)] == []


@pytest.mark.parametrize("path", DOCUMENTS + NOTEBOOKS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_text_names_the_front_door(path):
    assert [match[0] for match in DOTTED.finditer(prose(path)) if match[1] in workbench.__all__] == []


def test_a_deep_import_is_detected():
    assert deep_imports("from workbench.methods import METHODS, build\nfrom workbench.views.theme import look\n") == [
        "workbench.methods.METHODS",
        "workbench.methods.build",
    ]
