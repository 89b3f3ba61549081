"""A gallery whose enrolments share their way to the disk: those that come while one is being stored go together next.

Storing durably waits for the disk whatever the number of references, so a gallery that is given one reference at a
time by many at once is bound by it. Nobody waits longer for it than for one other group.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from libs.errors import PermanentError
from libs.gallery.contract import Candidate, Gallery, PossiblePair, Reference, ReferenceEntry, Templates


@dataclass
class _Group:
    """References on their way together."""

    references: list[Reference] = field(default_factory=list)
    storing: asyncio.Task[None] | None = None


class GroupedGallery:
    """`Gallery`, by another one. An enrolment that is bad spoils no other."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._turns: dict[str, asyncio.Lock] = {}
        self._waiting: dict[str, _Group] = {}

    async def enrol(self, watch_list: str, references: Sequence[Reference]) -> None:
        """See `Gallery.enrol`."""
        group = self._waiting.setdefault(watch_list, _Group())
        group.references += references
        if group.storing is None:
            group.storing = asyncio.create_task(self._store(watch_list, group), name=f"enrol in {watch_list}")
        try:
            await asyncio.shield(group.storing)
        except PermanentError:
            if len(group.references) == len(references):
                raise
            await self._gallery.enrol(watch_list, references)  # one of the group is bad: is it mine?

    async def _store(self, watch_list: str, group: _Group) -> None:
        """Stores a group when the one before it is stored; until then others join it."""
        async with self._turns.setdefault(watch_list, asyncio.Lock()):
            del self._waiting[watch_list]
            await self._gallery.enrol(watch_list, group.references)

    async def create(self, watch_list: str) -> None:
        """See `Gallery.create`."""
        await self._gallery.create(watch_list)

    async def remove(self, watch_list: str, subject: str) -> int:
        """See `Gallery.remove`."""
        return await self._gallery.remove(watch_list, subject)

    async def discard(self, watch_list: str, references: Sequence[str]) -> int:
        """See `Gallery.discard`."""
        return await self._gallery.discard(watch_list, references)

    async def search(self, watch_lists: Sequence[str], templates: Templates, k: int) -> list[list[Candidate]]:
        """See `Gallery.search`."""
        return await self._gallery.search(watch_lists, templates, k)

    async def duplicates(
        self, watch_list: str, others: Sequence[str], threshold: float, most: int
    ) -> list[PossiblePair]:
        """See `Gallery.duplicates`."""
        return await self._gallery.duplicates(watch_list, others, threshold, most)

    async def count(self, watch_list: str) -> int:
        """See `Gallery.count`."""
        return await self._gallery.count(watch_list)

    async def references(self, watch_list: str) -> list[ReferenceEntry]:
        """See `Gallery.references`."""
        return await self._gallery.references(watch_list)

    async def watch_lists(self) -> list[str]:
        """See `Gallery.watch_lists`."""
        return await self._gallery.watch_lists()

    async def drop(self, watch_list: str) -> None:
        """See `Gallery.drop`."""
        await self._gallery.drop(watch_list)

    async def close(self) -> None:
        """See `Gallery.close`."""
        await self._gallery.close()
