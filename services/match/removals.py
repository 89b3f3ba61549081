"""Takes people off lists: by an act of an officer, or because their entries have expired."""

from __future__ import annotations

import hashlib

from libs.errors import ConflictError, MissingError
from proto import subjects
from proto.audit import Deed, Details
from proto.requests.watchlists import ListReply, RemoveEntryRequest
from proto.sealed import Sealed
from proto.watchlists import EntryRecord, WatchListRecord
from services.match.admission import must_take
from services.match.erasure import erase_entries
from services.match.provenance import counted, counts, live
from services.match.registry import Registry, owing, own_deed, with_deed


class Removals:
    """Answers the act `remove`, and does what is due by the clock."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def remove(self, sealed: Sealed) -> ListReply:
        """The list, which the person is off now.

        Raises:
            ForbiddenError: the officer may not.
            MissingError: there is no such list, or the person is not on it.
            ConflictError: an import is under way.
            TransientError: the bus or the gallery is away: ask again.
        """
        signed = self._registry.signed(sealed, RemoveEntryRequest)
        request, registry = signed.request, self._registry
        async with registry.turns.alone(request.watch_list):
            record = await registry.read(request.watch_list)
            must_take(signed, record)
            if record.state == "importing":
                raise ConflictError(f"an import {record.import_id} is under way: complete it, or take it back, first")
            found = await registry.entries.get(subjects.key(request.watch_list, request.subject))
            if found is None or found[0].form is None:
                raise MissingError("that subject is not on the list")
            await self._take_off([found[0]], signed.deed("remove", request.reason), signed.sealed)
            return ListReply(record=await registry.report(request.watch_list))

    async def expire(self, watch_list: str, now: float) -> int:
        """How many people are off the list now because their entries had expired. Raises `TransientError`."""
        registry = self._registry
        async with registry.turns.alone(watch_list):
            entries = await registry.snapshot(watch_list)
            due = [entry for entry in entries.values() if entry.form is not None and entry.form.expires_at <= now]
            if due:
                await self._take_off(due, own_deed("remove", "the entries have expired", now))
                await registry.report(watch_list)
            return len(due)

    async def _take_off(self, entries: list[EntryRecord], deed: Deed, sealed: bytes = b"") -> None:
        watch_list, subject_ids = entries[0].watch_list, sorted(entry.subject for entry in entries)
        details: Details = {
            "entries": len(entries),
            "subjects_sha256": hashlib.sha256("\n".join(subject_ids).encode()).hexdigest(),
            "images": sum(len(live(entry)) for entry in entries),
        }
        if len(entries) == 1:
            details["subject"] = subject_ids[0]
        await erase_entries(self._registry, watch_list, entries)
        left = counts((await self._registry.snapshot(watch_list)).values())

        def removed(record: WatchListRecord) -> WatchListRecord:
            return owing(counted(with_deed(record, deed), left), "watchlist.removed", details, sealed)

        await self._registry.change(watch_list, removed)
