"""Embedding files of every kind, and the sampling of embeddings for display."""

import json
import re

import numpy as np
import pytest
import torch
from data.helpers import labeled_embeddings, means
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_tensors

from workbench.core.errors import InputError
from workbench.data import sampling
from workbench.data.embeddings import read
from workbench.data.sampling import direction_sums, sample_embeddings, stratified_sample
from workbench.mining import dataset
from workbench.panels.explorer import Explorer


@pytest.fixture
def given_arrays():
    return labeled_embeddings()


@pytest.mark.parametrize("kind", ["npy", "npz", "short.npz", "safetensors"])
def test_files_hold_the_arrays_under_either_name(tmp_path, given_arrays, kind):
    x, labels = given_arrays
    path = tmp_path / f"e.{kind}"
    W = means(x, labels)
    if kind == "npy":
        np.save(path, x)
        found = read(path)
        assert isinstance(found.embeddings, np.memmap)
        assert found.labels is found.centers is None
    else:
        names = ("x", "y", "W") if kind.startswith("short") else ("embeddings", "labels", "centers")
        arrays = dict(zip(names, (x, labels, W), strict=True))
        save_file(arrays, path) if kind == "safetensors" else np.savez(path, **arrays)
        found = read(path)
        np.testing.assert_array_equal(found.labels, labels)
        np.testing.assert_array_equal(found.centers, W)
    np.testing.assert_array_equal(found.embeddings, x)


def test_mining_reads_the_same_files(tmp_path, given_arrays):
    x, labels = given_arrays
    np.savez(tmp_path / "e.npz", x=x, y=labels)
    save_file({"embeddings": x, "labels": labels}, tmp_path / "e.safetensors")
    one, two = (dataset.read(tmp_path / name) for name in ("e.npz", "e.safetensors"))
    assert one.names == two.names == ("0", "3", "7", "12", "40")
    np.testing.assert_allclose(one.centers, means(x, labels), atol=1e-5)
    assert torch.equal(one.centers, two.centers)


def test_half_precision_tensors_are_read(tmp_path):
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    save_tensors({"embeddings": x.bfloat16()}, tmp_path / "e.safetensors")
    np.testing.assert_array_equal(read(tmp_path / "e.safetensors").embeddings, x.bfloat16().float().numpy())
    assert sample_embeddings(x.half().requires_grad_()).x.dtype == np.float32


def test_files_of_other_kinds_are_refused(tmp_path):
    class Planted:
        def __reduce__(self):
            return print, ("this must never run",)

    np.save(tmp_path / "pickle.npy", np.array([Planted()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "pickle.npz", x=np.array([Planted()], dtype=object))
    np.savez(tmp_path / "else.npz", other=np.eye(3))
    (tmp_path / "e.csv").touch()
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 and no more")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10")
    (tmp_path / "folder.npy").mkdir()
    for name, words in {
        "pickle.npy": "pickle.npy: not a readable npy file",
        "pickle.npz": "pickle.npz: array 'x' is unreadable",
        "else.npz": "holds neither embeddings nor centers under these names: embeddings, embedding, x, centers, W",
        "e.csv": "'.csv' is not one of .npy, .npz, .safetensors, .parquet",
        "none.npy": "none.npy: no such file",
        "folder.npy": "folder.npy: no such file",
        "cut.npz": "cut.npz: not a readable npz file",
        "cut.safetensors": "cut.safetensors: not a readable safetensors file",
    }.items():
        with pytest.raises(InputError, match=re.escape(words)) as caught:
            read(tmp_path / name)
        assert "\n" not in str(caught.value)


NAMED = ["Ada", "Bo", "Cy", "Dé", "Eve"]


def write_embedding_file(path, x, y, names, paths):
    """A file as `workbench embed` writes it: labels y (n,) are indices of names (C,)."""
    if path.suffix == ".npz":
        np.savez(path, embeddings=x, labels=y, names=names, paths=paths)
    elif path.suffix == ".safetensors":
        text = {"names": json.dumps(list(names)), "paths": json.dumps(list(paths))}
        save_file({"embeddings": x, "labels": y}, path, metadata=text)
    else:
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow.parquet import write_table

        lists = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(x.ravel()), x.shape[1])
        keys = (
            ("embeddings", "labels", "names", "paths") if "s" in path.stem else ("embedding", "label", "name", "path")
        )
        columns = (lists, y, np.array(names)[y], paths)
        write_table(pyarrow.table(dict(zip(keys, columns, strict=True))), path, row_group_size=40)


@pytest.mark.parametrize("name", ["e.npz", "e.safetensors", "e.parquet", "plurals.parquet"])
def test_names_and_paths_are_read_from_every_kind_of_archive(tmp_path, given_arrays, name):
    x, labels = given_arrays
    y, paths = np.unique(labels, return_inverse=True)[1], np.array([f"p/{i:02d}.png" for i in range(90)])
    write_embedding_file(tmp_path / name, x, y, NAMED, paths)
    arrays = read(tmp_path / name)
    for found, expected in zip(
        (arrays.embeddings, arrays.labels, arrays.names, arrays.paths), (x, y, NAMED, paths), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    data = dataset.read(tmp_path / name)
    assert data.names == tuple(NAMED)
    np.testing.assert_array_equal(data.paths, paths)
    assert set(Explorer(tmp_path / name).sphere.titles) <= set(NAMED)


def test_names_and_paths_that_are_not_text_are_ignored_with_a_note(tmp_path, given_arrays):
    x, labels = given_arrays
    np.savez(tmp_path / "e.npz", x=x, y=labels, names=np.arange(5), paths=np.array(["a", "b"]))
    arrays = read(tmp_path / "e.npz")
    assert arrays.names is arrays.paths is None
    assert sorted(arrays.notes) == [
        "names ignored: int64 (5,); text of shape (5,) is needed",
        "paths ignored: <U1 (2,); text of shape (90,) is needed",
    ]
    save_file({"x": x, "y": labels}, tmp_path / "e.safetensors", metadata={"names": "[1"})
    with pytest.raises(InputError, match="array 'names' is unreadable"):
        read(tmp_path / "e.safetensors")


def test_a_column_of_file_names_is_not_one_of_class_names(tmp_path, given_arrays):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    x, labels = given_arrays
    columns = {"x": x.tolist(), "label": labels, "name": [f"{i}.png" for i in range(90)]}
    write_table(pyarrow.table(columns), tmp_path / "e.parquet")
    arrays = read(tmp_path / "e.parquet")
    np.testing.assert_array_equal(arrays.labels, labels)
    assert arrays.names is None
    assert "ignored column 'name': it does not give each label one name" in arrays.notes


def test_parquet_with_lists_of_different_lengths_is_refused(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    write_table(pyarrow.table({"x": [[1.0, 2.0], [1.0]], "y": [0, 1]}), tmp_path / "e.parquet")
    with pytest.raises(InputError, match="all lists need the same length"):
        read(tmp_path / "e.parquet")


def test_centers_are_the_mean_directions_of_all_rows(given_arrays, monkeypatch):
    x, labels = given_arrays
    monkeypatch.setattr(sampling, "BLOCK", 7 * 6)  # many blocks
    said = []
    found = sample_embeddings(
        x * np.linspace(0.1, 9, 90)[:, None], labels, limit=20, progress=lambda *now: said.append(now)
    )
    np.testing.assert_allclose(found.W, means(x, labels), atol=1e-5)
    assert found.labels.tolist() == [0, 3, 7, 12, 40]
    assert found.names == ("class 0", "class 3", "class 7", "class 12", "class 40")
    assert (len(found.rows), found.total) == (20, 90)
    np.testing.assert_array_equal(found.labels[found.y], labels[found.rows])
    assert said[-1] == (90, 90, "embeddings read")
    assert len(said) == 13


@settings(max_examples=50)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=60), st.integers(1, 70))
def test_every_class_gives_in_turn(labels, limit):
    y = np.array(labels)
    rows = stratified_sample(y, limit)
    assert rows.tolist() == sorted(set(rows.tolist())) == stratified_sample(y, limit).tolist()
    assert len(rows) == min(limit, len(y))
    drawn, there = np.bincount(y[rows], minlength=7), np.bincount(y, minlength=7)
    for j in range(7):  # no class has two more than another with rows left
        assert drawn[j] >= min(there[j], drawn.max() - 1)


def test_so_many_classes_draw_fewer(monkeypatch, given_arrays):
    monkeypatch.setattr(sampling, "CELLS", 50)
    assert len(sample_embeddings(*given_arrays).rows) == 10


def test_labels_may_be_text_and_centers_given(given_arrays):
    x, labels = given_arrays
    text = np.array([f"p{v}" for v in labels])
    assert sample_embeddings(x, text).names == ("p0", "p12", "p3", "p40", "p7")
    assert (
        sample_embeddings(x, text.astype(object)).names
        == sample_embeddings(x, text.astype("S")).names
        == ("p0", "p12", "p3", "p40", "p7")
    )
    W = np.random.default_rng(1).normal(size=(50, 6))
    found = sample_embeddings(x, labels, W)
    np.testing.assert_array_equal(found.y, labels)
    np.testing.assert_allclose(found.W, W / np.linalg.norm(W, axis=1, keepdims=True), atol=1e-6)
    names = [f"p{j}" for j in range(50)]
    found = sample_embeddings(x, text, W, names)
    np.testing.assert_array_equal(found.y, labels)
    assert found.labels.tolist() == names
    assert sample_embeddings(x, labels, names=names).names == ("p0", "p3", "p7", "p12", "p40")


E, Y = np.eye(4, dtype=np.float32), [0, 0, 1, 1]
NAN = np.array([[1, 0], [np.nan, 0], [0, np.inf], [0, 0]])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((E[0],), "embeddings is float32 (4,); numbers of shape (n, D)"),
        ((E[:, :1],), "embeddings is float32 (4, 1)"),
        ((E[:0],), "embeddings is float32 (0, 4)"),
        ((E.astype(str),), "numbers of shape (n, D) with D >= 2 are needed"),
        (([[1, 2], [3]],), "not an array"),
        ((NAN,), "2 of 4 rows have NaN or infinite numbers; the first is row 1"),
        ((NAN[[0, 3]],), "1 of 2 rows have length 0, so no direction; the first is row 1"),
        ((E, Y[:3]), "labels is int64 (3,); 4 embeddings need integers or text of shape (4,)"),
        ((E, [0.0] * 4), "labels is float64 (4,)"),
        ((E, np.array(["a", None, "b", 1], dtype=object)), "labels is object (4,)"),
        ((E, [0, 0, 2, 1], E[:2]), "labels hold 2; with 2 centers they must be 0 to 1"),
        ((E, [0, 0, -1, 1], E[:2]), "labels hold -1"),
        ((E, Y, E[:2, :3]), "centers has shape (2, 3); embeddings of dimension 4 need (C, 4)"),
        ((E, Y, 0 * E[:2]), "center 0 has length 0"),
        ((E, None, E[:2]), "2 centers but no labels"),
        ((E, list("aabb"), E[:2]), "labels are text such as 'a': names, one for each of the 2 centers"),
        ((E, list("aabb"), E[:2], ["a", "c"]), "labels hold 'b', which is not among the 2 names"),
        ((E, Y, E[:2], ["a"]), "names has 1 entries; there are 2 centers"),
        ((E, Y, None, ["a"]), "labels hold 1; with 1 names they must be 0 to 0"),
        ((np.array([[1, 0], [-1, 0]]), ["a", "a"]), "the embeddings of 'a' cancel out"),
        ((E, Y, None, None, 0), "limit = 0: at least 1"),
    ],
)
def test_bad_arrays_are_one_clear_line(arguments, words):
    with pytest.raises(InputError, match=re.escape(words)) as caught:
        sample_embeddings(*arguments)
    assert "\n" not in str(caught.value)


def test_large_numbers_have_directions_too():
    sums = direction_sums(np.array([[3e30, 4e30], [3e-30, 4e-30]], dtype=np.float32), np.array([0, 1]), 2)
    np.testing.assert_allclose(sums, [[0.6, 0.8], [0.6, 0.8]], rtol=1e-6)
