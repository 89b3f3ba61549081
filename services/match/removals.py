"""Takes people off lists: by an act of an officer, or because their entries have expired."""

from __future__ import annotations

import hashlib

from libs.errors import MissingError
from proto import subjects
from proto.audit import Deed, Details
from proto.requests.watchlists import ListReply, RemoveEntryRequest
from proto.sealed import Sealed
from proto.watchlists import EntryRecord, WatchListRecord
from services.match.admission import must_be_whole, must_take
from services.match.erasure import erase_entries
from services.match.provenance import counted, counts, live
from services.match.registry import Registry, owing, own_deed, with_deed

AT_A_TIME = 1000
"""People who are taken off by one act: their ids stand in the record of the list, and the server takes 1 MiB."""


class Removals:
    """Answers the act `remove`, and does what is due by the clock."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def remove(self, sealed: Sealed) -> ListReply:
        """The list, which the person is off now.

        Raises:
            ForbiddenError: the officer may not.
            MissingError: there is no such list, or the person is not on it.
            ConflictError: an import is under way, or being taken back.
            TransientError: the bus or the gallery is away: ask again.
        """
        signed = self._registry.signed(sealed, RemoveEntryRequest)
        request, registry = signed.request, self._registry
        async with registry.turns.alone(request.watch_list):
            record = await registry.read(request.watch_list)
            must_take(signed, record)
            must_be_whole(record)
            if request.subject in record.removing:  # an earlier call did not get further
                await self._erase(request.watch_list)
            else:
                leaving, deed = [await self._on_it(request)], signed.deed("remove", request.reason)
                await self._begin(request.watch_list, leaving, deed, signed.sealed)
            return ListReply(record=await registry.report(request.watch_list))

    async def finish(self, watch_list: str) -> None:
        """Goes on taking people off a list where a program that died left off. Raises `TransientError`."""
        async with self._registry.turns.alone(watch_list):
            await self._erase(watch_list)

    async def expire(self, watch_list: str, now: float) -> int:
        """How many people are off the list now because their entries had expired: at most `AT_A_TIME`.

        Raises:
            TransientError: the bus or the gallery is away.
        """
        registry = self._registry
        async with registry.turns.alone(watch_list):
            entries, leaving = await registry.snapshot(watch_list), (await registry.read(watch_list)).removing
            expired = [one for one in entries.values() if one.form is not None and one.form.expires_at <= now]
            due = [entry for entry in expired if entry.subject not in leaving][:AT_A_TIME]
            if due:
                await self._begin(watch_list, due, own_deed("remove", "the entries have expired", now))
                await registry.report(watch_list)
            return len(due)

    async def _on_it(self, request: RemoveEntryRequest) -> EntryRecord:
        found = await self._registry.entries.get(subjects.key(request.watch_list, request.subject))
        if found is None or found[0].form is None:
            raise MissingError("that subject is not on the list")
        return found[0]

    async def _begin(self, watch_list: str, entries: list[EntryRecord], deed: Deed, sealed: bytes = b"") -> None:
        """Takes people off: what is written first says so, and from then on nobody searches for them."""
        subject_ids = sorted(entry.subject for entry in entries)
        details: Details = {
            "entries": len(entries),
            "subjects_sha256": hashlib.sha256("\n".join(subject_ids).encode()).hexdigest(),
            "images": sum(len(live(entry)) for entry in entries),
        }
        if len(entries) == 1:
            details["subject"] = subject_ids[0]

        def removing(record: WatchListRecord) -> WatchListRecord:
            begun = with_deed(record, deed, removing=tuple(sorted({*record.removing, *subject_ids})))
            return owing(begun, "watchlist.removed", details, sealed)

        await self._registry.change(watch_list, removing)
        await self._erase(watch_list)

    async def _erase(self, watch_list: str) -> None:
        """Erases what there is of those who are being taken off."""
        registry, leaving = self._registry, (await self._registry.read(watch_list)).removing
        entries = await registry.snapshot(watch_list)
        still = [entries[subject] for subject in leaving if subject in entries and entries[subject].form is not None]
        if still:
            await erase_entries(registry, watch_list, still)
        left = counts((await registry.snapshot(watch_list)).values())

        def removed(record: WatchListRecord) -> WatchListRecord:
            rest = tuple(subject for subject in record.removing if subject not in leaving)
            over = record.model_copy(update={"removing": rest})
            return counted(over, left) if record.state == "ready" else over

        await registry.change(watch_list, removed)
