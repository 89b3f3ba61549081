"""Makes watch lists, shows them, lets them expire and destroys them."""

from __future__ import annotations

from functools import partial

from libs.bus import Conflict
from libs.errors import ConflictError, PermanentError
from libs.officers import Signed
from proto import subjects
from proto.audit import Deed, Details
from proto.requests.listing import ListRequest
from proto.requests.watchlists import (
    CreateListRequest,
    DestroyListRequest,
    EntriesReply,
    EntriesRequest,
    ExpireListRequest,
    ListReply,
    ListsReply,
)
from proto.sealed import Sealed
from proto.watchlists import WatchListRecord
from services.match.admission import must_take
from services.match.erasure import erase_list
from services.match.provenance import counts
from services.match.registry import DEEDS_KEPT, Registry, owing, promise, with_deed, without_promise


class WatchLists:
    """Answers acts on lists, and asks about them."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def create(self, sealed: Sealed) -> ListReply:
        """The list, which is empty now.

        Raises:
            ForbiddenError: the officer may not.
            ConflictError: there is one of that name, or a deployment may search what had it.
            PermanentError: it would have expired already.
        """
        registry = self._registry
        signed = registry.signed(sealed, CreateListRequest)
        form = signed.request.form
        signed.must_act_under(form.profile)
        if form.expires_at <= registry.clock():
            raise PermanentError("the list would have expired already: give a later time to expire")
        async with registry.turns.alone(form.watch_list):
            registry.must_be_unarmed(form.watch_list)
            key = subjects.key(form.watch_list)
            found = await registry.lists.get(key)
            before, revision = found or (None, 0)
            if before is not None and before.state != "destroyed":
                raise ConflictError(f"there is a watch list {form.watch_list}: choose another name")
            await registry.gallery.create(form.watch_list)
            record = self._first(signed, before)
            try:
                await registry.lists.replace(key, record, revision)
            except Conflict:
                raise ConflictError(f"{form.watch_list} was made by somebody else a moment ago") from None
            registry.note(record)
            return ListReply(record=await registry.report(form.watch_list))

    async def expire(self, sealed: Sealed) -> ListReply:
        """The list, which now expires sooner.

        Raises:
            ForbiddenError: the officer may not.
            MissingError: there is no such list.
            ConflictError: it is destroyed.
            PermanentError: it would expire later than it does.
        """
        signed = self._registry.signed(sealed, ExpireListRequest)
        name = signed.request.watch_list
        async with self._registry.turns.alone(name):
            await self._registry.change(name, partial(_expiring, signed))
            return ListReply(record=await self._registry.report(name))

    async def destroy(self, sealed: Sealed) -> ListReply:
        """The list, of which ids, counts and hashes are left.

        Raises:
            ForbiddenError: the officer may not.
            MissingError: there is no such list.
            ConflictError: it is destroyed already.
        """
        signed = self._registry.signed(sealed, DestroyListRequest)
        name, deed = signed.request.watch_list, signed.deed("destroy", signed.request.reason)
        signed.must_act_under((await self._registry.read(name)).form.profile)
        return ListReply(record=await self.destroy_by(name, deed, signed.sealed))

    async def destroy_by(self, name: str, deed: Deed, sealed: bytes = b"") -> WatchListRecord:
        """The list, destroyed by the deed, of which `sealed` is the officer's act. Raises as `destroy`."""
        async with self._registry.turns.alone(name):
            await self._registry.change(name, partial(_destroying, deed, sealed))
            await self._finish(name)
            return await self._registry.report(name)

    async def finish_destroying(self, name: str) -> None:
        """Goes on destroying a list where a program that died left off. Raises `TransientError`."""
        async with self._registry.turns.alone(name):
            if (await self._registry.read(name)).state == "destroying":
                await self._finish(name)
                await self._registry.report(name)

    async def show(self, ask: ListRequest) -> ListReply:
        """The list that `of` names. Raises `MissingError`."""
        return ListReply(record=await self._registry.read(ask.of))

    async def list(self, ask: ListRequest) -> ListsReply:
        """Every list, or the one that `of` names, by name."""
        records = [record for record in self._registry.book.lists.all().values() if ask.of in ("", record.id)]
        return ListsReply(records=tuple(sorted(records, key=lambda record: record.id)))

    async def entries(self, ask: EntriesRequest) -> EntriesReply:
        """A page of the entries of a list, in order of subject; also of those who are off it. Raises `MissingError`."""
        record = await self._registry.read(ask.watch_list)
        entries = self._registry.book.of(ask.watch_list)
        page = sorted(subject for subject in entries if subject > ask.after)[: ask.count]
        return EntriesReply(record=record, entries=tuple(entries[subject] for subject in page))

    def _first(self, signed: Signed[CreateListRequest], before: WatchListRecord | None) -> WatchListRecord:
        """The record of a new list; one of a name that was used goes on with its versions, so that each is one act."""
        form = signed.request.form
        empty = WatchListRecord(
            form=form,
            record_version=before.record_version + 1 if before else 1,
            state="ready",
            deeds=(*(before.deeds if before else ()), signed.deed("create"))[-DEEDS_KEPT:],
            created_at=self._registry.clock(),
            template_version=self._registry.template_version,
            owed=before.owed if before else (),
        )
        details: Details = {
            "response": form.response,
            "expires_at": form.expires_at,
            "seed": form.seed,
            "template_version": empty.template_version,
        }
        return owing(empty, "watchlist.created", details, signed.sealed)

    async def _finish(self, name: str) -> None:
        registry = self._registry
        entries = await registry.snapshot(name)
        erased = await erase_list(registry, name, entries.values())
        listed = counts(entries.values())

        def destroyed(record: WatchListRecord) -> WatchListRecord:
            gone = record.model_copy(
                update={
                    "state": "destroyed",
                    "destroyed_at": registry.clock(),
                    "import_id": "",
                    "removing": (),
                    "inputs_sha256": record.inputs_sha256 or listed.inputs_sha256,
                }
            )
            details: Details = {
                "people_erased": erased,
                "entries_kept_as_ids": len(entries),
                "subjects": gone.subjects,
                "references": gone.references,
                "inputs_sha256": gone.inputs_sha256,
            }
            told = promise(record).model_copy(update={"details": details})
            return gone.model_copy(update={"owed": (*without_promise(record), told)})

        await registry.change(name, destroyed)


def _expiring(signed: Signed[ExpireListRequest], record: WatchListRecord) -> WatchListRecord:
    must_take(signed, record)
    request = signed.request
    if request.expires_at > record.form.expires_at:
        raise PermanentError("a list can only expire sooner than it does: import a new list instead")
    form = record.form.model_copy(update={"expires_at": request.expires_at})
    changed = with_deed(record, signed.deed("expire", request.reason), form=form)
    return owing(changed, "watchlist.expired", {"expires_at": request.expires_at}, signed.sealed)


def _destroying(deed: Deed, sealed: bytes, record: WatchListRecord) -> WatchListRecord:
    """The list about to be destroyed: the deed is owed from now on, and told with its counts when it is done."""
    if record.state == "destroying":
        return record
    if record.state == "destroyed":
        raise ConflictError(f"the watch list {record.id} is destroyed already")
    return owing(with_deed(record, deed, state="destroying"), "watchlist.destroyed", {}, sealed)
