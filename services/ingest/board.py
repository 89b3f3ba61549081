"""The board on which cameras tell how far they are: the bucket `status`."""

from __future__ import annotations

import asyncio
from typing import Protocol

from libs.errors import TransientError
from proto import subjects
from proto.records import CameraStatus


class StatusRecords(Protocol):
    """The part of `libs.bus.Records` that the board needs."""

    async def put(self, key: str, record: CameraStatus) -> int:
        """The revision of the record, now under `key`."""


class StatusBoard:
    """Writes what cameras say of themselves, the latest of each, as fast as the bus takes it."""

    def __init__(self, records: StatusRecords) -> None:
        self._records = records
        self._latest: dict[str, CameraStatus] = {}
        self._news = asyncio.Event()

    def report(self, status: CameraStatus) -> None:
        """Takes a status; one that was not written yet is replaced."""
        self._latest[subjects.key(status.deployment, status.camera)] = status
        self._news.set()

    async def run(self) -> None:
        """Writes until it is cancelled; what could not be written is tried again."""
        while True:
            await self._news.wait()
            self._news.clear()
            delays_s = await self.flush()
            if delays_s:
                self._news.set()
                await asyncio.sleep(max(delays_s))

    async def flush(self) -> list[float]:
        """Writes what was not written yet; for each that could not be, in how many seconds to try again.

        A status is forgotten only once it is written: the flush that follows a cancelled one loses nothing.
        """
        delays_s = await asyncio.gather(*(self._write(key, status) for key, status in self._latest.items()))
        return [delay_s for delay_s in delays_s if delay_s is not None]

    async def _write(self, key: str, status: CameraStatus) -> float | None:
        try:
            await self._records.put(key, status)
        except TransientError as error:
            return error.delay_s
        if self._latest.get(key) is status:
            del self._latest[key]
        return None
