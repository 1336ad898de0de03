"""Data: images from every source and of every odd form, manifests, identity-disjoint splits and pairs."""

import io
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from workbench.core.errors import InputError
from workbench.data import manifest
from workbench.data.images import ImageSet, load
from workbench.data.pairs import Pairs, sample_pairs, split_identities

# ---- helpers ---------------------------------------------------------------------------------------------------------


def halves(height=40, width=40, top=200, bottom=40) -> np.ndarray:
    """A gray picture that is bright above and dark below, so that a turn or a crop shows."""
    picture = np.full((height, width), bottom, np.uint8)
    picture[: height // 2] = top
    return picture


def refusal(*args, **kwargs) -> str:
    """The one-line message with which `load` refuses."""
    with pytest.raises(InputError) as caught:
        load(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def folder(tmp_path):
    """A good folder of two identities with two images each, to which a test adds its odd file."""
    root = tmp_path / "people"
    for name in ("anna", "bela"):
        (root / name).mkdir(parents=True)
        for k in range(2):
            Image.fromarray(halves(top=150 + 50 * k)).convert("RGB").save(root / name / f"{k}.png")
    return root


def one(folder: Path, size=40) -> np.ndarray:
    """The one image of identity 'odd' in the folder, as loaded."""
    loaded = load(f"folder:{folder}", size=size)
    (position,) = np.flatnonzero(loaded.labels == loaded.names.index("odd"))
    return loaded.images[position]


def add(folder: Path, image: Image.Image, name: str = "x.png", **options) -> Path:
    (folder / "odd").mkdir(exist_ok=True)
    image.save(folder / "odd" / name, **options)
    return folder


def npz(tmp_path, **arrays) -> str:
    np.savez(tmp_path / "set.npz", **arrays)
    return f"npz:{tmp_path / 'set.npz'}"


SQUARES = np.stack([halves(), halves(), halves()])


# ---- ImageSet --------------------------------------------------------------------------------------------------------


def small_set() -> ImageSet:
    labels = np.array([0, 2, 1, 2, 3])
    images = np.zeros((5, 8, 8, 3), np.uint8) + np.arange(5, dtype=np.uint8)[:, None, None, None]
    return ImageSet(images, labels, ("a", "b", "c", "d"), "here", {"yaw": np.arange(5.0)}, ("a note",))


def test_an_image_set_knows_its_shape():
    assert (len(small_set()), small_set().classes, small_set().size) == (5, 4, 8)


def test_identities_are_renumbered_in_their_order():
    part = small_set().of([3, 1])
    assert part.names == ("b", "d")
    assert part.labels.tolist() == [0, 1]
    assert part.images[:, 0, 0, 0].tolist() == [2, 4]
    assert part.extra["yaw"].tolist() == [2.0, 4.0]
    assert part.notes == ("a note",)


def test_images_are_taken_in_the_order_asked():
    part = small_set().take(np.array([3, 0, 1]))
    assert part.names == ("a", "c")
    assert part.labels.tolist() == [1, 0, 1]
    assert part.images[:, 0, 0, 0].tolist() == [3, 0, 1]


@pytest.mark.parametrize("identity", [-1, 4])
def test_an_identity_that_is_not_there_is_refused(identity):
    with pytest.raises(InputError, match=rf"no identity {identity}; there are 0..3"):
        small_set().of([0, identity])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.zeros((5, 8, 9, 3), np.uint8)}, "not uint8"),
        ({"images": np.zeros((5, 8, 8, 3))}, "float64"),
        ({"labels": np.arange(4)}, r"not int64 \(5,\)"),
        ({"labels": np.array([0, 1, 2, 3, 4])}, r"0\.\.4 are not in 0\.\.3"),
        ({"extra": {"yaw": np.zeros(4)}}, "extra 'yaw'"),
    ],
)
def test_an_image_set_that_does_not_fit_together_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        replace(small_set(), **change)


# ---- specs -----------------------------------------------------------------------------------------------------------


def test_an_unknown_spec_names_the_nearest():
    assert refusal("digitz") == "unknown data 'digitz'; did you mean 'digits'?"
    assert "did you mean 'folder:PATH'" in refusal("foldr:there")
    assert "known: digits, folder:PATH" in refusal("")
    assert "digits" in refusal("digits:8")


@pytest.mark.parametrize("spec", ["folder", "folder:", "npz:", "heads:"])
def test_a_spec_without_its_path_is_refused(spec):
    assert f"data '{spec}' lacks its path" in refusal(spec)


@pytest.mark.parametrize("size", [0, 7, 513])
def test_a_size_out_of_range_is_refused(size):
    assert f"size {size} is out of range" in refusal("digits", size=size)


def test_digits():
    digits = load("digits")
    assert (len(digits), digits.classes, digits.size) == (1797, 10, 32)
    assert digits.names == tuple("0123456789")
    assert digits.images.min() == 0
    assert digits.images.max() == 255
    assert load("digits", size=8).images[0, 0, :, 0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0]


def test_loading_imports_nothing_heavy():
    heavy = "{'torch', 'sklearn', 'scipy', 'plotly', 'pyvista', 'vtk'}"
    code = f"from workbench.data import images, manifest, pairs; import sys; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# ---- folders ---------------------------------------------------------------------------------------------------------


def test_a_folder_is_read_by_name(folder):
    seen = []
    loaded = load(f"folder:{folder}", progress=lambda done, total: seen.append((done, total)))
    assert loaded.names == ("anna", "bela")
    assert loaded.labels.tolist() == [0, 0, 1, 1]
    assert loaded.images[:, 0, 0, 0].tolist() == [150, 200, 150, 200]
    assert loaded.notes == ()
    assert loaded.extra["path"].tolist() == ["anna/0.png", "anna/1.png", "bela/0.png", "bela/1.png"]
    assert loaded.source == f"folder:{folder}"
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize(
    "name", ["x.jpg", "x.JPEG", "x.png", "x.bmp", "x.webp", "x.pgm", "x.ppm", "x.tif", "x.TIFF", "x.gif"]
)
def test_every_format_is_read(folder, name):
    mode = "L" if name == "x.pgm" else "RGB"
    image = one(add(folder, Image.fromarray(halves()).convert(mode), name))
    assert abs(int(image[5, 20, 0]) - 200) <= 3
    assert abs(int(image[35, 20, 0]) - 40) <= 3


def test_exif_orientation_is_applied(folder):
    turned = Image.Exif()
    turned[0x0112] = 3  # upside down
    image = one(add(folder, Image.fromarray(halves()).convert("RGB"), "x.jpg", exif=turned))
    assert image[5, 20, 0] < 60
    assert image[35, 20, 0] > 180


def test_exif_orientation_that_swaps_the_sides(folder):
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned a quarter clockwise: the top comes to the right
    image = one(add(folder, Image.fromarray(halves(40, 80)).convert("RGB"), "x.jpg", exif=turned))
    assert image[20, 35, 0] > 180
    assert image[20, 5, 0] < 60


def test_gray_becomes_rgb(folder):
    image = one(add(folder, Image.fromarray(halves())))
    assert image[0, 0].tolist() == [200, 200, 200]


def test_black_and_white_becomes_rgb(folder):
    image = one(add(folder, Image.fromarray(halves(top=255, bottom=0)).convert("1")))
    assert image[0, 0].tolist() == [255, 255, 255]
    assert image[39, 0].tolist() == [0, 0, 0]


def test_transparent_pixels_show_mid_gray(folder):
    pixels = np.zeros((40, 40, 4), np.uint8)
    pixels[..., 0] = 250
    pixels[:20, :, 3] = 255
    image = one(add(folder, Image.fromarray(pixels)))
    assert image[0, 0].tolist() == [250, 0, 0]
    assert image[39, 0].tolist() == [128, 128, 128]


def test_a_transparent_palette_entry_shows_mid_gray(folder):
    palette = Image.fromarray((halves() > 100).astype(np.uint8)).convert("P")
    palette.putpalette([255, 0, 0, 0, 255, 0])
    image = one(add(folder, palette, "x.png", transparency=0))
    assert image[0, 0].tolist() == [0, 255, 0]
    assert image[39, 0].tolist() == [128, 128, 128]


@pytest.mark.parametrize("name", ["x.png", "x.tif", "x.pgm"])
def test_sixteen_bit_gray_keeps_its_levels(folder, name):
    deep = halves().astype(np.uint16) * 257
    image = one(add(folder, Image.fromarray(deep), name))
    assert image[0, 0].tolist() == [200, 200, 200]
    assert image[39, 0].tolist() == [40, 40, 40]


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [(np.float32(0.5), "floating-point pixels"), (np.int32(70_000), "pixels of more than 16 bits")],
)
def test_deeper_pixels_are_broken_files(folder, pixels, reason):
    add(folder, Image.fromarray(np.full((40, 40), pixels)), "x.tif")
    assert f"'odd/x.tif' ({reason})" in refusal(f"folder:{folder}")


def test_only_the_first_frame_of_an_animation_is_read(folder):
    frames = [Image.fromarray(np.full((40, 40), v, np.uint8)) for v in (200, 10)]
    image = one(add(folder, frames[0], "x.gif", save_all=True, append_images=frames[1:]))
    assert image[20, 20].tolist() == [200, 200, 200]


def test_nothing_is_cut_off_and_the_shorter_side_is_filled_up(folder):
    wide = np.full((40, 80), 10, np.uint8)
    wide[20:] = 220
    wide[:, :8] = wide[:, -8:] = 120  # both ends stay
    add(folder, Image.fromarray(wide))
    image = one(folder)[..., 0]
    assert image.shape == (40, 40)
    image = image.astype(int)  # within 2 of what a bicubic edge leaves
    assert abs(image[:, :2] - 120).max() <= 2
    assert abs(image[:, -2:] - 120).max() <= 2
    assert abs(image[:16, 8:32] - 10).max() <= 2  # the upper edge, repeated upwards
    assert abs(image[24:, 8:32] - 220).max() <= 2
    assert load(f"folder:{folder}").notes == (
        "non-square images, padded with edge pixels: 1",
        "identities with a single image, so without a genuine pair: 1 of 3",
    )


def test_the_usual_size_is_the_median_shorter_side(folder):
    add(folder, Image.fromarray(halves(300, 400)))
    assert load(f"folder:{folder}").size == 40
    for path in folder.glob("*/?.png"):
        Image.fromarray(halves(300, 400)).save(path)
    assert load(f"folder:{folder}").size == 64
    for path in folder.glob("*/?.png"):
        Image.fromarray(halves(9, 12)).save(path)
    assert load(f"folder:{folder}").size == 32
    assert load(f"folder:{folder}", size=96).images.shape == (5, 96, 96, 3)


def break_three(folder):
    (folder / "anna" / "text.jpg").write_text("no picture")
    whole = (folder / "bela" / "0.png").read_bytes()
    (folder / "bela" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "bela" / "empty.webp").write_bytes(b"")


def test_broken_files_are_counted_and_named(folder):
    break_three(folder)
    message = refusal(f"folder:{folder}")
    assert "3 of 7 image files cannot be read" in message
    for name in ("'anna/text.jpg' (not an image)", "'bela/cut.png' (", "'bela/empty.webp' ("):
        assert name in message
    assert "--skip-broken" in message


def test_broken_files_are_skipped_when_asked(folder):
    break_three(folder)
    loaded = load(f"folder:{folder}", skip_broken=True)
    assert loaded.labels.tolist() == [0, 0, 1, 1]
    (note,) = loaded.notes
    assert note.startswith("3 of 7 image files skipped: 'anna/text.jpg' (not an image); ")


def test_of_many_broken_files_only_the_first_are_named(folder):
    for k in range(9):
        (folder / "anna" / f"bad{k}.jpg").write_text("")
    message = refusal(f"folder:{folder}")
    assert "9 of 13" in message
    assert "bad2.jpg" in message
    assert "bad3.jpg" not in message


def test_an_identity_of_broken_files_disappears(folder):
    (folder / "able").mkdir()
    (folder / "able" / "x.jpg").write_text("")
    loaded = load(f"folder:{folder}", skip_broken=True)
    assert loaded.names == ("anna", "bela")
    assert loaded.labels.tolist() == [0, 0, 1, 1]


def test_nothing_but_broken_files_is_refused_even_when_skipping(folder):
    for path in folder.glob("*/*.png"):
        path.write_text("")
    assert "no readable image" in refusal(f"folder:{folder}", skip_broken=True)


def test_an_image_too_large_to_decode_is_a_broken_file(folder, monkeypatch):
    add(folder, Image.fromarray(halves(80, 80)))
    for limit in (6000, 2000):  # PIL warns above the limit and refuses above twice the limit
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        assert f"'odd/x.png' (more than {limit} pixels)" in refusal(f"folder:{folder}")


def test_a_file_that_would_start_another_program_is_not_opened(folder):
    stream = io.BytesIO()
    Image.fromarray(halves()).save(stream, "EPS")
    (folder / "anna" / "x.jpg").write_bytes(stream.getvalue())
    assert "'anna/x.jpg' (not an image)" in refusal(f"folder:{folder}")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_pipe_is_not_waited_for(folder):
    os.mkfifo(folder / "anna" / "x.jpg")
    assert "'anna/x.jpg' (not a file)" in refusal(f"folder:{folder}")


def test_hidden_files_and_other_files_do_not_count(folder):
    for name in (".DS_Store", ".hidden.png", "Thumbs.db", "notes.txt"):
        (folder / "anna" / name).write_text("x")
        (folder / name).write_text("x")
    (folder / ".cache").mkdir()
    (folder / "anna" / "album.png").mkdir()
    loaded = load(f"folder:{folder}")
    assert len(loaded) == 4
    assert loaded.notes == ()


def test_what_is_passed_over_is_noted(folder):
    (folder / "empty").mkdir()
    (folder / "loose.png").write_bytes((folder / "anna" / "0.png").read_bytes())
    assert load(f"folder:{folder}").notes == (
        "sub-folders without images: 1 ('empty')",
        "images outside the sub-folders, skipped: 1 ('loose.png')",
    )


def test_links_that_leave_the_folder_are_not_followed(folder, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("secret.png", "other.png"):
        Image.fromarray(halves()).save(outside / name)
    (folder / "anna" / "link.png").symlink_to(outside / "secret.png")
    (folder / "zoe").symlink_to(outside)
    (folder / "bela" / "again.png").symlink_to(folder / "bela" / "0.png")  # stays inside
    loaded = load(f"folder:{folder}")
    assert loaded.names == ("anna", "bela")
    assert loaded.labels.tolist() == [0, 0, 1, 1, 1]
    assert loaded.notes == ("links that leave the folder, not followed: 2 ('anna/link.png', ...)",)


def test_the_home_folder_may_be_abbreviated(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.setenv("USERPROFILE", str(folder.parent))
    assert load("folder:~/people").classes == 2


def test_a_folder_without_identities_is_refused(folder, tmp_path):
    (tmp_path / "void").mkdir()
    assert "no image in a sub-folder" in refusal(f"folder:{tmp_path / 'void'}")
    assert "no image in a sub-folder" in refusal(f"folder:{folder / 'anna'}")
    assert "no such folder" in refusal(f"folder:{tmp_path / 'nowhere'}")
    assert "no such folder" in refusal("folder:~nobody-of-this-name/faces")
    assert "not a folder" in refusal(f"folder:{folder / 'anna' / '0.png'}")


def test_a_single_identity_is_refused(folder):
    for path in (folder / "bela").iterdir():
        path.unlink()
    assert "only 1 identity ('anna'); at least two are needed" in refusal(f"folder:{folder}")


# ---- npz -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "note"),
    [
        (SQUARES, None),
        (SQUARES[..., None], None),
        (np.stack([SQUARES] * 3, axis=-1), None),
        (np.stack([SQUARES] * 3 + [np.full_like(SQUARES, 255)], axis=-1), None),
        (SQUARES.astype(np.float32), None),
        (SQUARES.astype(np.int64), None),
        (SQUARES.astype(np.float64) / 255, "values 0..1 scaled to 0..255"),
        (SQUARES.astype(np.uint16) * 257, "16-bit values scaled to 0..255"),
    ],
)
def test_npz_images_of_every_form_are_the_same(tmp_path, images, note):
    loaded = load(npz(tmp_path, images=images, labels=[0, 0, 1]))
    assert loaded.images.shape == (3, 40, 40, 3)
    assert loaded.images[2, 0, 0].tolist() == [200, 200, 200]
    assert loaded.images[2, 39, 0].tolist() == [40, 40, 40]
    assert (note is None) or note in loaded.notes


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int8, np.float16])
def test_npz_ink_is_scaled(tmp_path, dtype):
    loaded = load(npz(tmp_path, images=(SQUARES > 100).astype(dtype), labels=[0, 0, 1]))
    assert sorted(np.unique(loaded.images)) == [0, 255]
    assert any("scaled" in note for note in loaded.notes)


def test_npz_transparent_pixels_show_mid_gray(tmp_path):
    assert load(npz(tmp_path, images=np.zeros((2, 40, 40, 4), np.uint8), labels=[0, 1])).images.max() == 128


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([70, -3, 70], ("-3", "70")),
        (["mia", "leo", "mia"], ("leo", "mia")),
        ([b"mia", "léo".encode(), b"mia"], ("léo", "mia")),
    ],
)
def test_npz_labels_are_renumbered_in_sorted_order(tmp_path, labels, names):
    loaded = load(npz(tmp_path, images=SQUARES, labels=labels))
    assert loaded.labels.tolist() == [1, 0, 1]
    assert loaded.labels.dtype == np.int64
    assert loaded.names == names


def test_npz_carries_one_number_an_image_along(tmp_path):
    others = {
        "yaw": [0.1, 0.2, 0.3],
        "odd": [True, False, True],
        "who": ["a", "b"],
        "things": np.array([None, 1, 2]),
        "at": [1.0, 2.0],
    }
    loaded = load(npz(tmp_path, images=SQUARES, labels=[0, 0, 1], **others))
    assert loaded.extra["yaw"].tolist() == [0.1, 0.2, 0.3]
    assert loaded.extra["odd"].tolist() == [True, False, True]
    assert loaded.notes[0] == "ignored arrays, not one number per image: at, things, who"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [0, 1]}, "labels is int64 (2,); it must be integers or strings of shape (3,)"),
        ({"labels": [[0], [0], [1]]}, "labels is int64 (3, 1)"),
        ({"labels": [0.0, 0.5, 1.0]}, "labels is float64 (3,)"),
        ({"labels": [5, 5, 5]}, "only 1 identity ('5')"),
        ({"labels": np.array([0, 0, None])}, "array 'labels' is unreadable: Object arrays"),
        ({"images": np.array([0, 0, None])}, "array 'images' is unreadable"),
        ({"images": np.zeros((3, 40))}, "images is float64 (3, 40); it must be numbers of shape (n, H, W)"),
        ({"images": np.zeros((3, 3, 40, 40))}, "images is float64 (3, 3, 40, 40)"),
        ({"images": np.zeros((0, 40, 40)), "labels": np.zeros(0, int)}, "(0, 40, 40); it must be"),
        ({"images": SQUARES.astype("U3")}, "images is <U3 (3, 40, 40)"),
        ({"images": SQUARES - 100.0}, "values from -60 to 100"),
        ({"images": SQUARES * 2.0}, "values from 80 to 400"),
        ({"images": np.where(SQUARES > 100, np.nan, 0.5)}, "values from nan to nan"),
    ],
)
def test_npz_of_the_wrong_form_is_refused(tmp_path, change, message):
    assert message in refusal(npz(tmp_path, **{"images": SQUARES, "labels": [0, 0, 1], **change}))


def test_npz_without_the_arrays_says_what_is_there(tmp_path):
    assert "no array 'labels'; it holds images, ids" in refusal(npz(tmp_path, images=SQUARES, ids=[0, 0, 1]))


def test_files_that_are_no_npz_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", SQUARES)
    assert "not an npz archive" in refusal(f"npz:{tmp_path / 'x.npy'}")
    assert "not an npz archive" in refusal(f"npz:{tmp_path}")
    assert "no such file" in refusal(f"npz:{tmp_path / 'nowhere.npz'}")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("images", "text")
        archive.writestr("labels", "text")
    assert "images is |S4 ()" in refusal(f"npz:{tmp_path / 'x.zip'}")


def test_a_damaged_npz_is_refused(tmp_path):
    np.savez_compressed(
        tmp_path / "x.npz", images=np.random.default_rng(0).integers(0, 255, (3, 40, 40)), labels=[0, 0, 1]
    )
    content = bytearray((tmp_path / "x.npz").read_bytes())
    content[400:440] = bytes(40)
    (tmp_path / "x.npz").write_bytes(content)
    assert "array 'images' is unreadable" in refusal(f"npz:{tmp_path / 'x.npz'}")


def test_orl_faces(shared_data):
    orl = load(f"npz:{shared_data('orl_faces/orl_faces.npz')}")
    assert (len(orl), orl.classes, orl.size) == (400, 40, 64)
    assert sorted(orl.extra) == ["shot"]
    assert orl.notes == ("non-square images, padded with edge pixels: 400",)
    assert np.array_equal(orl.images[..., 0], orl.images[..., 2])


def test_omniglot(shared_data):
    omniglot = load(f"npz:{shared_data('omniglot_small/omniglot_small.npz')}", size=32)
    assert (len(omniglot), omniglot.classes, omniglot.size) == (4840, 242, 32)
    assert omniglot.images.max() == 255
    assert omniglot.notes == (
        "values 0..1 scaled to 0..255",
        "ignored arrays, not one number per image: alphabet, character",
    )


def test_celeba(shared_data):
    path = shared_data("celeba_dev/celeba_dev.npz")
    celeba = load(f"npz:{path}")
    assert (len(celeba), celeba.classes, celeba.size) == (2420, 115, 64)
    assert celeba.extra["suspect"].sum() == 49
    assert celeba.notes == ()
    assert np.array_equal(celeba.images, np.load(path)["images"])


# ---- heads and manifests ---------------------------------------------------------------------------------------------


def test_the_manifests_of_the_repository():
    assert [m.name for m in manifest.manifests()] == ["digits", "heads"]


@pytest.mark.parametrize("name", ["digits", "heads"])
def test_a_manifest_tells_the_truth(name):
    described = manifest.read(manifest.FOLDER / f"{name}.toml")
    loaded = load(name)
    assert (loaded.classes, len(loaded)) == (described.identities, described.images)
    assert loaded.size == {"digits": 32, "heads": described.size}[name]
    train, test = split_identities(described.identities, **vars(described.split))
    assert len(train) + len(test) == described.identities
    for file in described.files:
        found = manifest.sha256(manifest.ROOT / file.path)
        assert found == file.sha256, (
            f'in data_manifests/{name}.toml, the line for {file.path} must be: sha256 = "{found}"'
        )


def test_heads_carry_their_nuisance_and_an_own_render_is_read_the_same(tmp_path):
    heads = load("heads")
    copy = tmp_path / "mine.zip"
    copy.write_bytes((manifest.ROOT / "workbench/data/assets/heads.zip").read_bytes())
    mine = load(f"heads:{copy}")
    assert np.array_equal(heads.images, mine.images)
    assert mine.source == f"heads:{copy}"
    assert heads.names[0] == "head 0"
    assert heads.extra
    assert all(values.std() > 0 for values in heads.extra.values())


GOOD = """
name = "toy"
kind = "toy pictures"
source = "drawn"
licence = "CC0-1.0"
identities = 4
images = 8
size = 16
[split]
test = 0.5
seed = 1
[[files]]
path = "toy/a.bin"
sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
"""


def write_manifest(tmp_path, text: str) -> Path:
    (tmp_path / "toy.toml").write_text(text)
    return tmp_path / "toy.toml"


def test_a_manifest_is_read(tmp_path):
    read = manifest.read(write_manifest(tmp_path, GOOD))
    assert read.name == "toy"
    assert read.split == manifest.Split(0.5, 1)
    assert [f.path for f in read.files] == ["toy/a.bin"]
    assert manifest.manifests(tmp_path) == [read]


def test_no_manifests_where_there_is_no_folder(tmp_path):
    assert manifest.manifests(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "toy"', "", "'name' is missing; expected text"),
        ('name = "toy"', 'name = ""', "name is empty"),
        ('licence = "', 'license = "', "'licence' is missing; expected text"),
        ("size = 16", 'size = 16\nlicense = "x"', "unknown field 'license'; did you mean 'licence'?"),
        ("images = 8", "images = 8.5", "images is 8.5; expected a whole number from 1"),
        ("images = 8", "images = true", "images is True; expected a whole number from 1"),
        ("images = 8", "images = 0", "images is 0; expected a whole number from 1"),
        ("size = 16", "size = 16\nsplit = 3\n[x]", "unknown field 'x'"),
        ("test = 0.5", "", "'split.test' is missing; expected a number"),
        ("seed = 1", 'seed = "one"', "split.seed is 'one'"),
        ("seed = 1", "seed = -1", "split.seed is -1"),
        ("test = 0.5", "test = 3", "split: test 3 holds out 3 of 4 identities"),
        ("ba7816", "BA7816", "files[0]: 'sha256' is 'BA7816"),
        ("ba7816", "a7816", "it must be 64 digits of 0-9a-f"),
        ("toy/a.bin", "../a.bin", "files[0]: 'path' is '../a.bin'; it must be relative"),
        ("toy/a.bin", "/etc/passwd", "'/etc/passwd'; it must be relative"),
        ("toy/a.bin", "C:/a.bin", "'C:/a.bin'; it must be relative"),
        ("[[files]]", "[files]", "files is {"),
        ("images = 8", "images 8", "not a TOML file"),
    ],
)
def test_a_bad_manifest_is_refused_by_file_and_field(tmp_path, old, new, message):
    assert old in GOOD
    with pytest.raises(InputError) as caught:
        manifest.read(write_manifest(tmp_path, GOOD.replace(old, new, 1).replace("split = 3\n[x]", "[x]", 1)))
    assert str(caught.value).startswith("toy.toml: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unreadable_manifest_is_refused(tmp_path):
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"bytes\.toml: not a TOML file"):
        manifest.read(tmp_path / "bytes.toml")
    with pytest.raises(InputError, match=r"none\.toml: No such file"):
        manifest.read(tmp_path / "none.toml")


def test_files_are_ok_absent_or_changed(tmp_path):
    toy = manifest.read(write_manifest(tmp_path, GOOD))
    assert manifest.verify_files(toy, tmp_path) == {"toy/a.bin": "absent"}
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "a.bin").write_bytes(b"abc")  # the hash above is FIPS 180's example
    assert manifest.verify_files(toy, tmp_path) == {"toy/a.bin": "ok"}
    (tmp_path / "toy" / "a.bin").write_bytes(b"abd")
    assert manifest.verify_files(toy, tmp_path) == {"toy/a.bin": "changed"}


def test_files_outside_the_repository_are_never_read(tmp_path):
    toy = manifest.read(write_manifest(tmp_path, GOOD))
    (tmp_path / "secret").mkdir()
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "toy").symlink_to(tmp_path / "secret")
    (tmp_path / "secret" / "a.bin").write_bytes(b"abc")
    for path in ("toy/a.bin", "../secret/a.bin", str(tmp_path / "secret" / "a.bin")):
        leaving = replace(toy, files=(manifest.File(path, toy.files[0].sha256),))
        with pytest.raises(InputError, match="is not inside the repository"):
            manifest.verify_files(leaving, tmp_path / "home")


# ---- splits and pairs ------------------------------------------------------------------------------------------------


@given(classes=st.integers(4, 300), share=st.floats(0.01, 0.99), seed=st.integers(0, 2**32))
def test_a_split_is_disjoint_complete_and_repeatable(classes, share, seed):
    held = min(max(round(classes * share), 2), classes - 2)
    train, test = split_identities(classes, held, seed)
    assert len(test) == held
    assert np.array_equal(np.union1d(train, test), np.arange(classes))
    assert len(train) + len(test) == classes
    assert (np.diff(train) > 0).all()
    assert (np.diff(test) > 0).all()
    again = split_identities(classes, held, seed)
    assert np.array_equal(train, again[0])
    assert np.array_equal(test, again[1])


def test_a_share_is_rounded_and_seeds_differ():
    assert len(split_identities(192, 0.2, 0)[1]) == 38
    assert len(split_identities(9, 0.3, 0)[1]) == 3
    assert not np.array_equal(split_identities(192, 40, 0)[1], split_identities(192, 40, 1)[1])


@pytest.mark.parametrize("test", [1, 9, 0.1, 0.95, 0, -3])
def test_a_split_needs_two_identities_on_either_side(test):
    with pytest.raises(InputError, match=f"test {test} "):
        split_identities(10, test, 0)


@pytest.mark.parametrize("test", [1.5, -0.2, 0.0, float("nan")])
def test_a_split_that_is_no_share_is_refused(test):
    with pytest.raises(InputError, match="neither a number of identities nor a fraction"):
        split_identities(10, test, 0)


counts = st.lists(st.integers(1, 12), min_size=2, max_size=12).filter(lambda c: max(c) >= 2)


@given(counts=counts, pairs=st.integers(2, 200), folds=st.integers(1, 10), seed=st.integers(0, 99), data=st.data())
def test_pairs_are_balanced_distinct_and_even(counts, pairs, folds, seed, data):
    labels = np.array(data.draw(st.permutations(np.repeat(np.arange(len(counts)) * 7 - 3, counts).tolist())))
    capacity = [n * (n - 1) // 2 for n in counts]
    everything = len(labels) * (len(labels) - 1) // 2
    half = min(pairs // 2, sum(capacity), everything - sum(capacity)) // folds
    if half == 0:
        with pytest.raises(InputError):
            sample_pairs(labels, pairs, folds, seed)
        return

    drawn = sample_pairs(labels, pairs, folds, seed)
    assert len(drawn) == 2 * half * folds
    assert np.array_equal(drawn.same, labels[drawn.left] == labels[drawn.right])
    assert (drawn.left < drawn.right).all()
    assert len(set(zip(drawn.left.tolist(), drawn.right.tolist(), strict=True))) == len(drawn)
    assert np.array_equal(drawn.fold, np.repeat(np.arange(folds), 2 * half))
    assert (np.bincount(drawn.fold, weights=drawn.same) == half).all()
    genuine = labels[drawn.left[drawn.same]]
    used = np.array([np.sum(genuine == 7 * i - 3) for i in range(len(counts))])
    free = used < capacity  # identities with pairs to spare have the most, and as many as each other
    if free.any():
        assert used[free].min() >= used.max() - 1


def test_pairs_repeat_with_the_seed_and_survive_saving(tmp_path):
    labels = np.repeat(np.arange(20), 8)
    drawn = sample_pairs(labels, 400, seed=3)
    np.savez(tmp_path / "pairs.npz", **vars(drawn))
    with np.load(tmp_path / "pairs.npz", allow_pickle=False) as saved:
        for other in (sample_pairs(labels, 400, seed=3), Pairs(**saved)):
            assert all(np.array_equal(a, b) for a, b in zip(vars(drawn).values(), vars(other).values(), strict=True))
    assert not np.array_equal(drawn.left, sample_pairs(labels, 400, seed=4).left)


def test_lfw_has_6000_pairs_in_10_folds():
    drawn = sample_pairs(np.repeat(np.arange(40), 14))
    assert len(drawn) == 6000
    assert np.bincount(drawn.fold).tolist() == [600] * 10


def test_every_impostor_pair_can_be_drawn():
    labels = np.array([0, 1, 0, 2, 1, 1])
    drawn = sample_pairs(labels, 8, folds=1)  # 4 genuine, 11 impostor pairs
    assert len(drawn) == 8
    seen = set()
    for seed in range(60):
        drawn = sample_pairs(labels, 8, folds=1, seed=seed)
        seen |= set(zip(drawn.left[~drawn.same].tolist(), drawn.right[~drawn.same].tolist(), strict=True))
    assert seen == {(i, j) for j in range(6) for i in range(j) if labels[i] != labels[j]}


def test_pairs_are_drawn_from_many_images_without_listing_all():
    drawn = sample_pairs(np.repeat(np.arange(50_000), 20), 6000)
    assert len(drawn) == 6000
    assert drawn.right.max() > 900_000


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        ([0, 1, 2], {}, "no identity among the 3 has two images"),
        ([4, 4, 4], {}, "all images are of one identity"),
        ([0, 0, 1, 1], {}, "2 genuine and 4 impostor pairs do not fill 10 folds"),
        ([0, 0, 1, 1], {"pairs": 19}, "19 pairs in 10 folds"),
        ([0, 0, 1, 1], {"folds": 0}, "in 0 folds"),
        ([0.5, 0.5, 1.0], {}, "labels are float64"),
        ([], {}, "labels are float64"),
        ([0, 0, 1, 1], {"seed": -1, "folds": 1}, "seed -1 is negative"),
    ],
)
def test_pairs_that_cannot_be_drawn_are_refused(labels, options, message):
    with pytest.raises(InputError, match=message):
        sample_pairs(np.array(labels), **options)
