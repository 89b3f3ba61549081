"""Ctrl-C and its like: who can end in order is asked to, everything else is cancelled, and it happens once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

from services.cli.patience import Stop

T = TypeVar("T")

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def until_done(work: Coroutine[Any, Any, T], stop: Stop | None = None) -> T:
    """What `work` comes to.

    The first signal asks `stop`, where somebody heeds it by then, and else cancels `work`; the second cancels it in any
    case; further ones change nothing. A hang-up that was told to be ignored (`nohup`) is.

    Raises:
        CancelledError: it was cancelled, whatever else went wrong on the way out.
    """

    async def interruptible() -> T:
        task = asyncio.ensure_future(work)
        interruption = Interruption(task, stop or Stop())
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, interruption.come)
        await asyncio.wait({task})
        if interruption.cancelled and (task.cancelled() or task.exception() is not None):
            raise asyncio.CancelledError
        return task.result()

    try:
        return asyncio.run(interruptible())
    except BaseExceptionGroup as group:
        raise first_error(group) from None


class Interruption:
    """What signals do to a task: first politely, then once by force."""

    def __init__(self, task: asyncio.Future[Any], stop: Stop) -> None:
        self.cancelled = False
        self._task = task
        self._stop = stop

    def come(self) -> None:
        """A signal has come."""
        if self._stop.heeded and not self._stop.asked:
            self._stop.ask()
        elif not self.cancelled:
            self.cancelled = True
            self._task.cancel()


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error inside nested groups."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
