import numpy as np
import pytest

from services.ingest.tracker import NO_TRACK, Tracker, TrackerSettings

SIDE = 40.0
FPS = 25.0


def box(x, y=300.0, side=SIDE):
    return [x - side / 2, y - side / 2, x + side / 2, y + side / 2]


def update(tracker, frame, *boxes, scores=None):
    """One frame of the source at 25 frames a second."""
    found = np.array(boxes, np.float32).reshape(-1, 4)
    given = np.full(len(found), 0.9, np.float32) if scores is None else np.array(scores, np.float32)
    return tracker.update(frame / FPS, found, given)


def ids(result):
    return result.track_ids.tolist()


@pytest.fixture
def tracker():
    return Tracker(TrackerSettings())


def test_a_face_that_moves_steadily_keeps_its_id(tracker):
    assert {ids(update(tracker, t, box(100 + 8 * t)))[0] for t in range(30)} == {1}


def test_a_face_that_leaves_its_own_box_between_two_frames_keeps_its_id(tracker):
    assert {ids(update(tracker, 3 * t, box(100 + 1.2 * SIDE * t)))[0] for t in range(8)} == {1}


def test_a_track_is_confirmed_with_its_second_detection(tracker):
    assert not update(tracker, 0, box(100)).confirmed[0]
    assert update(tracker, 1, box(102)).confirmed[0]


def test_two_faces_that_cross_keep_their_ids(tracker):
    for t in range(41):
        last = ids(update(tracker, t, box(100 + 10 * t), box(500 - 10 * t, y=330)))
    assert last == [1, 2]


def test_ids_follow_faces_not_the_order_of_the_detections(tracker):
    update(tracker, 0, box(100), box(400))
    assert ids(update(tracker, 1, box(400), box(100))) == [2, 1]


def test_two_faces_that_change_places_slowly_change_ids_with_them(tracker):
    for t in range(61):
        turn = np.pi * t / 60
        x, y = 100 * np.cos(turn), 100 * np.sin(turn)
        last = ids(update(tracker, t, box(300 - x, 300 - y), box(300 + x, 300 + y)))
    assert last == [1, 2]


def test_a_face_hidden_for_half_a_second_is_found_again_where_it_was_heading(tracker):
    for t in range(20):
        update(tracker, t, box(100 + 8 * t))
    for t in range(20, 32):
        update(tracker, t)
    assert ids(update(tracker, 32, box(100 + 8 * 32))) == [1]


def test_a_face_hidden_too_long_is_a_new_track_and_the_old_one_ends_once(tracker):
    for t in range(5):
        update(tracker, t, box(100))
    ended = [track for t in range(5, 60) for track in update(tracker, t).ended]
    assert ended == [1]
    assert ids(update(tracker, 60, box(100))) == [2]


def test_a_track_lost_in_a_gap_of_the_source_ends_before_it_can_be_matched(tracker):
    for t in range(5):
        update(tracker, t, box(100))
    result = update(tracker, 500, box(100))
    assert (ids(result), result.ended) == ([2], (1,))


def test_a_weak_detection_prolongs_a_track(tracker):
    update(tracker, 0, box(100))
    update(tracker, 1, box(104))
    assert ids(update(tracker, 2, box(108), scores=[0.35])) == [1]


def test_a_weak_detection_never_starts_a_track(tracker):
    result = update(tracker, 0, box(100), scores=[0.5])
    assert (ids(result), tracker.finish()) == ([NO_TRACK], ())


def test_a_weak_detection_does_not_take_a_track_from_a_strong_one(tracker):
    update(tracker, 0, box(100))
    update(tracker, 1, box(100))
    assert ids(update(tracker, 2, box(100), box(112), scores=[0.4, 0.9])) == [NO_TRACK, 1]


def test_a_detection_below_the_low_score_is_ignored(tracker):
    update(tracker, 0, box(100))
    assert ids(update(tracker, 1, box(100), scores=[0.2])) == [NO_TRACK]


@pytest.mark.parametrize("seed", range(5))
def test_frames_dropped_at_random_do_not_change_ids(tracker, seed):
    kept = np.flatnonzero(np.random.default_rng(seed).random(100) < 0.4).tolist()
    seen = {tuple(ids(update(tracker, t, box(100 + 6 * t), box(900 - 5 * t, y=420)))) for t in kept}
    assert seen == {(1, 2)}


def test_a_face_of_quite_another_size_at_the_same_place_is_another_face(tracker):
    for t in range(3):
        update(tracker, t, box(100))
    assert ids(update(tracker, 3, box(100, side=2 * SIDE))) == [2]


def test_a_face_that_comes_nearer_keeps_its_id(tracker):
    assert {ids(update(tracker, t, box(100, side=SIDE * 1.03**t)))[0] for t in range(60)} == {1}


def test_empty_frames_are_answered(tracker):
    for t in range(3):
        result = update(tracker, t)
        assert (ids(result), result.ended) == ([], ())
    assert tracker.finish() == ()


def test_ids_are_never_used_again(tracker):
    met = [ids(update(tracker, 100 * t, box(100)))[0] for t in range(6)]
    assert met == [1, 2, 3, 4, 5, 6]


def test_every_track_ends_exactly_once():
    tracker = Tracker(TrackerSettings())
    random = np.random.default_rng(3)
    started, ended = set(), []
    for t in range(200):
        faces = [box(*random.uniform(0, 1000, 2)) for _ in range(random.integers(0, 6))]
        result = update(tracker, t, *faces)
        started |= set(ids(result)) - {NO_TRACK}
        ended += result.ended
    ended += tracker.finish()
    assert sorted(ended) == sorted(started)
    assert tracker.finish() == ()


def test_an_unconfirmed_track_ends_soon(tracker):
    update(tracker, 0, box(100))
    assert [track for t in range(1, 10) for track in update(tracker, t).ended] == [1]


def test_equal_input_gives_equal_ids():
    def run():
        tracker, random = Tracker(TrackerSettings()), np.random.default_rng(7)
        return [ids(update(tracker, t, *[box(*random.uniform(0, 400, 2)) for _ in range(8)])) for t in range(60)]

    assert run() == run()


def test_a_source_that_starts_again_ends_all_tracks(tracker):
    update(tracker, 50, box(100))
    result = update(tracker, 0, box(100))
    assert (ids(result), result.ended) == ([2], (1,))


def test_two_frames_of_the_same_time_are_taken(tracker):
    update(tracker, 1, box(100))
    assert ids(update(tracker, 1, box(100))) == [1]


@pytest.mark.parametrize(
    ("absurd", "reason"),
    [
        ([5, 5, 5, 5], "no area"),
        ([50, 5, 10, 40], "no area"),
        ([50, 50, 10, 10], "no area"),
        ([float("nan"), 0, 10, 10], "not finite"),
        ([0, 0, float("inf"), 10], "not finite"),
    ],
)
def test_an_absurd_box_is_refused_with_the_reason_and_the_others_are_tracked(tracker, absurd, reason):
    for t in range(3):
        result = update(tracker, t, absurd, box(100))
        assert (ids(result), result.refused) == ([NO_TRACK, 1], {0: reason})


def test_a_score_that_is_no_number_is_ignored(tracker):
    assert ids(update(tracker, 0, box(100), scores=[float("nan")])) == [NO_TRACK]


@pytest.mark.parametrize("shape", [(2, 4), (1, 5), (4,)])
def test_boxes_that_do_not_fit_the_scores_are_refused(tracker, shape):
    with pytest.raises(ValueError, match="expected boxes"):
        tracker.update(0.0, np.zeros(shape, np.float32), np.zeros(1, np.float32))


def test_a_time_that_is_no_number_is_refused(tracker):
    with pytest.raises(ValueError, match="frame time"):
        update(tracker, float("nan"), box(100))
