"""Explorer: reading, checking and sampling embeddings; four linked views of them."""

import csv
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from panels.helpers import set_theme
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_tensors

from workbench.core.errors import InputError
from workbench.data import embeddings
from workbench.data.embeddings import direction_sums, read, sampled, stratified
from workbench.mining import audit as findings
from workbench.panels.explorer import COLUMNS, Explorer
from workbench.panels.kit.selection import Selection


@pytest.fixture
def given_arrays():
    """x (90, 6) around centers of 5 classes, whose labels have gaps; class 40 has a single sample."""
    rng = np.random.default_rng(0)
    y = np.append(rng.integers(0, 4, 89), 4)
    W = rng.normal(size=(5, 6))
    x = (W[y] + 0.8 * rng.normal(size=(90, 6))).astype(np.float32)
    return x, np.array([0, 3, 7, 12, 40])[y]


def means(x, labels):
    """Normalized class means of the unit embeddings, by a loop."""
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    found = [unit[labels == v].sum(axis=0) for v in sorted(set(labels.tolist()))]
    return np.array([m / np.linalg.norm(m) for m in found])


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
    one, two = (findings.read(tmp_path / name) for name in ("e.npz", "e.safetensors"))
    assert one.names == two.names == ("0", "3", "7", "12", "40")
    np.testing.assert_allclose(one.centers, means(x, labels), atol=1e-5)
    assert torch.equal(one.centers, two.centers)


def test_half_precision_tensors_are_read(tmp_path):
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    save_tensors({"embeddings": x.bfloat16()}, tmp_path / "e.safetensors")
    np.testing.assert_array_equal(read(tmp_path / "e.safetensors").embeddings, x.bfloat16().float().numpy())
    assert sampled(x.half().requires_grad_()).x.dtype == np.float32


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


def test_parquet_without_pyarrow_names_the_extra(tmp_path, monkeypatch, given_arrays):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "e.parquet").touch()
    with pytest.raises(InputError, match=re.escape("hypersphere-workbench[parquet]")):
        read(tmp_path / "e.parquet")
    with pytest.raises(InputError, match=re.escape("hypersphere-workbench[parquet]")):
        Explorer(*given_arrays).export(tmp_path / "o.parquet")
    assert not list(tmp_path.glob("*o*.parquet"))


@pytest.mark.parametrize("form", ["fixed", "lists", "columns"])
def test_parquet_is_read_in_all_its_forms(tmp_path, given_arrays, form):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import read_table, write_table

    x, labels = given_arrays
    names = [f"<{v}>" for v in labels]
    columns = {
        "fixed": {"x": pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(x.ravel()), 6)},
        "lists": {"embedding": pyarrow.array(x.tolist(), pyarrow.list_(pyarrow.float32()))},
        "columns": {f"e{k}": x[:, k] for k in range(6)},
    }[form]
    write_table(pyarrow.table(columns | {"label": names}), tmp_path / "e.parquet", row_group_size=40)
    explorer = Explorer(tmp_path / "e.parquet")
    np.testing.assert_allclose(explorer.snapshot.x, x, atol=1e-6)
    table = read_table(explorer.export(tmp_path / "o.parquet"))
    assert table.column_names == list(COLUMNS)
    assert table["label"].to_pylist() == names


def test_parquet_with_lists_of_different_lengths_is_refused(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    write_table(pyarrow.table({"x": [[1.0, 2.0], [1.0]], "y": [0, 1]}), tmp_path / "e.parquet")
    with pytest.raises(InputError, match="all need the same"):
        read(tmp_path / "e.parquet")


def test_centers_are_the_mean_directions_of_all_rows(given_arrays, monkeypatch):
    x, labels = given_arrays
    monkeypatch.setattr(embeddings, "BLOCK", 7 * 6)  # many blocks
    said = []
    found = sampled(x * np.linspace(0.1, 9, 90)[:, None], labels, limit=20, progress=lambda *now: said.append(now))
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
    rows = stratified(y, limit)
    assert rows.tolist() == sorted(set(rows.tolist())) == stratified(y, limit).tolist()
    assert len(rows) == min(limit, len(y))
    drawn, there = np.bincount(y[rows], minlength=7), np.bincount(y, minlength=7)
    for j in range(7):  # counts differ by at most 1, unless a class has no more samples
        assert drawn[j] >= min(there[j], drawn.max() - 1)


def test_so_many_classes_draw_fewer(monkeypatch, given_arrays):
    monkeypatch.setattr(embeddings, "CELLS", 50)
    assert len(sampled(*given_arrays).rows) == 10


def test_labels_may_be_text_and_centers_given(given_arrays):
    x, labels = given_arrays
    text = np.array([f"p{v}" for v in labels])
    assert sampled(x, text).names == ("p0", "p12", "p3", "p40", "p7")
    assert (
        sampled(x, text.astype(object)).names == sampled(x, text.astype("S")).names == ("p0", "p12", "p3", "p40", "p7")
    )
    W = np.random.default_rng(1).normal(size=(50, 6))
    found = sampled(x, labels, W)
    np.testing.assert_array_equal(found.y, labels)
    np.testing.assert_allclose(found.W, W / np.linalg.norm(W, axis=1, keepdims=True), atol=1e-6)
    names = [f"p{j}" for j in range(50)]
    found = sampled(x, text, W, names)
    np.testing.assert_array_equal(found.y, labels)
    assert found.labels.tolist() == names
    assert sampled(x, labels, names=names).names == ("p0", "p3", "p7", "p12", "p40")


E, Y = np.eye(4, dtype=np.float32), [0, 0, 1, 1]
NAN = np.array([[1, 0], [np.nan, 0], [0, np.inf], [0, 0]])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((E[0],), "embeddings is float32 (4,); numbers of shape (n, D)"),
        ((E[:, :1],), "embeddings is float32 (4, 1)"),
        ((E[:0],), "embeddings is float32 (0, 4)"),
        ((E.astype(str),), "numbers of shape (n, D), D at least 2, are needed"),
        (([[1, 2], [3]],), "not an array"),
        ((NAN,), "2 of 4 rows have NaN or infinite numbers; the first is row 1"),
        ((NAN[[0, 3]],), "1 of 2 rows have length 0, so no direction; the first is row 1"),
        ((E, Y[:3]), "labels is int64 (3,); 4 embeddings need integers or text of shape (4,)"),
        ((E, [0.0] * 4), "labels is float64 (4,)"),
        ((E, np.array(["a", None, "b", 1], dtype=object)), "labels is object (4,)"),
        ((E, [0, 0, 2, 1], E[:2]), "labels hold 2; with 2 centers they must be 0 to 1"),
        ((E, [0, 0, -1, 1], E[:2]), "labels hold -1"),
        ((E, Y, E[:2, :3]), "centers has shape (2, 3); embeddings of 4 numbers need (C, 4)"),
        ((E, Y, 0 * E[:2]), "center 0 has length 0"),
        ((E, None, E[:2]), "2 centers but no labels"),
        ((E, list("aabb"), E[:2]), "labels are text such as 'a': names must say"),
        ((E, list("aabb"), E[:2], ["a", "c"]), "labels hold 'b', which is not among the 2 names"),
        ((E, Y, E[:2], ["a"]), "names has 1 entries; there are 2 centers"),
        ((E, Y, None, ["a"]), "labels hold 1; with 1 names they must be 0 to 0"),
        ((np.array([[1, 0], [-1, 0]]), ["a", "a"]), "the embeddings of 'a' cancel out"),
        ((E, Y, None, None, 0), "limit = 0: at least 1"),
    ],
)
def test_bad_arrays_are_one_clear_line(arguments, words):
    with pytest.raises(InputError, match=re.escape(words)) as caught:
        sampled(*arguments)
    assert "\n" not in str(caught.value)


def test_large_numbers_have_directions_too():
    sums = direction_sums(np.array([[3e30, 4e30], [3e-30, 4e-30]], dtype=np.float32), np.array([0, 1]), 2)
    np.testing.assert_allclose(sums, [[0.6, 0.8], [0.6, 0.8]], rtol=1e-6)


def test_an_explorer_links_its_views_and_says_what_it_shows(tmp_path, given_arrays):
    x, labels = given_arrays
    images = np.random.default_rng(0).integers(0, 255, (90, 5, 4), dtype=np.uint8)
    explorer = Explorer(x, labels, images=images, limit=30)
    centers = "centers: the mean directions of the classes"
    said = f"30 of 90 embeddings of 6 dimensions, stratified by class; 5 classes; {centers}"
    assert repr(explorer) == f"Explorer: {said}"
    assert explorer.children[0].value == said
    assert all(view.pushed for view in (explorer.sphere, explorer.queue))
    explorer.queue.on_message({"pick": explorer.queue.newest[0]["rows"][0]["id"]})
    assert len(explorer.selection.classes) == 2
    assert explorer.sphere.chosen == list(explorer.selection.classes)
    assert set(explorer.snapshot.y[list(explorer.selection.samples)]) == set(explorer.selection.classes)
    explorer.selection = [3, 1]
    assert (explorer.selection.samples, explorer.selection.classes) == ((1, 3), ())
    explorer.selection = Selection(classes=(2,))
    assert (explorer.selection.samples, explorer.selection.classes) == ((), (2,))
    assert explorer.queue.own == 2
    assert explorer.picture(7).startswith(b"\x89PNG")
    assert explorer.picture(30) is None
    assert explorer.snapshot.cos is explorer.snapshot.cos


def test_what_is_plotted_is_written(tmp_path, given_arrays):
    x, labels = given_arrays
    explorer = Explorer(x, labels, limit=30)
    path = explorer.export(tmp_path / "o.csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    W = means(x, labels)
    values = [0, 3, 7, 12, 40]
    assert [int(r["row"]) for r in rows] == explorer.rows.tolist()
    for r in rows:
        i = int(r["row"])
        cos = dict(zip(values, W @ x[i] / np.linalg.norm(x[i]), strict=True))
        own = cos.pop(labels[i])
        assert int(r["label"]) == labels[i]
        assert float(r["own_cosine"]) == pytest.approx(own, abs=1e-5)
        assert int(r["nearest_other"]) == max(cos, key=cos.get)
        assert float(r["nearest_other_cosine"]) == pytest.approx(max(cos.values()), abs=1e-5)
        assert r["misclassified"] == str(max(cos.values()) > own)
    for bad, words in (("o.txt", "'.txt' is not one of .csv, .parquet"), ("none/o.csv", "there is no folder")):
        with pytest.raises(InputError, match=re.escape(words)):
            explorer.export(tmp_path / bad)
    assert [p.name for p in tmp_path.iterdir()] == ["o.csv"]


def test_embeddings_alone_show_the_sphere_and_say_what_is_missing(tmp_path, given_arrays):
    explorer = Explorer(given_arrays[0])
    assert repr(explorer) == (
        "Explorer: all 90 embeddings of 6 dimensions; one class: similarities, hardness and hard negatives need labels"
    )
    assert explorer.sphere.pushed == 1
    lines = explorer.export(tmp_path / "o.csv").read_text(encoding="utf-8").splitlines()
    assert re.fullmatch(r"0,0,0?-?[\d.]+,,,", lines[1])


def test_a_file_is_opened_and_what_is_given_counts_more(tmp_path, given_arrays, capsys):
    x, labels = given_arrays
    path = tmp_path / "e.npz"
    np.savez(path, embeddings=x, labels=labels, centers=means(x, labels), images=np.zeros((90, 3, 3), dtype=np.uint8))
    with pytest.raises(InputError, match="labels hold 7; with 5 centers they must be 0 to 4"):
        Explorer(path)
    explorer = Explorer(str(path), labels=np.searchsorted([0, 3, 7, 12, 40], labels))
    assert "all 90 embeddings of 6 dimensions; 5 classes; centers: given" in repr(explorer)
    assert explorer.picture(0)
    assert capsys.readouterr().err == ""  # no progress in the first second
    np.savez(path, centers=x)
    with pytest.raises(InputError, match="holds centers but no embeddings"):
        Explorer(path)
    with pytest.raises(InputError, match=re.escape("images is uint8 (89, 3, 3); it must be uint8 (90, H, W)")):
        Explorer(x, labels, images=np.zeros((89, 3, 3), dtype=np.uint8))


def test_the_same_embeddings_show_the_same(given_arrays):
    one, two = (Explorer(*given_arrays, limit=12) for _ in range(2))
    assert one.rows.tolist() == two.rows.tolist()
    assert one.snapshot.W.tobytes() == two.snapshot.W.tobytes()


SHOW = """
import numpy as np
from workbench.data.images import load
from workbench.panels.explorer import Explorer
digits = load("digits", 16)
flat = digits.images.reshape(len(digits.images), -1) / 255.0
explorer = Explorer(flat - flat.mean(axis=0), digits.labels, names=digits.names, images=digits.images, limit=600)
explorer
"""


@pytest.mark.browser
def test_the_explorer_in_jupyterlab(open_notebook, artefacts: Path):
    from playwright.sync_api import expect

    expect.set_options(timeout=20_000)  # for a busy machine
    page = open_notebook([SHOW])
    page.set_viewport_size({"width": 1600, "height": 1400})
    table = page.locator(".workbench-queue table")
    rows = table.locator("tbody tr")
    expect(rows).to_have_count(9)
    expect(rows.first.locator("img")).to_have_count(2)
    expect(rows.first.locator("img").first).to_be_visible()
    expect(table).to_have_attribute("aria-label", re.compile("Hard negatives of "))
    page.screenshot(path=artefacts / "explorer_light.png")

    # Keyboard only: select the second row, which grays out all others; clear the selection.
    rows.first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(rows.nth(1)).to_have_attribute("aria-selected", "true")
    expect(rows.nth(0)).to_have_class("workbench-queue-gray")
    set_theme(page, "Dark")
    page.wait_for_timeout(1500)
    page.screenshot(path=artefacts / "explorer_dark.png")
    rows.nth(1).focus()  # JupyterLab removes the focus when it changes the theme
    page.keyboard.press("Escape")
    expect(rows.nth(1)).to_have_attribute("aria-selected", "false")
    page.get_by_label("Class whose hard negatives are shown").select_option(label="3")
    expect(table).to_have_attribute("aria-label", "Hard negatives of 3")
