"""Ambiguous input is refused or noted: ranges of pixels, columns, spellings of names, very short rows."""

import re
import unicodedata

import numpy as np
import pytest
import torch
from PIL import Image

from workbench.core.arrays import unit as unit_of_arrays
from workbench.core.errors import InputError, quote, unknown
from workbench.core.geometry import Direction, unit
from workbench.core.record import Snapshot
from workbench.data.embeddings import read
from workbench.data.images import load
from workbench.evaluation.verification import pair_scores
from workbench.mining import dataset

BYTES = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3)).astype(np.uint8)
BYTES[:, 0, 0] = 255
UNITS = (BYTES / 255).astype(np.float32)
LABELS = np.repeat(np.arange(3), 2)


def loaded(tmp_path, images):
    np.savez(tmp_path / "set.npz", images=images, labels=LABELS)
    return load(f"npz:{tmp_path / 'set.npz'}", 16)


def with_one(images, value, at=(0, 0, 1, 0)):
    images = images.copy()
    images[at] = value
    return images


@pytest.mark.parametrize("value", [np.nextafter(np.float32(1), 2), 1.03, -1e-7, -0.05])
def test_a_small_overshoot_of_floats_is_clipped_and_noted(tmp_path, value):
    found = loaded(tmp_path, with_one(UNITS, value))
    expected = with_one(BYTES, 255 if value > 0 else 0)
    assert np.array_equal(found.images, expected)
    assert "values 0..1 scaled to 0..255" in found.notes
    assert any(note.startswith("values outside 0..1 clipped: 1 ") for note in found.notes)


def test_floats_up_to_255_are_said_to_be_so(tmp_path):
    found = loaded(tmp_path, with_one(BYTES.astype(np.float64), 257.0))
    assert np.array_equal(found.images, with_one(BYTES, 255))
    assert "floating-point values, range 0..255 assumed" in found.notes
    assert any(note.startswith("values outside 0..255 clipped: 1 ") for note in found.notes)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (with_one(UNITS, 1.5), "neither 0..1 nor 0..255"),
        (with_one(UNITS, 40.0), "most values of image 0 lie in 0..1"),
        (with_one(UNITS, 255.0), "most values of image 0 lie in 0..1"),
        (np.concatenate([UNITS[:3] * 255, UNITS[3:]]), "most values of image 3 lie in 0..1"),
        (UNITS * 2 - 1, "values from -1 to 1"),
        (with_one(UNITS, np.inf), "values from"),
        ((BYTES.astype(np.uint16) * 16), "12 bits"),
        (BYTES.astype(np.int32) - 1, "values from -1 to 254"),
    ],
)
def test_pixels_of_an_unclear_range_are_refused(tmp_path, images, words):
    with pytest.raises(InputError, match=re.escape(words)):
        loaded(tmp_path, images)


@pytest.mark.parametrize("dtype", [">u2", "<u2", ">f4", ">f8", ">i4", ">i8"])
def test_the_byte_order_of_pixels_does_not_matter(tmp_path, dtype):
    values = BYTES.astype(np.uint16) * 257 if dtype[1:] == "u2" else BYTES
    assert np.array_equal(loaded(tmp_path, values.astype(dtype)).images, BYTES)


# ---- columns of a table ----------------------------------------------------------------------------------------------

ROWS = np.random.default_rng(1).standard_normal((12, 4)).astype(np.float32)


def table(tmp_path, metadata=None, **columns):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    made = pyarrow.table({f"f{i}": ROWS[:, i] for i in range(4)} | {"label": np.arange(12) // 3} | columns)
    write_table(made.replace_schema_metadata(metadata), tmp_path / "e.parquet")
    return tmp_path / "e.parquet"


@pytest.mark.parametrize(
    ("metadata", "columns"),
    [
        (None, {"__index_level_0__": np.arange(12)}),
        (None, {"__index_level_0__": np.arange(12) / 7}),
        ({"pandas": '{"index_columns": ["when"]}'}, {"when": np.arange(12).astype(np.float32)}),
    ],
)
def test_an_index_of_pandas_is_no_part_of_an_embedding(tmp_path, metadata, columns):
    found = read(table(tmp_path, metadata, **columns))
    assert np.array_equal(found.embeddings, ROWS)
    assert found.notes == (
        "embedding columns: f0, f1, f2, f3",
        f"ignored columns (pandas index): {next(iter(columns))}",
    )


@pytest.mark.parametrize(
    "columns",
    [
        {"age": np.arange(12)},
        {"quality": np.arange(12, dtype=np.float32)},
        {"score": np.arange(12, dtype=np.float64)},
    ],
)
def test_other_columns_of_numbers_are_asked_about(tmp_path, columns):
    with pytest.raises(InputError, match=f"the embedding columns are ambiguous: .*{next(iter(columns))}"):
        read(table(tmp_path, **columns))


def test_the_columns_that_were_taken_are_noted(tmp_path):
    assert read(table(tmp_path)).notes == ("embedding columns: f0, f1, f2, f3",)
    assert dataset.read(table(tmp_path)).notes == ("embedding columns: f0, f1, f2, f3",)


def test_a_damaged_page_of_a_table_is_refused(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    path = tmp_path / "e.parquet"
    columns = {f"f{i}": ROWS[:, i] for i in range(4)}
    write_table(pyarrow.table(columns), path, compression="none", use_dictionary=False, write_page_checksum=True)
    content = bytearray(path.read_bytes())
    content[content.index(ROWS[:, 0].tobytes()) + 5] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a readable parquet file"):
        read(path)


def test_arrays_by_other_usual_names_are_read_and_missing_ones_listed(tmp_path):
    np.savez(tmp_path / "a.npz", embedding=ROWS, label=np.arange(12) // 3)
    found = dataset.read(tmp_path / "a.npz")
    assert len(found.names) == 4
    np.savez(tmp_path / "b.npz", ROWS)
    with pytest.raises(InputError, match="it holds arr_0"):
        read(tmp_path / "b.npz")


# ---- folders ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def people(tmp_path):
    for person in range(4):
        (tmp_path / "set" / f"p{person}").mkdir(parents=True)
        for image in range(2):
            Image.fromarray(BYTES[person]).save(tmp_path / "set" / f"p{person}" / f"{image}.png")
    return tmp_path / "set"


def test_files_of_other_endings_are_counted_and_other_names_of_jpeg_are_read(people):
    Image.fromarray(BYTES[0]).save(people / "p0" / "a.jfif", format="JPEG")
    Image.fromarray(BYTES[0]).save(people / "p0" / "b.jpe", format="JPEG")
    for name in ("c.HEIC", "d.avif", "e.heic"):
        (people / "p1" / name).write_bytes(b"x")
    found = load(f"folder:{people}")
    assert len(found) == 10
    assert "files with other suffixes, skipped (.heic 2, .avif 1): 3 ('p1/c.HEIC', ...)" in found.notes


def test_a_folder_of_links_is_refused_with_the_reason(people, tmp_path):
    (tmp_path / "links").mkdir()
    for person in people.iterdir():
        (tmp_path / "links" / person.name).symlink_to(person)
    with pytest.raises(InputError, match="links that leave the folder, not followed: 4"):
        load(f"folder:{tmp_path / 'links'}")


@pytest.mark.parametrize(
    "spellings", [("José", unicodedata.normalize("NFD", "José")), ("anna", "Anna"), ("leo", "leo ")]
)
def test_two_spellings_of_a_name_are_noted(people, tmp_path, spellings):
    for old, new in zip(("p0", "p1"), spellings, strict=True):
        (people / old).rename(people / new)
    found = load(f"folder:{people}")
    assert found.classes == 4
    assert any(note.startswith("identities whose names differ only") for note in found.notes)
    np.savez(tmp_path / "n.npz", images=BYTES, labels=np.array([*spellings, "x"] * 2))
    assert any(
        note.startswith("identities whose names differ only") for note in load(f"npz:{tmp_path / 'n.npz'}").notes
    )


def test_damaged_metadata_leave_the_pixels(people):
    path = people / "p0" / "0.png"
    before = load(f"folder:{people}")
    Image.open(path).save(path, exif=b"\0\x08\0\x02\x01\x12\0\x03")
    found = load(f"folder:{people}")
    assert np.array_equal(found.images, before.images)
    assert any(note.startswith("images with damaged metadata") for note in found.notes)


def test_dark_sixteen_bit_files_are_noted(people):
    Image.fromarray(BYTES[0, :, :, 0].astype(np.uint16) * 16).save(people / "p0" / "0.png")
    assert any(note.startswith("16-bit images that use 12 bits or fewer") for note in load(f"folder:{people}").notes)


# ---- very short and very long rows -----------------------------------------------------------------------------------

VECTORS = torch.randn(20, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("power", [-120, -80, -60, 40, 70, 100])
def test_directions_do_not_depend_on_the_length(power):
    scaled = VECTORS * 2.0**power
    exact = torch.where(scaled.abs() > 1e-37, scaled, 0) == scaled
    rows = exact.all(dim=1)
    assert rows.any()
    assert torch.equal(unit(scaled)[0][rows], unit(VECTORS)[0][rows])
    assert torch.equal(Direction.apply(scaled)[rows], Direction.apply(VECTORS)[rows])
    assert np.array_equal(unit_of_arrays(scaled.numpy())[rows], unit_of_arrays(VECTORS.numpy())[rows])
    labels = np.arange(20) % 4
    whole, far = (Snapshot(0, x.numpy(), labels, VECTORS[:4].numpy()).cos for x in (VECTORS, scaled))
    assert np.allclose(whole, far, atol=1e-6)
    assert np.allclose(pair_scores(scaled.numpy(), [0], [1]), pair_scores(VECTORS.numpy(), [0], [1]), atol=1e-6)


def test_directions_of_usual_rows_keep_their_bits():
    norm = VECTORS.norm(dim=-1, keepdim=True)
    assert torch.equal(unit(VECTORS)[0], VECTORS / norm)
    mixed = torch.cat([VECTORS, VECTORS * 1e-25])
    assert torch.equal(unit(mixed)[0][:20], VECTORS / norm)
    assert unit(torch.zeros(1, 3))[0].isnan().all()
    assert unit(torch.zeros(1, 3))[1] == 0
    assert (unit_of_arrays(np.zeros((1, 3), np.float32)) == 0).all()


def test_gradients_reach_short_rows():
    x = (VECTORS * 2.0**-80).requires_grad_()
    unit(x)[0].sum().backward()
    y = VECTORS.clone().requires_grad_()
    unit(y)[0].sum().backward()
    assert torch.allclose(x.grad * 2.0**-80, y.grad, atol=1e-6)


@pytest.mark.parametrize("length", [1e-25, 1e20])
def test_mining_reads_short_and_long_embeddings(tmp_path, length):
    x = VECTORS.numpy()
    np.savez(tmp_path / "e.npz", embeddings=x * np.float32(length), labels=np.arange(20) % 4)
    np.savez(tmp_path / "f.npz", embeddings=x, labels=np.arange(20) % 4)
    assert torch.allclose(dataset.read(tmp_path / "e.npz").x, dataset.read(tmp_path / "f.npz").x, atol=1e-6)


# ---- errors ----------------------------------------------------------------------------------------------------------


def test_errors_quote_little_and_stay_on_one_line():
    assert quote("x" * 5000) == "x" * 77 + "..."
    assert quote("a\nb\x1b[0m\udce9") == "a\\nb\\x1b[0m\\udce9"
    assert quote(10**10_000) == "int of too many digits"
    assert len(str(unknown("method", "y" * 9000, ["arcface"]))) < 150
