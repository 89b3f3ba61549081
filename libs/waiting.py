"""Waiting for one thing unless another comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


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
        await _end(task, watch)


async def any_of(*events: Coroutine[Any, Any, object], timeout_s: float) -> bool:
    """Whether one of `events` came to its end within `timeout_s`; the others are cancelled."""
    tasks = [asyncio.create_task(event) for event in events]
    try:
        done, _ = await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)
    finally:
        await _end(*tasks)


async def _end(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        if not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
