"""Exact intervals: against published values, against the definition, and at their ends."""

import pytest
from scipy.stats import binom

from libs.intervals import clopper_pearson


@pytest.mark.parametrize(
    ("events", "trials", "low", "high"),
    [
        (10, 100, 0.0490, 0.1762),  # tables of exact binomial limits
        (1, 10, 0.0025, 0.4450),
        (5, 10, 0.1871, 0.8129),
        (2, 7, 0.0367, 0.7096),
    ],
)
def test_the_interval_is_the_published_one(events, trials, low, high):
    ratio = clopper_pearson(events, trials)
    assert (ratio.low, ratio.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
    assert ratio.value == events / trials


@pytest.mark.parametrize(("events", "trials"), [(1, 10), (7, 8600), (10, 2077), (10, 3_147_436), (999, 1000)])
def test_at_either_end_counts_as_far_out_have_two_and_a_half_per_cent(events, trials):
    ratio = clopper_pearson(events, trials)
    assert binom.sf(events - 1, trials, ratio.low) == pytest.approx(0.025, rel=1e-6)
    assert binom.cdf(events, trials, ratio.high) == pytest.approx(0.025, rel=1e-6)


def test_nothing_seen_is_no_proof_of_zero():
    none = clopper_pearson(0, 100)
    assert none.low == 0
    assert none.high == pytest.approx(1 - 0.025 ** (1 / 100))
    everything = clopper_pearson(100, 100)
    assert everything.high == 1
    assert everything.low == pytest.approx(0.025 ** (1 / 100))


@pytest.mark.parametrize(("events", "trials"), [(0, 0), (2, 1), (-1, 5)])
def test_what_is_no_ratio_is_refused(events, trials):
    with pytest.raises(ValueError, match="no ratio"):
        clopper_pearson(events, trials)
