"""A replay is over when every sample is answered or dead; what was lost is counted, with the reason."""

import pytest

from proto.messages import DeadLetter
from proto.records import CameraStatus, Raised, SampleScores, TrackState
from services.cli.trials.tally import Tally


def status(samples=0, camera="door", state="running", **changes):
    return CameraStatus(deployment="replay-1", camera=camera, state=state, samples=samples, **changes)


def track(name, *samples, camera="door", raised=()):
    scores = tuple(SampleScores(sample=number, scores={}) for number in samples)
    return TrackState(deployment="replay-1", camera=camera, track=name, samples=scores, raised=raised)


def letter(message_id, camera="door", reason="no faces here"):
    return DeadLetter(
        stage="embed", subject=f"root.sample.{camera}", message_id=message_id, message_kind="sample", reason=reason,
        deliveries=8, at=0.0,
    )  # fmt: skip


def tracks(*states):
    return {state.track: state for state in states}


@pytest.fixture
def tally():
    return Tally("replay-1", ["door"])


def test_a_replay_whose_cameras_have_not_spoken_is_not_over(tally):
    tally.update([], {})
    assert not tally.is_over()


def test_it_is_over_when_the_last_sample_is_answered(tally):
    tally.update([status(2, state="ended")], tracks(track("door-a1", 1)))
    assert not tally.is_over()
    assert tally.update([status(2, state="ended")], tracks(track("door-a1", 1, 2)))
    assert tally.is_over()
    assert tally.lost() == 0


@pytest.mark.parametrize("kind", ["sample", "probe", "candidates"])
def test_a_dead_sample_is_waited_for_no_longer_and_its_reason_is_kept(tally, kind):
    tally.update([status(2, state="ended")], tracks(track("door-a1", 1)))
    assert tally.take_letter(letter(f"{kind}.door-a1.2"))
    assert tally.is_over()
    assert tally.lost() == 1
    assert tally.reasons() == {"no faces here": 1}


def test_a_sample_that_died_twice_is_lost_once_and_one_that_was_answered_after_all_is_not(tally):
    tally.update([status(2, state="ended")], tracks(track("door-a1", 1)))
    for name in ("sample.door-a1.2", "probe.door-a1.2", "sample.door-a1.1"):
        tally.take_letter(letter(name))
    assert tally.lost() == 1
    assert sum(tally.reasons().values()) == 1


def test_the_dead_letters_of_others_are_not_ours(tally):
    assert not tally.take_letter(letter("sample.yard-a1.2", camera="yard"))
    assert not tally.take_letter(letter("alert.1"))
    assert tally.progress.dead == []


def test_a_camera_that_is_read_again_counts_by_its_last_reading(tally):
    first = [track("door-aaaa-1", 1, 2), track("door-aaaa-2", 1)]
    tally.update([status(3, reading="door-aaaa-")], tracks(*first))
    tally.take_letter(letter("sample.door-aaaa-2.2"))
    again = [*first, track("door-bbbb-1", 1)]
    tally.update([status(2, reading="door-bbbb-", state="ended")], tracks(*again))

    assert not tally.is_over()
    assert tally.lost() == 1
    assert tally.reasons() == {}


def test_more_answers_than_samples_are_no_negative_loss(tally):
    """A status may be older than the answers to what was sent since."""
    tally.update([status(1, state="ended")], tracks(track("door-a1", 1, 2, 3)))
    assert tally.lost() == 0
    assert tally.is_over()


def test_the_answers_of_one_camera_do_not_hide_what_another_lost():
    tally = Tally("replay-1", ["door", "yard"])
    statuses = [status(1, state="ended"), status(1, camera="yard", state="ended")]
    tally.update(statuses, tracks(track("door-a1", 1, 2)))
    assert tally.lost() == 1


def test_an_alert_that_was_raised_is_waited_for(tally):
    raised = Raised(alert="a1", subject="subject-1", watch_list="wanted", score=0.7, sample=1)
    tally.update([status(1, state="ended")], tracks(track("door-a1", 1, raised=(raised,))))
    assert not tally.is_over()


def test_a_camera_whose_deployment_was_ended_is_stopped(tally):
    tally.update([status(0, state="ended", disarmed=True)], {})
    assert tally.progress.cameras["door"].state == "stopped"
    assert tally.is_over()


def test_what_a_restarted_bus_forgot_stays_counted(tally):
    tally.update([status(2)], tracks(track("door-a1", 1, 2)))
    tally.update([status(2, state="ended")], {})
    assert tally.is_over()
