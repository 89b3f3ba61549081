"""Imports reference images into a watch list: begun, resumed, and completed as one act of an officer."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from libs.bus import AskError
from libs.errors import PermanentError, UserError
from proto import subjects
from proto.codec import DecodeError
from proto.messages import EnrolReply
from proto.requests.watchlists import (
    EnrolImagesReply,
    EnrolImagesRequest,
    EntriesReply,
    EntriesRequest,
    ImportRequest,
    ListReply,
    ReferenceImage,
)
from proto.watchlists import EntryRecord, WatchListRecord
from services.cli.client import Client
from services.cli.patience import heed_cancellation, insist
from services.cli.signals import first_error
from services.cli.watchlists.reference_images import (
    ImageFile,
    Refusal,
    UnusableFileError,
    read_image,
    refusal_of,
    refused,
)
from services.cli.words import counted, shown

ENROL_TIMEOUT_S = 30.0
"""How long an act may take; an image takes about 30 ms."""
STEP_TIMEOUT_S = 300.0
"""How long beginning, completing or taking back may take: the last overwrites what it takes back."""
IMAGES_AN_ACT = 16
"""Images that one act brings at most, for a message costs more than what is in it."""
BYTES_AN_ACT = 2**20
"""Of their files, unless it is one file: they are opened together, too."""
ACTS_AT_ONCE = 4
"""Acts under way at a time, so that nobody waits for the next."""
PAGE = 2000
"""Entries asked for at a time."""
WRONG_ASKS = frozenset({"403", "404", "409"})
"""Codes of refusals that the next image would meet too: nobody may, there is no list, its import is over."""


@dataclass
class ImportResult:
    """How far an import is, and what it came to."""

    images: int = 0
    enrolled: int = 0
    already: int = 0
    """Images that were enrolled before, and so were passed over."""
    refused: list[Refusal] = field(default_factory=list)
    notes: dict[str, int] = field(default_factory=dict)
    """What was not taken of images that were enrolled, and of how many."""
    record: WatchListRecord | None = None
    """The list when the import was complete."""

    @property
    def done(self) -> int:
        """Images that need nothing more."""
        return self.enrolled + self.already + len(self.refused)


_Read = tuple[ImageFile, ReferenceImage]
OnProgress = Callable[[ImportResult], None]


class NothingEnrolledError(UserError):
    """An import of which every image was refused: `result` says why, image by image.

    It is taken back, unless there are images of earlier calls: `before` of them, which stay.
    """

    def __init__(self, result: ImportResult, before: int) -> None:
        first = result.refused[0]
        kept = (
            f"; {counted(before, 'image')} of earlier calls stay: --resume with others, or --abort the import"
            if before
            else ""
        )
        super().__init__("no reference could be enrolled", f"{shown(first.image.name)}: {first.reason}{kept}")
        self.result = result


async def import_images(
    client: Client, watch_list: str, images: Sequence[ImageFile], on_progress: OnProgress, resume: str = ""
) -> ImportResult:
    """What the import of `images` came to: a bad image is refused, the others go on, and it is completed at the end.

    What interrupts it leaves the list `importing`: the same call goes on where it was, with `resume` also where the
    images have changed meanwhile.

    Raises:
        UserError: there is no image.
        NothingEnrolledError: none can be enrolled; the list is then as it was before this call.
        TransientError: match or the bus stays away.
        AskError: the officer may not, there is no such list, or another import is under way.
    """
    result = ImportResult(images=len(images))
    if not images:
        raise UserError("there is no image to import", "check the manifest or the folder")
    digest = manifest_sha256(images)
    import_id = await _begin(client, watch_list, digest, len(images), resume)
    await _Import(client, watch_list, import_id, result, on_progress).run(images)
    if result.enrolled + result.already == 0:
        before = await _enrolled_by(client, watch_list, import_id)
        if not before:
            await abort_import(client, watch_list, import_id)
        raise NothingEnrolledError(result, before)
    complete = ImportRequest(
        watch_list=watch_list,
        step="complete",
        import_id=import_id,
        manifest_sha256=digest,
        images=len(images),
        refused=len(result.refused),
    )
    result.record = (await _step(client, complete)).record
    return result


async def abort_import(client: Client, watch_list: str, import_id: str) -> WatchListRecord:
    """The list as it was before the import. Raises as `import_images`."""
    return (await _step(client, ImportRequest(watch_list=watch_list, step="abort", import_id=import_id))).record


def manifest_sha256(images: Sequence[ImageFile]) -> str:
    """SHA-256 over whose images they are and in which files: the same for the same manifest, whatever the hour."""
    lines = sorted(f"{image.subject}\0{image.name}\0{image.given or image.path.name}" for image in images)
    return hashlib.sha256(os.fsencode("\n".join(lines))).hexdigest()


async def entries_of(client: Client, watch_list: str) -> list[EntryRecord]:
    """Every entry of a list, in order of subject. Raises as `Client.ask`."""
    entries: list[EntryRecord] = []
    while True:
        after = entries[-1].subject if entries else ""
        page = EntriesRequest(watch_list=watch_list, after=after, count=PAGE)
        reply = await insist(partial(client.ask, f"{subjects.WATCHLIST}.entries", page, EntriesReply))
        entries += reply.entries
        if len(reply.entries) < PAGE:
            return entries


async def _enrolled_by(client: Client, watch_list: str, import_id: str) -> int:
    """How many images of an import are on the list: this call's, and those of calls before it."""
    entries = await entries_of(client, watch_list)
    return sum(image.import_id == import_id for entry in entries for image in entry.images)


async def _begin(client: Client, watch_list: str, digest: str, images: int, resume: str) -> str:
    """The id of the import, which is begun now, or was by an earlier call with the same images."""
    begin = ImportRequest(watch_list=watch_list, step="begin", import_id=resume, manifest_sha256=digest, images=images)
    return (await _step(client, begin)).record.import_id


async def _step(client: Client, request: ImportRequest) -> ListReply:
    return await insist(partial(client.act, f"{subjects.WATCHLIST}.import", request, ListReply, STEP_TIMEOUT_S))


@dataclass
class _Import:
    """The images of one import on their way."""

    client: Client
    watch_list: str
    import_id: str
    result: ImportResult
    on_progress: OnProgress

    async def run(self, images: Sequence[ImageFile]) -> None:
        """Enrols them, several acts at a time."""
        parcels = _parcels(images)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(ACTS_AT_ONCE):
                    group.create_task(self._in_turn(parcels))
        except BaseExceptionGroup as errors:  # they all met the same
            raise first_error(errors) from None
        order = {image.path: number for number, image in enumerate(images)}
        self.result.refused.sort(key=lambda refusal: order[refusal.image])

    async def _in_turn(self, parcels: Iterator[list[ImageFile]]) -> None:
        for parcel in parcels:  # which all of these share
            for batch in self._read(parcel):
                await self._enrol(batch)

    def _read(self, parcel: Sequence[ImageFile]) -> Iterator[list[_Read]]:
        """The images of a parcel with the bytes of their files, as many together as one act may bring."""
        batch: list[_Read] = []
        for image in parcel:
            try:
                read = image, read_image(image)  # a file is read sooner than a thread is woken
            except UnusableFileError as error:
                self._refuse(image, error.reason, error.remedy)
                continue
            if len(batch) == IMAGES_AN_ACT or sum(len(one.image) for _, one in (*batch, read)) > BYTES_AN_ACT:
                if batch:
                    yield batch
                batch = []
            batch.append(read)
        if batch:
            yield batch

    async def _enrol(self, batch: Sequence[_Read]) -> None:
        """Enrols images, or notes why they were refused; an act that is refused is done again image by image."""
        request = EnrolImagesRequest(
            watch_list=self.watch_list, import_id=self.import_id, images=tuple(read for _, read in batch)
        )
        act = partial(self.client.act, f"{subjects.WATCHLIST}.enrol_images", request, EnrolImagesReply, ENROL_TIMEOUT_S)
        try:
            replies = (await insist(act)).images
        except (PermanentError, DecodeError) as error:
            if isinstance(error, AskError) and error.code in WRONG_ASKS:
                raise
            if len(batch) > 1:
                for one in batch:
                    await self._enrol([one])
            else:
                self._refuse(batch[0][0], error.detail if isinstance(error, AskError) else str(error))
        else:
            for (image, _), reply in zip(batch, replies, strict=True):
                self._count(image, reply)

    def _count(self, image: ImageFile, reply: EnrolReply) -> None:
        if reply.already:
            self.result.already += 1
        elif reply.enrolled:
            self.result.enrolled += 1
            if reply.reason:
                self.result.notes[reply.reason] = self.result.notes.get(reply.reason, 0) + 1
        else:
            self.result.refused.append(refusal_of(image, reply))
        self._tell()

    def _refuse(self, image: ImageFile, reason: str, remedy: str = "") -> None:
        self.result.refused.append(refused(image, reason, remedy))
        self._tell()

    def _tell(self) -> None:
        heed_cancellation()
        self.on_progress(self.result)


def _parcels(images: Sequence[ImageFile]) -> Iterator[list[ImageFile]]:
    """The images, cut where an act is full, but never between those of one subject: they go one after the other."""
    by_subject: dict[str, list[ImageFile]] = {}
    for image in images:
        by_subject.setdefault(image.subject, []).append(image)
    parcel: list[ImageFile] = []
    for own in by_subject.values():
        parcel += own
        if len(parcel) >= IMAGES_AN_ACT:
            yield parcel
            parcel = []
    if parcel:
        yield parcel
