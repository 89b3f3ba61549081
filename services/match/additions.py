"""Adds images to lists, several at a time: which of them are taken, and in which order what is written.

Nothing is said to be there before it is: the reference is written first, then the portrait and the name, and last the
entry. So what is cut short in between leaves what the sweeper erases, never a person of whom something is missing.
References go by the hash of their file, so no image ever takes the place of another.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from libs.bus import Conflict
from libs.errors import ConflictError, TransientError
from libs.gallery import Reference
from libs.waiting import settled
from proto import subjects
from proto.messages import EnrolReply
from proto.requests.watchlists import ReferenceImage
from proto.watchlists import EnrolledImage, EntryRecord, NameRecord
from services.match.enrolment import Enrolment, FaceReference, RefusedImageError
from services.match.provenance import has_image, live, not_taken, reference_id, reviewed, with_image
from services.match.registry import ATTEMPTS, Registry


@dataclass(frozen=True)
class Batch:
    """Images on their way onto a list together."""

    watch_list: str
    images: Sequence[ReferenceImage]
    import_id: str = ""
    """The import that brings them, if any."""


@dataclass
class _OnItsWay:
    """One of them, and what became of it."""

    of: ReferenceImage
    sha256: str
    reply: EnrolReply | None = None


@dataclass(frozen=True)
class _Usable:
    """One that shows one usable face."""

    image: _OnItsWay
    face: FaceReference

    @property
    def of(self) -> ReferenceImage:
        """As it was given."""
        return self.image.of

    @property
    def quality(self) -> float:
        """Of the face, unified."""
        return self.face.quality.unified


@dataclass(frozen=True)
class _Chosen:
    """What is to be written of images that were looked at."""

    usable: list[_Usable]
    copies: list[tuple[_OnItsWay, _OnItsWay]]
    """Each image that is the same file, for the same subject, as a usable one before it, and that one."""


async def nothing_first() -> None:
    """What is done before an import's images are written."""


class Additions:
    """Makes entries of images."""

    def __init__(self, registry: Registry, enrolment: Enrolment) -> None:
        self._registry = registry
        self._enrolment = enrolment

    async def add(self, batch: Batch, first: Callable[[], Awaitable[None]] = nothing_first) -> list[EnrolReply]:
        """What became of each image, in their order; if any is written at all, `first` is done before.

        Raises:
            ConflictError: somebody else went on changing an entry, or a deployment was armed with the list meanwhile.
            TransientError: detect, embed, the bus or the gallery is away: ask again.
        """
        images = [_OnItsWay(image, sha256_of(image)) for image in batch.images]
        for image in images:
            await self._settle_unseen(batch, image)
        unseen = [image for image in images if image.reply is None]
        chosen = _choose(batch, unseen, await self._faces(unseen))
        if chosen.usable:
            self._registry.must_be_unarmed(batch.watch_list)  # looking at the images takes seconds
            await first()
            with self._registry.untidy_if_cut_short(batch.watch_list):
                await self._write(batch, chosen.usable)
        for copy, one in chosen.copies:
            copy.reply = _told(one).model_copy(update={"reference": copy.of.reference, "already": True})
        return [_told(image) for image in images]

    async def _faces(self, images: Sequence[_OnItsWay]) -> dict[str, FaceReference | RefusedImageError]:
        """What each file shows, by its hash: a file that comes twice is looked at once."""
        files = {image.sha256: image.of.image for image in images}
        return dict(zip(files, await self._enrolment.references_of(list(files.values())), strict=True))

    async def _settle_unseen(self, batch: Batch, image: _OnItsWay) -> None:
        """Answers for an image that need not be looked at: it is there, or cannot be taken whatever it shows."""
        of, key = image.of, subjects.key(batch.watch_list, image.of.subject)
        entry = self._registry.book.entries.get(key)
        self._must_stay(batch, of.subject, entry)
        if has_image(entry, image.sha256) and await self._review(key, image.sha256):
            image.reply = _reply(batch, of, enrolled=True, already=True)
        elif problem := _problem(of, self._registry.clock()):
            image.reply = _refused(batch, of, problem)

    def _must_stay(self, batch: Batch, subject: str, entry: EntryRecord | None) -> None:
        """Does nothing for a subject who is not about to be erased, with all that would be added.

        Raises:
            TransientError: they are: a sweep later they are gone.
        """
        form = entry.form if entry is not None else None
        expired = form is not None and form.expires_at <= self._registry.clock()
        if expired or subject in self._registry.known(batch.watch_list).removing:
            raise TransientError("an entry that has expired, or was removed, is still being erased: ask again")

    async def _review(self, key: str, digest: str) -> bool:
        """Whether an image is there, and now noted as put forward again: a list is as old as what nobody reviewed.

        By what lies in the bucket: what this program last heard of may be gone.
        """
        for _ in range(ATTEMPTS):
            found = await self._registry.entries.get(key)
            if found is None or not has_image(found[0], digest):
                return False
            entry, revision = found
            try:
                await self._registry.entries.replace(key, reviewed(entry, digest, self._registry.clock()), revision)
            except Conflict:
                continue
            return True
        raise ConflictError("somebody else is changing the entry: try again")

    async def _write(self, batch: Batch, usable: Sequence[_Usable]) -> None:
        """Writes all that belongs to usable images, and their replies."""
        now, by_subject = self._registry.clock(), defaultdict[str, list[_Usable]](list)
        await self._registry.gallery.enrol(batch.watch_list, [self._reference(one, now) for one in usable])
        for one in usable:
            by_subject[one.of.subject].append(one)
        await settled(self._add(batch, own, now) for own in by_subject.values())

    def _reference(self, one: _Usable, now: float) -> Reference:
        return Reference(
            subject=one.of.subject,
            reference=reference_id(one.of.subject, one.image.sha256),
            template=one.face.template,
            template_version=self._registry.template_version,
            enrolled_at=now,
        )

    async def _add(self, batch: Batch, own: Sequence[_Usable], now: float) -> None:
        """Adds images to the entry of their subject, which they all are of.

        Raises:
            ConflictError: somebody else went on changing the entry.
            TransientError: the bus is away, or the entry has expired meanwhile.
        """
        registry, subject = self._registry, own[0].of.subject
        key = subjects.key(batch.watch_list, subject)
        heard = registry.book.entries.get(key) is not None
        for _ in range(ATTEMPTS):
            found = await registry.entries.get(key) if heard else None
            before, revision = found or (None, 0)
            self._must_stay(batch, subject, before)  # looking at the images takes seconds
            await self._show(batch, before, own)
            entry = before or EntryRecord(watch_list=batch.watch_list, subject=subject, images=())
            for one in own:
                note = not_taken(entry, one.of.entry, await self._name(batch, before, one))
                one.image.reply = _reply(batch, one.of, enrolled=True, reason=note, quality=one.face.quality)
                entry = with_image(entry, one.of.entry, _enrolled(batch, one, now))
            try:
                await registry.entries.replace(key, entry, revision)
            except Conflict:
                heard = True
                continue
            return
        raise ConflictError("somebody else is changing the entry: try again")

    async def _name(self, batch: Batch, before: EntryRecord | None, one: _Usable) -> str:
        """The name that the subject of an image was listed with; looked up only where the image comes with one."""
        if before is None or before.form is None or not one.of.entry.name:
            return one.of.entry.name
        found = await self._registry.names.get(subjects.key(batch.watch_list, before.subject))
        return found[0].name if found else ""

    async def _show(self, batch: Batch, before: EntryRecord | None, own: Sequence[_Usable]) -> None:
        """Keeps the name of a new entry and the portrait of its best image.

        What was there before an import stays, so that the import can be taken back.
        """
        images = live(before) if before is not None else ()
        best, subject = max(own, key=lambda one: one.quality), own[0].of.subject
        key = subjects.reference_portrait(batch.watch_list, subject)
        if all(image.import_id == batch.import_id and image.quality < best.quality for image in images):
            await self._registry.portraits.put(key, best.face.portrait)  # which erases the one before it
        name = own[0].of.entry.name
        if name and not images:
            await self._registry.names.put(subjects.key(batch.watch_list, subject), NameRecord(name=name))


def sha256_of(image: ReferenceImage) -> str:
    """The hash of the image file, in hexadecimal digits."""
    return hashlib.sha256(image.image).hexdigest()


def _problem(image: ReferenceImage, now: float) -> RefusedImageError | None:
    """Why the particulars of an image cannot be taken, if they cannot."""
    if image.entry.expires_at <= now:
        return RefusedImageError("the entry has expired", "give a later time to expire")
    if not image.reference.isprintable():
        return RefusedImageError("the name of the reference has a control character in it", "give it another")
    return None


def _choose(
    batch: Batch, images: Sequence[_OnItsWay], faces: Mapping[str, FaceReference | RefusedImageError]
) -> _Chosen:
    """Which images are written, by what their files show, and the replies to those that are refused."""
    chosen = _Chosen([], [])
    by_file: dict[tuple[str, str], _OnItsWay] = {}
    for image in images:
        face, file = faces[image.sha256], (image.of.subject, image.sha256)
        if isinstance(face, RefusedImageError):
            image.reply = _refused(batch, image.of, face)
        elif one := by_file.get(file):
            chosen.copies.append((image, one))
        else:
            by_file[file] = image
            chosen.usable.append(_Usable(image, face))
    return chosen


def _enrolled(batch: Batch, one: _Usable, now: float) -> EnrolledImage:
    return EnrolledImage(
        reference=one.of.reference,
        sha256=one.image.sha256,
        quality=one.quality,
        enrolled_at=now,
        import_id=batch.import_id,
    )


def _told(image: _OnItsWay) -> EnrolReply:
    if image.reply is None:
        raise RuntimeError("an image was neither enrolled nor refused")
    return image.reply


def _reply(batch: Batch, image: ReferenceImage, *, enrolled: bool, **rest: object) -> EnrolReply:
    named = {"watch_list": batch.watch_list, "subject": image.subject, "reference": image.reference}
    return EnrolReply(**named, enrolled=enrolled, **rest)


def _refused(batch: Batch, image: ReferenceImage, error: RefusedImageError) -> EnrolReply:
    return _reply(
        batch,
        image,
        enrolled=False,
        reason=error.reason,
        remedy=error.remedy,
        component=error.component,
        measured=error.measured,
        required=error.required,
    )
