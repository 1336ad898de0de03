"""LiveSession, its worker and replay: live changes, run controls, snapshots, forks, faults, and the same bits again."""

import threading
import time

import numpy as np
import pytest
import torch
from trainings import bits, session_config, session_images

from workbench.core.errors import InputError
from workbench.methods import METHODS
from workbench.training import fit as fitting
from workbench.training.batches import Feed
from workbench.training.fit import Job
from workbench.training.live import session as sessions
from workbench.training.live import trainer
from workbench.training.live.replay import fingerprint, record, replay
from workbench.training.live.tuning import Tuning


def test_runs_steps_and_pauses(live):
    session = live()
    assert (session.status, session.at) == ("paused", 0)
    session.run(5, block=True)
    session.step()
    assert session.at == session.job.step == 6
    assert [step.step for step in session.steps] == list(range(6))
    session.play()
    while session.at < 10:  # the limit of pytest-timeout ends a session that never gets there
        time.sleep(0.01)
    session.pause()
    session.between(lambda: None)  # the step that was being taken is over
    taken = session.at
    time.sleep(0.1)
    assert session.at == taken >= 10
    assert session.status == "paused"
    session.stop()
    assert session.status == "stopped"
    with pytest.raises(InputError, match="was stopped"):
        session.play()


def test_blocking_run_is_the_fit_of_the_same_seed(live):
    """The learning rates differ by design, so both get the same constant one."""
    session = live(recipe="preset")
    session.run(8, block=True)
    images = session_images()
    job = Job.start(session_config(recipe="preset"), images.classes, images.size)
    feed = Feed(job, images.images, images.labels, 1)
    for step in range(8):
        fitting.train_step(job, *feed(step), 0.1 * min(1, (step + 1) / trainer.RAMP), time.perf_counter())
    assert fingerprint(job) == bits(session)


def test_a_change_is_an_event_and_holds_from_the_next_step_on(live):
    session = live(recipe="preset")
    session.run(3, block=True)
    session.set(m0=0.25, lr=0.05)
    session.step()
    assert session.job.objective.margin.m0 == 0.25
    assert session.job.lr == 0.05
    assert {(e.step, e.name, e.old, e.new) for e in session.events} == {(3, "m0", 0.4, 0.25), (3, "lr", 0.1, 0.05)}
    assert session.log[0].at == 3


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"m0": 9.0}, "outside"),
        ({"margin": 0.3}, "unknown parameter of npcface 'margin'"),
        ({"method": "arcfase"}, "arcface"),
        ({"preset": "svx"}, "preset of npcface"),
        ({"weighting": "best"}, "weighting"),
        ({"lr": 0.0}, "lr"),
        ({"method": "magface", "l_m": 0.8, "u_m": 0.2}, "u_m"),
    ],
)
def test_what_cannot_be_is_refused_whole(live, changes, says):
    session = live()
    before = session.tuning
    with pytest.raises(InputError, match=says):
        session.set(**{"s": 30.0} | changes)
    assert session.tuning is before


def test_another_method_keeps_the_centers_and_their_momentum(live):
    session = live(recipe="preset")
    session.run(3, block=True)
    weight = session.job.objective.centers.weight
    momentum = session.job.optimizer.state[weight]["momentum_buffer"].clone()
    session.set(method="curricularface")
    session.between(lambda: None)
    assert session.job.objective.centers.weight is weight
    assert torch.equal(session.job.optimizer.state[weight]["momentum_buffer"], momentum)
    assert session.log[-1].note == "centers kept; state of the margin new"
    session.run(2, block=True)
    assert float(session.job.objective.state["t"]) > 0
    session.set(weighting="focal", gamma=1.0)
    session.step()
    assert session.log[-1].note == "centers kept; state of the margin kept"
    assert float(session.job.objective.state["t"]) > 0
    session.set(method="subcenter_arcface")
    session.step()
    assert "centers new" in session.log[-1].note
    assert len(session.job.objective.centers.weight) == 18


@pytest.mark.slow
@pytest.mark.parametrize("name", ["triplet", "softmax", "adaptiveface", "uniface", "adacos", "magface", "center_loss"])
def test_there_and_back_by_any_method(live, name):
    session = live()
    session.set(method=name)
    session.run(2, block=True)
    session.set(method="npcface")
    session.run(2, block=True)
    assert session.tuning.method == "npcface"


def test_undo_takes_back_one_set_and_not_the_warm_up(live):
    session = live(steps=30)
    session.run(3, block=True)
    warm = session.tuning.values["m1"]
    session.set(m0=0.3)
    session.set(lr=0.01)
    session.run(3, block=True)
    assert session.tuning.values["m1"] > warm
    warmer = session.tuning.values["m1"]
    assert session.undo()
    assert session.undo()
    assert not session.undo()
    assert (session.tuning.lr, session.tuning.values["m1"]) == (0.1, warmer)
    assert session.redo()
    assert session.tuning.values["m0"] == 0.3
    session.set(s=20)
    assert not session.redo()


def test_the_warm_up_leaves_alone_what_a_hand_has_set(live):
    session = live(steps=30)
    session.set(m0=0.01)
    session.run(12, block=True)
    full = session.config.settings()
    assert session.tuning.values["m0"] == 0.01
    assert session.tuning.values["m1"] == pytest.approx(full["m1"])
    assert session.job.objective.margin.m1 == pytest.approx(full["m1"])


def test_reset_parameters_and_weights(live):
    session = live(recipe="preset")
    first = bits(session)
    session.run(3, block=True)
    session.set(method="arcface", m=0.1)
    session.reset_parameters()
    session.step()
    assert session.tuning == session.start
    session.reset_weights()
    assert session.job.step == 0
    assert bits(session) == first


def test_restore_goes_on_to_the_same_bits(live):
    session = live()
    session.run(4, block=True)
    name = session.snapshot()
    session.run(5, block=True)
    there = bits(session)
    session.set(method="arcface", lr=0.3)
    session.run(3, block=True)
    session.restore(name)
    assert session.job.step == 4
    session.run(5, block=True)
    assert bits(session) == there
    with pytest.raises(InputError, match="snapshot"):
        session.restore("step 5")


def test_fork_has_the_same_past_and_its_own_future(live):
    session = live()
    session.run(4, block=True)
    other = session.fork()
    try:
        assert bits(other) == bits(session)
        other.set(m0=0.5)
        other.run(2, block=True)
        assert session.at == 4
        session.run(2, block=True)
        assert bits(other) != bits(session)
    finally:
        other.stop()


def test_watching_does_not_change_the_bits(live):
    watched, alone = live(), live(name="alone")
    for _ in range(6):
        watched.step()
        watched.frame()
        watched.between(lambda: None)
        alone.step()
    assert watched.frame().step == 6
    assert watched.frame().x.shape == (48, 4)
    assert bits(watched) == bits(alone)


def test_frame_shows_a_sample_of_every_class(live):
    session = live(sample=12)
    session.frame()
    session.between(lambda: None)
    assert np.bincount(session.frame().y).tolist() == [2] * 6


def test_a_flood_of_changes_leaves_the_last_one_and_few_entries(live):
    session = live(recipe="preset")
    session.play()
    for i in range(1000):
        session.set(m0=i / 2000)
    session.pause()
    session.between(lambda: None)
    assert session.job.objective.margin.m0 == 999 / 2000
    assert len(session.log) < 500


def test_nan_stops_says_so_and_can_be_taken_back(live, monkeypatch):
    session = live()
    session.run(sessions.KEEP, block=True)
    good = bits(session)
    real = trainer.train_step

    def poisoned(job, pixels, y, *rest):
        if job.step == sessions.KEEP + 2:
            return real(job, pixels * float("nan"), y, *rest)
        return real(job, pixels, y, *rest)

    monkeypatch.setattr(trainer, "train_step", poisoned)
    with pytest.raises(RuntimeError, match=f"step {sessions.KEEP + 2}: the embeddings are not finite"):
        session.run(10, block=True)
    assert session.status == "failed"
    with pytest.raises(InputError, match=r"failed: .*restore\(\)"):
        session.play()
    monkeypatch.setattr(trainer, "train_step", real)
    session.restore()
    assert bits(session) == good
    session.run(5, block=True)
    assert session.status == "paused"


def test_making_it_again_leaves_one_trainer(live):
    def trainers():
        return [t for t in threading.enumerate() if t.name == "worker of again"]

    for _ in range(20):
        live(name="again").play()
    assert len(trainers()) == 1


def test_two_sessions_do_not_disturb_each_other(live):
    alone = live(name="alone")
    alone.run(6, block=True)
    a, b = live(name="a"), live(name="b", seed=1)
    b.play()
    a.run(6, block=True)
    b.pause()
    assert bits(a) == bits(alone)


def test_tuning_says_what_makes_one_of_another():
    known = METHODS
    a = Tuning.of(known, session_config(), "npcface", "paper")
    b = a.with_changes(method="focal_softmax", gamma=3.0, lr=0.3)
    assert b.differences(a) == {"method": "focal_softmax", "weighting": "focal", "gamma": 3.0, "lr": 0.3}
    assert a.with_changes(**b.differences(a)) == b
    assert b.with_changes(**a.differences(b)) == a
    assert a.differences(a) == {}


def test_options_of_the_class_set_change_while_it_trains_and_are_restored(live):
    session = live(centers="queued", class_set={"K": 2, "max_active": 6})
    session.run(2, block=True)
    name = session.snapshot()
    session.set(class_set={"max_active": 4, "explore": 0.5})
    session.step()
    assert (session.job.objective.centers.max_active, session.job.objective.centers.options.explore) == (4, 0.5)
    assert {(e.name, e.old, e.new) for e in session.events} == {("max_active", 6, 4.0), ("explore", 0.25, 0.5)}
    session.restore(name)
    assert (session.job.objective.centers.max_active, session.job.objective.centers.options.explore) == (6, 0.25)
    for bad, says in (({"K": 3}, "may change"), ({"explore": 2}, "outside"), ("queued", "mapping")):
        with pytest.raises(InputError, match=says):
            session.set(class_set=bad)
    again = replay(record(session), images=session_images())
    try:
        assert again.agrees
    finally:
        again.stop()
    sampled = live(name="sampled", centers="sampled", class_set={"rate": 0.5})
    sampled.set(class_set={"rate": 0.7})
    sampled.step()
    assert sampled.job.objective.centers.max_active == 5
    with pytest.raises(InputError, match="full centers"):
        live(name="full").set(class_set={"max_active": 4})
