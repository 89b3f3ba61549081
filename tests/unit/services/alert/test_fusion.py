"""One score a subject from the samples of a track."""

import pytest

from services.alert.fusion import fuse


def samples(*scores):
    return [{} if score is None else {"S-1": score} for score in scores]


@pytest.mark.parametrize(
    ("scores", "fused"),
    [([0.5], 0.5), ([0.4, 0.8], 0.6), ([None, 0.75], 0.5), ([None, None], 0.25), ([0.3, 0.6, 0.9], 0.6)],
)
def test_the_fused_score_is_the_mean_with_the_floor_for_what_was_not_listed(scores, fused):
    assert fuse(samples(*scores), "S-1", floor=0.25) == pytest.approx(fused)


def test_the_fused_score_does_not_depend_on_the_order_of_the_samples():
    assert fuse(samples(0.3, None, 0.9), "S-1", 0.25) == fuse(samples(0.9, 0.3, None), "S-1", 0.25)


def test_the_floor_never_lowers_the_score_under_the_truth():
    """A sample that did not list the subject scored under the floor, so the fused score is an upper bound."""
    true_scores, floor = [0.7, 0.1, 0.2], 0.25
    listed = samples(*(score if score >= floor else None for score in true_scores))
    assert fuse(listed, "S-1", floor) >= sum(true_scores) / 3
