"""The acts that put people on lists: an image by itself, or images of an import, several at a time."""

from __future__ import annotations

from functools import partial
from typing import Any

from libs.errors import ConflictError, PermanentError
from libs.officers import ForbiddenError, Signed
from proto import codec
from proto.audit import Details
from proto.codec import DecodeError
from proto.messages import EnrolReply
from proto.requests.watchlists import EnrolEntryRequest, EnrolImagesReply, EnrolImagesRequest, EnrolmentNotice
from proto.sealed import Sealed
from proto.watchlists import WatchListRecord
from services.match.additions import Additions, Batch, sha256_of
from services.match.admission import must_be_whole, must_take
from services.match.enrolment import Enrolment
from services.match.provenance import counted, counts
from services.match.registry import Registry, owing, with_deed


class Membership:
    """Answers the acts `enrol` and `enrol_images`."""

    def __init__(self, registry: Registry, enrolment: Enrolment) -> None:
        self._registry = registry
        self._additions = Additions(registry, enrolment)

    async def enrol(self, sealed: Sealed) -> EnrolReply:
        """Whether the image was enrolled, and if not, why and what to do about it.

        Raises:
            ForbiddenError: the officer may not.
            MissingError: there is no such list.
            ConflictError: the list has expired, an import is under way, or a deployment may search the list.
            TransientError: detect, embed, the bus or the gallery is away: ask again.
        """
        signed = self._registry.signed(sealed, EnrolEntryRequest)
        notice, batch = self._notice(signed), Batch(signed.request.watch_list, [signed.request])
        async with self._registry.turns.alone(batch.watch_list):
            await self._must_take(signed, batch)
            with self._registry.untidy_if_cut_short(batch.watch_list):
                (reply,) = await self._additions.add(batch, partial(self._write_down, notice))
                if reply.enrolled:  # also again: an act that failed may have come as far as the entry
                    await self._count(batch.watch_list)
            if reply.enrolled:
                await self._registry.report(batch.watch_list)
            return reply

    async def enrol_images(self, sealed: Sealed) -> EnrolImagesReply:
        """What became of each image of an import. Asked again after an error, it finds those that were enrolled there.

        Raises:
            ForbiddenError: the officer may not.
            MissingError: there is no such list.
            ConflictError: the list has expired, no such import of it is under way, or a deployment may search the list.
            TransientError: detect, embed, the bus or the gallery is away: ask again.
        """
        signed = self._registry.signed(sealed, EnrolImagesRequest)
        batch = Batch(signed.request.watch_list, signed.request.images, signed.request.import_id)
        async with self._registry.turns.shared(batch.watch_list):
            await self._must_take(signed, batch)
            return EnrolImagesReply(images=tuple(await self._additions.add(batch)))

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
            sha256=sha256_of(request),
            reason=request.entry.reason,
        )
        if notice.who != signed.who or notice.request != said:
            raise ForbiddenError("the notice for the audit is of another enrolment")
        return notice

    async def _must_take(self, signed: Signed[Any], batch: Batch) -> None:
        """Does nothing for a list to which the officer may add these images.

        Raises:
            ForbiddenError, MissingError, ConflictError: it is none.
        """
        record = await self._list_of(batch)
        must_take(signed, record)
        self._registry.must_be_unarmed(record.id)
        if record.form.expires_at <= self._registry.clock():
            raise ConflictError(f"the watch list {record.id} has expired: create another")
        if not _awaits(batch, record):
            if batch.import_id:
                raise ConflictError(f"no import {batch.import_id} of the watch list {record.id} is under way")
            must_be_whole(record)

    async def _list_of(self, batch: Batch) -> WatchListRecord:
        known = self._registry.known(batch.watch_list)
        return known if _awaits(batch, known) else await self._registry.read(batch.watch_list)

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


def _awaits(batch: Batch, record: WatchListRecord) -> bool:
    """Whether images come onto the list in that way now: those of the import that is under way, or by themselves."""
    return record.state == ("importing" if batch.import_id else "ready") and record.import_id == batch.import_id
