"""Imports of many images: begun, resumed, completed as one act, or taken back as if they had never been begun."""

from __future__ import annotations

import secrets
from functools import partial

from libs.errors import ConflictError, PermanentError
from libs.officers import Signed
from proto import subjects
from proto.audit import Details
from proto.requests.watchlists import ImportRequest, ListReply
from proto.sealed import Sealed
from proto.watchlists import WatchListRecord
from services.match.admission import must_take
from services.match.erasure import erase_orphans, erase_people
from services.match.provenance import counted, counts, without_import
from services.match.registry import Registry, owing, with_deed

DIGITS_OF_MANIFEST = 16
"""Of the hash of its manifest that an import's id starts with, so that the same images resume it."""


class Imports:
    """Answers the acts around an import; what is imported comes as enrolments with the import's id."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def step(self, sealed: Sealed) -> ListReply:
        """The list after a step of an import.

        Raises:
            ForbiddenError: the officer may not.
            MissingError: there is no such list.
            ConflictError: another import is under way, or this one is not; or a deployment may search the list.
            TransientError: the bus or the gallery is away: ask again.
        """
        signed = self._registry.signed(sealed, ImportRequest)
        name = signed.request.watch_list
        async with self._registry.turns.alone(name):
            must_take(signed, await self._registry.read(name))
            await self._take_back(name)
            match signed.request.step:
                case "begin":
                    await self._registry.change(name, partial(self._begun, signed, _new_id(signed.request)))
                case "complete":
                    await self._complete(signed)
                case "abort":
                    await self._abort(signed)
            return ListReply(record=await self._registry.report(name))

    async def finish_aborting(self, name: str) -> None:
        """Goes on taking back an import where a program that died left off. Raises `TransientError`."""
        async with self._registry.turns.alone(name):
            await self._take_back(name)
            await self._registry.report(name)

    def _begun(self, signed: Signed[ImportRequest], new_id: str, record: WatchListRecord) -> WatchListRecord:
        request = signed.request
        self._registry.must_be_unarmed(record.id)
        if record.state == "importing":
            if _resumes(request, record):
                return record
            raise ConflictError(f"an import {record.import_id} is under way: resume it, or take it back, first")
        if request.import_id:
            raise ConflictError("that import is over: begin a new one")
        if record.form.expires_at <= self._registry.clock():
            raise PermanentError(f"the watch list {record.id} has expired: create another")
        begun = with_deed(record, signed.deed(signed.request.verb), state="importing", import_id=new_id)
        return owing(
            begun,
            "watchlist.import_begun",
            {"import_id": new_id, "images": request.images, "manifest_sha256": request.manifest_sha256},
            signed.sealed,
        )

    async def _complete(self, signed: Signed[ImportRequest]) -> None:
        request = signed.request
        listed = counts((await self._registry.snapshot(request.watch_list)).values())

        def completed(record: WatchListRecord) -> WatchListRecord:
            if record.state == "ready" and _was_last(request, record):
                return record
            _must_be_under_way(request, record)
            self._registry.must_be_unarmed(record.id)
            built = with_deed(
                record,
                signed.deed(request.verb, request.reason),
                state="ready",
                import_id="",
                built_at=self._registry.clock(),
                subjects=listed.subjects,
                references=listed.references,
                inputs_sha256=listed.inputs_sha256,
            )
            return owing(built, "watchlist.imported", _told(request, built), signed.sealed)

        await self._registry.change(request.watch_list, completed)

    async def _abort(self, signed: Signed[ImportRequest]) -> None:
        """Takes the import back; what is written first says so, so that it is finished whatever happens."""
        request, registry = signed.request, self._registry
        added = (await registry.snapshot(request.watch_list)).values()
        details: Details = {
            "import_id": request.import_id,
            "images_taken_back": sum(image.import_id == request.import_id for entry in added for image in entry.images),
        }

        def aborting(record: WatchListRecord) -> WatchListRecord:
            if record.state == "ready" and _was_last(request, record):
                return record
            _must_be_under_way(request, record)
            deed = signed.deed(request.verb, request.reason)
            return owing(with_deed(record, deed, state="aborting"), "watchlist.import_aborted", details, signed.sealed)

        await registry.change(request.watch_list, aborting)
        await self._take_back(request.watch_list)

    async def _take_back(self, name: str) -> None:
        """Takes back the import that is to be, if one is: its images alone, and nothing of what was there before."""
        registry, record = self._registry, await self._registry.read(name)
        if record.state != "aborting":
            return
        added = [
            entry
            for entry in (await registry.snapshot(name)).values()
            if any(image.import_id == record.import_id for image in entry.images)
        ]
        before = {entry.subject: without_import(entry, record.import_id, registry.clock()) for entry in added}
        off_it = {subject for subject, entry in before.items() if entry is None or entry.form is None}
        await erase_people(registry, name, off_it)
        for subject, entry in before.items():
            key = subjects.key(name, subject)
            await (registry.entries.put(key, entry) if entry is not None else registry.entries.erase(key))
        await erase_orphans(registry, name, (await registry.snapshot(name)).values())
        left = counts((await registry.snapshot(name)).values())

        def taken_back(now: WatchListRecord) -> WatchListRecord:
            if (now.state, now.import_id) != ("aborting", record.import_id):  # another program has finished it
                return now
            return counted(now.model_copy(update={"state": "ready", "import_id": ""}), left)

        await registry.change(name, taken_back)


def _new_id(request: ImportRequest) -> str:
    return f"{request.manifest_sha256[:DIGITS_OF_MANIFEST] or 'import'}-{secrets.token_hex(4)}"


def _resumes(request: ImportRequest, record: WatchListRecord) -> bool:
    """Whether the request is to go on with the import that is under way: it names it, or has its manifest."""
    manifest = request.manifest_sha256[:DIGITS_OF_MANIFEST]
    same = bool(manifest) and record.import_id.startswith(f"{manifest}-")
    return record.import_id == request.import_id or (not request.import_id and same)


def _must_be_under_way(request: ImportRequest, record: WatchListRecord) -> None:
    if record.state != "importing" or record.import_id != request.import_id:
        raise ConflictError(f"no import {request.import_id} of the watch list {record.id} is under way")


def _was_last(request: ImportRequest, record: WatchListRecord) -> bool:
    """Whether the last deed to the list was this end of that import: the answer was lost, not the act."""
    return (record.deeds[-1].verb, record.deeds[-1].reason) == (request.verb, request.reason)


def _told(request: ImportRequest, record: WatchListRecord) -> Details:
    return {
        "import_id": request.import_id,
        "manifest_sha256": request.manifest_sha256,
        "images": request.images,
        "refused": request.refused,
        "subjects": record.subjects,
        "references": record.references,
        "inputs_sha256": record.inputs_sha256,
    }
