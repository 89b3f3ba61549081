"""Error rates of a model: counts on a named sample, and nothing promised that the counts do not support."""

import pytest
from pydantic import ValidationError

from libs.assets import load_catalogue
from libs.calibration import Calibration, CalibrationError

WORDS = {"source": "a trial", "population": "volunteers", "limits": "they were few"}


def calibration(**changes):
    fields = {
        "lowest": 0.30,
        "step": 0.01,
        "non_mated": 1_000_000,
        "false_matches": (1000, 100, 10, 0),
        "mated": 100,
        "false_non_matches": (1, 2, 3, 4),
        **WORDS,
    }
    return Calibration(**{**fields, **changes})


@pytest.fixture(scope="module")
def sface():
    return load_catalogue().assets["sface-2021dec"].calibration


# -- rates


def test_a_rate_is_given_with_its_counts_and_the_upper_end_of_its_interval():
    rate = calibration().fmr(0.32)
    assert (rate.events, rate.trials, rate.value) == (10, 1_000_000, 1e-5)
    assert rate.upper == pytest.approx(1.8390e-5, rel=1e-3)  # Clopper-Pearson, 95 %, two-sided


def test_no_false_match_seen_is_not_a_rate_of_zero():
    assert calibration().fmr(0.33).upper == pytest.approx(3.689e-6, rel=1e-3)  # 1 - 0.025 ** (1 / n)


def test_a_threshold_between_two_that_were_calibrated_has_the_rate_of_the_lower():
    assert calibration().fmr(0.3199).events == 100


def test_a_threshold_over_the_grid_has_the_rate_of_the_last():
    assert calibration().fmr(0.9) == calibration().fmr(0.33)


def test_a_threshold_under_the_grid_has_no_rate():
    with pytest.raises(CalibrationError, match=r"0.29 is under 0.3, the lowest that was calibrated: raise it"):
        calibration().fmr(0.29)


def test_a_threshold_between_two_misses_as_often_as_the_higher_of_them():
    assert calibration().fnmr(0.3101).events == 3
    assert calibration().fnmr(0.31).events == 2


def test_no_miss_rate_is_promised_over_the_grid():
    with pytest.raises(CalibrationError, match=r"0.34 is over 0.33, the highest that was calibrated: lower it"):
        calibration().fnmr(0.34)


@pytest.mark.parametrize("place", range(41))
def test_every_threshold_of_the_grid_is_found_though_hundredths_are_not_exact(sface, place):
    assert sface.fmr((30 + place) / 100).events == sface.false_matches[place]
    assert sface.fmr(0.30 + place * 0.01).events == sface.false_matches[place]
    assert sface.fnmr((30 + place) / 100).events == sface.false_non_matches[place]
    assert sface.fnmr(0.30 + place * 0.01).events == sface.false_non_matches[place]


# -- from a false alert rate to a threshold


def test_the_threshold_for_a_false_alert_rate_is_the_lowest_that_keeps_it():
    chosen = calibration().threshold_for(0.01, references=500)
    assert chosen == 0.32
    assert 500 * calibration().fmr(chosen).upper <= 0.01 < 500 * calibration().fmr(chosen - 0.01).upper


def test_a_longer_list_needs_a_higher_threshold():
    assert calibration().threshold_for(0.01, references=50) == 0.31
    assert calibration().threshold_for(0.01, references=2000) == 0.33


def test_a_rate_that_the_sample_is_too_small_for_is_refused():
    with pytest.raises(CalibrationError, match=r"cannot promise a false alert rate of 0.001 a face on 2000 references"):
        calibration().threshold_for(0.001, references=2000)


# -- what a calibration must be


@pytest.mark.parametrize(
    "wrong",
    [
        {"false_matches": (100, 1000, 10, 0)},
        {"false_non_matches": (4, 3, 2, 1)},
        {"false_matches": (1000, 100, 10)},
        {"false_matches": (2_000_000, 100, 10, 0)},
        {"false_non_matches": (1, 2, 3, 101)},
        {"false_matches": (10, 5, 0, -1)},
        {"source": ""},
        {"limits": ""},
        {"falsematches": ()},
    ],
    ids=str,
)
def test_counts_that_do_not_fit_and_figures_without_a_source_are_refused(wrong):
    with pytest.raises(ValidationError):
        calibration(**wrong)


# -- the embedder that ships with the product


def test_the_shipped_embedder_has_its_figures_with_source_population_and_limits(sface):
    assert (sface.non_mated, sface.mated) == (8_530_762, 4_400)
    assert sface.fmr(0.40).value == pytest.approx(1.8e-4, rel=0.03)
    assert sface.fmr(0.45).value == pytest.approx(2.0e-5, rel=0.03)
    assert sface.fmr(0.50).upper == pytest.approx(1.53e-6, rel=0.01)  # six comparisons: 2.6e-7 to 1.5e-6
    assert sface.fnmr(0.50).value == pytest.approx(0.084, rel=0.01)
    assert "2,922" in sface.population
    assert "street" in sface.limits
