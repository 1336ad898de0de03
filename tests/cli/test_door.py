"""The guard of the command line: files that cannot be written, wrong calls, missing extras; no file is half-written."""

import csv
import errno
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from workbench.cli import main as cli
from workbench.core import errors, files
from workbench.core.errors import InputError, one_line
from workbench.core.files import WriteError, check_writable, refuse_existing, write
from workbench.core.tables import write_csv, write_table
from workbench.training.config import Config


@pytest.fixture
def odd(tmp_path):
    """Paths that nothing can be written to, by name."""
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere" / "else")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    return {
        "below a file": tmp_path / "file" / "x",
        "dangling link": tmp_path / "dangling",
        "below a dangling link": tmp_path / "dangling" / "x",
        "circle": tmp_path / "circle" / "x",
        "too long": tmp_path / ("x" * 300),
        "a path too long": "/".join([str(tmp_path)] + ["y" * 200] * 30),
        "proc": Path("/proc/none/x"),
    }


ODD = ["below a file", "dangling link", "below a dangling link", "circle", "too long", "a path too long"]
COMMANDS = {
    "train": ("train", "--data", "digits", "--steps", 2, "--out"),
    "compare": ("compare", "--methods", "arcface", "--seeds", 1, "--steps", 2, "--data", "digits", "--out"),
    "mine": ("mine", "--embeddings", "EMBEDDINGS", "--out"),
    "render": ("data", "render", "--out"),
    "bench": ("bench", "heads", "--classes", "100", "--rounds", 1, "--methods", "arcface", "--out"),
    "demo": ("demo", "--steps", 1, "--out"),
    "evaluate": ("evaluate",),
}


@pytest.mark.parametrize("where", ODD)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_path_that_cannot_be_written_is_one_line(run, tmp_path, odd, command, where):
    np.savez(tmp_path / "e.npz", embeddings=np.eye(6, 4, dtype=np.float32) + 1, labels=[0, 0, 1, 1, 2, 2])
    before = sorted(os.listdir(tmp_path))
    arguments = [tmp_path / "e.npz" if word == "EMBEDDINGS" else word for word in COMMANDS[command]]
    status, _, error = run(*arguments, odd[where])
    assert status == 2
    assert error.count("\n") == 1
    assert error.startswith("workbench: ")
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_an_empty_path_is_refused(run, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    status, _, error = run(*("e.npz" if word == "EMBEDDINGS" else word for word in COMMANDS[command]), "")
    assert (status, error.count("\n")) == (2, 1)
    assert "the path is empty" in error
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train", "--test", "0"), "test 0.0 is no share"),
        (("train", "--test", "nan"), "test = nan; expected a number"),
        (("train", "--size", "8"), "size 8 is out of range; images are 16 to 512 px"),
        (("train", "--size", "-3"), "size = -3; expected a whole number"),
        (("train", "--method", "arcface", "--set", "m=nan"), "m = nan is outside"),
        (("train", "--method", "arcface", "--set", "m=" + "9" * 5000), "m = "),
        (("train", "--method", "x" * 5000), "unknown method 'xxx"),
        (("train", "--nproc", "999999999999"), "--nproc"),
        (("train", "--threads", "99999999999999999999999"), "--threads"),
        (("train", "--seed", "-1"), "seed = -1"),
        (("train", "--lr", "inf"), "lr = inf"),
        (("compare", "--methods", "arcface", "--seeds", "99999999999999999999"), "--seeds"),
        (("compare", "--methods", "arcface", "--threads", "9999999999"), "--threads"),
        (("compare", "--methods", "arcface", "--jobs", "9999999999"), "--jobs"),
        (("compare", "--methods", "arcface", "--metric", "err"), "unknown --metric 'err'"),
        (("compare", "--methods", "arcface", "--budget", "nan"), "--budget nan"),
        (("compare", "--methods", "arcface", "--size", "8"), "size 8"),
        (("compare", "--methods", "arcface", "--test", "0"), "test 0.0"),
        (("compare", "--sweep", "npcface.t=1:2:" + "0" * 4000), "--sweep"),
    ],
)
def test_options_are_checked_before_anything_is_read_or_made(run, tmp_path, monkeypatch, arguments, words):
    def refuse(*_, **__):
        raise AssertionError("images were read")

    monkeypatch.setattr("workbench.training.run.load", refuse)
    monkeypatch.setattr("workbench.compare.plan.load", refuse)
    status, _, error = run(*arguments, "--data", "digits", "--out", tmp_path / "r")
    assert status == 2
    assert words in error
    assert error.count("\n") == 1
    assert len(error) < 600
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("bench", "memory", "--classes", "nan"), "--classes nan"),
        (("bench", "memory", "--classes", "1e300"), "--classes 1e+300"),
        (("bench", "heads", "--classes", "1e4,inf"), "--classes 1e4,inf"),
        (("app", "--port", "99999"), "'--port'"),
        (("lab", "--port", "-1"), "'--port'"),
        (("train",), "Missing option '--out'"),
        (("trian",), "No such command 'trian'"),
        (("train", "--outt", "x"), "No such option"),
        (("train", "--steps", "many"), "'--steps'"),
    ],
)
def test_a_wrong_call_is_one_line(run, arguments, words):
    status, _, error = run(*arguments)
    assert status == 2
    assert words in error
    assert error.count("\n") == 1
    assert error.startswith("workbench: ")


def test_no_command_at_all_prints_the_help(run):
    status, out, error = run()
    assert status == 2
    assert "train" in out + error


def test_the_next_command_can_be_copied(run, tmp_path):
    path = tmp_path / "a b; c"
    status, out, _ = run("train", "--data", "digits", "--size", 16, "--steps", 1, "--dim", 8, "--out", path)
    assert status == 0
    assert f"workbench evaluate '{path}'" in out


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO])
def test_a_disk_that_fails_is_one_line_and_leaves_no_file(run, tmp_path, monkeypatch, number):
    np.savez(tmp_path / "e.npz", embeddings=np.eye(6, 4, dtype=np.float32) + 1, labels=[0, 0, 1, 1, 2, 2])

    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.os, "replace", fail)
    status, _, error = run("mine", "--embeddings", tmp_path / "e.npz", "--out", tmp_path / "o")
    assert status == 2
    last = error.splitlines()[-1]
    assert os.strerror(number) in last
    assert "pairs.csv" in last
    assert list((tmp_path / "o").iterdir()) == []


def test_errors_of_libraries_that_write_are_errors_of_the_file(tmp_path):
    from safetensors import SafetensorError

    def fail(path):
        path.write_text("half")
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    with pytest.raises(WriteError, match=r"cannot write to .*x\.bin: I/O error: No space left") as caught:
        write(tmp_path / "x.bin", fail)
    assert isinstance(caught.value, InputError)
    assert isinstance(caught.value, OSError)
    assert os.listdir(tmp_path) == []


def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch, tmp_path):
    def fail(*_, **__):
        raise ValueError("a fault")

    monkeypatch.setattr("workbench.training.run.load", fail)
    monkeypatch.setattr(sys, "argv", ["workbench", "train", "--data", "digits", "--out", str(tmp_path / "r")])
    with pytest.raises(ValueError, match="a fault"):
        cli.main()


@pytest.mark.parametrize("module", errors.EXTRAS)
def test_a_missing_extra_is_named(module):
    line = one_line(ModuleNotFoundError(f"No module named '{module}.x'", name=f"{module}.x"))
    assert f"pip install 'hypersphere-workbench[{errors.EXTRAS[module]}]'" in line
    assert one_line(ModuleNotFoundError("No module named 'torch'", name="torch")) is None


def test_memory_that_runs_out_is_one_line():
    assert one_line(MemoryError("x")).startswith("out of memory")
    assert one_line(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes")).startswith(
        "out"
    )
    assert one_line(TypeError("x")) is None


def test_folders_are_checked_without_being_made(tmp_path, odd):
    assert check_writable(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert refuse_existing(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert not (tmp_path / "a").exists()
    for where in ODD:
        with pytest.raises(InputError):
            check_writable(odd[where])
        with pytest.raises(InputError):
            refuse_existing(odd[where])


def test_cells_are_no_formulas_and_names_of_any_bytes_are_written(tmp_path):
    names = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@x", "\tx", "caf\udce9", "plain", "-0.5", "名"]
    write_csv(tmp_path / "a.csv", [["name", "value"], *([name, float("nan")] for name in names)])
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    shown = [row[0] for row in rows[1:]]
    assert shown == ["'=1+1", "'+cmd|' /C calc'!A0", "'-2+3", "'@x", "'\tx", "caf\\udce9", "plain", "-0.5", "名"]
    assert {row[1] for row in rows[1:]} == {""}
    pytest.importorskip("pyarrow")
    from pyarrow.parquet import read_table

    write_table(tmp_path / "a.parquet", {"name": names})
    assert read_table(tmp_path / "a.parquet")["name"].to_pylist()[5] == "caf\\udce9"


def test_a_configuration_of_odd_types_is_an_input_error():
    for odd_values in (
        {"lr": "x"},
        {"dim": 2.5},
        {"method": None},
        {"class_set": []},
        {"seed": True},
        {"steps": 10**400},
    ):
        with pytest.raises(InputError):
            Config(**odd_values)
    assert Config(dim=np.int64(8), lr=np.float32(0.1)).dim == 8
