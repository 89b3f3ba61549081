"""Trying again while something is away, and ending in good time when a person is in a hurry."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from libs.errors import TransientError
from libs.waiting import end

T = TypeVar("T")

INSIST_S = 15.0
"""How long what must be done is tried again: a killed service is back after about two seconds, a bus after one."""
HURRIED_S = 0.6
"""How long a clean-up may take once a person wants the end. With 0.6 s for a replay's last samples and 0.3 s for its
pictures before it, 1.2 s for the services and 1 s for the bus after it, all is over within five seconds: measured,
3.9 s where the bus hangs."""


class Stop:
    """A person's wish that something comes to its end. Who can do so in order, with a result, heeds it."""

    def __init__(self) -> None:
        self.heeded = False
        """Whether somebody now comes to an orderly end when asked."""
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Asks for the end."""
        self._asked.set()

    @property
    def asked(self) -> bool:
        """Whether it was asked for."""
        return self._asked.is_set()

    async def wait(self) -> None:
        """Returns when it is asked for."""
        await self._asked.wait()


async def insist(attempt: Callable[[], Awaitable[T]], patience_s: float = INSIST_S) -> T:
    """What `attempt` comes to, tried again while it raises `TransientError`, for `patience_s` at most.

    Raises:
        TransientError: what the last attempt raised.
        CancelledError: also where the attempt has swallowed it.
    """
    until = time.monotonic() + patience_s
    while True:
        try:
            result = await attempt()
        except TransientError as error:
            heed_cancellation()
            if time.monotonic() + error.delay_s >= until:
                raise
            await asyncio.sleep(error.delay_s)
        else:
            heed_cancellation()
            return result


def heed_cancellation() -> None:
    """Raises the `CancelledError` of this task that something it awaited has swallowed.

    `asyncio.wait_for` of Python 3.11 does, and with it every ask, when the answer comes at the same moment.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def within(work: Coroutine[Any, Any, None], stop: Stop, hurried_s: float = HURRIED_S) -> None:
    """Runs `work` to its end, or for `INSIST_S`, or for `hurried_s` from when `stop` is asked for or this is cancelled.

    What it raises is raised; if its time is over, it is cancelled and nothing is raised.
    """
    task, hurry = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({task, hurry}, timeout=INSIST_S, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await asyncio.wait({task}, timeout=hurried_s)
        await end(task, hurry)
    if not task.cancelled():
        task.result()
