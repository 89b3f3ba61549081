"""The end of a replay: what it came to is not lost with a bus, a `govern` or a `match` that is away."""

import asyncio
from types import SimpleNamespace

import pytest

from libs.bus import AskError
from libs.errors import TransientError, UserError
from proto.deployments import Zone
from services.cli import patience
from services.cli.patience import Stop
from services.cli.trials import replay
from services.cli.trials.arguments import parse_sources
from services.cli.trials.course import Course
from services.cli.trials.evaluation import draft, list_form
from services.cli.trials.outcome import CameraCount, Outcome
from services.cli.trials.replay import DATA, DEPLOYMENT, WATCH_LIST, Replay, ReplayOptions
from tests.unit.services.cli.trials.site import Site


@pytest.fixture
def site(tmp_path, monkeypatch):
    async def unregister(_bus, _names):
        pass

    monkeypatch.setattr(replay, "unregister", unregister)
    return Site(tmp_path)


class Short(Replay):
    """A replay that has run its cameras already."""

    def __init__(self, site, tmp_path, stop=None, on_ended=None):
        evaluation = SimpleNamespace(bus=site, client=site.client, course=lambda name: Course(name, site.client))
        super().__init__(evaluation, ReplayOptions(tmp_path, {"door": "door.mp4"}), lambda _: None, stop, on_ended)
        self.site = site

    async def end(self, unheard=0):
        await self._course.make_list(list_form(self._id))
        await self._course.draft(draft(self._id, {"door": Zone()}, 0.5, 60.0))
        self.site.change(self._id, "armed")
        self.site.acts.clear()
        self.site.unheard = unheard
        self._undone |= {DEPLOYMENT, DATA, WATCH_LIST}
        outcome = await self._outcome(1.0)
        await self._clean_up()
        return outcome, self._left_behind


async def test_it_is_ended_then_its_list_is_destroyed_then_it_is_purged(site, tmp_path):
    outcome, left = await Short(site, tmp_path).end()
    assert isinstance(outcome, Outcome)
    assert outcome.stamp == "EVALUATION"
    assert [verb for verb, _ in site.acts] == ["end", "destroy", "purge"]
    assert left == []


async def test_a_bus_that_is_away_for_a_while_at_the_end_costs_nothing(site, tmp_path):
    _, left = await Short(site, tmp_path).end(unheard=5)
    assert [verb for verb, _ in site.acts] == ["end", "destroy", "purge"]
    assert left == []


async def test_what_is_known_of_it_can_be_taken_down_before_it_is_purged(site, tmp_path):
    seen = []

    async def take_down(evaluation, name):
        seen.append(site.deployments[name].state)

    await Short(site, tmp_path, on_ended=take_down).end()
    assert seen == ["ended"]


async def test_a_govern_that_stays_away_leaves_the_outcome_and_a_note_of_what_is_left(site, tmp_path, monkeypatch):
    monkeypatch.setattr(patience.insist, "__defaults__", (0.02,))
    monkeypatch.setattr(Replay._disarm, "__defaults__", (0.02,))
    _, left = await Short(site, tmp_path).end(unheard=10**9)
    assert "nobody answered" in left[0]
    assert [note for note in left if "watch list replay-" in note]
    assert [note for note in left if "may still be armed" in note]
    assert not [note for note in left if "not purged" in note]  # which goes without saying


async def test_a_match_that_refuses_leaves_what_is_not_purged_to_the_next_start(site, tmp_path):
    def refuse(_sealed):
        raise AskError("destroy", "500", "KeyError")

    site._watchlist_destroy = refuse
    _, left = await Short(site, tmp_path).end()
    assert "KeyError" in left[0]
    assert [note for note in left if "was not purged: the next start" in note]
    assert not [note for note in left if "armed" in note]


async def test_a_person_in_a_hurry_is_told_what_was_not_cleaned_up(site, tmp_path, monkeypatch):
    monkeypatch.setattr(patience.within, "__defaults__", (0.02,))
    stop = Stop()
    stop.ask()
    async with asyncio.timeout(10):
        _, left = await Short(site, tmp_path, stop).end(unheard=10**9)
    assert len(left) == 2


@pytest.mark.parametrize("error", [TransientError("nobody answered"), UserError("nobody answered", "")])
async def test_a_report_that_could_not_be_written_does_not_keep_the_replay_from_being_purged(site, tmp_path, error):
    async def fail(_evaluation, _name):
        raise error

    _, left = await Short(site, tmp_path, on_ended=fail).end()
    assert [verb for verb, _ in site.acts] == ["end", "destroy", "purge"]
    assert left == ["the report of the deployment is missing (nobody answered)"]


@pytest.mark.parametrize("location", ["rtsp://192.0.2.7/live", "RTSPS://user:s3cret@192.0.2.7/live"])
def test_a_live_camera_is_refused_with_the_way_to_run_it(location):
    with pytest.raises(UserError, match=r"yard is a live camera.*`watchline up`.*`watchline deployment draft`") as told:
        parse_sources([f"yard={location}"])
    assert "s3cret" not in str(told.value)


def counts(state, **changes):
    return {"door": CameraCount(state=state, **changes)}


def outcome_of(cameras, **changes):
    parts = {"alerts": [], "refused": [], "lost": 0, "seconds": 1.0, "references": 1, "threshold": 0.5, "portraits": {}}
    return Outcome(cameras, **(parts | changes))


def test_a_replay_is_whole_when_every_camera_came_to_its_end_and_nothing_was_lost():
    assert outcome_of(counts("ended")).is_whole()
    assert not outcome_of(counts("ended"), lost=1).is_whole()
    assert not outcome_of(counts("failed")).is_whole()
    assert not outcome_of(counts("stopped")).is_whole()


def test_a_camera_that_was_cut_short_is_told_of_unless_a_person_wanted_that():
    assert "its deployment ended before its source" in outcome_of(counts("stopped")).troubles()["door"]
    assert outcome_of(counts("stopped"), interrupted=True).troubles() == {}
    assert outcome_of(counts("failed", detail="no such file")).troubles() == {"door": "no such file"}
