"""The code blocks of docs/own_loop.md run: in this process, as scripts for several processes, with other packages."""

import re
import sys
import warnings
from pathlib import Path

import pytest
import torch
from packages import skip_without

from workbench.training.processes import launch

PAGE = Path(__file__).resolve().parents[2] / "docs" / "own_loop.md"
BLOCK = re.compile(r"<!-- test: (.*?) -->\n```python\n(.*?)```", re.DOTALL)


def blocks(kind):
    """The code blocks with a mark, in order."""
    return [text for marks, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")) if kind in marks.split(", ")]


def test_every_block_has_a_mark():
    text = PAGE.read_text(encoding="utf-8")
    assert text.count("```python") == len(BLOCK.findall(text)) == 11


def test_the_plain_blocks_train():
    names = {}
    for text in blocks("plain"):
        before = names.get("criterion")
        weight = before.centers.weight.clone() if before else None
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            exec(text, names)
        if before is names["criterion"]:
            assert not torch.equal(before.centers.weight, weight)
    assert int(names["criterion"].centers.step) == 4


def test_the_block_of_the_workbench_trains(capsys):
    (text,) = blocks("workbench")
    names = {"__name__": "__main__"}
    exec(text, names)
    assert names["job"].step == names["config"].steps == len(capsys.readouterr().out.splitlines())


@pytest.mark.slow
@pytest.mark.parametrize("package", ["timm", "lightning", "accelerate", "pytorch_metric_learning"])
@pytest.mark.filterwarnings("ignore")
def test_the_block_of_a_package_trains(package):
    skip_without(package)
    (text,) = blocks(package)
    names = {}
    exec(text, names)
    criterion = names["criterion"]
    assert all(bool(value.any()) for name, value in criterion.state.items() if name == "t")
    assert all(torch.isfinite(p).all() for p in criterion.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_the_blocks_for_several_processes_keep_them_equal(number, tmp_path):
    text = blocks("ranks")[number]
    if number:
        skip_without("accelerate")
    report = f'import os\ntorch.save(criterion.state_dict(), rf"{tmp_path}/" + os.environ["RANK"])\n'
    (tmp_path / "script.py").write_text(text + report, encoding="utf-8")
    assert launch([sys.executable, str(tmp_path / "script.py")], 2) == (0, "")
    first, second = (torch.load(tmp_path / str(rank), weights_only=True) for rank in range(2))
    assert first["state_t"] != 0
    assert all(torch.equal(value, second[name]) for name, value in first.items())
