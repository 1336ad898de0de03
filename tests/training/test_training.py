"""fit, batches, events and checkpoints on tiny images: determinism, live changes, faults."""

import math

import numpy as np
import pytest
import torch
from trainings import noisy_images, tiny

from workbench.core.errors import InputError
from workbench.data.sampling import stratified_sample
from workbench.methods import METHODS
from workbench.training import checkpoint
from workbench.training.batches import augment, batch_indices, make_sampler
from workbench.training.events import warm_up
from workbench.training.fit import Job, fit, learning_rate


def settings(**changes):
    return tiny(**{"method": "npcface", "steps": 12, "batch": 16, "lr": 0.1} | changes)


def train(config, classes=6, **kwargs):
    x, y = noisy_images(classes=classes)
    job = Job.start(config, classes, 16)
    return job, list(fit(job, x, y, **kwargs))


def weights(job):
    return torch.cat([p.detach().flatten() for p in [*job.backbone.parameters(), *job.objective.parameters()]])


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_every_method_learns_through_the_one_loop(name):
    _, steps = train(settings(method=name, steps=40, lr=0.05))
    assert [s.step for s in steps] == list(range(40))
    losses = [s.loss for s in steps]
    assert all(math.isfinite(loss) for loss in losses)
    assert np.mean(losses[-5:]) < np.mean(losses[:5])


def test_same_seed_same_bits_and_the_global_generators_are_not_touched():
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    a = weights(train(settings())[0])
    after = (torch.rand(1).item(), np.random.rand())  # noqa: NPY002
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    assert after == (torch.rand(1).item(), np.random.rand())  # noqa: NPY002
    assert torch.equal(a, weights(train(settings())[0]))
    assert not torch.equal(a, weights(train(settings(seed=1))[0]))


def test_methods_of_one_seed_start_alike():
    jobs = {name: Job.start(settings(method=name), 6, 16) for name in METHODS}
    first = jobs["arcface"]
    for name, job in jobs.items():
        pairs = zip(first.backbone.parameters(), job.backbone.parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs), name
        if METHODS[name].has_logits and job.objective.centers.sub == 1:
            assert torch.equal(first.objective.centers.weight, job.objective.centers.weight), name


def test_a_batch_of_a_method_that_compares_samples_has_several_of_each_identity():
    _, y = noisy_images()
    draw = make_sampler(y, 4)
    for step in range(3):
        chosen = draw(12, step, 0)
        _, counts = np.unique(y[chosen], return_counts=True)
        assert counts.tolist() == [4, 4, 4]
        assert torch.equal(chosen, draw(12, step, 0))
    assert not torch.equal(draw(12, 0, 0), draw(12, 1, 0))


@pytest.mark.parametrize("method", ["adaptiveface", "uniface"])
def test_what_a_loss_learns_moves_stays_in_range_and_is_not_decayed(method):
    x, y = noisy_images()
    job = Job.start(settings(method=method, recipe="preset", steps=3), 6, 16)
    before = [value.detach().clone() for value in job.objective.learned.values()]
    for _ in fit(job, x, y):
        pass
    assert not any(torch.equal(a, b) for a, b in zip(before, job.objective.learned.values(), strict=True))
    assert [group["weight_decay"] for group in job.optimizer.param_groups] == [job.config.weight_decay, 0.0]
    if method == "adaptiveface":
        assert 0 <= job.objective.learned["m"].min() <= job.objective.learned["m"].max() <= 1


def test_bf16_trains_close_to_float32():
    x, y = noisy_images()
    losses = [
        [step.loss for step in fit(Job.start(settings(precision=p, recipe="preset", steps=6), 6, 16), x, y)]
        for p in ("fp32", "bf16")
    ]
    assert losses[0] != losses[1]
    assert np.allclose(losses[0][:2], losses[1][:2], rtol=0.02)  # then the paths part, as two seeds would
    assert losses[1][-1] < losses[1][0]


def test_a_live_change_and_a_scheduled_one_are_the_same_event():
    x, y = noisy_images()
    config = settings(recipe="preset")
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
    job = Job.start(settings(recipe="preset"), 6, 16)
    before = job.objective.parameters_now()
    for name, value in (("m0", 9), ("lr", 0), ("margin", 1)):
        with pytest.raises(InputError):
            job.change({name: value})
    assert job.objective.parameters_now() == before
    assert job.lr == 0.1


def test_warm_up_starts_without_effect_and_ends_at_the_recipe():
    config = settings(steps=600)
    events = config.schedule()
    first = {e.name: e.new for e in events if e.step == 0}
    last = {e.name: e.new for e in events if e.step == 200}
    assert first == {"m0": 0.0, "m1": 0.0, "t": 1.0, "alpha": 0.0}
    assert last == pytest.approx({"m0": 0.24, "m1": 0.12, "t": 1.06, "alpha": 0.15})
    assert config.settings()["s"] == 24
    assert max(e.step for e in events) == 200
    assert settings(recipe="preset").schedule() == ()
    assert settings(parameters={"m0": 0.1, "s": 10}).settings()["m0"] == 0.1
    assert len({e.step for e in warm_up(METHODS["arcface"].margin(), 3)}) == 4


def test_batches_are_epochs_without_repetition():
    drawn = torch.cat([batch_indices(10, 4, step, seed=3) for step in range(5)])
    assert sorted(drawn[:10].tolist()) == list(range(10))
    assert sorted(drawn[10:].tolist()) == list(range(10))
    assert drawn[:10].tolist() != drawn[10:].tolist()
    large = batch_indices(3, 8, 1, seed=0)
    assert len(large) == 8


def test_augmentation_keeps_shape_and_range_and_depends_on_the_step():
    x = torch.from_numpy(noisy_images()[0]).permute(0, 3, 1, 2)
    a, b = augment(x, 0, 0), augment(x, 1, 0)
    assert a.shape == x.shape
    assert a.min() >= 0
    assert a.max() <= 255
    assert torch.equal(a, augment(x, 0, 0))
    assert not torch.equal(a, b)


def test_learning_rate_rises_then_falls():
    rates = [learning_rate(0.1, step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.02)
    assert max(rates) == pytest.approx(0.1)
    assert np.argmax(rates) <= 6
    assert rates[-1] < 1e-3
    assert np.all(np.diff(rates[6:]) < 0)


def test_label_beyond_the_classes_and_too_few_images():
    x, y = noisy_images()
    job = Job.start(settings(), 3, 16)
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
            settings(**changes).settings()
        assert words in str(error.value)
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="no CUDA device"):
            Job.start(settings(device="cuda"), 6, 16)


def test_stratified_sample_has_every_identity_and_is_seeded():
    labels = np.repeat(np.arange(7), [1, 2, 3, 9, 9, 9, 9])
    chosen = stratified_sample(labels, 100, per_class=4)
    assert np.bincount(labels[chosen]).tolist() == [1, 2, 3, 4, 4, 4, 4]
    assert np.array_equal(chosen, stratified_sample(labels, 100, per_class=4, seed=0))
    assert len(set(labels[stratified_sample(labels, 7, per_class=4)])) == 7


@pytest.mark.parametrize(
    ("centers", "class_set"),
    [
        ("sampled", {"max_active": 5}),
        ("queued", {"max_active": 5, "K": 2, "precision": "fp32", "refresh_every": 4, "refresh_delay": 2}),
    ],
)
def test_a_part_of_the_classes_trains_and_resumes_to_the_same_bits(centers, class_set, tmp_path):
    x, y = noisy_images()
    config = settings(steps=10, centers=centers, class_set=class_set)
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
            Job.start(settings(**options), 6, 16)
