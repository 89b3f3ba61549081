"""Waiting: for one thing unless another comes first, for all of several, for the end of tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")

CANCEL_AGAIN_S = 1.0
"""Longer than an orderly end takes that follows a cancellation."""


async def unless(event: asyncio.Event, coming: Coroutine[Any, Any, T]) -> T | None:
    """What `coming` comes to, or `None` if `event` is set first; `coming` is then cancelled.

    If both happen at once, what has come is not lost.
    """
    task = asyncio.create_task(coming)
    watch = asyncio.create_task(event.wait())
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        await end(task, watch)


async def any_of(*events: Coroutine[Any, Any, object], timeout_s: float) -> bool:
    """Whether one of `events` came to its end within `timeout_s`; the others are cancelled."""
    tasks = [asyncio.create_task(event) for event in events]
    try:
        done, _ = await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)
    finally:
        await end(*tasks)


async def settled(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """What each comes to, in their order; one that fails cuts none short, and is raised when all have ended."""
    came_to = await asyncio.gather(*work, return_exceptions=True)
    for outcome in came_to:
        if isinstance(outcome, BaseException):
            raise outcome
    return [outcome for outcome in came_to if not isinstance(outcome, BaseException)]


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancels the tasks and returns when they have ended, whatever they ended with.

    A task may swallow its cancellation (`asyncio.wait_for` of Python 3.11 does, when what it waits for comes at the
    same moment), so it is cancelled again every `CANCEL_AGAIN_S`. A cancellation of the caller meanwhile is not taken
    for theirs: it goes on as it must.
    """
    pending = set(tasks)
    try:
        while pending:
            pending = await _cancelled(pending)
    except asyncio.CancelledError:
        await _cancelled(pending)
        raise
    await asyncio.gather(*tasks, return_exceptions=True)


async def _cancelled(tasks: set[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    """Those of the tasks that were cancelled and have not ended within `CANCEL_AGAIN_S`."""
    for task in tasks:
        task.cancel()
    return (await asyncio.wait(tasks, timeout=CANCEL_AGAIN_S))[1]
