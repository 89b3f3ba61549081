"""Puts people on lists, an image at a time."""

from __future__ import annotations

import hashlib

from libs.bus import Conflict
from libs.errors import ConflictError, PermanentError
from libs.gallery import Reference
from libs.officers import ForbiddenError, Signed
from proto import codec, subjects
from proto.codec import DecodeError
from proto.governance import Details, EnrolledImage, EntryRecord, NameRecord, WatchListRecord
from proto.messages import EnrolReply
from proto.requests import EnrolEntryRequest, EnrolmentNotice
from proto.sealed import Sealed
from services.match.admission import must_take
from services.match.enrolment import Enrolment, FaceReference, RefusedImageError
from services.match.provenance import counted, counts, has_image, live, not_taken, reviewed, with_image
from services.match.registry import ATTEMPTS, Registry, owing, with_deed


class Membership:
    """Answers the act `enrol`."""

    def __init__(self, registry: Registry, enrolment: Enrolment) -> None:
        self._registry = registry
        self._enrolment = enrolment

    async def enrol(self, sealed: Sealed) -> EnrolReply:
        """Whether the image was enrolled, and if not, why and what to do about it.

        Raises:
            ForbiddenError: the officer may not.
            MissingError: there is no such list.
            ConflictError: the list has expired, an import is under way that this is not part of, or a deployment may
                search the list.
            TransientError: detect, embed, the bus or the gallery is away: ask again.
        """
        signed = self._registry.signed(sealed, EnrolEntryRequest)
        request = signed.request
        if request.import_id:
            async with self._registry.turns.shared(request.watch_list):
                self._must_take(signed, await self._list_of(request))
                return await self._enrol(request)
        notice = self._notice(signed)
        async with self._registry.turns.alone(request.watch_list):
            self._must_take(signed, await self._list_of(request))
            reply = await self._enrol(request, notice)
            if reply.enrolled and not reply.already:
                await self._count(request.watch_list)
                await self._registry.report(request.watch_list)
            return reply

    async def _list_of(self, request: EnrolEntryRequest) -> WatchListRecord:
        known = self._registry.known(request.watch_list)
        fits = known.state == ("importing" if request.import_id else "ready") and known.import_id == request.import_id
        return known if fits else await self._registry.read(request.watch_list)

    def _notice(self, signed: Signed[EnrolEntryRequest]) -> Signed[EnrolmentNotice]:
        """What the officer says of the enrolment for the audit.

        Raises:
            PermanentError: it is missing, or says something else.
            ForbiddenError: it is another's.
        """
        request = signed.request
        try:
            notice = self._registry.signed(codec.decode(Sealed, request.notice), EnrolmentNotice)
        except DecodeError:
            raise PermanentError("the enrolment has no notice for the audit: send one with it") from None
        said = EnrolmentNotice(
            watch_list=request.watch_list,
            subject=request.subject,
            sha256=_sha256(request.image),
            reason=request.entry.reason,
        )
        if notice.who != signed.who or notice.request != said:
            raise ForbiddenError("the notice for the audit is of another enrolment")
        return notice

    def _must_take(self, signed: Signed[EnrolEntryRequest], record: WatchListRecord) -> None:
        """Does nothing where the list takes the enrolment now.

        Raises:
            ForbiddenError, MissingError, ConflictError: it does not.
        """
        request = signed.request
        must_take(signed, record)
        self._registry.must_be_unarmed(record.id)
        if record.form.expires_at <= self._registry.clock():
            raise ConflictError(f"the watch list {record.id} has expired: create another")
        if record.state == "importing" and not request.import_id:
            raise ConflictError(f"an import {record.import_id} is under way: complete it, or take it back, first")
        if record.import_id != request.import_id:
            raise ConflictError(f"no import {request.import_id} of the watch list {record.id} is under way")

    async def _enrol(self, request: EnrolEntryRequest, notice: Signed[EnrolmentNotice] | None = None) -> EnrolReply:
        key, digest = subjects.key(request.watch_list, request.subject), _sha256(request.image)
        entry = self._registry.book.entries.get(key)
        if has_image(entry, digest):
            await self._review(key, digest)
            return _reply(request, enrolled=True, already=True)
        try:
            self._must_be_usable(request, entry, digest)
            face = await self._enrolment.reference_of(request.image)
            if notice is not None:
                await self._write_down(notice)
            return await self._write(request, digest, face)
        except RefusedImageError as error:
            return _reply(
                request,
                enrolled=False,
                reason=error.reason,
                remedy=error.remedy,
                component=error.component,
                measured=error.measured,
                required=error.required,
            )

    async def _review(self, key: str, digest: str) -> None:
        """Notes that an image which is there was put forward again: a list is as old as what nobody has reviewed."""
        for _ in range(ATTEMPTS):
            found = await self._registry.entries.get(key)
            if found is None:
                return
            entry, revision = found
            try:
                await self._registry.entries.replace(key, reviewed(entry, digest, self._registry.clock()), revision)
            except Conflict:
                continue
            return
        raise ConflictError("somebody else is changing the entry: try again")

    def _must_be_usable(self, request: EnrolEntryRequest, entry: EntryRecord | None, digest: str) -> None:
        """Does nothing for particulars that can be taken.

        Raises:
            RefusedImageError: they cannot.
        """
        if request.entry.expires_at <= self._registry.clock():
            raise RefusedImageError("the entry has expired", "give a later time to expire")
        if "/" in request.reference or not request.reference.isprintable():
            raise RefusedImageError("the reference has a slash or a control character in it", "give it another name")
        names = {image.reference: image.sha256 for image in live(entry)} if entry is not None else {}
        if names.get(request.reference, digest) != digest:
            raise RefusedImageError(
                f"another image named {request.reference} is enrolled for the subject",
                "give the file another name, or remove the entry first",
            )

    async def _write(self, request: EnrolEntryRequest, digest: str, face: FaceReference) -> EnrolReply:
        """Writes the reference, then the portrait and the name, and last the entry, which says that all is there."""
        registry, now = self._registry, self._registry.clock()
        reference = Reference(
            subject=request.subject,
            reference=f"{request.subject}/{request.reference}",
            template=face.template,
            template_version=registry.template_version,
            enrolled_at=now,
        )
        await registry.gallery.enrol(request.watch_list, [reference])
        image = EnrolledImage(
            reference=request.reference,
            sha256=digest,
            quality=face.quality.unified,
            enrolled_at=now,
            import_id=request.import_id,
        )
        before = await self._add(request, image, face)
        note = not_taken(before, request.entry)
        return _reply(request, enrolled=True, reason=note, quality=face.quality)

    async def _add(self, request: EnrolEntryRequest, image: EnrolledImage, face: FaceReference) -> EntryRecord | None:
        """The entry before the image was added to it, if there was one.

        Raises:
            ConflictError: somebody else went on changing it.
            TransientError: the bus is away.
        """
        registry, key = self._registry, subjects.key(request.watch_list, request.subject)
        heard = registry.book.entries.get(key) is not None
        for _ in range(ATTEMPTS):
            found = await registry.entries.get(key) if heard else None
            before, revision = found or (None, 0)
            await self._show(request, before, face)
            empty = EntryRecord(watch_list=request.watch_list, subject=request.subject, images=())
            try:
                await registry.entries.replace(key, with_image(before or empty, request.entry, image), revision)
            except Conflict:
                heard = True
                continue
            return before
        raise ConflictError("somebody else is changing the entry: try again")

    async def _show(self, request: EnrolEntryRequest, before: EntryRecord | None, face: FaceReference) -> None:
        """Keeps the name of a new entry and the portrait of its best image.

        What was there before an import stays, so that the import can be taken back.
        """
        images = live(before) if before is not None else ()
        key = subjects.reference_portrait(request.watch_list, request.subject)
        if not images:
            await self._registry.portraits.put(key, face.portrait)
            if request.entry.name:
                name = NameRecord(name=request.entry.name)
                await self._registry.names.put(subjects.key(request.watch_list, request.subject), name)
        elif all(image.import_id == request.import_id and image.quality < face.quality.unified for image in images):
            await self._registry.portraits.put(key, face.portrait)  # which erases the one before it

    async def _write_down(self, notice: Signed[EnrolmentNotice]) -> None:
        """Writes down an enrolment that is not part of an import: an act of its own.

        It is written before anybody can be found. So a program that dies in between leaves the audit a name too many,
        never a person who is searched for and whom nobody has put there.
        """
        said = notice.request
        details: Details = {"subject": said.subject, "sha256": said.sha256}

        def enrolled(record: WatchListRecord) -> WatchListRecord:
            deed = notice.deed("enrol", said.reason)
            return owing(with_deed(record, deed), "watchlist.enrolled", details, notice.sealed)

        await self._registry.change(said.watch_list, enrolled)

    async def _count(self, watch_list: str) -> None:
        now_on_it = counts((await self._registry.snapshot(watch_list)).values())
        await self._registry.change(watch_list, lambda record: counted(record, now_on_it))


def _reply(request: EnrolEntryRequest, *, enrolled: bool, **rest: object) -> EnrolReply:
    named = {"watch_list": request.watch_list, "subject": request.subject, "reference": request.reference}
    return EnrolReply(**named, enrolled=enrolled, **rest)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
