"""Leases on cameras: at most one ingest program holds a camera, and a dead one's lapse by themselves.

A lease is written by compare-and-set alone. An answer of the bus may be lost although the write was done, so a lease
found to name us is ours, at the revision it has.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Protocol

from libs.bus import Conflict
from libs.errors import TransientError
from proto import codec, subjects
from proto.records import Lease

Key = tuple[str, str]
"""A deployment and one of its cameras."""


class LeaseRecords(Protocol):
    """The part of `libs.bus.Records` that leases need."""

    async def get(self, key: str) -> tuple[Lease, int] | None:
        """The lease and its revision."""

    async def replace(self, key: str, record: Lease, revision: int) -> int:
        """The new revision; raises `Conflict`."""

    async def delete(self, key: str, revision: int) -> None:
        """Removes the lease; raises `Conflict`."""


class Leases:
    """The leases that `holder` may hold. A revision is what a lease is renewed and released by."""

    def __init__(self, records: LeaseRecords, holder: str) -> None:
        self._records = records
        self._holder = holder

    async def may_take(self, key: Key) -> bool:
        """Whether nobody else holds the camera, as far as the bus can tell."""
        try:
            await self._revision(key)
        except (Conflict, TransientError):
            return False
        return True

    async def take(self, key: Key) -> int:
        """The revision of the lease, now ours.

        Raises:
            Conflict: it is another's.
            TransientError: the bus is away.
        """
        return await self._write(key, await self._revision(key))

    async def renew(self, key: Key, revision: int) -> int:
        """The new revision of our lease; one that lapsed, or that a restarted server forgot, is taken anew.

        Raises:
            Conflict: it is another's.
            TransientError: the bus is away.
        """
        try:
            return await self._write(key, revision)
        except Conflict:
            return await self.take(key)

    async def release(self, key: Key, revision: int) -> None:
        """Removes our lease, so that another may take it at once. If that fails it lapses; another's is left alone."""
        with suppress(Conflict, TransientError):
            try:
                await self._records.delete(subjects.key(*key), revision)
            except Conflict:
                if (current := await self._revision(key)) > 0:
                    await self._records.delete(subjects.key(*key), current)

    async def _write(self, key: Key, revision: int) -> int:
        return await self._records.replace(subjects.key(*key), Lease(holder=self._holder, camera=key[1]), revision)

    async def _revision(self, key: Key) -> int:
        """The revision of our lease, 0 where there is none. Raises `Conflict` where there is another's."""
        name = subjects.key(*key)
        try:
            found = await self._records.get(name)
        except codec.DecodeError:  # nobody renews it: it lapses
            raise Conflict(name) from None
        if found is not None and found[0].holder != self._holder:
            raise Conflict(name)
        return found[1] if found is not None else 0
