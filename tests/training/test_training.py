"""fit, recipe, events, checkpoint, record and run on tiny images: determinism, live changes, faults, resuming."""

import json
import math
import os

import numpy as np
import pytest
import torch

from workbench.core.errors import InputError
from workbench.core.record import Run, Snapshot
from workbench.methods import METHODS
from workbench.training import checkpoint
from workbench.training import fit as fitting
from workbench.training import run as runs
from workbench.training.config import Config
from workbench.training.events import warm_up
from workbench.training.fit import Job, TrainingFault, augmented, batch_indices, fit, learning_rate


def tiny(**changes):
    values = {"method": "npcface", "data": "digits", "size": 16, "steps": 12, "batch": 16, "dim": 8, "snapshots": 3}
    return Config(**(values | {"lr": 0.1, "device": "cpu"} | changes))


def images(n=60, classes=6, size=16, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    patterns = rng.integers(0, 256, (classes, size, size, 3))
    return np.clip(patterns[labels] + rng.normal(0, 30, (n, size, size, 3)), 0, 255).astype(np.uint8), labels


def train(config, classes=6, **kwargs):
    x, y = images(classes=classes)
    job = Job.start(config, classes, 16)
    return job, list(fit(job, x, y, **kwargs))


def weights(job):
    return torch.cat([p.detach().flatten() for p in [*job.backbone.parameters(), *job.objective.parameters()]])


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_every_method_learns_through_the_one_loop(name):
    _, steps = train(tiny(method=name, steps=40, lr=0.05))
    assert [s.step for s in steps] == list(range(40))
    losses = [s.loss for s in steps]
    assert all(math.isfinite(loss) for loss in losses)
    assert np.mean(losses[-5:]) < np.mean(losses[:5])


def test_same_seed_same_bits_and_the_global_generators_are_not_touched():
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    a = weights(train(tiny())[0])
    after = (torch.rand(1).item(), np.random.rand())  # noqa: NPY002
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    assert after == (torch.rand(1).item(), np.random.rand())  # noqa: NPY002
    assert torch.equal(a, weights(train(tiny())[0]))
    assert not torch.equal(a, weights(train(tiny(seed=1))[0]))


def test_methods_of_one_seed_start_alike():
    jobs = {name: Job.start(tiny(method=name), 6, 16) for name in METHODS}
    first = jobs["arcface"]
    for name, job in jobs.items():
        pairs = zip(first.backbone.parameters(), job.backbone.parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs), name
        if METHODS[name].has_logits and job.objective.centers.sub == 1:
            assert torch.equal(first.objective.centers.weight, job.objective.centers.weight), name


def test_a_batch_of_a_method_that_compares_samples_has_several_of_each_identity():
    _, y = images()
    draw = fitting.sampler(y, 4)
    for step in range(3):
        chosen = draw(12, step, 0)
        _, counts = np.unique(y[chosen], return_counts=True)
        assert counts.tolist() == [4, 4, 4]
        assert torch.equal(chosen, draw(12, step, 0))
    assert not torch.equal(draw(12, 0, 0), draw(12, 1, 0))


@pytest.mark.parametrize("method", ["adaptiveface", "uniface"])
def test_what_a_loss_learns_moves_stays_in_range_and_is_not_decayed(method):
    x, y = images()
    job = Job.start(tiny(method=method, recipe="preset", steps=3), 6, 16)
    before = [value.detach().clone() for value in job.objective.learned.values()]
    for _ in fit(job, x, y):
        pass
    assert not any(torch.equal(a, b) for a, b in zip(before, job.objective.learned.values(), strict=True))
    assert [group["weight_decay"] for group in job.optimiser.param_groups] == [job.config.weight_decay, 0.0]
    if method == "adaptiveface":
        assert 0 <= job.objective.learned["m"].min() <= job.objective.learned["m"].max() <= 1


def test_bf16_trains_close_to_float32():
    x, y = images()
    losses = [
        [step.loss for step in fit(Job.start(tiny(precision=p, recipe="preset", steps=6), 6, 16), x, y)]
        for p in ("fp32", "bf16")
    ]
    assert losses[0] != losses[1]
    assert np.allclose(losses[0][:2], losses[1][:2], rtol=0.02)  # then the paths part, as two seeds would
    assert losses[1][-1] < losses[1][0]


def test_a_live_change_and_a_scheduled_one_are_the_same_event():
    x, y = images()
    config = tiny(recipe="preset")
    seen = []
    live = Job.start(config, 6, 16)
    steps = fit(live, x, y, on_event=seen.append)
    for _ in range(5):
        next(steps)
    steps.send({"m0": 0.3, "lr": 0.05})
    for _ in steps:
        pass
    assert [(e.step, e.name, e.old, e.new) for e in seen] == [(5, "m0", 0.4, 0.3), (5, "lr", 0.1, 0.05)]
    replayed = Job.start(config, 6, 16)
    list(fit(replayed, x, y, schedule=tuple(seen)))
    assert torch.equal(weights(live), weights(replayed))


def test_a_refused_change_leaves_the_job_as_it_was():
    job = Job.start(tiny(recipe="preset"), 6, 16)
    before = job.objective.parameters_now()
    for name, value in (("m0", 9), ("lr", 0), ("margin", 1)):
        with pytest.raises(InputError):
            job.change({name: value})
    assert job.objective.parameters_now() == before
    assert job.lr == 0.1


def test_warm_up_starts_without_effect_and_ends_at_the_recipe():
    config = tiny(steps=600)
    events = config.schedule()
    first = {e.name: e.new for e in events if e.step == 0}
    last = {e.name: e.new for e in events if e.step == 200}
    assert first == {"m0": 0.0, "m1": 0.0, "t": 1.0, "alpha": 0.0}
    assert last == pytest.approx({"m0": 0.24, "m1": 0.12, "t": 1.06, "alpha": 0.15})
    assert config.settings()["s"] == 24
    assert max(e.step for e in events) == 200
    assert tiny(recipe="preset").schedule() == ()
    assert tiny(parameters={"m0": 0.1, "s": 10}).settings()["m0"] == 0.1
    assert len({e.step for e in warm_up(METHODS["arcface"].margin(), 3)}) == 4


def test_batches_are_epochs_without_repetition():
    drawn = torch.cat([batch_indices(10, 4, step, seed=3) for step in range(5)])
    assert sorted(drawn[:10].tolist()) == list(range(10))
    assert sorted(drawn[10:].tolist()) == list(range(10))
    assert drawn[:10].tolist() != drawn[10:].tolist()
    large = batch_indices(3, 8, 1, seed=0)
    assert len(large) == 8


def test_augmentation_keeps_shape_and_range_and_depends_on_the_step():
    x = torch.from_numpy(images()[0]).permute(0, 3, 1, 2)
    a, b = augmented(x, 0, 0), augmented(x, 1, 0)
    assert a.shape == x.shape
    assert a.min() >= 0
    assert a.max() <= 255
    assert torch.equal(a, augmented(x, 0, 0))
    assert not torch.equal(a, b)


def test_learning_rate_rises_then_falls():
    rates = [learning_rate(0.1, step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.02)
    assert max(rates) == pytest.approx(0.1)
    assert np.argmax(rates) <= 6
    assert rates[-1] < 1e-3
    assert np.all(np.diff(rates[6:]) < 0)


def test_nan_names_step_and_tensor_and_saves_the_run(tmp_path, monkeypatch):
    real = fitting.train_step

    def poisoned(job, *rest):
        if job.step == 7:
            with torch.no_grad():
                next(job.backbone.parameters()).fill_(float("nan"))
        return real(job, *rest)

    monkeypatch.setattr(fitting, "train_step", poisoned)
    with pytest.raises(TrainingFault, match=r"step 7: the embeddings are not finite; '0\.0\.weight' of the network"):
        runs.train(tiny(), tmp_path / "run")
    run = Run.open(tmp_path / "run")
    assert run.status.startswith("failed: step 7")
    assert len(run.steps["step"]) == 7


def test_label_beyond_the_classes_and_too_few_images():
    x, y = images()
    job = Job.start(tiny(), 3, 16)
    with pytest.raises(InputError, match=r"label 5 is outside 0\.\.2"):
        next(fit(job, x, y))
    with pytest.raises(InputError, match="1 images to train on"):
        next(fit(job, x[:1], y[:1]))


def test_config_names_the_culprit():
    for changes, words in [
        ({"method": "npcfase"}, "did you mean 'npcface'"),
        ({"preset": "facexzo"}, "did you mean 'facexzoo'"),
        ({"backbone": "resnet"}, "unknown backbone"),
        ({"batch": 1}, "batch = 1 is outside [2"),  # batch normalisation has no variance to divide by
        ({"steps": 0}, "steps = 0 is outside"),
        ({"lr": float("nan")}, "lr = nan"),
        ({"recipe": "big"}, "unknown recipe"),
        ({"parameters": {"m": 1}}, "unknown parameter of npcface 'm'"),
    ]:
        with pytest.raises(InputError) as error:
            tiny(**changes).settings()
        assert words in str(error.value)
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="no CUDA device"):
            Job.start(tiny(device="cuda"), 6, 16)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "whole"
    runs.train(tiny(), path)
    runs.evaluate(path)
    return path


def test_a_run_is_read_back(finished):
    run = Run.open(finished)
    assert run.status == "finished"
    assert run.steps["step"].tolist() == list(range(12))
    assert run.snapshot_steps[0] == 1
    assert run.snapshot_steps[-1] == 12
    seen = run.snapshot(12)
    assert seen.cos.shape == (len(seen.x), len(seen.W))
    assert seen.parameters["m0"] == pytest.approx(0.24)
    assert Config.from_json(run.config) == tiny()
    assert set(run.split["train"]).isdisjoint(run.split["test"])
    assert {e["name"] for e in run.events} == {"m0", "m1", "t", "alpha"}
    assert 0 <= run.results["verification"]["eer"] <= 1
    assert [row["step"] for row in run.results["series"]] == run.snapshot_steps
    assert run.curves["far"][-1] == 1
    assert run.config["settings"]["s"] == 24
    assert "torch" in run.info["versions"]


def test_a_run_interrupted_anywhere_resumes_to_the_same_bits(finished, tmp_path):
    path = tmp_path / "cut"

    def interrupted(done, total, what):
        if what.startswith("loss") and done == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runs.train(tiny(), path, interrupted)
    assert Run.open(path).status == "stopped by hand at step 9"
    runs.resume(path)
    for name in ("events.jsonl",):
        assert (path / name).read_text() == (finished / name).read_text()
    a, b = (runs.Run.open(p).snapshot(12) for p in (path, finished))
    assert np.array_equal(a.x, b.x)
    assert np.array_equal(a.W, b.W)
    assert np.array_equal(Run.open(path).steps["loss"], Run.open(finished).steps["loss"])
    with pytest.raises(InputError, match="nothing to resume"):
        runs.resume(path)


def test_a_killed_run_says_so_opens_and_resumes_from_its_last_checkpoint(finished, tmp_path, monkeypatch):
    path = tmp_path / "killed"
    real = fitting.train_step

    class Killed(BaseException):
        pass

    def killed(job, *rest):
        if job.step == 8:
            raise Killed  # nothing after this line runs, as with kill -9
        return real(job, *rest)

    monkeypatch.setattr(fitting, "train_step", killed)
    with pytest.raises(Killed):
        runs.train(tiny(), path)
    monkeypatch.undo()
    info = json.loads((path / "run.json").read_text())
    assert info["status"] == "running"
    info["owner"]["process"] = 1  # alive, as another process
    (path / "run.json").write_text(json.dumps(info))
    with (path / "steps.csv").open("a") as file:
        file.write("8,1.2")  # cut off in the middle of a line
    run = Run.open(path)
    assert run.status == "interrupted"
    assert len(run.steps["step"]) == 8
    runs.resume(path)
    assert np.array_equal(Run.open(path).snapshot(12).W, Run.open(finished).snapshot(12).W)
    assert Run.open(path).steps["step"].tolist() == list(range(12))


def test_damaged_run_folders_are_named(finished, tmp_path):
    with pytest.raises(InputError, match="is not a run"):
        Run.open(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(InputError, match=r"run\.json is missing or damaged"):
        Run.open(tmp_path)
    (tmp_path / "run.json").write_text('{"x": 1}')
    with pytest.raises(InputError, match="'config' is missing"):
        Run.open(tmp_path)
    with pytest.raises(InputError, match="exists already"):
        Run.create(finished, {}, {})
    run = Run.open(finished)
    with pytest.raises(InputError, match="no snapshot of step 5"):
        run.snapshot(5)
    for name, read in [
        ("results.json", lambda r: r.results),
        ("steps.csv", lambda r: r.steps),
        ("split.json", lambda r: r.split),
        ("curves.npz", lambda r: r.curves),
        ("events.jsonl", lambda r: r.events),
    ]:
        broken = Run(tmp_path, run.info)
        (tmp_path / name).write_bytes(b"\x00{[\n")
        with pytest.raises(InputError, match=name.replace(".", r"\.")):
            read(broken)


def test_a_checkpoint_of_another_network_changes_nothing(finished, tmp_path):
    job = Job.start(tiny(dim=4), 8, 16)
    before = weights(job)
    with pytest.raises(InputError, match="another backbone"):
        checkpoint.load(job, finished / runs.CHECKPOINT)
    (tmp_path / "cut.safetensors").write_bytes((finished / runs.CHECKPOINT).read_bytes()[:999])
    with pytest.raises(InputError, match=r"cut\.safetensors is missing or damaged"):
        checkpoint.load(job, tmp_path / "cut.safetensors")
    assert torch.equal(before, weights(job))


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(checkpoint, "save", full)
    with pytest.raises(InputError, match=r"cannot write to .*No space left"):
        runs.train(tiny(), tmp_path / "run")


def test_nothing_half_written_is_left(tmp_path):
    run = Run.create(tmp_path / "run", {"config": {}}, {})
    with pytest.raises(ValueError, match="could not"):
        run.add_snapshot(Snapshot(1, np.zeros((2, 2)), np.zeros(2), np.array(["could not"]), {}))
    assert list((tmp_path / "run" / "snapshots").iterdir()) == []


def test_stratified_sample_has_every_identity_and_is_seeded():
    labels = np.repeat(np.arange(7), [1, 2, 3, 9, 9, 9, 9])
    chosen = runs.stratified(labels, 4, 100, seed=0)
    assert np.bincount(labels[chosen]).tolist() == [1, 2, 3, 4, 4, 4, 4]
    assert np.array_equal(chosen, runs.stratified(labels, 4, 100, seed=0))
    assert len(set(labels[runs.stratified(labels, 4, 7, seed=0)])) == 7


@pytest.mark.parametrize(
    ("centers", "class_set"),
    [
        ("sampled", {"max_active": 5}),
        ("queued", {"max_active": 5, "K": 2, "precision": "fp32", "refresh_every": 4, "refresh_delay": 2}),
    ],
)
def test_a_part_of_the_classes_trains_and_resumes_to_the_same_bits(centers, class_set, tmp_path):
    x, y = images()
    config = tiny(steps=10, centers=centers, class_set=class_set)
    whole = Job.start(config, 6, 16)
    losses = [step.loss for step in fit(whole, x, y)]
    assert np.isfinite(losses).all()
    cut = Job.start(config, 6, 16)
    for _, _ in zip(range(5), fit(cut, x, y), strict=False):
        pass
    checkpoint.save(cut, tmp_path / "cut.safetensors")
    again = checkpoint.load(Job.start(config, 6, 16), tmp_path / "cut.safetensors")
    assert [step.loss for step in fit(again, x, y)] == losses[5:]
    assert torch.equal(again.objective.centers.weight, whole.objective.centers.weight)


def test_bad_class_sets_name_the_culprit():
    for options, words in (
        ({"centers": "sample"}, "did you mean 'sampled'"),
        ({"centers": "sampled", "class_set": {"rat": 0.1}}, "did you mean 'rate'"),
        ({"centers": "queued", "method": "triplet"}, "compares samples with each other"),
    ):
        with pytest.raises(InputError, match=words):
            Job.start(tiny(**options), 6, 16)
