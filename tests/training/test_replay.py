"""Replay of a live session: the same bits again, and records that are refused."""

import json
import time

import numpy as np
import pytest
from trainings import bits, session_images

from workbench.core.errors import InputError
from workbench.margins import ArcFace
from workbench.training.live.replay import record, replay, save


def changed_often(session, seed=0):
    """50 changes, 2 snapshots and restores, one method switch, one reset of the weights, an undo."""
    rng = np.random.default_rng(seed)
    for i in range(50):
        session.set(**{("m0", "m1", "s", "lr")[i % 4]: float(rng.uniform(0.05, 0.4)) * (60 if i % 4 == 2 else 1)})
        if i % 3 == 0:
            session.run(int(rng.integers(1, 4)), block=True)
        if i in (10, 20):
            session.snapshot(f"at {i}")
        if i in (15, 30):
            session.restore(f"at {10 if i == 15 else 20}")
    session.reset_weights()
    session.run(2, block=True)
    session.set(method="arcface")
    session.run(2, block=True)
    session.undo()
    session.step()


def test_replay_gives_the_same_bits(live, tmp_path):
    session = live()
    changed_often(session)
    path = save(session, tmp_path / "session.json")
    again = replay(path, images=session_images())
    try:
        assert again.agrees
        assert (again.at, again.job.step) == (session.at, session.job.step)
        assert bits(again) == bits(session)
        assert [e.events for e in again.log] == [e.events for e in session.log]
        assert [s.loss for s in again.steps] == [s.loss for s in session.steps]
    finally:
        again.stop()


def test_replay_of_changes_made_while_it_played(live):
    session = live()
    session.play()
    for i in range(20):
        session.set(m0=i / 100, t=1 + i / 100)
        time.sleep(0.01)
    session.pause()
    again = replay(record(session), images=session_images())
    try:
        assert again.agrees
    finally:
        again.stop()


def test_replay_of_a_margin_of_ones_own_asks_for_it(live):
    session = live(margin=ArcFace(m=0.2), method="norm_softmax")
    session.run(3, block=True)
    session.set(m=0.1)
    session.step()
    saved = record(session)
    with pytest.raises(InputError, match="give it as margin="):
        replay(saved, images=session_images())
    again = replay(saved, images=session_images(), margin=ArcFace(m=0.2))
    try:
        assert again.agrees
    finally:
        again.stop()


def test_replay_that_ends_elsewhere_says_so(live):
    session = live()
    session.run(2, block=True)
    saved = record(session) | {"fingerprint": "0", "versions": {"torch": "1.0"}}
    again = replay(saved, images=session_images())
    try:
        assert again.agrees is False
        assert "torch 1.0 then" in again.notes[-1]
    finally:
        again.stop()


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda known: known.pop("schema"), "is not a saved session"),
        (lambda known: known.update(schema=99), "schema 99"),
        (lambda known: known.pop("log"), "'log' is missing"),
        (lambda known: known["log"].append({"do": "set"}), r"log\[1\].at' is missing"),
        (lambda known: known["config"].update(method="arcfase"), "arcface"),
        (lambda known: known.update(images="0"), "other images"),
        (lambda known: known.update(margin={}), "'margin.name' is missing"),
        (lambda known: known.update(threads="2"), "threads is '2'; expected a whole number from 1 to 1024"),
    ],
)
def test_a_bad_record_is_one_clear_line(live, tmp_path, edit, says):
    session = live()
    session.set(m0=0.2)
    session.step()
    path = save(session, tmp_path / "session.json")
    known = json.loads(path.read_text())
    edit(known)
    path.write_text(json.dumps(known))
    with pytest.raises(InputError, match=says) as caught:
        replay(path, images=session_images())
    assert "\n" not in str(caught.value)


def test_a_cut_file_is_one_clear_line(live, tmp_path):
    path = save(live(), tmp_path / "session.json")
    path.write_text(path.read_text()[:100])
    with pytest.raises(InputError, match=r"session\.json is missing or damaged"):
        replay(path)
