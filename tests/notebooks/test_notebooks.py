"""Rules for the notebooks, and a bad example for each rule. nbval executes the notebooks (`make notebooks-test`)."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from lessons.exercises import LESSONS

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
TEACHING = sorted(NOTEBOOKS.glob("*.ipynb"))
REGRESSION = sorted((NOTEBOOKS / "regression").glob("*.ipynb"))
LINES = 12  # longer code belongs in the package
BYTES = 200_000
FORBIDDEN = {
    "a loss": r"def \w*loss",
    "a class": r"^\s*class \w",
    "a figure": r"go\.Figure|import plotly|matplotlib",
    "an absolute path": r"(?<![\w.:/<)])/(home|root|work|tmp|usr|Users|mnt)/|[A-Z]:\\\\",
}


# The rules: (text, notebook, whether it is a regression notebook) -> messages.


def valid(text: str, nb: dict, regression: bool):
    try:
        nbformat.validate(nbformat.reads(text, as_version=4))
    except nbformat.ValidationError as error:
        yield f"not a valid notebook: {error.message}"


def small(text: str, nb: dict, regression: bool):
    if len(text.encode()) >= BYTES:
        yield f"{len(text.encode())} bytes; at most {BYTES}"


def kernel(text: str, nb: dict, regression: bool):
    name = nb["metadata"].get("kernelspec", {}).get("name")
    if name != "python3":
        yield f"kernel {name}; it must be python3"
    if surplus := nb["metadata"].keys() - {"kernelspec"}:
        yield f"metadata {sorted(surplus)}, which differs between computers"


def title(text: str, nb: dict, regression: bool):
    first = "".join(nb["cells"][0]["source"])
    if nb["cells"][0]["cell_type"] != "markdown" or not first.startswith("# "):
        yield "the first cell has no title"
    goals = len(re.findall(r"^- (?:\*\w+\*|\w+)", first.partition("**Goals.**")[2], re.MULTILINE))
    if not 3 <= goals <= 5:
        yield f"{goals} goals in the first cell; 3 to 5"
    for word in ("**Time**", "**GPU**"):
        if word not in first:
            yield f"no {word} in the first cell"


def no_outputs(text: str, nb: dict, regression: bool):
    if regression:
        return
    for i, cell in code(nb):
        if cell["outputs"] or cell["execution_count"] is not None:
            yield f"cell {i} is not stripped"


def outputs(text: str, nb: dict, regression: bool):
    if not regression:
        return
    counts = [cell["execution_count"] for _, cell in code(nb)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"executed as {counts}, not once from top to bottom"
    for i, cell in code(nb):
        if bool(cell["outputs"]) == ("silent" in tags(cell)):
            yield f"cell {i} must either print or have the tag silent"
        if len(cell["outputs"]) > 1:
            yield f"cell {i} has its text in {len(cell['outputs'])} outputs; `make notebooks` joins them"
        if any(output["output_type"] != "stream" or output["name"] != "stdout" for output in cell["outputs"]):
            yield f"cell {i} has outputs other than printed text"


def short(text: str, nb: dict, regression: bool):
    for i, cell in code(nb):
        if (lines := "".join(cell["source"]).count("\n") + 1) > LINES:
            yield f"cell {i} has {lines} lines; at most {LINES}"


def defines_nothing(text: str, nb: dict, regression: bool):
    for i, cell in enumerate(nb["cells"]):
        source = "".join(cell["source"])
        for what, pattern in FORBIDDEN.items():
            if what == "a class" and "own-margin" in tags(cell):  # lesson 8 defines margins
                continue
            if re.search(pattern, source, re.MULTILINE) and (cell["cell_type"] == "code" or "path" in what):
                yield f"cell {i} defines {what}"


def exercises(text: str, nb: dict, regression: bool):
    tasks = [name for _, cell in code(nb) if "exercise" in tags(cell) for name in checks(cell, r"^check")]
    solutions = [name for _, cell in code(nb) if "solution" in tags(cell) for name in checks(cell, r"^assert check")]
    if tasks != solutions:
        yield f"exercises {tasks} but solutions {solutions}"
    if tasks and "## Expected results" not in text:
        yield "no section 'Expected results'"
    for i, cell in code(nb):
        hidden = cell["metadata"].get("jupyter", {}).get("source_hidden", False)
        if hidden != ("solution" in tags(cell)):
            yield f"cell {i} is {'collapsed' if hidden else 'a solution that is not collapsed'}"
        if "exercise" in tags(cell) and not re.search(r"^answer = None\b", "".join(cell["source"]), re.MULTILINE):
            yield f"cell {i} contains an answer"


def without_widgets(text: str, nb: dict, regression: bool):
    if "widgets" in nb["metadata"] or any("widgets" in cell["metadata"] for cell in nb["cells"]):
        yield "saved widget state"


def code(nb: dict) -> list[tuple[int, dict]]:
    return [(i, cell) for i, cell in enumerate(nb["cells"]) if cell["cell_type"] == "code"]


def tags(cell: dict) -> list[str]:
    return cell["metadata"].get("tags", [])


def checks(cell: dict, call: str) -> list[str]:
    return re.findall(call + r'\("([^"]+)"', "".join(cell["source"]), re.MULTILINE)


RULES: tuple[Callable, ...] = (
    valid,
    small,
    kernel,
    title,
    no_outputs,
    outputs,
    short,
    defines_nothing,
    exercises,
    without_widgets,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("path", TEACHING + REGRESSION, ids=lambda path: path.stem)
def test_notebook_keeps_the_rule(path, rule):
    text = path.read_text(encoding="utf-8")
    assert list(rule(text, json.loads(text), path in REGRESSION)) == []


def test_there_are_notebooks_and_the_index_names_each():
    assert len(TEACHING) >= 5
    assert len(REGRESSION) >= 3
    index = TEACHING[0].read_text(encoding="utf-8")
    assert [path.name for path in TEACHING[1:] if f"({path.name})" not in index] == []


@pytest.mark.parametrize("number", range(1, len(LESSONS) + 1))
def test_a_lesson_has_the_exercises_of_its_module(number):
    (path,) = NOTEBOOKS.glob(f"{number:02d}_*.ipynb")
    cells = [cell for _, cell in code(json.loads(path.read_text(encoding="utf-8"))) if "exercise" in tags(cell)]
    names = [make.__name__.replace("_", " ") for make in LESSONS[number - 1].EXERCISES]
    assert [name for cell in cells for name in checks(cell, r"^check")] == names


# A bad notebook for each rule.


def good() -> dict:
    first = "# Title\n\n**Goals.**\n\n- *see*\n- *try*\n- *know*\n\n**Time** 1 min. **GPU** no."
    cells = [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": first},
        cell("x = 1"),
        cell('answer = None\ncheck("alpha", answer)', tags=["exercise"]),
        cell('answer = 1\nassert check("alpha", answer)', tags=["solution"], jupyter={"source_hidden": True}),
        {"cell_type": "markdown", "id": "z", "metadata": {}, "source": "## Expected results"},
    ]
    kernelspec = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return {"cells": cells, "metadata": kernelspec, "nbformat": 4, "nbformat_minor": 5}


def cell(source: str, **metadata) -> dict:
    ident = f"c{abs(hash(source)) % 10**8}"
    return {
        "cell_type": "code",
        "id": ident,
        "metadata": metadata,
        "source": source,
        "outputs": [],
        "execution_count": None,
    }


def run(nb: dict) -> dict:
    """The notebook after execution; each cell has printed a line."""
    for count, (_, one) in enumerate(code(nb), start=1):
        one["execution_count"] = count
        one["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "1\n"}]
    return nb


def violations(nb: dict, regression: bool) -> set[str]:
    text = json.dumps(nb)
    return {rule.__name__ for rule in RULES if list(rule(text, nb, regression))}


def test_a_good_notebook_passes():
    assert violations(good(), regression=False) == set()
    assert violations(run(good()), regression=True) == set()


def test_a_margin_may_be_defined_in_a_tagged_cell():
    nb = good()
    nb["cells"].append(cell("class Mine(Margin):\n    pass", tags=["own-margin"]))
    assert violations(nb, regression=False) == set()


def edit(change: Callable[[dict], object]) -> dict:
    nb = good()
    change(nb)
    return nb


@pytest.mark.parametrize(
    ("rule", "nb"),
    [
        ("valid", edit(lambda nb: nb["cells"][1].update(execution_count="one"))),
        ("small", edit(lambda nb: nb["cells"].append(cell("# " + "x" * BYTES)))),
        ("kernel", edit(lambda nb: nb["metadata"]["kernelspec"].update(name="mine"))),
        ("kernel", edit(lambda nb: nb["metadata"].update(language_info={"version": "3.11.2"}))),
        ("title", edit(lambda nb: nb["cells"][0].update(source="no title"))),
        ("title", edit(lambda nb: nb["cells"][0].update(source="# Title\n\n**Goals.**\n\n- *see*\n**Time** **GPU**"))),
        ("no_outputs", edit(lambda nb: nb["cells"][1].update(execution_count=1))),
        ("no_outputs", run(good())),
        ("short", edit(lambda nb: nb["cells"][1].update(source="x = 1\n" * (LINES + 1)))),
        ("defines_nothing", edit(lambda nb: nb["cells"][1].update(source="def my_loss(x):\n    return x"))),
        ("defines_nothing", edit(lambda nb: nb["cells"][1].update(source="class Mine:\n    pass"))),
        ("defines_nothing", edit(lambda nb: nb["cells"][1].update(source="figure = go.Figure()"))),
        ("defines_nothing", edit(lambda nb: nb["cells"].append(cell("def a_loss(x):\n    x", tags=["own-margin"])))),
        ("defines_nothing", edit(lambda nb: nb["cells"][0].update(source="see /home/me/data"))),
        ("exercises", edit(lambda nb: nb["cells"].pop(3))),
        ("exercises", edit(lambda nb: nb["cells"].pop(4))),
        ("exercises", edit(lambda nb: nb["cells"][2].update(source="answer = 0.35\ncheck('alpha', answer)"))),
        ("exercises", edit(lambda nb: nb["cells"][3]["metadata"].pop("jupyter"))),
        ("without_widgets", edit(lambda nb: nb["metadata"].update(widgets={}))),
    ],
)
def test_a_bad_notebook_is_caught(rule, nb):
    assert rule in violations(nb, regression=False)


def test_a_bad_regression_notebook_is_caught():
    assert "outputs" in violations(good(), regression=True)  # without outputs nbval compares nothing
    nb = run(good())
    nb["cells"][3]["execution_count"] = 7
    assert "outputs" in violations(nb, regression=True)
    nb = run(good())
    nb["cells"][1]["outputs"] = []
    assert "outputs" in violations(nb, regression=True)
    nb["cells"][1]["metadata"]["tags"] = ["silent"]
    assert "outputs" not in violations(nb, regression=True)
    nb["cells"][2]["outputs"] *= 2
    assert "outputs" in violations(nb, regression=True)
    nb["cells"][2]["outputs"] = [{"output_type": "display_data", "data": {}, "metadata": {}}]
    assert "outputs" in violations(nb, regression=True)
