"""Verification and identification against scikit-learn and loops written from the definitions."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from workbench.core import arrays
from workbench.core.errors import InputError
from workbench.evaluation.identification import identify
from workbench.evaluation.verification import all_pairs, pair_scores, too_few_impostors, verify

FARS = (0.05, 0.1, 0.25, 0.5)


@st.composite
def tied_pairs(draw):
    """Scored pairs of both kinds in which many scores are equal, with the fold of each pair."""
    n = draw(st.integers(10, 60))
    scores = draw(st.lists(st.integers(-4, 4), min_size=n, max_size=n))
    same = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    folds = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    assume(any(same) and not all(same) and len(set(folds)) > 1)
    return np.array(scores) / 4, np.array(same), np.array(folds)


def random_pairs(n, seed=0):
    rng = np.random.default_rng(seed)
    same = rng.random(n) < 0.4
    return rng.normal(size=n) + 1.5 * same, same


def rates(scores, same, threshold):
    """FAR and TAR of one threshold, counted pair by pair."""
    accepted = [score >= threshold for score in scores]
    genuine = sum(1 for a, s in zip(accepted, same, strict=True) if a and s)
    impostor = sum(1 for a, s in zip(accepted, same, strict=True) if a and not s)
    return impostor / sum(1 for s in same if not s), genuine / sum(1 for s in same if s)


def roc_loop(scores, same):
    return [rates(scores, same, t) for t in [np.inf, *sorted(set(scores), reverse=True)]]


def eer_loop(scores, same):
    points = roc_loop(scores, same)
    for (far0, tar0), (far1, tar1) in pairwise(points):
        if far1 >= 1 - tar1:
            below, above = 1 - tar0 - far0, far1 - (1 - tar1)
            return far0 + (far1 - far0) * below / (below + above)
    raise AssertionError("the ROC ends at (1, 1)")


def fold_accuracies_loop(scores, same, folds):
    accuracies = []
    for fold in sorted(set(folds)):
        others = [i for i in range(len(scores)) if folds[i] != fold]
        best, threshold = -1, None
        for t in sorted({scores[i] for i in others}):
            right = sum((scores[i] >= t) == same[i] for i in others)
            if right >= best:  # ascending thresholds: ties take the highest
                best, threshold = right, t
        held_out = [i for i in range(len(scores)) if folds[i] == fold]
        accuracies.append(sum((scores[i] >= threshold) == same[i] for i in held_out) / len(held_out))
    return accuracies


@settings(max_examples=150)
@given(tied_pairs())
def test_verification_follows_its_definitions_with_ties(pairs):
    scores, same, folds = pairs
    result = verify(scores, same, folds, FARS)
    accuracies = fold_accuracies_loop(scores.tolist(), same.tolist(), folds.tolist())
    assert result.accuracy == pytest.approx(np.mean(accuracies), abs=1e-12)
    assert result.accuracy_std == pytest.approx(np.std(accuracies), abs=1e-12)
    assert result.eer == pytest.approx(eer_loop(scores.tolist(), same.tolist()), abs=1e-12)
    points = roc_loop(scores.tolist(), same.tolist())
    for target in FARS:
        assert result.tar[target] == max(tar for far, tar in points if far <= target)
    assert list(zip(result.roc.far, result.roc.tar, strict=True)) == points
    assert (result.genuine, result.impostor) == (same.sum(), (~same).sum())


@settings(max_examples=100)
@given(tied_pairs())
def test_roc_and_auc_agree_with_scikit_learn(pairs):
    scores, same, _ = pairs
    result = verify(scores, same)
    far, tar, thresholds = roc_curve(same, scores, drop_intermediate=False)
    np.testing.assert_allclose(result.roc.far, far, atol=1e-15)
    np.testing.assert_allclose(result.roc.tar, tar, atol=1e-15)
    np.testing.assert_array_equal(result.roc.thresholds, thresholds)
    assert result.auc == pytest.approx(roc_auc_score(same, scores), abs=1e-12)


@settings(max_examples=50)
@given(tied_pairs())
def test_a_rising_transform_of_the_scores_changes_nothing(pairs):
    scores, same, folds = pairs
    before, after = verify(scores, same, folds, FARS), verify(np.exp(3 * scores) - 7, same, folds, FARS)
    assert before.summary() == after.summary()


@settings(max_examples=50)
@given(tied_pairs(), st.randoms(use_true_random=False))
def test_the_order_of_the_pairs_does_not_matter_where_folds_are_given(pairs, random):
    scores, same, folds = pairs
    order = list(range(len(scores)))
    random.shuffle(order)
    assert verify(scores, same, folds).summary() == verify(scores[order], same[order], folds[order]).summary()


@pytest.mark.parametrize("n", [10, 47, 200])
def test_ten_blocks_in_order_are_the_default_folds(n):
    scores, same = random_pairs(n, seed=n)
    blocks = np.array_split(np.arange(n), 10)
    folds = np.concatenate([np.full(len(block), fold) for fold, block in enumerate(blocks)])
    result = verify(scores, same)
    assert result.accuracy == verify(scores, same, folds).accuracy
    assert result.accuracy == pytest.approx(np.mean(fold_accuracies_loop(scores, same, folds)), abs=1e-12)


def test_separated_and_useless_scores_are_the_two_ends():
    same = np.arange(40) % 2 == 0
    perfect, useless = verify(np.where(same, 0.9, 0.1), same), verify(np.zeros(40), same)
    assert (perfect.accuracy, perfect.accuracy_std, perfect.eer, perfect.auc) == (1, 0, 0, 1)
    assert set(perfect.tar.values()) == {1.0}
    assert (useless.eer, useless.auc, useless.accuracy) == (0.5, 0.5, 0.5)
    assert set(useless.tar.values()) == {0.0}


def test_eer_interpolates_between_two_points():
    # ROC (0, 0), (0, 1/2), (1/3, 1/2), (1/3, 1), (2/3, 1), (1, 1): FAR = 1 - TAR is crossed going straight up at 1/3;
    # with the two middle scores tied, on the line from (0, 1/2) to (1/3, 1), at 1/5.
    same = np.array([1, 0, 1, 0, 0])
    folds = np.array([0, 1, 0, 1, 0])
    assert verify([5.0, 4, 3, 2, 1], same, folds).eer == pytest.approx(1 / 3)
    assert verify([5.0, 3, 3, 2, 1], same, folds).eer == pytest.approx(1 / 5)


def test_equally_accurate_thresholds_take_the_highest():
    # Fold 1 offers thresholds 4 (genuine) and 1 (genuine) below the impostor at 2: both get two of three right.
    scores, same, folds = [4.0, 2, 1, 3, 0], [1, 0, 1, 0, 0], np.array([1, 1, 1, 0, 0])
    assert fold_accuracies_loop(scores, same, folds.tolist())[0] == 1
    assert verify(scores, np.array(same), folds).accuracy == np.mean(fold_accuracies_loop(scores, same, folds.tolist()))


def test_far_that_decimals_name_exactly_counts_as_reached():
    same = np.repeat([False, True], [10, 2])
    scores = np.append(np.arange(10.0), [8.5, 20])
    assert verify(scores, same, fars=[0.1]).tar == {0.1: 1.0}
    assert verify(scores, same, fars=[0.0999]).tar == {0.0999: 0.5}


def test_summary_names_every_number():
    summary = verify(*random_pairs(100)).summary()
    assert list(summary) == [
        *("accuracy", "accuracy_std", "eer", "auc", "tar@0.1", "tar@0.01", "tar@0.001", "genuine", "impostor")
    ]
    assert all(type(value) is float for value in summary.values())


GOOD = {"scores": np.linspace(0, 1, 12), "same": np.arange(12) % 2 == 0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": np.append(np.linspace(0, 1, 11), np.nan)}, r"scores\[11\] is nan"),
        ({"scores": np.append(np.inf, np.linspace(0, 1, 11))}, r"scores\[0\] is inf"),
        ({"scores": np.ones(11)}, r"scores has shape \(11,\) and same \(12,\)"),
        ({"scores": np.ones((12, 1)), "same": np.ones((12, 1))}, r"one entry per pair"),
        ({"same": np.ones(12, dtype=bool)}, "no impostor pair among 12"),
        ({"same": np.zeros(12, dtype=bool)}, "no genuine pair among 12"),
        ({"same": np.tile([1, -1], 6)}, r"same\[1\] is -1"),
        ({"fars": (0.1, 0.0)}, "fars contains 0.0"),
        ({"fars": (1.0,)}, "fars contains 1.0"),
        ({"fars": (np.nan,)}, "fars contains nan"),
        ({"folds": np.zeros(12, dtype=int)}, "every pair to fold 0"),
        ({"folds": np.zeros(11, dtype=int)}, r"folds has shape \(11,\)"),
        ({"folds": np.arange(12) / 2}, "dtype float64; 12 pairs need 12 integers"),
        ({"scores": np.arange(9.0), "same": np.arange(9) % 2}, "scores has 9 pairs; the default 10 folds"),
    ],
)
def test_verify_names_what_is_wrong(change, message):
    with pytest.raises(InputError, match=message):
        verify(**(GOOD | change))


def cosine_loop(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / (sum(x * x for x in a) * sum(y * y for y in b)) ** 0.5


@pytest.mark.parametrize("chunk", [1, 50, 1 << 24])
@pytest.mark.parametrize(("dtype", "atol"), [(np.float64, 1e-14), (np.float32, 1e-6)])
def test_pairs_of_embeddings_give_their_cosines(chunk, dtype, atol, monkeypatch):
    monkeypatch.setattr(arrays, "CHUNK", chunk)
    rng = np.random.default_rng(3)
    x = (rng.normal(size=(11, 6)) * 10.0 ** rng.integers(-3, 4, (11, 1))).astype(dtype)
    labels = rng.integers(0, 4, 11)
    left, right = np.triu_indices(11, 1)
    expected = [cosine_loop(x[i].tolist(), x[j].tolist()) for i, j in zip(left, right, strict=True)]
    scores, same = all_pairs(x, labels)
    np.testing.assert_allclose(scores, expected, atol=atol)
    np.testing.assert_array_equal(same, labels[left] == labels[right])
    np.testing.assert_allclose(pair_scores(x, left, right), expected, atol=atol)
    assert scores.dtype == pair_scores(x, left, right).dtype == dtype


def test_cosines_of_equal_rows_stay_within_one():
    x = np.random.default_rng(0).normal(size=(100, 64)).astype(np.float32)
    unit = arrays.unit_rows(x, "x")
    assert np.einsum("nd,nd->n", unit, unit).max() > 1  # by rounding
    assert pair_scores(x, np.arange(100), np.arange(100)).max() == 1
    assert all_pairs(np.repeat(x, 2, axis=0), np.zeros(200))[0].max() == 1


def test_a_short_row_in_single_precision_still_has_a_direction():
    assert pair_scores(np.array([[3e-30, 4e-30], [3, 4]], dtype=np.float32), [0], [1]) == pytest.approx(1)


EYE = np.eye(3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pair_scores(np.array([[1.0, 0], [0, 0]]), [0], [1]), "embeddings row 1 has norm 0.0"),
        (lambda: all_pairs(np.array([[1.0, 0], [0, np.nan]]), [0, 1]), "embeddings row 1 has norm nan"),
        (lambda: pair_scores(np.ones(3), [0], [1]), r"embeddings has shape \(3,\)"),
        (lambda: pair_scores(EYE, [0, 1], [1]), "left has 2 entries and right 1"),
        (lambda: pair_scores(EYE, [0, 1], [1, 3]), r"right\[1\] is 3; the embeddings have rows 0 to 2"),
        (lambda: pair_scores(EYE, [-1], [1]), r"left\[0\] is -1"),
        (lambda: pair_scores(EYE, [0.5], [1]), "left has shape .* float64"),
        (lambda: all_pairs(EYE, [0, 1]), r"labels has shape \(2,\)"),
        (lambda: all_pairs(EYE[:1], [0]), "embeddings has one row"),
        (lambda: identify(EYE, [0, 1, 2], EYE, [0, 1, 7]), "probe 2 has identity 7, which is not in the gallery"),
        (lambda: identify(EYE, ["a", "b", "c"], EYE[:1], ["d"]), "probe 0 has identity d"),
        (lambda: identify(EYE, [0, 1], EYE, [0, 1, 2]), r"gallery_ids has shape \(2,\)"),
        (lambda: identify(EYE, [0, 1, 2], EYE, [0]), r"probe_ids has shape \(1,\)"),
        (lambda: identify(EYE, [0, 1, 2], np.eye(2), [0, 1]), "probes has 2 dimensions and gallery 3"),
        (lambda: identify(EYE, [0, 1, 2], EYE, [0, 1, 2], unknown=np.eye(4)), "unknown has 4 dimensions"),
        (lambda: identify(EYE, [0, 1, 2], EYE, [0, 1, 2], unknown=EYE[:0]), r"unknown has shape \(0, 3\)"),
        (lambda: identify(EYE * 0, [0, 1, 2], EYE, [0, 1, 2]), "gallery row 0 has norm 0.0"),
        (lambda: identify(EYE, [0, 1, 2], EYE, [0, 1, 2], ranks=(0,)), "ranks contains 0"),
        (lambda: identify(EYE, [0, 1, 2], EYE, [0, 1, 2], fpirs=(1.0,)), "fpirs contains 1.0"),
    ],
)
def test_bad_embeddings_are_named(call, message):
    with pytest.raises(InputError, match=message):
        call()


def best_scores(probe, gallery, gallery_ids):
    """{identity: largest cosine over its gallery entries}"""
    best = {}
    for entry, identity in zip(gallery.tolist(), gallery_ids, strict=True):
        best[identity] = max(best.get(identity, -2), cosine_loop(probe.tolist(), entry))
    return best


def identify_loop(gallery, gallery_ids, probes, probe_ids, unknown, fpirs):
    ranks, own = [], []
    for probe, identity in zip(probes, probe_ids, strict=True):
        best = best_scores(probe, gallery, gallery_ids)
        own.append(best[identity])
        ranks.append(1 + sum(score >= best[identity] for other, score in best.items() if other != identity))
    cmc = [sum(rank <= k for rank in ranks) / len(ranks) for k in range(1, len(set(gallery_ids)) + 1)]
    alarms = sorted(max(best_scores(probe, gallery, gallery_ids).values()) for probe in unknown)
    dir = {}
    for fpir in fpirs:
        # the lowest of all thresholds that so few of the unknown probes pass
        t = min(t for t in (*alarms, -2.0) if sum(alarm > t for alarm in alarms) <= fpir * len(alarms))
        dir[fpir] = sum(rank == 1 and score > t for rank, score in zip(ranks, own, strict=True)) / len(ranks)
    return cmc, dir


def test_no_unknown_probe_passes_where_the_target_fpir_allows_less_than_one():
    """Ten unknown probes at FPIR 0.01: an interpolated quantile would let one of them pass, an FPIR of 0.1."""
    gallery = np.eye(12)
    unknown = gallery[[0]] + np.linspace(0, 1, 10)[:, None] * gallery[[11]]
    probes = np.array([gallery[0] + 0.05 * gallery[1], gallery[0] + 1e-6 * gallery[1]])
    for fpir, passing in ((0.01, 0), (0.1, 1), (0.19, 1), (0.2, 2), (0.3, 3)):
        result = identify(gallery[:3], [0, 1, 2], probes, [0, 0], unknown, fpirs=(fpir,))
        best = np.sort((unknown / np.linalg.norm(unknown, axis=1)[:, None])[:, 0])[::-1]
        own = (probes / np.linalg.norm(probes, axis=1)[:, None])[:, 0]
        assert result.dir[fpir] == np.mean(own > best[passing])


@pytest.mark.parametrize("chunk", [20, 1 << 24])
@pytest.mark.parametrize("seed", range(5))
def test_identification_follows_its_definitions(seed, chunk, monkeypatch):
    monkeypatch.setattr(arrays, "CHUNK", chunk)
    rng = np.random.default_rng(seed)
    people = rng.normal(size=(9, 5))
    gallery_ids = rng.permutation(np.append(np.arange(9), rng.integers(0, 9, 8)))
    probe_ids = rng.integers(0, 9, 40)
    gallery = people[gallery_ids] + 0.7 * rng.normal(size=(17, 5))
    probes = people[probe_ids] + 0.7 * rng.normal(size=(40, 5))
    unknown, fpirs = rng.normal(size=(23, 5)), (0.05, 0.3, 0.6)
    result = identify(gallery, gallery_ids, probes, probe_ids, unknown, ranks=(1, 3, 50), fpirs=fpirs)
    cmc, dir = identify_loop(gallery, gallery_ids.tolist(), probes, probe_ids.tolist(), unknown, fpirs)
    np.testing.assert_allclose(result.cmc, cmc, atol=1e-12)
    assert result.rank == pytest.approx({1: cmc[0], 3: cmc[2], 50: 1.0})
    assert result.dir == pytest.approx(dir)
    assert 0 < result.dir[0.05] < result.dir[0.6] <= result.rank[1] < 1  # not a trivial case


def test_a_tie_in_the_gallery_counts_against_the_probe():
    gallery = np.array([[1.0, 0], [1, 0], [0, 1], [0, 2]])
    result = identify(gallery, ["a", "b", "c", "c"], np.array([[2.0, 0], [0, 3]]), ["a", "c"], ranks=(1, 2))
    assert result.rank == {1: 0.5, 2: 1.0}  # a ties with b; c has two equal entries, which are one identity
    np.testing.assert_array_equal(result.cmc, [0.5, 1, 1])
    assert result.dir == {}


def test_an_alarm_must_be_beaten_not_equalled():
    gallery, ids = np.eye(2), [0, 1]
    assert identify(gallery, ids, gallery, ids, unknown=np.array([[0.0, 5]])).dir == {0.01: 0.0, 0.1: 0.0}
    assert identify(gallery, ids, gallery, ids, unknown=np.array([[3.0, 4]])).dir == {0.01: 1.0, 0.1: 1.0}


def test_identities_may_be_text_or_numbers_in_any_order():
    rng = np.random.default_rng(1)
    gallery, probes = rng.normal(size=(6, 4)), rng.normal(size=(12, 4))
    ids, probe_ids = np.array([30, 10, 20, 10, 30, 40]), rng.choice([10, 20, 30, 40], 12)
    numbers, text = (
        identify(gallery, ids, probes, probe_ids),
        identify(gallery, ids.astype(str), probes, probe_ids.astype(str)),
    )
    order = rng.permutation(6)
    shuffled = identify(gallery[order], ids[order], probes, probe_ids)
    assert numbers.cmc.tolist() == text.cmc.tolist() == shuffled.cmc.tolist()
    assert 0 < numbers.rank[1] < 1
    assert list(numbers.summary()) == ["rank-1", "rank-5"]


@pytest.mark.parametrize(
    ("far", "impostors", "text"),
    [
        (0.001, 384, "needs 10,000 impostor pairs"),
        (0.001, 9_999, "needs 10,000 impostor pairs"),
        (0.001, 10_000, None),
        (0.1, 99, "needs 100 impostor pairs"),
        (0.1, 100, None),
        (0.3, 33, "needs 34 impostor pairs"),
        (1e-6, 10**7, None),
    ],
)
def test_a_tar_needs_ten_impostor_pairs_above_its_threshold(far, impostors, text):
    assert too_few_impostors(f"tar@{far:g}", impostors) == text
    assert too_few_impostors("eer", impostors) is None
