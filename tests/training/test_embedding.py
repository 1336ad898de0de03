"""Embeddings of a run: the same as those of its evaluation, in each file format, of its own and of other images."""

import json

import numpy as np
import pytest
from safetensors import safe_open
from trainings import tiny, write_person

from workbench import embed, verify
from workbench.cli.main import app
from workbench.core.errors import InputError
from workbench.core.record import Run
from workbench.data.embeddings import read
from workbench.data.images import load
from workbench.data.pairs import split_identities
from workbench.evaluation.verification import pair_scores
from workbench.training import checkpoint
from workbench.training.config import Config
from workbench.training.evaluate import evaluate
from workbench.training.fit import Job, embed_images
from workbench.training.run import CHECKPOINT, train

DIM = 8


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """A folder of images: 8 identities with 4 images each."""
    root = tmp_path_factory.mktemp("faces")
    for i in range(8):
        write_person(root, f"person {i}", seed=i)
    return root


@pytest.fixture(scope="module")
def trained(faces, tmp_path_factory):
    """The folder of a short run."""
    settings = {"dim": DIM, "width": 1 / 16, "steps": 3, "batch": 8, "snapshots": 2, "test": 0.4}
    return train(tiny(data=f"folder:{faces}", **settings), tmp_path_factory.mktemp("run") / "run").path


def test_embeddings_are_those_of_the_evaluation(trained):
    found = embed(trained)
    run = Run.open(trained)
    config = Config.from_json(run.config)
    images = load(config.data, 16)
    job = checkpoint.load(Job.start(config, 5, 16), trained / CHECKPOINT)
    test = images.of(split_identities(8, config.test, config.seed)[1])
    assert np.array_equal(found.embeddings, embed_images(job.backbone, test.images, job.device, mirror=True))
    assert found.names[found.labels].tolist() == [path.split("/")[0] for path in found.paths]
    pairs = {name: np.array(values) for name, values in run.split["pairs"].items()}
    scores = pair_scores(found.embeddings, pairs["left"], pairs["right"])
    accuracy = verify(scores, pairs["same"].astype(bool), pairs["fold"]).accuracy
    assert evaluate(trained)["verification"]["accuracy"] == accuracy


def test_splits_are_parts_of_all_and_other_data_has_none(trained):
    test, train_, every = (embed(trained, split=split) for split in ("test", "train", "all"))
    assert (len(test.names), len(train_.names)) == (3, 5)
    assert np.array_equal(every.embeddings, np.concatenate([train_.embeddings, test.embeddings]))
    assert every.names.tolist() == [*train_.names, *test.names]
    assert every.names[every.labels].tolist() == [*train_.names[train_.labels], *test.names[test.labels]]
    digits = embed(trained, data="digits")
    assert digits.embeddings.shape == (1797, DIM)
    assert np.array_equal(digits.embeddings, embed(trained, data=load("digits", 16)).embeddings)
    assert set(digits.paths) == {""}
    with pytest.raises(InputError, match="split = test: only the run's own data has one"):
        embed(trained, data="digits", split="test")
    with pytest.raises(InputError, match="unknown split 'tests'; did you mean 'test'"):
        embed(trained, split="tests")


def read_npz(path):
    with np.load(path) as arrays:
        return dict(arrays)


def read_safetensors(path):
    with safe_open(path, "np") as file:
        tensors = {name: file.get_tensor(name) for name in ("embeddings", "labels")}
        return tensors | {name: np.array(json.loads(text)) for name, text in file.metadata().items()}


def read_parquet(path):
    table = pytest.importorskip("pyarrow.parquet").read_table(path)
    assert str(table.schema.field("embedding").type.value_type) == "float"
    columns = table.to_pydict()
    names = dict(zip(columns["label"], columns["name"], strict=True))
    return {
        "embeddings": np.array(columns["embedding"], np.float32),
        "labels": np.array(columns["label"]),
        "names": np.array([names[label] for label in sorted(names)]),
        "paths": np.array(columns["path"]),
    }


@pytest.mark.parametrize("reader", [read_npz, read_safetensors, read_parquet])
def test_each_format_holds_the_arrays(reader, trained, tmp_path):
    found = embed(trained, split="all")
    path = found.save(tmp_path / f"E.{reader.__name__.removeprefix('read_')}")
    for name, values in reader(path).items():
        assert values.dtype == getattr(found, name).dtype, name
        assert np.array_equal(values, getattr(found, name)), name
    again = read(path)
    assert np.array_equal(again.embeddings, found.embeddings)
    assert np.array_equal(again.labels, found.labels)


@pytest.mark.parametrize(
    ("name", "says"),
    [("E.csv", r"'\.csv' is not one of \.npz, \.safetensors, \.parquet"), ("no/E.npz", "there is no folder")],
)
def test_another_suffix_or_folder_is_refused_before_anything_is_read(name, says, trained, tmp_path):
    with pytest.raises(InputError, match=says):
        app(["embed", str(tmp_path / "no run"), "--out", str(tmp_path / name)], standalone_mode=False)
    with pytest.raises(InputError, match=says):
        embed(trained).save(tmp_path / name)


def test_the_command_writes_the_file(trained, tmp_path, capsys):
    out = tmp_path / "E.npz"
    app(["embed", str(trained), "--split", "train", "--no-mirror", "--out", str(out)], standalone_mode=False)
    assert f"20 embeddings of dimension {DIM}, 5 identities: {out}" in capsys.readouterr().out
    assert np.array_equal(read_npz(out)["embeddings"], embed(trained, split="train", mirror=False).embeddings)
