"""Synthetic identities: the sampler against scipy's, the geometry that was asked for, the same bits; and the probe on
them against a plain double loop over `math`."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ive
from scipy.stats import ks_2samp, vonmises_fisher

from workbench.core.errors import InputError
from workbench.data.identities import concentration, families, von_mises_fisher
from workbench.probes.scale import ScaleStudy, scale
from workbench.views.scale import scale_figure
from workbench.views.theme import INK


@pytest.mark.parametrize(("dim", "kappa"), [(2, 3.0), (3, 0.5), (8, 20.0), (64, 150.0)])
def test_samples_are_distributed_as_scipy_draws_them(dim, kappa):
    center = np.zeros(dim)
    center[:2] = 0.6, 0.8
    own = von_mises_fisher(np.tile(center, (4000, 1)), kappa, np.random.default_rng(0))
    other = vonmises_fisher(center, kappa, seed=1).rvs(4000)
    np.testing.assert_allclose(np.linalg.norm(own, axis=1), 1, atol=1e-12)
    assert ks_2samp(own @ center, other @ center).pvalue > 0.01
    assert ks_2samp(own[:, 0], other[:, 0]).pvalue > 0.01


@settings(max_examples=50)
@given(st.integers(2, 600), st.floats(0.05, 1.5))
def test_the_concentration_gives_the_mean_cosine_that_was_asked_for(dim, angle):
    kappa = float(concentration(np.array(angle), dim))
    assert ive(dim / 2, kappa) / ive(dim / 2 - 1, kappa) == pytest.approx(math.cos(angle), rel=0.02)


def test_members_of_a_family_lie_at_the_spread_from_its_center_and_families_anywhere():
    W = families(2000, 64, family=50, spread=0.7).centers().astype(float)
    np.testing.assert_allclose(np.linalg.norm(W, axis=1), 1, atol=1e-6)
    cos = W @ W.T
    same = np.arange(2000)[:, None] // 50 == np.arange(2000) // 50
    np.fill_diagonal(same, False)
    assert cos[same].mean() == pytest.approx(math.cos(0.7) ** 2, abs=0.01)
    np.fill_diagonal(cos, 0)
    assert abs(cos[~same].mean()) < 0.01
    assert cos[~same].std() == pytest.approx(64**-0.5, rel=0.05)


@settings(max_examples=25)
@given(st.integers(2, 300), st.sampled_from([1, 3, 50, 70]), st.integers(0, 5), st.data())
def test_the_same_bits_whatever_is_asked_for(classes, family, seed, data):
    some = families(classes, 5, family=family, seed=seed)
    W = some.centers()
    start = data.draw(st.integers(0, classes - 1))
    end = data.draw(st.integers(start + 1, classes))
    np.testing.assert_array_equal(some.centers(start, end), W[start:end])
    y = np.array(data.draw(st.lists(st.integers(0, classes - 1), max_size=9)), dtype=int)
    np.testing.assert_array_equal(some.centers_of(y), W[y])
    np.testing.assert_array_equal(np.concatenate([block for _, block in some.blocks(7)]), W)
    np.testing.assert_array_equal(families(10**7, 5, family=family, seed=seed).centers(0, classes), W)
    assert not np.array_equal(families(classes, 5, family=family, seed=seed + 1).centers(), W)
    again = families(classes, 5, family=family, seed=seed)
    np.testing.assert_array_equal(some.samples(y, 3), again.samples(y, 3))


def test_samples_lie_as_far_from_their_center_as_was_asked_for_and_differ_by_draw():
    some, y = families(10**7, 128, within=(0.3, 0.9)), np.arange(0, 10**7, 5000)
    x = some.samples(y)
    cos = (x * some.centers_of(y)).sum(axis=1)
    assert x.shape == (2000, 128)
    assert x.dtype == np.float32
    mean = (math.sin(0.9) - math.sin(0.3)) / 0.6  # of the cosine of an angle drawn evenly
    assert cos.mean() == pytest.approx(mean, abs=0.01)
    assert not np.array_equal(x, some.samples(y, draw=1))


@pytest.mark.parametrize("classes", [200, 173])  # the last family is cut short
def test_look_alikes_go_towards_one_of_their_family(classes):
    some = families(classes, 64, family=50, spread=0.9, within=0.05, toward=1.0)
    y = np.arange(classes)
    cos = some.samples(y) @ some.centers().T
    own = cos[y, y].copy()
    cos[y, y] = -1
    nearest = cos.argmax(axis=1)
    assert (nearest // 50 == y // 50).all()
    arc = np.arccos((some.centers_of(y) * some.centers_of(nearest)).sum(axis=1))
    gone = np.arccos(np.clip(own, -1, 1)) / arc
    assert np.mean(gone > 0.5) == pytest.approx(0.5, abs=0.15)
    on_the_arc = np.arccos(np.clip(own, -1, 1)) + np.arccos(np.clip(cos.max(axis=1), -1, 1)) - arc
    assert np.median(on_the_arc) < 0.05


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"classes": 1}, "classes = 1: a whole number of at least 2"),
        ({"dim": 2.5}, "dim = 2.5: a whole number"),
        ({"family": 0}, "family = 0"),
        ({"spread": 0}, "spread = 0"),
        ({"within": (0.9, 0.3)}, "within = "),
        ({"within": 1.6}, "within = 1.6"),
        ({"toward": 1.5}, "toward = 1.5"),
        ({"toward": 0.5, "family": 1}, "toward = 0.5: .* a single class"),
    ],
)
def test_bad_settings_are_one_line(change, says):
    with pytest.raises(InputError, match=f"^{says}"):
        families(**{"classes": 100, "dim": 8} | change)


def test_bad_classes_are_one_line():
    some = families(100, 8)
    with pytest.raises(InputError, match=r"y\[1\] is 100; the classes are 0 to 99"):
        some.samples(np.array([3, 100]))
    with pytest.raises(InputError, match="whole numbers"):
        some.centers_of(np.array([0.5]))
    with pytest.raises(InputError, match="centers 5 to 101"):
        some.centers(5, 101)


def loop(some, sizes, samples, K, share, s, m, seed):
    """What `scale` says, with plain loops: r, misclassified, captured masses and the random mass for each size."""
    rng = np.random.default_rng(seed)
    rank, drawn = rng.permutation(some.classes), rng.random(some.classes) < share
    y = rng.choice(np.flatnonzero(rank < sizes[0]), samples)
    W, x = some.centers().astype(float), some.samples(y, seed).astype(float)
    for size in sizes:
        own, nearest, every, random, queues = [], [], 0, 0, [0] * len(K)
        for i in range(samples):
            others = [j for j in range(some.classes) if rank[j] < size and j != y[i]]
            cos = {j: float(x[i] @ W[j]) for j in others}
            pos = float(x[i] @ W[y[i]])
            if max(cos.values()) > pos:
                own.append(1 - pos)
                nearest.append(1 - max(cos.values()))
            total = math.exp(s * math.cos(math.acos(pos) + m)) + sum(math.exp(s * c) for c in cos.values())
            every += sum(math.exp(s * c) for c in cos.values()) / total
            random += sum(math.exp(s * cos[j]) for j in others if drawn[j]) / total
            near = sorted(others, key=lambda j: -W[y[i]] @ W[j])
            queues = [q + sum(math.exp(s * cos[j]) for j in near[:k]) / total for q, k in zip(queues, K, strict=True)]
        r = np.corrcoef(own, nearest)[0, 1] if len(own) > 2 else math.nan
        yield r, len(own), [q / every for q in queues], random / every


def test_the_probe_says_what_plain_loops_say():
    some, sizes, K = families(300, 16, family=10, within=0.8, toward=1.0), [20, 120, 300], [2, 9]
    found = scale(some, sizes, samples=40, K=K, share=0.3, s=20, m=0.4, seed=1)
    for k, (r, count, captured, random) in enumerate(loop(some, sizes, 40, K, 0.3, 20, 0.4, 1)):
        assert found.count[k] == count
        assert found.r[k] == pytest.approx(r, abs=1e-4, nan_ok=True)
        np.testing.assert_allclose(found.captured[k], captured, rtol=1e-4)
        assert found.random[k] == pytest.approx(random, rel=1e-4)
    assert found.summary()["captured9@300"] == found.captured[2, 1]
    assert found.summary()["count@20"] == found.count[0]


def test_a_queue_holds_a_family_and_nothing_of_loners():
    sizes = [5000]
    family, loners = (scale(families(5000, 512, family=f), sizes, samples=32, K=[49], share=0.1) for f in (50, 1))
    assert family.captured[0, 0] > 0.97
    assert loners.captured[0, 0] < 0.6
    assert family.random[0] == pytest.approx(0.1, abs=0.06)


def test_the_correlation_turns_negative_when_look_alikes_join():
    found = scale(families(5000, 128, toward=1.0), [500, 5000], samples=200)
    assert found.r[1] < -0.5 < found.r[0]
    assert found.count[1] > found.count[0]


@pytest.mark.parametrize("sizes", [[], [5, 5], [9, 5], [1, 5], [5, 101]])
def test_sizes_must_rise_within_the_population(sizes):
    with pytest.raises(InputError, match=r"^sizes = .* from 2 to 100"):
        scale(families(100, 8), sizes)


def test_the_probe_names_other_bad_input():
    for bad in ({"K": ()}, {"K": (0,)}, {"samples": 0}, {"share": 0}):
        with pytest.raises(InputError, match=r"^K = "):
            scale(families(100, 8), [10], **bad)


@pytest.mark.parametrize("dark", [False, True])
def test_the_figure_has_every_line_and_its_words(dark):
    study = ScaleStudy(
        np.array([10, 100]), 30, np.array([np.nan, -0.5]), np.array([0, 25]), np.array([4, 8]),
        np.array([[0.9, 1.0], [0.5, 0.7]]), 0.1, np.array([0.1, 0.1]),
    )  # fmt: skip
    figure = scale_figure({"a": study, "b": study}, dark)
    assert [trace.name for trace in figure.data if trace.showlegend is None] == [
        "a",
        "b",
        "K = 4",
        "K = 8",
        "random 10%",
    ]
    assert figure.data[0].marker.symbol == ("circle-open", "circle")
    np.testing.assert_array_equal(figure.data[2].y, [1.0, 0.7])
    assert figure.data[2].line.dash == "dash"
    assert figure.layout.template.layout.font.color == INK[dark]
    assert "Identities" in figure.layout.xaxis2.title.text
    assert figure.layout.xaxis.type == "log"
