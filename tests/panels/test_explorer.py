"""Explorer: four linked views of embeddings from arrays or files, and their export."""

import csv
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from data.helpers import labeled_embeddings, means
from panels.helpers import set_theme

from workbench.core.errors import InputError
from workbench.data.embeddings import read
from workbench.panels.explorer import COLUMNS, Explorer
from workbench.panels.kit.selection import Selection


@pytest.fixture
def given_arrays():
    return labeled_embeddings()


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
