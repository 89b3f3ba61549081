"""What is due by the clock, or was left undone by a program that died: done at start and again and again.

It goes by what the records say and by this program's own clock, never by what it remembers, so days of downtime change
nothing but the hour.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from libs.surviving import surviving
from proto import subjects
from proto.audit import Details
from proto.watchlists import WatchListRecord
from services.match.erasure import erase_orphans
from services.match.imports import Imports
from services.match.provenance import Counts, counts
from services.match.registry import Registry, owing, own_deed, with_deed
from services.match.removals import Removals
from services.match.watchlists import WatchLists


class Sweeper:
    """Looks after all lists."""

    def __init__(self, registry: Registry, lists: WatchLists, imports: Imports, removals: Removals) -> None:
        self._registry = registry
        self._lists = lists
        self._imports = imports
        self._removals = removals

    async def run(self, every_s: float) -> None:
        """Sweeps for ever; the first sweep repairs what a crash left."""
        while True:
            await self.sweep()
            await asyncio.sleep(every_s)

    async def sweep(self) -> None:
        """Does all that is due now. What cannot be done is logged, and is due at the next sweep too."""
        await self._each(self._look_after)
        await self._each(self._pay)

    async def _repair(self, record: WatchListRecord) -> None:
        """Makes gallery and record of one list agree with its entries. Raises `TransientError`."""
        registry = self._registry
        async with registry.turns.alone(record.id):
            entries = await registry.snapshot(record.id)
            orphans = await erase_orphans(registry, record.id, entries.values())
            if orphans:
                registry.log.warning("gallery.orphans", watch_list=record.id, references=orphans)
            now_on_it = counts(entries.values())
            await registry.change(record.id, lambda now: self._recounted(now, now_on_it))
            registry.tidy.add(record.id)

    async def _look_after(self, record: WatchListRecord) -> None:
        now = self._registry.clock()
        if record.state == "destroying":
            await self._lists.finish_destroying(record.id)
        elif record.state != "destroyed" and record.form.expires_at <= now:
            deed = own_deed("destroy", "the list has expired", now)
            await self._lists.destroy_by(record.id, deed)
        elif record.state != "destroyed":
            await self._keep(record, now)

    async def _pay(self, record: WatchListRecord) -> None:
        """Tells the audit what it is owed, also of a list that cannot be looked after now."""
        if record.owed:
            await self._registry.report(record.id)

    async def _keep(self, record: WatchListRecord, now: float) -> None:
        """Does what is due on a list that stays: what was cut short first."""
        if record.state == "aborting":
            await self._imports.finish_aborting(record.id)
        if record.removing:
            await self._removals.finish(record.id)
        if record.id not in self._registry.tidy:
            await self._repair(record)
        while self._has_expired_entries(record.id, now) and await self._removals.expire(record.id, now):
            pass  # a part of them at a time

    def _has_expired_entries(self, watch_list: str, now: float) -> bool:
        entries = self._registry.book.of(watch_list).values()
        return any(entry.form is not None and entry.form.expires_at <= now for entry in entries)

    async def _each(self, work: Callable[[WatchListRecord], Awaitable[None]]) -> None:
        """Does the work for each list. What somebody else wrote among them is logged, and costs only itself."""
        log = self._registry.log
        for key, record in self._registry.book.lists.all().items():
            if key != subjects.key(record.id):
                log.warning("sweep.foreign_record", key=key, watch_list=record.id)
                continue
            with surviving(log, "sweep.failed", watch_list=record.id):
                await work(record)

    def _recounted(self, record: WatchListRecord, counted: Counts) -> WatchListRecord:
        """The record with the counts of its entries, where an act was cut short before it could write them down."""
        new: Details = {
            "subjects": counted.subjects,
            "references": counted.references,
            "inputs_sha256": counted.inputs_sha256,
        }
        if record.state != "ready" or all(getattr(record, name) == value for name, value in new.items()):
            return record
        deed = own_deed("recount", "an act was cut short by the end of the program", self._registry.clock())
        return owing(with_deed(record, deed, **new), "watchlist.recounted", new)
