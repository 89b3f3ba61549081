"""Waiting for one thing unless another comes first: nothing is lost, and nothing is left running."""

import asyncio

import pytest

from libs import waiting
from libs.waiting import any_of, end, unless


async def test_what_comes_first_is_returned():
    assert await unless(asyncio.Event(), asyncio.sleep(0, "came")) == "came"


async def test_nothing_is_returned_when_the_event_comes_first():
    event = asyncio.Event()
    asyncio.get_running_loop().call_soon(event.set)
    assert await unless(event, asyncio.Event().wait()) is None


async def test_an_event_that_is_set_already_ends_the_waiting_at_once():
    event = asyncio.Event()
    event.set()
    assert await unless(event, asyncio.Event().wait()) is None


async def test_what_has_come_at_the_same_time_as_the_event_is_not_lost():
    event, queue = asyncio.Event(), asyncio.Queue()
    event.set()
    queue.put_nowait("here")
    assert await unless(event, queue.get()) == "here"


async def test_what_lies_in_a_queue_is_there_for_the_next_when_the_event_came_first():
    event, queue = asyncio.Event(), asyncio.Queue()
    waiting = asyncio.create_task(unless(event, queue.get()))
    await asyncio.sleep(0)
    event.set()
    queue.put_nowait("here")
    first = await waiting
    assert (first, queue.qsize()) in {("here", 0), (None, 1)}


async def test_what_goes_wrong_is_raised():
    async def breaks():
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await unless(asyncio.Event(), breaks())


@pytest.mark.parametrize("call", ["unless", "any_of"])
async def test_who_is_cancelled_leaves_nothing_running(call):
    ended = asyncio.Event()

    async def endless():
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    waiting = {"unless": lambda: unless(asyncio.Event(), endless()), "any_of": lambda: any_of(endless(), timeout_s=60)}
    task = asyncio.create_task(waiting[call]())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_any_of_several_is_enough_and_the_others_end():
    first, second = asyncio.Event(), asyncio.Event()
    second.set()
    assert await any_of(first.wait(), second.wait(), timeout_s=60)


async def test_none_of_several_within_the_time_is_said():
    assert not await any_of(asyncio.Event().wait(), timeout_s=0.01)


async def test_a_cancellation_while_the_others_end_is_not_taken_for_theirs():
    """Otherwise a loop that is told to end at that moment would run for ever."""
    ending, event = asyncio.Event(), asyncio.Event()

    async def takes_its_time():
        try:
            await asyncio.Event().wait()
        finally:
            ending.set()
            await asyncio.sleep(0.01)

    waiting = asyncio.create_task(unless(event, takes_its_time()))
    await asyncio.sleep(0)
    event.set()
    await ending.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_what_is_ended_may_end_as_it_likes():
    async def breaks():
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("broken on the way out")

    tasks = [
        asyncio.create_task(breaks()),
        asyncio.create_task(asyncio.sleep(0)),
        asyncio.create_task(asyncio.sleep(60)),
    ]
    await asyncio.sleep(0.001)
    await end(*tasks)
    assert all(task.done() for task in tasks)


async def test_a_task_that_swallowed_its_cancellation_is_cancelled_again(monkeypatch):
    monkeypatch.setattr(waiting, "CANCEL_AGAIN_S", 0.01)
    swallowed = []

    async def swallows_once():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            swallowed.append(True)
        await asyncio.Event().wait()

    task = asyncio.create_task(swallows_once())
    await asyncio.sleep(0)
    await waiting.end(task)
    assert task.cancelled()
    assert swallowed == [True]
