"""A first signal asks for the end where somebody heeds it; a second one, or one that nobody heeds, cancels."""

import asyncio
import os
import signal

import pytest

from libs.errors import TransientError
from services.cli.patience import Stop
from services.cli.signals import until_done


def send(number):
    asyncio.get_running_loop().call_soon(os.kill, os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_nobody_heeds_cancels(number):
    async def work():
        send(number)
        await asyncio.Event().wait()

    with pytest.raises(asyncio.CancelledError):
        until_done(work())


def test_a_signal_that_is_heeded_asks_and_the_work_comes_to_its_end():
    stop = Stop()

    async def work():
        stop.heeded = True
        send(signal.SIGINT)
        await stop.wait()
        return "a result"

    assert until_done(work(), stop) == "a result"


def test_the_second_signal_cancels():
    stop = Stop()

    async def work():
        stop.heeded = True
        send(signal.SIGINT)
        await stop.wait()
        send(signal.SIGINT)
        await asyncio.Event().wait()

    with pytest.raises(asyncio.CancelledError):
        until_done(work(), stop)


def test_what_goes_wrong_on_the_way_out_does_not_hide_that_it_was_interrupted():
    async def work():
        send(signal.SIGINT)
        try:
            await asyncio.Event().wait()
        finally:
            raise TransientError("the bus is away")

    with pytest.raises(asyncio.CancelledError):
        until_done(work())


def test_what_goes_wrong_by_itself_is_raised():
    async def work():
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())

    async def fail():
        raise TransientError("the bus is away")

    with pytest.raises(TransientError):
        until_done(work())


def test_a_hang_up_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:

        async def work():
            os.kill(os.getpid(), signal.SIGHUP)
            await asyncio.sleep(0)
            return "done"

        assert until_done(work()) == "done"
    finally:
        signal.signal(signal.SIGHUP, before)
