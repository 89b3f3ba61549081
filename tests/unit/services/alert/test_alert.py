"""The handler of candidate lists: one alert a subject, camera and window, in whatever order it hears of them."""

import asyncio
import hashlib

import pytest

from libs.errors import PermanentError, TransientError
from proto import subjects
from proto.messages import Candidate
from services.alert.service import Alerter, Memory
from services.alert.settings import AlertSettings
from tests.examples import changed
from tests.fakes import Deployments, Portraits, Shelf

DEPLOYMENT = changed("warrant")  # threshold 0.5, floor 0.25, cool-down 30 s, cameras gate-1 and gate-2
HOLD_S = AlertSettings().hold_s


@pytest.fixture
def memory():
    return Memory(Deployments(DEPLOYMENT), tracks=Shelf(), cooldowns=Shelf(), portraits=Portraits())


@pytest.fixture
def alerter(memory, clock):
    return Alerter(memory, AlertSettings(), clock)


@pytest.fixture
def another(memory, clock):
    """A replica: it shares the records and nothing else."""
    return Alerter(memory, AlertSettings(), clock)


def seen(track="t1", sample=1, at=1000.0, scores=(("S-1", 0.6),), **fields):
    listed = tuple(Candidate(watch_list="wanted", subject=subject, score=score) for subject, score in scores)
    return changed("candidates", track=track, sample=sample, captured_at=at, candidates=listed, **fields)


async def subjects_alerted(alerter, *sightings):
    """The subjects of the alerts that the sightings raise, one after the other."""
    return [alert.subject for sighting in sightings for alert in await alerter.consider(sighting)]


# -- the threshold


async def test_a_score_at_the_threshold_raises_an_alert_that_says_all_there_is_to_decide(alerter, memory, clock):
    (alert,) = await alerter.consider(seen(scores=[("S-1", 0.5)]))
    assert (alert.subject, alert.watch_list) == ("S-1", "wanted")
    assert (alert.score, alert.threshold, alert.searched, alert.samples) == (0.5, 0.5, 10_000, 1)
    assert (alert.camera, alert.track, alert.captured_at, alert.raised_at) == ("gate-1", "t1", 1000.0, clock.now)
    assert alert.record_version == DEPLOYMENT.record_version
    assert alert.template_version == "sface-2021dec"
    assert memory.portraits.kept[alert.portrait] == seen().portrait
    assert alert.portrait_sha256 == hashlib.sha256(seen().portrait).hexdigest()
    assert alert.reference_portrait == subjects.reference_portrait("wanted", "S-1")
    assert not alert.seed


async def test_an_alert_says_when_it_is_deleted_and_bears_the_stamp_of_its_deployment(alerter, memory, clock):
    memory.deployments.known["station-north"] = changed("warrant", alerts_kept_s=3600.0, stamp="EVALUATION")
    (alert,) = await alerter.consider(seen())
    assert (alert.expires_at, alert.stamp) == (clock.now + 3600, "EVALUATION")


async def test_a_score_under_the_threshold_raises_nothing_and_keeps_no_portrait(alerter, memory):
    assert await alerter.consider(seen(scores=[("S-1", 0.49)])) == []
    assert memory.portraits.kept == {}


async def test_an_empty_list_raises_nothing_and_counts_as_a_sample(alerter, memory):
    assert await alerter.consider(seen(scores=[])) == []
    ((state, _),) = memory.tracks.records.values()
    assert state.has(1)


async def test_two_subjects_over_the_threshold_are_two_alerts(alerter):
    alerts = await alerter.consider(seen(scores=[("S-1", 0.7), ("S-2", 0.6)]))
    assert [alert.subject for alert in alerts] == ["S-1", "S-2"]
    assert len({alert.id for alert in alerts}) == 2


async def test_a_subject_on_two_lists_is_one_alert_with_the_better_score(alerter):
    both = (
        Candidate(watch_list="wanted", subject="S-1", score=0.7),
        Candidate(watch_list="missing", subject="S-1", score=0.6),
    )
    (alert,) = await alerter.consider(seen().model_copy(update={"candidates": both}))
    assert (alert.watch_list, alert.score) == ("wanted", 0.7)


# -- fusion over a track


async def test_the_scores_of_a_track_are_averaged(alerter):
    sightings = [seen(sample=1, scores=[("S-1", 0.4)]), seen(sample=2, scores=[("S-1", 0.7)])]
    assert await alerter.consider(sightings[0]) == []
    (alert,) = await alerter.consider(sightings[1])
    assert alert.score == pytest.approx(0.55)
    assert alert.samples == 2


async def test_a_sample_that_did_not_list_the_subject_counts_as_the_floor(alerter):
    assert await subjects_alerted(alerter, seen(sample=1, scores=[]), seen(sample=2, scores=[("S-1", 0.74)])) == []
    assert await subjects_alerted(alerter, seen(sample=3, scores=[("S-1", 0.7)])) == ["S-1"]  # (0.25 + 0.74 + 0.7) / 3


async def test_another_track_starts_afresh(alerter):
    assert await subjects_alerted(alerter, seen("t1", scores=[("S-1", 0.3)]), seen("t2")) == ["S-1"]


# -- at most one alert


async def test_a_track_raises_an_alert_for_a_subject_once(alerter):
    sightings = [seen(sample=sample, at=1000 + 100 * sample) for sample in (1, 2, 3)]  # beyond the cool-down
    assert await subjects_alerted(alerter, *sightings) == ["S-1"]


async def test_a_second_track_within_the_cool_down_raises_nothing(alerter):
    assert await subjects_alerted(alerter, seen("t1", at=1000), seen("t2", at=1029.9)) == ["S-1"]


async def test_a_second_track_after_the_cool_down_raises_another_alert(alerter):
    first = await alerter.consider(seen("t1", at=1000))
    second = await alerter.consider(seen("t2", at=1030))
    assert first[0].id != second[0].id


async def test_the_cool_down_goes_by_the_time_of_capture_not_of_handling(alerter, clock):
    await alerter.consider(seen("t1", at=1000))
    clock.advance(3600)
    assert await alerter.consider(seen("t2", at=1010)) == []


async def test_an_alert_that_was_withheld_does_not_prolong_the_cool_down(alerter):
    sightings = [seen("t1", at=1000), seen("t2", at=1020), seen("t3", at=1035)]
    assert await subjects_alerted(alerter, *sightings) == ["S-1", "S-1"]


async def test_the_cool_down_holds_for_what_was_captured_before_and_comes_late(alerter):
    assert await subjects_alerted(alerter, seen("t2", at=1010), seen("t1", at=1000)) == ["S-1"]


async def test_a_very_late_alert_does_not_end_the_cool_down_of_a_newer_one(alerter):
    sightings = [seen("t2", at=1100), seen("t1", at=1000), seen("t3", at=1110)]
    assert await subjects_alerted(alerter, *sightings) == ["S-1", "S-1"]


async def test_a_track_whose_state_has_lapsed_does_not_alert_a_second_time(alerter, memory):
    assert await subjects_alerted(alerter, seen("t1", 1, at=1000)) == ["S-1"]
    memory.tracks.records.clear()
    assert await subjects_alerted(alerter, seen("t1", 1, at=1960)) == []


async def test_a_clock_that_was_set_back_does_not_switch_the_cool_down_off(alerter):
    assert await subjects_alerted(alerter, seen("t1", at=5000)) == ["S-1"]
    set_back = [seen(f"t{number}", at=1400 + 2 * number) for number in range(2, 12)]
    assert await subjects_alerted(alerter, *set_back) == ["S-1"]


async def test_a_file_that_is_played_again_from_its_start_alerts_nobody_twice(alerter):
    visits = [1000, 1100, 1200]
    first = [seen(f"a{at}", at=at) for at in visits]
    again = [seen(f"b{at}", at=at) for at in visits]
    assert await subjects_alerted(alerter, *first) == ["S-1"] * 3
    assert await subjects_alerted(alerter, *again) == []


@pytest.mark.parametrize(
    "other",
    [{"camera": "gate-2"}, {"scores": [("S-2", 0.6)]}, {"deployment": "station-south"}],
    ids=["camera", "subject", "deployment"],
)
async def test_the_cool_down_leaves_alone_another(alerter, memory, other):
    memory.deployments.known["station-south"] = changed("warrant", deployment="station-south")
    await alerter.consider(seen("t1"))
    assert len(await alerter.consider(seen("t2", **other))) == 1


async def test_subjects_whose_numbers_look_like_keys_do_not_share_a_cool_down(alerter):
    sightings = [seen(f"t{n}", scores=[(subject, 0.6)]) for n, subject in enumerate(["S.1", "S 1", "*", ">", "S_1"])]
    assert len(await subjects_alerted(alerter, *sightings)) == 5


# -- seeds


@pytest.fixture
def blue(memory):
    """The list `blue` is of people who walk past on purpose."""
    memory.deployments.known["station-north"] = changed("warrant", seed_lists=("blue",))


def seeds_seen(track="t1", at=1000.0, scores=(("blue", "S-1", 0.6),), **fields):
    listed = tuple(Candidate(watch_list=name, subject=subject, score=score) for name, subject, score in scores)
    return seen(track, at=at, **fields).model_copy(update={"candidates": listed})


@pytest.mark.usefixtures("blue")
async def test_a_seed_raises_an_alert_that_never_goes_where_operators_look(alerter):
    (alert,) = await alerter.consider(seeds_seen())
    assert alert.seed
    assert (alert.subject, alert.watch_list, alert.score) == ("S-1", "blue", 0.6)
    assert subjects.address(alert)[0] == "watchline.v1.seed.station-north.gate-1"


@pytest.mark.usefixtures("blue")
async def test_no_portrait_of_a_seed_is_kept_and_none_is_referred_to(alerter, memory):
    (alert,) = await alerter.consider(seeds_seen())
    assert memory.portraits.kept == {}
    assert (alert.portrait, alert.reference_portrait, alert.portrait_sha256) == ("", "", "")


async def test_a_seed_comes_under_the_same_threshold(alerter):
    assert await alerter.consider(seeds_seen(scores=[("blue", "S-1", 0.49)])) == []


@pytest.mark.usefixtures("blue")
async def test_an_alert_for_a_seed_leaves_a_real_one_for_the_same_subject_its_place(alerter):
    (as_seed,) = await alerter.consider(seeds_seen("t1"))
    (as_real,) = await alerter.consider(seen("t2", at=1001.0))
    assert [as_seed.seed, as_real.seed] == [True, False]


@pytest.mark.usefixtures("blue")
async def test_a_real_alert_leaves_one_for_a_seed_of_the_same_number_its_place(alerter):
    (as_real,) = await alerter.consider(seen("t1"))
    (as_seed,) = await alerter.consider(seeds_seen("t2", at=1001.0))
    assert [as_real.seed, as_seed.seed] == [False, True]


@pytest.mark.usefixtures("blue")
async def test_a_second_track_of_a_seed_within_the_cool_down_raises_nothing(alerter):
    assert await subjects_alerted(alerter, seeds_seen("t1"), seeds_seen("t2", at=1001.0)) == ["S-1"]


@pytest.mark.usefixtures("blue")
@pytest.mark.parametrize("order", [1, -1], ids=["real first", "seed first"])
async def test_a_subject_who_is_on_both_kinds_of_list_is_treated_as_real(alerter, order):
    both = [("wanted", "S-1", 0.6), ("blue", "S-1", 0.9)][::order]
    (alert,) = await alerter.consider(seeds_seen(scores=both))
    assert (alert.seed, alert.watch_list, alert.score) == (False, "wanted", 0.6)


@pytest.mark.usefixtures("blue")
async def test_who_resembled_a_real_list_before_is_no_seed_later_in_the_track(alerter):
    await alerter.consider(seen(sample=1, scores=[("S-1", 0.3)]))
    assert await alerter.consider(seeds_seen(sample=2, scores=[("blue", "S-1", 0.9)])) == []


@pytest.mark.usefixtures("blue")
async def test_a_track_that_was_taken_for_a_seed_still_raises_the_real_alert(alerter):
    (first,) = await alerter.consider(seeds_seen(sample=1))
    (second,) = await alerter.consider(seen(sample=2, scores=[("S-1", 0.8)]))
    assert [first.seed, second.seed] == [True, False]
    assert first.id != second.id


@pytest.mark.usefixtures("blue")
async def test_scores_of_a_seed_list_never_lift_a_real_subject_over_the_threshold(alerter):
    both = [("blue", "S-1", 0.9), ("wanted", "S-1", 0.45)]
    assert await alerter.consider(seeds_seen(scores=both)) == []


@pytest.mark.usefixtures("blue")
async def test_an_alert_for_a_seed_that_comes_again_is_the_same(alerter, another):
    assert await alerter.consider(seeds_seen()) == await another.consider(seeds_seen())


# -- the same message again


async def test_a_message_that_comes_again_says_the_same_alert_again(alerter, another):
    first = await alerter.consider(seen())
    again = await another.consider(seen())
    assert again == first
    assert subjects.address(again[0]) == subjects.address(first[0])


async def test_a_message_that_comes_again_after_later_samples_says_the_same_alert(alerter, another):
    first = await alerter.consider(seen(sample=1))
    await alerter.consider(seen(sample=2, scores=[("S-1", 0.9)]))
    assert await another.consider(seen(sample=1)) == first


async def test_a_message_that_comes_again_is_not_counted_twice(alerter):
    await alerter.consider(seen(sample=1, scores=[("S-1", 0.3)]))
    await alerter.consider(seen(sample=1, scores=[("S-1", 0.3)]))
    (alert,) = await alerter.consider(seen(sample=2, scores=[("S-1", 0.7)]))
    assert (alert.samples, alert.score) == (2, pytest.approx(0.5))


async def test_a_handler_that_died_half_way_is_made_up_for(alerter, another, memory):
    """The cool-down was written, the track was not: the alert must still be raised, once."""

    async def die():
        raise asyncio.CancelledError

    memory.tracks.before_replacing = die
    with pytest.raises(asyncio.CancelledError):
        await alerter.consider(seen())
    (alert,) = await another.consider(seen())
    assert alert.subject == "S-1"
    assert await another.consider(seen("t2", at=1005)) == []


# -- order


async def test_a_sample_waits_for_the_earlier_ones_of_its_track(alerter):
    with pytest.raises(TransientError, match="earlier sample"):
        await alerter.consider(seen(sample=2))
    await alerter.consider(seen(sample=1, scores=[]))
    assert await alerter.consider(seen(sample=2, scores=[("S-1", 0.6)])) == []  # the mean of 0.25 and 0.6


async def test_a_sample_waits_no_longer_than_it_should(alerter, clock):
    with pytest.raises(TransientError):
        await alerter.consider(seen(sample=2))
    clock.advance(HOLD_S - 0.01)
    with pytest.raises(TransientError):
        await alerter.consider(seen(sample=2))
    clock.advance(0.02)
    (alert,) = await alerter.consider(seen(sample=2))
    assert alert.samples == 1


async def test_a_conflict_after_the_wait_does_not_start_the_wait_anew(alerter, memory, clock):
    late = seen(sample=3)
    with pytest.raises(TransientError):
        await alerter.consider(late)
    clock.advance(HOLD_S + 1)
    memory.tracks.before_replacing = lambda: memory.tracks.put(
        "station-north.gate-1.t1", changed("track_state", track="t1", samples=(), raised=())
    )
    with pytest.raises(TransientError, match="came first"):
        await alerter.consider(late)
    assert len(await alerter.consider(late)) == 1


async def test_a_sample_that_comes_after_it_was_given_up_still_counts(alerter, clock):
    with pytest.raises(TransientError):
        await alerter.consider(seen(sample=2, scores=[("S-1", 0.4)]))
    clock.advance(HOLD_S + 1)
    assert await alerter.consider(seen(sample=2, scores=[("S-1", 0.4)])) == []
    (alert,) = await alerter.consider(seen(sample=1, scores=[("S-1", 0.7)]))
    assert (alert.samples, alert.score) == (2, pytest.approx(0.55))


async def test_what_is_remembered_of_waiting_samples_is_bounded_in_time(alerter, clock):
    for number in range(100):
        with pytest.raises(TransientError):
            await alerter.consider(seen(f"t{number}", sample=2))
    clock.advance(subjects.CANDIDATES.max_age_s + 1)
    with pytest.raises(TransientError):
        await alerter.consider(seen("another", sample=2))
    assert len(alerter._first_seen) == 1


# -- two at a time


async def test_two_samples_of_a_track_at_once_are_both_counted(alerter, memory):
    memory.tracks.before_replacing = lambda: alerter.consider(seen(sample=1, scores=[("S-1", 0.4)]))
    with pytest.raises(TransientError, match="came first") as conflict:
        await alerter.consider(seen(sample=1, scores=[("S-1", 0.4)]))
    assert conflict.value.delay_s < 0.1
    (alert,) = await alerter.consider(seen(sample=2, scores=[("S-1", 0.7)]))
    assert alert.samples == 2


async def test_of_two_tracks_of_a_subject_at_once_one_raises_the_alert(alerter, another, memory):
    raised = []

    async def the_other_track():
        raised.extend(await another.consider(seen("t2", at=1001)))

    memory.cooldowns.before_replacing = the_other_track
    with pytest.raises(TransientError, match="came first"):
        await alerter.consider(seen("t1", at=1000))
    raised += await alerter.consider(seen("t1", at=1000))
    assert [alert.track for alert in raised] == ["t2"]


# -- the law


@pytest.mark.parametrize(
    "record",
    [
        None,
        changed("warrant", state="ended"),
        changed("warrant", state="suspended"),
        changed("warrant", starts_at=1_700_000_001.0),
        changed("warrant", ends_at=1_700_000_000.0),
        changed("warrant", cameras=("gate-2",)),
    ],
    ids=["unknown", "ended", "suspended", "not begun", "over", "without the camera"],
)
async def test_nothing_is_raised_or_kept_for_a_deployment_that_is(memory, clock, record):
    memory.deployments.known = {"station-north": record} if record else {}
    with pytest.raises(PermanentError, match="no armed deployment station-north covers camera gate-1"):
        await Alerter(memory, AlertSettings(), clock).consider(seen())
    assert (memory.tracks.records, memory.cooldowns.records, memory.portraits.kept) == ({}, {}, {})


async def test_the_rule_of_the_record_in_force_applies(alerter, memory):
    memory.deployments.known["station-north"] = changed("warrant", threshold=0.9, record_version=4)
    assert await alerter.consider(seen(scores=[("S-1", 0.8)])) == []
    (alert,) = await alerter.consider(seen(track="t2", scores=[("S-1", 0.95)]))
    assert (alert.record_version, alert.threshold) == (4, 0.9)
