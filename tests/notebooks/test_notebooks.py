"""The notebooks keep their rules, and a notebook that breaks one is caught.

That the notebooks run, and print what they printed, is tested by nbval (`make notebooks-test`).
"""

import json
import re
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from lessons.exercises import EXERCISES

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
TEACHING = sorted(NOTEBOOKS.glob("*.ipynb"))
REGRESSION = sorted((NOTEBOOKS / "regression").glob("*.ipynb"))
LINES = 12  # a longer cell belongs into the package
BYTES = 200_000
FORBIDDEN = {
    "a loss": r"def \w*loss",
    "a class": r"^\s*class \w",
    "a figure": r"go\.Figure|import plotly|matplotlib",
    "an absolute path": r"(?<![\w.:/<)])/(home|root|work|tmp|usr|Users|mnt)/|[A-Z]:\\\\",
}


# The rules: each yields what is wrong with a notebook, as (text, notebook, is it a regression notebook).


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
        yield f"metadata {sorted(surplus)}, which differ from computer to computer"


def titled(text: str, nb: dict, regression: bool):
    first = "".join(nb["cells"][0]["source"])
    if nb["cells"][0]["cell_type"] != "markdown" or not first.startswith("# "):
        yield "the first cell is no title"
    goals = len(re.findall(r"^- (?:\*\w+\*|\w+)", first.partition("**Goals.**")[2], re.MULTILINE))
    if not 3 <= goals <= 5:
        yield f"{goals} goals in the first cell; 3 to 5"
    for word in ("**Time**", "**GPU**"):
        if word not in first:
            yield f"no {word} in the first cell"


def stripped(text: str, nb: dict, regression: bool):
    if regression:
        return
    for i, cell in code(nb):
        if cell["outputs"] or cell["execution_count"] is not None:
            yield f"cell {i} is not stripped"


def executed(text: str, nb: dict, regression: bool):
    if not regression:
        return
    counts = [cell["execution_count"] for _, cell in code(nb)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"executed as {counts}, not once from top to bottom"
    for i, cell in code(nb):
        if bool(cell["outputs"]) == ("silent" in tags(cell)):
            yield f"cell {i} must either print or have the tag silent"
        if len(cell["outputs"]) > 1:
            yield f"cell {i} has its text in {len(cell['outputs'])} pieces, cut at random; `make notebooks` joins them"
        if any(output["output_type"] != "stream" or output["name"] != "stdout" for output in cell["outputs"]):
            yield f"cell {i} has other outputs than printed text"


def brief(text: str, nb: dict, regression: bool):
    for i, cell in code(nb):
        if (lines := "".join(cell["source"]).count("\n") + 1) > LINES:
            yield f"cell {i} has {lines} lines; at most {LINES}"


def defines_nothing(text: str, nb: dict, regression: bool):
    for i, cell in enumerate(nb["cells"]):
        source = "".join(cell["source"])
        for what, pattern in FORBIDDEN.items():
            if what == "a class" and "own-margin" in tags(cell):  # what a person writes is the lesson
                continue
            if re.search(pattern, source, re.MULTILINE) and (cell["cell_type"] == "code" or "path" in what):
                yield f"cell {i} has {what} of its own"


def exercised(text: str, nb: dict, regression: bool):
    asked = [name for _, cell in code(nb) if "exercise" in tags(cell) for name in checks(cell, r"^check")]
    solved = [name for _, cell in code(nb) if "solution" in tags(cell) for name in checks(cell, r"^assert check")]
    if asked != solved:
        yield f"exercises {asked} but solutions {solved}"
    if asked and "## What you should have seen" not in text:
        yield "no numbers at the end of what you should have seen"
    for i, cell in code(nb):
        hidden = cell["metadata"].get("jupyter", {}).get("source_hidden", False)
        if hidden != ("solution" in tags(cell)):
            yield f"cell {i} is {'folded' if hidden else 'an open solution'}"
        if "exercise" in tags(cell) and not re.search(r"^answer = None\b", "".join(cell["source"]), re.MULTILINE):
            yield f"cell {i} gives an answer away"


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
    titled,
    stripped,
    executed,
    brief,
    defines_nothing,
    exercised,
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


def test_every_exercise_is_asked_in_a_notebook():
    text = "".join(path.read_text(encoding="utf-8") for path in TEACHING)
    assert [name for name in EXERCISES if f'check(\\"{name}\\", answer)' not in text] == []


# A bad notebook for each rule.


def good() -> dict:
    first = "# Title\n\n**Goals.**\n\n- *see*\n- *try*\n- *know*\n\n**Time** 1 min. **GPU** no."
    cells = [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": first},
        cell("x = 1"),
        cell('answer = None\ncheck("alpha", answer)', tags=["exercise"]),
        cell('answer = 1\nassert check("alpha", answer)', tags=["solution"], jupyter={"source_hidden": True}),
        {"cell_type": "markdown", "id": "z", "metadata": {}, "source": "## What you should have seen"},
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
    """The notebook as executed, each cell printing a line."""
    for count, (_, one) in enumerate(code(nb), start=1):
        one["execution_count"] = count
        one["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "1\n"}]
    return nb


def broken_by(nb: dict, regression: bool) -> set[str]:
    text = json.dumps(nb)
    return {rule.__name__ for rule in RULES if list(rule(text, nb, regression))}


def test_a_good_notebook_passes():
    assert broken_by(good(), regression=False) == set()
    assert broken_by(run(good()), regression=True) == set()


def test_a_margin_of_ones_own_may_be_written_in_a_cell_that_says_so():
    nb = good()
    nb["cells"].append(cell("class Mine(Margin):\n    pass", tags=["own-margin"]))
    assert broken_by(nb, regression=False) == set()


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
        ("titled", edit(lambda nb: nb["cells"][0].update(source="no title"))),
        ("titled", edit(lambda nb: nb["cells"][0].update(source="# Title\n\n**Goals.**\n\n- *see*\n**Time** **GPU**"))),
        ("stripped", edit(lambda nb: nb["cells"][1].update(execution_count=1))),
        ("stripped", run(good())),
        ("brief", edit(lambda nb: nb["cells"][1].update(source="x = 1\n" * (LINES + 1)))),
        ("defines_nothing", edit(lambda nb: nb["cells"][1].update(source="def my_loss(x):\n    return x"))),
        ("defines_nothing", edit(lambda nb: nb["cells"][1].update(source="class Mine:\n    pass"))),
        ("defines_nothing", edit(lambda nb: nb["cells"][1].update(source="figure = go.Figure()"))),
        ("defines_nothing", edit(lambda nb: nb["cells"].append(cell("def a_loss(x):\n    x", tags=["own-margin"])))),
        ("defines_nothing", edit(lambda nb: nb["cells"][0].update(source="see /home/me/data"))),
        ("exercised", edit(lambda nb: nb["cells"].pop(3))),
        ("exercised", edit(lambda nb: nb["cells"].pop(4))),
        ("exercised", edit(lambda nb: nb["cells"][2].update(source="answer = 0.35\ncheck('alpha', answer)"))),
        ("exercised", edit(lambda nb: nb["cells"][3]["metadata"].pop("jupyter"))),
        ("without_widgets", edit(lambda nb: nb["metadata"].update(widgets={}))),
    ],
)
def test_a_bad_notebook_is_caught(rule, nb):
    assert rule in broken_by(nb, regression=False)


def test_a_bad_regression_notebook_is_caught():
    assert "executed" in broken_by(good(), regression=True)  # stripped: nbval would pass it and compare nothing
    nb = run(good())
    nb["cells"][3]["execution_count"] = 7
    assert "executed" in broken_by(nb, regression=True)
    nb = run(good())
    nb["cells"][1]["outputs"] = []
    assert "executed" in broken_by(nb, regression=True)
    nb["cells"][1]["metadata"]["tags"] = ["silent"]
    assert "executed" not in broken_by(nb, regression=True)
    nb["cells"][2]["outputs"] *= 2
    assert "executed" in broken_by(nb, regression=True)
    nb["cells"][2]["outputs"] = [{"output_type": "display_data", "data": {}, "metadata": {}}]
    assert "executed" in broken_by(nb, regression=True)
