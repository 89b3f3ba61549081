import pytest

from services.ingest.best_shot import BestShot, BestShotSettings

SETTINGS = BestShotSettings(
    min_quality=0.3,
    good_quality=0.6,
    patience_s=0.6,
    min_gain=0.2,
    min_spacing_s=0.5,
    max_samples=3,
    recut_s=0.2,
)


@pytest.fixture
def shots():
    return BestShot(SETTINGS)


def play(shots, qualities, track=1, fps=25, start_s=0.0):
    """What a camera publishes when these are the qualities, and bounds, of a track's frames: (time, quality)."""
    published = []
    for frame, quality in enumerate(qualities):
        time_s = start_s + frame / fps
        if shots.wants_chip(track, time_s, quality):
            due = shots.offer(track, time_s, quality, quality)
            published += [] if due is None else [(time_s, due)]
    return published


def test_a_good_first_shot_is_published_at_once(shots):
    assert play(shots, [0.7]) == [(0.0, 0.7)]


def test_a_poor_first_shot_waits_for_a_good_one(shots):
    assert play(shots, [0.4, 0.5, 0.65]) == [(2 / 25, 0.65)]


def test_patience_ends_and_the_best_so_far_is_published(shots):
    published = play(shots, [0.4, 0.5] + [0.35] * 20)
    assert [quality for _, quality in published] == [0.5]
    assert 0.6 <= published[0][0] < 0.65


def test_a_face_that_turned_away_does_not_hold_back_the_shot_that_was_kept(shots):
    assert [quality for _, quality in play(shots, [0.5] + [0.0] * 20)] == [0.5]


def test_a_shot_below_the_least_quality_is_never_published(shots):
    assert play(shots, [0.29] * 100) == []
    assert shots.finish(1) is None


def test_a_clearly_better_shot_is_published_after_the_spacing(shots):
    assert play(shots, [0.6] * 5 + [0.9] * 20) == [(0.0, 0.6), (0.52, 0.9)]


def test_a_slightly_better_shot_is_not(shots):
    assert play(shots, [0.6] + [0.65] * 50) == [(0.0, 0.6)]
    assert shots.finish(1) is None


def test_a_better_shot_inside_the_spacing_is_kept_for_the_end(shots):
    assert play(shots, [0.6] + [0.9] * 9) == [(0.0, 0.6)]
    assert shots.finish(1) == 0.9


def test_the_last_sample_of_a_track_is_left_for_its_end(shots):
    published = play(shots, [0.6] * 20 + [0.75] * 50 + [0.95] * 50)
    assert [quality for _, quality in published] == [0.6, 0.75]
    assert shots.finish(1) == 0.95


def test_a_track_that_gets_ever_better_publishes_no_more_than_the_most(shots):
    published = play(shots, [min(1.0, 0.3 + t / 400) for t in range(280)])
    assert len(published) + (shots.finish(1) is not None) == 3


def test_a_short_track_publishes_its_best_at_its_end(shots):
    assert play(shots, [0.4, 0.5, 0.45]) == []
    assert shots.finish(1) == 0.5


def test_an_end_without_anything_better_publishes_nothing(shots):
    assert play(shots, [0.9, 0.8, 0.7]) == [(0.0, 0.9)]
    assert shots.finish(1) is None


def test_no_chip_is_cut_that_could_not_win(shots):
    play(shots, [0.8])
    assert not shots.wants_chip(1, 5.0, 0.8)


def test_a_track_that_disappoints_is_not_cut_in_every_frame(shots):
    play(shots, [0.7])
    cut = 0
    for frame in range(1, 51):
        if shots.wants_chip(1, frame / 25, 0.95):
            cut += 1
            shots.offer(1, frame / 25, 0.5, "a blurred one")
    assert 8 <= cut <= 10


def test_nothing_remains_of_an_ended_track(shots):
    for track in range(100):
        play(shots, [0.4, 0.5], track=track)
    assert len(shots) == 100
    for track in range(100):
        shots.finish(track)
    assert len(shots) == 0


def test_a_track_that_was_never_met_has_nothing_to_publish(shots):
    assert shots.finish(77) is None


def test_tracks_do_not_disturb_each_other(shots):
    assert play(shots, [0.9], track=1) == [(0.0, 0.9)]
    assert play(shots, [0.65], track=2) == [(0.0, 0.65)]


def test_decisions_follow_from_source_time_alone():
    qualities = [0.3 + 0.6 * ((7 * t) % 31) / 31 for t in range(200)]
    early, late = play(BestShot(SETTINGS), qualities), play(BestShot(SETTINGS), qualities, start_s=1024.0)
    assert len(early) == 2
    assert [(round(time_s + 1024, 6), quality) for time_s, quality in early] == late
