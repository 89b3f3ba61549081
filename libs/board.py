"""A board: the latest of what a program counts or says of itself, written to a bucket as fast as the bus takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from libs.errors import TransientError
from proto.messages import Message

M = TypeVar("M", bound=Message)
M_contra = TypeVar("M_contra", bound=Message, contravariant=True)


class BoardRecords(Protocol[M_contra]):
    """The part of `libs.bus.Records` that a board needs."""

    async def put(self, key: str, record: M_contra, /) -> int:
        """The revision of the record, now under `key`."""


class Board(Generic[M]):
    """Writes records of which this program is the only owner, the latest of each key.

    Records come whole, not as changes, so that one which is written late, twice or never makes no count wrong for
    longer than until the next.
    """

    def __init__(self, records: BoardRecords[M], key_of: Callable[[M], str], pause_s: float = 0.0) -> None:
        """`pause_s`: the shortest time between two writes of `run`, for what is reported very often."""
        self._records = records
        self._key_of = key_of
        self._pause_s = pause_s
        self._latest: dict[str, M] = {}
        self._news = asyncio.Event()

    def report(self, record: M) -> None:
        """Takes a record; one of the same key that was not written yet is replaced."""
        self._latest[self._key_of(record)] = record
        self._news.set()

    async def run(self) -> None:
        """Writes until it is cancelled; what could not be written is tried again."""
        while True:
            await self._news.wait()
            self._news.clear()
            delays_s = await self.flush()
            if delays_s:
                self._news.set()
            await asyncio.sleep(max([self._pause_s, *delays_s]))

    async def flush(self) -> list[float]:
        """Writes what was not written yet; for each that could not be, in how many seconds to try again.

        A record is forgotten only once it is written: the flush that follows a cancelled one loses nothing.
        """
        delays_s = await asyncio.gather(*(self._write(key, record) for key, record in list(self._latest.items())))
        return [delay_s for delay_s in delays_s if delay_s is not None]

    async def _write(self, key: str, record: M) -> float | None:
        try:
            await self._records.put(key, record)
        except TransientError as error:
            return error.delay_s
        if self._latest.get(key) is record:
            del self._latest[key]
        return None
