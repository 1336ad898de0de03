"""The live lab without a browser: controls, scenes, selection, save and load, export, Versus."""

import csv
import gc
import json
import math
import time
import weakref

import numpy as np
import pytest
from panels.helpers import find_threads, join_threads
from trainings import session_config as config
from trainings import session_images as data

from workbench.core.errors import InputError
from workbench.margins import ArcFace
from workbench.panels.export import python_call
from workbench.panels.lab import Lab, mean_hard_cosine
from workbench.panels.scenes import SCENES, scenes_for
from workbench.panels.versus import Versus
from workbench.training.live.session import LiveSession


@pytest.fixture
def lab():
    """A function that makes labs of a tiny session; they are closed at the end."""
    made = []

    def make(**changes):
        own = {key: changes.pop(key) for key in ("margin", "name") if key in changes}
        session = LiveSession(config(**({"dim": 3} | changes)), images=data(), **({"name": "lab"} | own))
        made.append(Lab(session))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_it_shows_what_the_session_has(lab):
    shown = lab()
    shown.session.run(5, block=True)
    shown.refresh()
    assert "step 5" in shown.bar.status.value
    assert len(shown.training.history) == 5
    assert shown.hardness.result is not None
    shown.gradients.wait()
    assert shown.gradients.result is not None
    assert shown.curves.wait()
    assert shown.curves.result.margin.m0 == shown.session.tuning.values["m0"]
    assert repr(shown) == "Lab: LiveSession 'lab': npcface, step 5, paused"


@pytest.mark.slow
@pytest.mark.parametrize("method", ["softmax", "triplet", "adaptiveface", "subcenter_arcface", "uniface", "magface"])
def test_it_shows_every_kind_of_method(lab, method):
    shown = lab()
    shown.session.set(method=method)
    shown.session.run(2, block=True)
    shown.refresh()
    assert shown.bar.message.value == ""
    assert shown.bar.choices["method"].value == method


def test_a_control_of_the_curves_changes_the_session_and_is_marked(lab):
    shown = lab(recipe="preset")
    shown.curves.on_message({"set": {"m0": 0.3}, "id": 1})
    shown.session.step()
    shown.refresh()
    assert shown.session.job.objective.margin.m0 == 0.3
    assert [m["label"] for m in shown.training.children[0].newest[0]["marks"]] == ["m0 0.3"]
    shown.curves.on_message({"set": {"theta": 1.0}, "id": 2})
    assert shown.theta == 1.0


def test_buttons_and_keys_do_what_they_say(lab):
    shown = lab(recipe="preset")
    shown.bar.run_command("step")
    assert shown.session.at == 1
    shown.session.set(m0=0.1)
    shown.bar.run_command("undo")
    assert shown.session.tuning.values["m0"] == 0.4
    shown.bar.run_command("redo")
    assert shown.session.tuning.values["m0"] == 0.1
    shown.bar.run_command("snapshot")
    assert "step 1" in shown.bar.choices["restore"].options
    shown.bar.run_command("run")
    shown.session.wait()
    shown.bar.choices["restore"].value = "step 1"
    assert shown.session.job.step == 1
    shown.bar.run_command("toggle")
    assert shown.session.status == "playing"
    shown.bar.run_command("toggle")
    assert shown.session.status == "paused"
    shown.bar.choices["weighting"].value = "focal"
    shown.bar.choices["method"].value = "arcface"
    shown.session.step()
    assert (shown.session.tuning.method, shown.session.tuning.weighting) == ("arcface", "mean")


def test_what_cannot_be_is_said_and_taken_back(lab):
    shown = lab()
    shown.bar.run_command("restore", "nowhere")
    assert "snapshot" in shown.bar.message.value
    shown.session.stop()
    shown.bar.run_command("toggle")
    assert "was stopped" in shown.bar.message.value


def test_a_training_that_fails_says_so_with_its_traceback(lab, monkeypatch):
    shown = lab()
    monkeypatch.setattr("workbench.training.live.trainer.train_step", lambda *_: 1 / 0)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        shown.session.step()
    shown.refresh()
    said = shown.bar.message.value
    assert "Training stopped: ZeroDivisionError: division by zero." in said
    assert "<details>" in said
    assert "in _advance" in said


def test_scenes_start_afresh_and_say_what_to_look_for(lab):
    shown = lab()
    shown.session.run(3, block=True)
    old = shown.session
    shown.bar.choices["scene"].value = "m too large: collapse"
    assert old.status == "stopped"
    assert shown.session.tuning.values["m"] == 1.2
    assert shown.session.images is old.images
    assert "far side" in shown.bar.description.value
    with pytest.raises(InputError, match="scene"):
        shown.play_scene("m too small")


def test_every_scene_can_be_made():
    images = data(classes=6)
    assert len(scenes_for(6)) == len(SCENES) - 1
    for scene in scenes_for(6).values():
        session = LiveSession(images=images, name="scene", batch=16, dim=3, device="cpu", **scene.settings)
        try:
            session.run(2, block=True)
        except RuntimeError:
            assert "rate" in scene.title
        session.stop()


def test_selection_is_one_for_all_views(lab):
    shown = lab()
    shown.session.run(2, block=True)
    shown.refresh()
    shown.selection.classes = (3, 1, 3)
    shown.selection.samples = [5, 2]
    assert shown.selection.classes == (1, 3)
    assert shown.hardness.lit.sum() == shown.similarities.lit.sum() == 2


def test_saved_and_opened_again(lab, tmp_path):
    shown = lab()
    shown.session.run(4, block=True)
    shown.session.set(m0=0.2)
    shown.session.run(2, block=True)
    shown.theta = 1.1
    shown.selection.classes = (2,)
    path = shown.save(tmp_path / "lab.json")
    again = Lab.load(path, images=data(), name="again")
    try:
        assert again.session.agrees
        assert (again.theta, again.selection.classes, again.session.job.step) == (1.1, (2,), 6)
    finally:
        again.close()
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 7'))
    with pytest.raises(InputError, match=r"lab\.json is of schema 7"):
        Lab.load(path, images=data())


def test_export_writes_what_is_shown(lab, tmp_path, monkeypatch):
    monkeypatch.setattr("workbench.panels.export.find_spec", lambda name: None)  # no image files, which need a browser
    shown = lab()
    shown.session.run(4, block=True)
    shown.session.set(m0=0.2)
    shown.session.step()
    files = {path.name for path in shown.export(tmp_path / "found")}
    assert files == {"lab.html", "call.py", "session.json", "samples.csv", "steps.csv", "events.csv"}
    with (tmp_path / "found/samples.csv").open() as file:
        rows = list(csv.DictReader(file))
    seen = shown.snapshot
    own = [float(row["own_cosine"]) for row in rows]
    assert np.allclose(own, seen.cos[np.arange(48), seen.y], atol=1e-6)
    with (tmp_path / "found/events.csv").open() as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["m0"]
    assert json.loads((tmp_path / "found/session.json").read_text())["at"] == 5
    page = (tmp_path / "found/lab.html").read_text()
    assert "<script src" not in page
    assert page.count("<figure") == 5
    with pytest.raises(InputError, match="exists already"):
        shown.export(tmp_path / "found")


def test_the_call_makes_the_lab_again(lab):
    session = lab().session
    said = python_call(session, math.radians(70))
    made = eval(said, {"Lab": dict})
    assert made == {
        "method": "npcface",
        "batch": 16,
        "dim": 3,
        "lr": 0.1,
        "steps": 60,
        "device": "cpu",
        "theta": 1.22173,
    }


def test_closing_ends_its_threads(lab):
    shown = lab(name="closing")
    shown.session.play()
    assert find_threads("refresh")
    assert find_threads("worker of closing")
    shown.close()
    join_threads("refresh")
    join_threads("worker of closing")


def test_running_the_cell_again_leaves_nothing_of_the_old_lab():
    def made():
        return Lab(LiveSession(config(dim=3), images=data(), name="rerun"))

    old = made()
    gone = weakref.ref(old)
    (thread,) = find_threads("refresh")
    del old
    new = made()
    thread.join()  # ends when its lab is closed
    for _ in range(600):  # a thread may still hold a reference to the lab
        gc.collect()
        if gone() is None:
            break
        time.sleep(0.1)
    new.close()
    assert gone() is None


def test_a_margin_of_ones_own(lab):
    shown = lab(margin=ArcFace(m=0.2), method="norm_softmax")
    shown.session.run(2, block=True)
    shown.refresh()
    assert shown.curves.wait()
    assert shown.curves.result.margin == shown.session.job.objective.margin


def test_mean_hard_cosine_is_the_mean_over_samples_with_hard_negatives(lab):
    shown = lab(method="arcface", recipe="preset")
    shown.session.run(2, block=True)
    shown.refresh()
    seen, margin = shown.snapshot, shown.session.tuning.composed.margin_of(shown.session.tuning.values | {"m": 0.5})
    means = []
    for cos, y in zip(seen.cos, seen.y, strict=True):
        hard = [c for j, c in enumerate(cos) if j != y and c > math.cos(math.acos(cos[y]) + 0.5)]
        if hard:
            means.append(np.mean(hard))
    found = mean_hard_cosine(margin, seen)
    assert found is None or found == pytest.approx(np.mean(means), abs=1e-5)


def test_two_sessions_side_by_side():
    a = LiveSession(config(dim=3, recipe="preset"), images=data(), name="A")
    both = Versus(a, a.fork("B"))
    try:
        both.run(3)
        assert all(x == y for x, y in both.differences().values() if not math.isnan(x))
        both.sessions[1].set(method="arcface", m=0.1)
        both.run(3)
        assert any(x != y for x, y in both.differences().values())
        assert [s.at for s in both.sessions] == [6, 6]
        with pytest.raises(InputError, match="compare it with its fork"):
            Versus(a, a)
    finally:
        both.close()
    with pytest.raises(InputError, match="different images"):
        Versus(a, LiveSession(config(dim=3), images=data(seed=1), name="C"))
