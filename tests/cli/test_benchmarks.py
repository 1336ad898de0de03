"""The benchmark scripts: each says what it measures, its peer and its limit, and prints its help."""

import importlib.util
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
SCRIPTS = sorted(path for path in FOLDER.glob("*.py") if path.stem != "common")


@pytest.fixture
def script(request, monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    spec = importlib.util.spec_from_file_location(f"benchmark_{request.param.stem}", request.param)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("script", SCRIPTS, indirect=True, ids=lambda path: path.stem)
def test_a_benchmark_names_its_peer_and_its_limit_and_prints_help(script, monkeypatch, capsys):
    first, blank, *rest = script.__doc__.splitlines()
    assert first.endswith(".")
    assert blank == ""
    assert rest[0].startswith(("Peer: ", "Peers: "))
    assert any(line.startswith("Limit: ") for line in rest[:4])
    monkeypatch.setattr(sys, "argv", [script.__name__, "--help"])
    with pytest.raises(SystemExit) as stop:
        script.main()
    assert stop.value.code == 0
    assert f"python benchmarks/{script.__name__.removeprefix('benchmark_')}.py" in capsys.readouterr().out
