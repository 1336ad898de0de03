"""The synthetic heads: sampling and rendering repeat, a render resumes, the embedded set is what it says it is."""

import json
import shutil
import sys
import zipfile

import numpy as np
import pytest

from workbench.core.errors import InputError
from workbench.data.heads import archive as heads
from workbench.data.heads import load_heads, render
from workbench.data.heads import scene as head_scene
from workbench.data.heads.archive import NUISANCE
from workbench.data.heads.look import random_appearance
from workbench.data.heads.model import expression_weights, head_model, shape_weights
from workbench.data.heads.scene import random_nuisance

pytestmark = pytest.mark.slow

SETTINGS = {"images": 2, "size": 24, "seed": 7}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Three identities of two images, rendered once."""
    return render(tmp_path_factory.mktemp("heads") / "small.zip", identities=3, **SETTINGS)


@pytest.fixture(scope="module")
def embedded():
    return load_heads()


def eer(scores: np.ndarray, same: np.ndarray) -> float:
    """Equal error rate: the false accept rate at the threshold where it is nearest to the false reject rate."""
    same = same[np.argsort(-scores)]
    far, frr = np.cumsum(~same) / (~same).sum(), 1 - np.cumsum(same) / same.sum()
    return float(far[np.argmin(np.abs(far - frr))])


# --- the model and what is drawn at random


def test_model_moves_vertices_linearly():
    model = head_model()
    assert model.base.shape == (len(model.neutral) + len(model.edges), 3)
    assert model.triangles.max() == len(model.base) - 1
    w = np.zeros(len(model.names), np.float32)
    assert not model.displacement(w).any()
    w[[3, 20]] = 0.5, 0.25
    expected = 0.5 * model.deltas[3] + 0.25 * model.deltas[20]
    np.testing.assert_allclose(model.displacement(w)[: len(model.neutral)], expected, atol=1e-6)
    np.testing.assert_allclose(model.displacement(2 * w), 2 * model.displacement(w), atol=1e-6)


def test_normals_have_unit_length_and_point_outwards():
    model = head_model()
    normals = model.normals(model.base)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
    nose = np.argmax(model.base[:, 2])
    assert normals[nose, 2] > 0.7


def test_a_slider_uses_one_end_and_phenotypes_sum_to_one():
    model = head_model()
    w = shape_weights(model, np.array([0.2, 0.3, 0.5]), male=0.4, old=0.1, rng=np.random.default_rng(0))
    kinds, names = np.array(model.kinds), list(model.names)
    assert w[kinds == "macro"].sum() == pytest.approx(1, abs=1e-6)
    assert w.min() >= 0
    assert not w[kinds == "expression"].any()
    ends = [(w[names.index(name)], w[names.index(name[:-3] + "neg")]) for name in names if name.endswith("|pos")]
    assert len(ends) > 100
    assert all((pos == 0) != (neg == 0) for pos, neg in ends)
    assert 0.4 < np.mean([pos > 0 for pos, _ in ends]) < 0.6


def test_expression_uses_the_units_asked_for():
    model = head_model()
    gaze = {k for k, name in enumerate(model.names) if name.startswith("eyeLook")}
    for units in range(6):
        used = set(np.flatnonzero(expression_weights(model, units, np.random.default_rng(units)))) - gaze
        assert sum(bool(used & set(group)) for group in model.face_units) == units


@pytest.mark.parametrize("draw", [random_appearance, random_nuisance])
def test_the_same_generator_draws_the_same(draw):
    def arrays(seed):
        drawn = vars(draw(head_model(), np.random.default_rng(seed)))
        return np.concatenate([np.ravel(v) for v in drawn.values() if isinstance(v, np.ndarray | float)])

    np.testing.assert_array_equal(arrays(3), arrays(3))
    assert not np.array_equal(arrays(3), arrays(4))


def test_signs_of_the_angles():
    """Positive yaw rotates the face to the viewer's right, pitch upwards, roll counterclockwise."""
    forward, right = np.array([0, 0, 1]), np.array([1, 0, 0])
    np.testing.assert_allclose(head_scene.rotation_matrix(0.3, 0, 0) @ forward, [np.sin(0.3), 0, np.cos(0.3)])
    np.testing.assert_allclose(head_scene.rotation_matrix(0, 0.3, 0) @ forward, [0, np.sin(0.3), np.cos(0.3)])
    np.testing.assert_allclose(head_scene.rotation_matrix(0, 0, 0.3) @ right, [np.cos(0.3), np.sin(0.3), 0])


# --- rendering


def test_rendering_repeats(small, tmp_path):
    again = render(tmp_path / "again.zip", identities=3, **SETTINGS)
    assert again.read_bytes() == small.read_bytes()


def test_a_small_set_is_the_beginning_of_a_larger_one(small, tmp_path):
    images, labels, nuisance = load_heads(render(tmp_path / "two.zip", identities=2, **SETTINGS))
    more_images, more_labels, more_nuisance = load_heads(small)
    np.testing.assert_array_equal(images, more_images[:4])
    np.testing.assert_array_equal(labels, more_labels[:4])
    for name in nuisance:
        np.testing.assert_array_equal(nuisance[name], more_nuisance[name][:4])


def test_images_differ_and_show_a_head(small):
    images, labels, _ = load_heads(small)
    assert images.shape == (6, 24, 24, 3)
    assert labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert len(np.unique(images.reshape(6, -1), axis=0)) == 6
    assert images.std(axis=(1, 2, 3)).min() > 10


def test_an_interrupted_render_resumes(small, tmp_path):
    out = tmp_path / "heads.zip"

    def interrupt(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render(out, identities=3, progress=interrupt, **SETTINGS)
    part = tmp_path / "heads.zip.part"
    assert not out.exists()
    finished = {file: file.stat().st_mtime_ns for file in part.glob("*.zip")}
    assert sorted(file.name for file in finished) == ["0000.zip", "0001.zip"]

    def check_unchanged(done, total):
        assert total == 3
        assert all(file.stat().st_mtime_ns == time for file, time in finished.items())

    render(out, identities=3, progress=check_unchanged, **SETTINGS)
    assert out.read_bytes() == small.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["heads.zip"]


@pytest.mark.parametrize(("name", "value"), [("seed", 8), ("size", 32), ("images", 3), ("format", 0), ("vtk", "0.1")])
def test_a_part_folder_of_other_settings_is_refused(tmp_path, name, value):
    part = tmp_path / "heads.zip.part"
    with pytest.raises(InterruptedError):
        render(tmp_path / "heads.zip", identities=1, progress=raise_interrupted, **SETTINGS)
    settings = json.loads((part / "settings.json").read_text())
    (part / "settings.json").write_text(json.dumps({**settings, name: value}))
    with pytest.raises(InputError, match=rf"heads\.zip\.part.*{name} {value}"):
        render(tmp_path / "heads.zip", identities=1, **SETTINGS)
    assert not (tmp_path / "heads.zip").exists()


def test_a_folder_of_somebody_else_is_kept(tmp_path):
    (tmp_path / "heads.zip.part").mkdir()
    (tmp_path / "heads.zip.part" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match=r"heads\.zip\.part' holds other files"):
        render(tmp_path / "heads.zip", identities=1, **SETTINGS)
    assert (tmp_path / "heads.zip.part" / "thesis.txt").read_text() == "mine"


def raise_interrupted(done, total):
    raise InterruptedError


@pytest.mark.parametrize(
    ("name", "value"), [("identities", 0), ("images", 0), ("size", 8), ("size", 9999), ("seed", -1)]
)
def test_settings_out_of_range(tmp_path, name, value):
    with pytest.raises(InputError, match=f"{name} is {value}"):
        render(tmp_path / "heads.zip", **{"identities": 1, **SETTINGS, name: value})
    assert not list(tmp_path.iterdir())


def test_an_existing_file_is_kept(tmp_path):
    (tmp_path / "heads.zip").write_text("mine")
    with pytest.raises(InputError, match=r"heads\.zip' exists"):
        render(tmp_path / "heads.zip", identities=1, **SETTINGS)
    assert (tmp_path / "heads.zip").read_text() == "mine"


def test_missing_pyvista_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyvista", None)
    with pytest.raises(InputError, match=r"rendering needs the extra 'synth': pip install"):
        render(tmp_path / "heads.zip", identities=1, **SETTINGS)
    assert not list(tmp_path.iterdir())


# --- the embedded set


def test_embedded_set(embedded):
    images, labels, nuisance = embedded
    with zipfile.ZipFile(heads.EMBEDDED) as archive:
        meta = json.loads(archive.read("meta.json"))
    assert meta["identities"] == 200
    assert meta["seed"] == 2026
    assert images.shape == (2800, 56, 56, 3)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(np.bincount(labels), np.full(200, 14))
    assert heads.EMBEDDED.stat().st_size <= 8e6
    assert list(nuisance) == [name for name, _ in NUISANCE]
    assert all(values.shape == (2800,) and values.dtype == np.float32 for values in nuisance.values())


def test_embedded_nuisance_is_in_range(embedded):
    nuisance = embedded[2]
    bounds = {
        "yaw": (-0.7, 0.7),
        "pitch": (-0.3, 0.3),
        "roll": (-0.18, 0.18),
        "ambient": (0.25, 0.6),
        "light_x": (-1, 1),
        "light_y": (-1, 1),
        "expression_units": (0, 8),
        "occluded": (0, 1),
    }
    for name, (low, high) in bounds.items():
        assert low - 1e-6 <= nuisance[name].min() < nuisance[name].max() <= high + 1e-6, name
        assert nuisance[name].std() > 0.1 * (high - low), name
    assert set(np.unique(nuisance["occluded"])) == {0, 1}
    assert np.all(nuisance["light_x"] ** 2 + nuisance["light_y"] ** 2 < 1)


@pytest.mark.parametrize(("k", "j"), [(0, 0), (199, 13)])
def test_embedded_nuisance_is_drawn_again_by_its_seed(embedded, k, j):
    again = random_nuisance(head_model(), heads.image_rng(2026, k, j)).values()
    stored = [values[14 * k + j] for values in embedded[2].values()]
    # the logarithm and exponential of a normal draw may differ in the last digit between C libraries
    np.testing.assert_allclose(np.array(again, np.float32), stored, rtol=2e-7)


def test_raw_pixels_do_not_tell_the_identities_apart(embedded):
    images, labels, _ = embedded
    x = images[:1120].reshape(1120, -1).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    i, j = np.triu_indices(len(x), 1)
    rate = eer((x @ x.T)[i, j], labels[i] == labels[j])
    assert 0.35 < rate < 0.5


# --- damaged archives


def drop_image(source, target):
    edit(source, target, lambda name, data: None if name == "0001/01.webp" else data)


def add_image(source, target):
    edit(source, target, lambda name, data: data)
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr("0003/00.webp", archive.read("0000/00.webp"))


def break_image(source, target):
    edit(source, target, lambda name, data: data[:40] if name == "0001/01.webp" else data)


def break_meta(source, target):
    edit(source, target, lambda name, data: b"[1]" if name == "meta.json" else data)


def break_nuisance(source, target):
    edit(source, target, lambda name, data: data[:-4] if name == "nuisance.npy" else data)


def cut(source, target):
    target.write_bytes(source.read_bytes()[:-100])


def flip_byte(source, target):
    data = bytearray(source.read_bytes())
    data[len(data) // 2] ^= 0xFF
    target.write_bytes(data)


def edit(source, target, change):
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            if (data := change(name, old.read(name))) is not None:
                new.writestr(name, data)


@pytest.mark.parametrize("damage", [drop_image, add_image, break_image, break_meta, break_nuisance, cut, flip_byte])
def test_a_damaged_archive_is_named(small, tmp_path, damage):
    damage(small, tmp_path / "hurt.zip")
    with pytest.raises(InputError, match=r"hurt\.zip.*render it again") as error:
        load_heads(tmp_path / "hurt.zip")
    assert "\n" not in str(error.value)


def test_a_missing_archive_is_named(tmp_path):
    with pytest.raises(InputError, match=r"no such file: .*none\.zip"):
        load_heads(tmp_path / "none.zip")


def test_an_archive_zipped_again_still_opens(small, tmp_path):
    """Unzipped and zipped again: compressed, and with entries for the folders."""
    with zipfile.ZipFile(small) as archive:
        archive.extractall(tmp_path / "set")
    again = shutil.make_archive(tmp_path / "again", "zip", tmp_path / "set")
    np.testing.assert_array_equal(load_heads(again)[0], load_heads(small)[0])
