"""What is away is tried again until it is back; a person in a hurry does not wait for it."""

import asyncio
import contextlib
import time

import pytest

from libs.errors import TransientError
from services.cli import patience
from services.cli.patience import Stop, insist, within


class Away:
    """Something that is away for so many tries."""

    def __init__(self, tries):
        self.tries = tries

    async def attempt(self):
        self.tries -= 1
        if self.tries >= 0:
            raise TransientError("away", delay_s=0.001)
        return "here"


async def test_what_comes_back_is_had():
    assert await insist(Away(5).attempt) == "here"


async def test_what_stays_away_is_given_up_with_its_reason():
    with pytest.raises(TransientError, match="away"):
        await insist(Away(10**9).attempt, 0.02)


async def test_work_that_ends_is_not_hurried():
    done = []

    async def work():
        done.append(True)

    await within(work(), Stop())
    assert done == [True]


async def test_what_work_raises_is_raised():
    async def work():
        raise TransientError("away")

    with pytest.raises(TransientError):
        await within(work(), Stop())


async def test_work_without_an_end_is_given_up_when_a_person_is_in_a_hurry(monkeypatch):
    monkeypatch.setattr(patience, "INSIST_S", 60.0)
    stop = Stop()
    stop.ask()
    began = time.monotonic()
    await within(asyncio.Event().wait(), stop, hurried_s=0.01)
    assert time.monotonic() - began < 30


async def test_work_is_given_a_moment_when_it_is_cancelled_and_no_more():
    saved, stop = [], Stop()

    async def work():
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        saved.append(True)
        await asyncio.Event().wait()

    task = asyncio.create_task(within(work(), stop, hurried_s=0.05))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert saved == [True]


async def test_a_cancellation_that_an_attempt_swallowed_is_heeded():
    """An ask does that when its answer comes at the same moment: `asyncio.wait_for` of Python 3.11."""

    async def swallow():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return "an answer"

    task = asyncio.create_task(insist(swallow))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
