"""The code blocks of README and CONTRIBUTING run."""

import math
import re
import runpy
from pathlib import Path

import pytest
import torch

from workbench import boundaries
from workbench.centers.full import FullCenters
from workbench.losses.margin_softmax import MarginSoftmax
from workbench.losses.scales import Fixed

ROOT = Path(__file__).resolve().parents[2]


def python_blocks(name: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.slow
def test_the_example_of_the_readme_runs_and_prints_the_numbers_of_the_text(capsys):
    _, example, *_ = python_blocks("README.md")
    assert len([line for line in example.splitlines() if line.strip()]) <= 24
    names: dict = {}
    exec(example, names)
    printed = capsys.readouterr().out
    assert "CurricularFace 0.0 actual 33.3°, ideal 25.7°" in printed
    assert "ReCurricularFace 0.0 actual 31.9°, ideal 25.7°" in printed  # as in the caption of the panel
    assert "ReCurricularFace 1.0 actual 25.7°, ideal 25.7°" in printed
    assert names["job"].objective.margin.m0 != names["job"].config.settings()["m0"]
    assert names["step"].step == 19


@pytest.mark.slow
def test_the_lab_of_the_readme_trains():
    block, *_ = python_blocks("README.md")
    imports, call = block.strip().rsplit("\n\n", 1)
    names: dict = {}
    exec(imports, names)
    lab = eval(call, names)
    try:
        lab.session.run(2, block=True)
        lab.refresh()
        assert lab.session.tuning.method == "arcface"
    finally:
        lab.close()


def test_the_loop_of_the_readme_trains():
    loop = python_blocks("README.md")[2]
    loader = [(torch.randn(8, 16), torch.arange(8)) for _ in range(3)]
    names = {"torch": torch, "C": 10, "net": torch.nn.Linear(16, 512), "loader": loader}
    before = names["net"].weight.clone()
    exec(loop, names)
    assert not torch.equal(names["net"].weight, before)


@pytest.mark.slow
def test_the_margin_of_the_readme_has_no_errors_and_trains(tmp_path, capsys):
    *_, block = python_blocks("README.md")
    file = tmp_path / "own.py"
    file.write_text(block, encoding="utf-8")
    runpy.run_path(str(file))
    printed = capsys.readouterr().out
    assert printed.startswith("Halved is sound: 12 checks, 0 faults")
    assert "Halved, 20 steps: loss first" in printed


def test_the_margin_of_contributing_has_curves_and_trains():
    (block,) = python_blocks("CONTRIBUTING.md")
    names: dict = {"__name__": "contributing"}
    exec(block, names)
    margin = names["LinearArc"](m=0.3)
    phi = boundaries(margin)[0]
    assert math.isclose(math.cos(phi) - 0.3 * math.sin(phi), math.cos(math.radians(80) - phi), abs_tol=1e-12)
    objective = MarginSoftmax(margin, FullCenters(4, 3), Fixed(8))
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    objective.step(x, torch.tensor([0, 1, 2, 3, 0])).total.backward()
    assert torch.isfinite(x.grad).all()
