"""Intervals, Holm's correction and verdicts."""

import math
from itertools import combinations, product

import numpy as np
import pytest
from compare.made import comparison_of
from hypothesis import given
from hypothesis import strategies as st

from workbench.compare import statistics
from workbench.compare.results import place_note, verdict
from workbench.compare.tables import missing_lines
from workbench.reports import comparison_words as words


def test_the_bootstrap_is_scipys_on_widened_deviations():
    from scipy import stats

    values = np.random.default_rng(4).normal(size=7)
    k = math.sqrt(7 / 6) * stats.t.ppf(0.975, 6) / stats.norm.ppf(0.975)
    assert statistics.widening(7) == pytest.approx(k)
    found = statistics.interval(values)
    widened = values.mean() + k * (values - values.mean())
    theirs = stats.bootstrap((widened,), np.mean, method="percentile", n_resamples=9999, rng=np.random.default_rng(0))
    assert (found.low, found.high) == tuple(theirs.confidence_interval)
    assert found.mean == pytest.approx(values.mean())


def test_the_bootstrap_of_three_is_that_of_all_27_samples():
    values = np.array([0.0, 1.0, 5.0])
    means = [np.mean(sample) for sample in product(values, repeat=3)]
    low, high = statistics.percentile_bootstrap(values, 0.8, 1, 200_000)
    assert (low, high) == pytest.approx(tuple(np.quantile(means, [0.1, 0.9])), abs=1e-9)


@pytest.mark.parametrize("n", [3, 5])
def test_few_seeds_see_no_difference_where_there_is_none(n):
    rng = np.random.default_rng(0)
    drawn = [rng.normal(size=n) for _ in range(400)]
    said = [statistics.interval(values, resamples=499).away_from_zero for values in drawn]
    assert np.mean(said) < 0.09  # nominal 0.05
    plain = [statistics.percentile_bootstrap(values, 0.95, 0, 499) for values in drawn]
    assert np.mean([low > 0 or high < 0 for low, high in plain]) > 0.12  # the reason for the widening


def test_two_values_and_equal_values_have_no_interval_and_no_p_value():
    for values, n in (([], 0), ([2.0, math.nan], 1), ([1.0, 3.0], 2), ([0.3, 0.3, 0.3], 3), ([0.0] * 4, 4)):
        result = statistics.interval(np.array(values))
        assert result.n == n
        assert math.isnan(result.low)
        assert math.isnan(result.high)
        assert math.isnan(statistics.p_value(np.array(values)))
    assert statistics.interval(np.array([1.0, 3.0])).mean == 2.0
    rounding = np.array([0.3, 0.1, 0.2]) + 0.01 - np.array([0.3, 0.1, 0.2])  # 0.01 up to the last bits
    assert np.ptp(rounding) > 0
    assert math.isnan(statistics.interval(rounding).low)
    assert statistics.sample_std(np.array([1.0, 3.0, math.nan])) == pytest.approx(math.sqrt(2))


def test_the_p_value_is_that_of_the_paired_t_test():
    from scipy import stats

    left, right = np.random.default_rng(2).normal(size=(2, 6))
    assert statistics.p_value(left - right) == pytest.approx(stats.ttest_rel(left, right).pvalue)
    assert statistics.p_value(np.append(left - right, math.nan)) == pytest.approx(stats.ttest_rel(left, right).pvalue)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holms_correction_is_the_closed_test_of_bonferroni(p):
    """A hypothesis is rejected where Bonferroni rejects every intersection that contains it (Marcus et al. 1976)."""
    indices = range(len(p))
    subsets = [s for size in range(1, len(p) + 1) for s in combinations(indices, size)]
    expected = [max(min(1, len(s) * min(p[j] for j in s)) for s in subsets if i in s) for i in indices]
    assert statistics.holm(np.array(p)) == pytest.approx(expected)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.sampled_from([0.01, 0.05, 0.3]))
def test_holms_correction_steps_down_from_the_smallest_p_value(p, alpha):
    rejected, left = set(), sorted(range(len(p)), key=lambda i: p[i])
    while left and p[left[0]] * len(left) <= alpha:
        rejected.add(left.pop(0))
    assert set(np.flatnonzero(statistics.holm(np.array(p)) <= alpha)) == rejected


def test_hypotheses_without_a_p_value_do_not_count():
    adjusted = statistics.holm(np.array([0.01, math.nan, 0.04]))
    assert adjusted[[0, 2]] == pytest.approx([0.02, 0.04])
    assert math.isnan(adjusted[1])


def test_the_ranking_follows_paired_differences_not_the_scatter_of_seeds():
    seeds = np.array([0.05, 0.10, 0.15, 0.20, 0.08])  # far apart, for every loss alike
    noise = np.array([0.0001, -0.0002, 0.0001, 0.0002, -0.0001])
    worse = seeds + 0.01 + noise[::-1]
    found = comparison_of([worse, seeds + noise, seeds])
    assert [(place.variant, place.text) for place in found.ranking] == [(2, "1–2"), (1, "1–2"), (0, "3")]
    assert found.ranking[0].alike == (1,)
    assert place_note(found, found.ranking[0]) == "not distinguished from B"
    assert place_note(found, found.ranking[2]) == "differs from every other"
    verdicts = {(p.left, p.right): verdict(found, p) for p in found.pairs.values()}
    assert verdicts == {(1, 0): "B is better", (2, 0): "C is better", (2, 1): "no difference seen"}
    assert found.differences_seen == 2
    larger = comparison_of([worse, seeds + noise, seeds], "rank-1")
    assert [place.variant for place in larger.ranking] == [0, 1, 2]
    assert verdict(larger, larger.pairs[1, 0]) == "A is better"


def test_no_difference_is_seen_where_all_is_noise():
    rng = np.random.default_rng(7)
    found = comparison_of(0.1 + rng.normal(size=(3, 5)) / 100)
    assert {place.text for place in found.ranking} == {"1–3"}
    assert {place_note(found, place) for place in found.ranking} == {"not distinguished from any other"}


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_give_no_verdict_no_interval_and_no_place(seeds):
    found = comparison_of(np.array([[0.1], [0.2]]) + np.arange(seeds) / 100)
    assert verdict(found, found.pairs[1, 0]) == f"no verdict: {seeds} of at least 3 seeds"
    assert place_note(found, found.ranking[0]) == "no place: fewer than 3 seeds"
    assert found.ranking[0].text == "1–2"
    assert found.summary()["softmax eer mean"] == pytest.approx(0.1 + (seeds - 1) / 200)
    assert "no verdict" in words.finding(found)
    assert "at least 3 seeds" in words.finding(found)
    assert "at least 3 seeds" in words.caution(found)


def test_two_seeds_with_nearly_equal_differences_give_no_verdict():
    found = comparison_of([[0.10, 0.20], [0.1500, 0.2501]])
    assert not found.pairs[1, 0].different
    assert found.differences_seen == 0


@pytest.mark.parametrize("difference", [0.0, 0.01])
def test_equal_differences_give_no_verdict_and_the_sentence_says_why(difference):
    seeds = np.array([0.05, 0.10, 0.15, 0.20, 0.08])
    found = comparison_of([seeds, seeds + difference])
    assert verdict(found, found.pairs[1, 0]) == "no verdict: the differences have no spread"
    assert found.ranking[0].text == "1–2"
    assert found.differences_seen == 0
    assert "the differences have no spread" in words.finding(found)
    assert "is better" not in words.finding(found)


def test_several_pairs_are_corrected_by_holms_method():
    """Differences whose interval leaves zero out alone, but not among the pairs of five losses."""
    rng = np.random.default_rng(5)
    values = np.repeat(0.1 + rng.normal(size=(1, 5)) / 50, 5, axis=0) + rng.normal(size=(5, 5)) / 300
    values[1] = values[0] + np.array([0.010, 0.004, 0.006, 0.001, 0.005])
    alone, among = comparison_of(values[:2]), comparison_of(values)
    assert verdict(alone, alone.pairs[1, 0]) == "A is better"
    assert among.pairs[1, 0].interval.away_from_zero
    assert verdict(among, among.pairs[1, 0]) == "no difference seen after Holm's correction"
    p = [statistics.p_value(pair.differences) for pair in among.pairs.values()]
    assert [pair.p for pair in among.pairs.values()] == pytest.approx(list(statistics.holm(np.array(p))))
    assert "Holm" in words.caution(among)
    assert "Holm" not in words.caution(alone)


def test_holms_method_keeps_the_rate_of_any_false_verdict():
    rng = np.random.default_rng(0)
    wrong = [comparison_of(0.1 + rng.normal(size=(4, 5)) / 100).differences_seen > 0 for _ in range(150)]
    assert np.mean(wrong) < 0.09  # nominal 0.05 at most


def test_what_is_missing_is_left_out_of_numbers_and_said():
    nan = math.nan
    missing = {(1, 1): "failed: x", (2, 0): "not yet"}
    found = comparison_of([[0.1, 0.2, 0.3, 0.2], [0.2, nan, 0.4, 0.5], [nan] * 4], missing=missing)
    assert found.mean(1) == pytest.approx(1.1 / 3)
    assert found.pairs[1, 0].interval.n == 3
    assert [place.variant for place in found.ranking] == [0, 1]
    assert missing_lines(found) == ["missing: B, seed 1: failed: x", "missing: C, seed 0: not yet"]
