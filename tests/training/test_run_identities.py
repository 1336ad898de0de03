"""A run refers to its images by name and content: added identities are left out, exchanged images are refused."""

import json
import shutil

import numpy as np
import pytest
from trainings import stop_at, tiny, write_person

from workbench.core.errors import InputError
from workbench.core.record import Run
from workbench.data.digests import describe_images, select_recorded
from workbench.data.images import load
from workbench.training.evaluate import evaluate
from workbench.training.live.replay import replay, save
from workbench.training.live.session import LiveSession
from workbench.training.run import CHECKPOINT, resume, train


@pytest.fixture
def people(tmp_path):
    for i in range(10):
        write_person(tmp_path / "people", f"p{i}", i)
    return tmp_path / "people"


def settings(data, **changes):
    return tiny(
        data=str(data), **{"size": None, "width": 0.25, "steps": 8, "snapshots": 2, "batch": 8, "test": 0.4} | changes
    )


def stopped_run(data, path):
    with pytest.raises(KeyboardInterrupt):
        train(settings(data), path, stop_at(5))
    return path


def test_a_person_who_is_added_changes_neither_results_nor_bits(people, tmp_path):
    whole, cut = tmp_path / "whole", stopped_run(f"folder:{people}", tmp_path / "cut")
    train(settings(f"folder:{people}"), whole)
    before, said = evaluate(whole), []
    write_person(people, "a0", 99, images=7, size=60)  # sorts first, and would change the default size
    write_person(people, "a1", 98, images=7, size=60)
    assert evaluate(whole, on_message=said.append) == before
    assert said == [f"{whole}: new identities in folder:{people} are ignored: 2 ('a0', 'a1')"]
    resume(cut)
    assert (cut / CHECKPOINT).read_bytes() == (whole / CHECKPOINT).read_bytes()


def test_exchanged_images_are_refused_in_a_line_and_nothing_is_written(people, tmp_path):
    path = stopped_run(f"folder:{people}", tmp_path / "run")
    names = Run.open(path).split["train_names"]
    write_person(people, names[1], 77)
    before = (path / "run.json").read_bytes()
    with pytest.raises(InputError, match=rf"the images of 1 of its 6 identities .* have changed: '{names[1]}'") as said:
        resume(path)
    assert "\n" not in str(said.value)
    assert (path / "run.json").read_bytes() == before
    shutil.rmtree(people / names[1])
    with pytest.raises(InputError, match=rf"lacks 1 of its 6 identities: '{names[1]}'"):
        resume(path)


def test_a_test_image_that_is_missing_is_refused(people, tmp_path):
    train(settings(f"folder:{people}"), tmp_path / "run")
    name = Run.open(tmp_path / "run").split["test_names"][0]
    (people / name / "0.png").unlink()
    with pytest.raises(InputError, match=f"have changed: '{name}'"):
        evaluate(tmp_path / "run")
    assert not (tmp_path / "run" / "results.json").exists()


def test_a_relative_path_that_leads_elsewhere_says_where(people, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train(settings("folder:people"), tmp_path / "run")
    there = tmp_path / "there"
    for i in range(10):
        write_person(there / "people", f"p{i}", 50 + i)
    monkeypatch.chdir(there)
    with pytest.raises(InputError, match=rf"have changed: .*the path is relative, and means {there / 'people'} now"):
        evaluate(tmp_path / "run")


def test_images_in_another_order_are_found_where_each_identity_has_its_own(people):
    data = load(f"folder:{people}", 16)
    known = describe_images(data)
    back = data.take(np.concatenate([np.flatnonzero(data.labels == k) for k in range(9, -1, -1)]))
    images, remarks = select_recorded(back, known, "run")
    assert np.array_equal(images.images, data.images)
    assert np.array_equal(images.labels, data.labels)
    assert remarks == []
    with pytest.raises(InputError, match="have changed"):
        select_recorded(data.take(np.arange(len(data))[::-1]), known, "run")


def test_a_run_without_digests_is_compared_by_names_only(people, tmp_path):
    path = tmp_path / "run"
    train(settings(f"folder:{people}"), path)
    split = json.loads((path / "split.json").read_text())
    for name in ("train_digests", "train_order", "test_digests", "test_order"):
        del split[name]
    (path / "split.json").write_text(json.dumps(split))
    write_person(people, "a0", 99)
    said = []
    evaluate(path, on_message=said.append)
    assert len(said) == 2
    assert "no digests of its images are recorded: identities are compared by name only" in said[0]


def test_another_decoder_is_told_and_not_called_other_images(people, tmp_path):
    path = tmp_path / "run"
    train(settings(f"folder:{people}"), path)
    name = Run.open(path).split["test_names"][0]
    write_person(people, name, 77)
    info = json.loads((path / "run.json").read_text())
    info["versions"]["pillow"] = "0.1"
    (path / "run.json").write_text(json.dumps(info))
    said = []
    evaluate(path, on_message=said.append)
    assert len(said) == 1
    assert "1 identities are decoded to other bytes (pillow 0.1 then, " in said[0]


def test_a_session_replays_on_its_own_identities_only(people, tmp_path):
    session = LiveSession(settings(f"folder:{people}", steps=None, method="arcface"), name="first")
    session.run(3, block=True)
    path = save(session, tmp_path / "session.json")
    session.stop()
    write_person(people, "a0", 99, images=7, size=60)
    again = replay(path)
    assert again.agrees
    assert again.images.classes == 10
    assert any("are ignored: 1 ('a0')" in note for note in again.notes)
    again.stop()
    write_person(people, "p3", 5)
    with pytest.raises(InputError, match=r"session\.json: the images of 1 of its 10 identities .* 'p3'"):
        replay(path)
