"""The end of a replay: what it came to is not lost with a bus or a `match` that is away."""

import asyncio

import pytest

from libs.bus import AskError
from libs.errors import TransientError
from proto.messages import WatchListReply
from services.cli import patience
from services.cli.outcome import Outcome
from services.cli.patience import Stop
from services.cli.replay import DEPLOYMENT, WATCH_LIST, Replay, ReplayOptions


class Flaky:
    """A bus whose asks fail so many times before they are answered; it keeps what was asked."""

    def __init__(self, failures=0, refusal=None):
        self.failures = failures
        self.refusal = refusal
        self.answered = []

    async def ask(self, subject, message, _expected, _timeout_s=None):
        if self.failures > 0:
            self.failures -= 1
            raise TransientError("nobody answered", delay_s=0.001)
        if self.refusal:
            raise AskError(subject, self.refusal, "no such list")
        self.answered.append(subject.rpartition(".")[2])
        return WatchListReply(watch_list=message.watch_list, references=0)


class Arming:
    """A deployment whose records cannot be written so many times."""

    def __init__(self, failures=0):
        self.failures = failures
        self.disarmed = False

    async def disarm(self):
        await patience.insist(self._write)

    async def _write(self):
        self.failures -= 1
        if self.failures >= 0:
            raise TransientError("the bus is away", delay_s=0.001)
        self.disarmed = True


class Short(Replay):
    """A replay that has enrolled and run its cameras already."""

    def __init__(self, bus, arming, tmp_path, stop=None):
        super().__init__(bus, ReplayOptions(tmp_path, {"door": "door.mp4"}), lambda _: None, stop)
        self.arming = arming

    async def end(self):
        self._undone |= {DEPLOYMENT, WATCH_LIST}
        outcome = await self._outcome(1.0)
        await self._clean_up(self.arming)
        return outcome, self._left_behind


async def test_a_bus_that_is_away_for_a_while_at_the_end_costs_nothing(tmp_path):
    bus, arming = Flaky(failures=5), Arming(failures=5)
    outcome, left = await Short(bus, arming, tmp_path).end()
    assert isinstance(outcome, Outcome)
    assert arming.disarmed
    assert bus.answered == ["drop"]
    assert left == []


async def test_a_list_that_an_unanswered_ask_dropped_after_all_is_not_left_behind(tmp_path):
    _, left = await Short(Flaky(refusal="400"), Arming(), tmp_path).end()
    assert left == []


async def test_a_match_that_stays_away_leaves_the_outcome_and_a_note_of_what_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(patience.insist, "__defaults__", (0.02,))
    _, left = await Short(Flaky(failures=10**9), Arming(), tmp_path).end()
    assert "nobody answered" in left[0]
    assert [note for note in left if "watch list replay-" in note]
    assert not [note for note in left if "armed" in note]


async def test_a_person_in_a_hurry_is_told_what_was_not_cleaned_up(tmp_path, monkeypatch):
    monkeypatch.setattr(patience.within, "__defaults__", (0.02,))
    stop = Stop()
    stop.ask()
    async with asyncio.timeout(10):
        _, left = await Short(Flaky(failures=10**9), Arming(failures=10**9), tmp_path, stop).end()
    assert len(left) == 2


@pytest.mark.parametrize("code", ["500", "409"])
async def test_a_refusal_to_drop_the_list_is_told(tmp_path, code):
    _, left = await Short(Flaky(refusal=code), Arming(), tmp_path).end()
    assert "no such list" in left[0]
