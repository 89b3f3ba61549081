"""Imports reference images into a watch list: begun, resumed, and completed as one act of an officer."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from libs.bus import AskError
from libs.errors import PermanentError, UserError
from libs.images import IMAGE_SUFFIXES
from proto import subjects
from proto.codec import DecodeError
from proto.governance import EntryForm, EntryRecord, WatchListRecord
from proto.messages import EnrolReply
from proto.requests import EnrolEntryRequest, EntriesReply, EntriesRequest, ImportRequest, ListReply
from services.cli.client import Client
from services.cli.patience import heed_cancellation, insist

ENROL_TIMEOUT_S = 30.0
"""How long one image may take; it takes about 30 ms."""
STEP_TIMEOUT_S = 300.0
"""How long beginning, completing or taking back may take: the last overwrites what it takes back."""
SUBJECTS_AT_ONCE = 32
"""Subjects whose images are under way at a time, so that they share messages and ways to the disk. Those of one go one
after the other."""
MAX_REFERENCE_BYTES = 7 * 1024 * 1024
"""A little under the largest message the bus of the single machine carries (8 MB)."""
PAGE = 2000
"""Entries asked for at a time."""
WRONG_ASKS = frozenset({"403", "404", "409"})
"""Codes of refusals that the next image would meet too: nobody may, there is no list, its import is over."""
FILE_TOO_LARGE = "save it smaller: a few hundred pixels of face are plenty"


@dataclass(frozen=True)
class ImageFile:
    """A reference image, whose it is, and the particulars of the entry."""

    subject: str
    path: Path
    entry: EntryForm
    reference: str = ""
    """Its name within the entry; that of the file without one."""

    @property
    def name(self) -> str:
        """The reference that the image becomes."""
        return self.reference or self.path.name


@dataclass(frozen=True)
class Refusal:
    """A reference image that was not enrolled, why, and what can be done about it."""

    subject: str
    image: Path
    reason: str
    remedy: str = ""
    component: str = ""
    """What was measured, for example `inter_eye_distance_px`."""
    measured: float | None = None
    required: float | None = None


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


OnProgress = Callable[[ImportResult], None]


async def import_images(
    client: Client, watch_list: str, images: Sequence[ImageFile], on_progress: OnProgress, resume: str = ""
) -> ImportResult:
    """What the import of `images` came to: a bad image is refused, the others go on, and it is completed at the end.

    What interrupts it leaves the list `importing`: the same call goes on where it was, with `resume` also where the
    images have changed meanwhile.

    Raises:
        UserError: there is no image, or none can be enrolled (nothing then changes).
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
        await abort_import(client, watch_list, import_id)
        first = result.refused[0]
        raise UserError("no reference could be enrolled", f"{first.image.name}: {first.reason}")
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
    lines = sorted(f"{image.subject}\0{image.name}\0{image.path.name}" for image in images)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def folder_images(folder: Path, entry: EntryForm) -> list[ImageFile]:
    """The images of a folder, all with the particulars `entry`: one image, or one folder of images, a subject.

    Raises:
        UserError: there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder", "give a folder with one image, or one folder of images, a subject")
    images = [ImageFile(path.stem, path, entry) for path in sorted(folder.iterdir()) if _is_image(path)]
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        images += [ImageFile(inner.name, path, entry) for path in sorted(inner.iterdir()) if _is_image(path)]
    if not images:
        raise UserError(f"{folder} holds no image", f"put images into it ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return images


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
        """Enrols them, several subjects at a time."""
        by_subject: dict[str, list[ImageFile]] = {}
        for image in images:
            by_subject.setdefault(image.subject, []).append(image)
        waiting = iter(by_subject.values())
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(SUBJECTS_AT_ONCE):
                    group.create_task(self._in_turn(waiting))
        except BaseExceptionGroup as errors:  # they all met the same
            raise _first(errors) from None
        order = {image.path: number for number, image in enumerate(images)}
        self.result.refused.sort(key=lambda refusal: order[refusal.image])

    async def _in_turn(self, waiting: Iterator[list[ImageFile]]) -> None:
        for images in waiting:  # which all of these share
            for image in images:
                await self._take(image)
                heed_cancellation()
                self.on_progress(self.result)

    async def _take(self, image: ImageFile) -> None:
        """Enrols one image, or notes why it was refused."""
        try:
            reply = await self._enrol(image)
        except AskError as error:
            if error.code in WRONG_ASKS:
                raise
            self.result.refused.append(Refusal(image.subject, image.path, error.detail))
        except _UnusableFileError as error:
            self.result.refused.append(Refusal(image.subject, image.path, error.reason, error.remedy))
        except (PermanentError, DecodeError) as error:
            self.result.refused.append(Refusal(image.subject, image.path, str(error)))
        else:
            self._count(image, reply)

    async def _enrol(self, image: ImageFile) -> EnrolReply:
        ask = enrol_request(self.watch_list, image, self.import_id)  # a file is read sooner than a thread is woken
        return await insist(partial(self.client.act, f"{subjects.WATCHLIST}.enrol", ask, EnrolReply, ENROL_TIMEOUT_S))

    def _count(self, image: ImageFile, reply: EnrolReply) -> None:
        if reply.already:
            self.result.already += 1
        elif reply.enrolled:
            self.result.enrolled += 1
            if reply.reason:
                self.result.notes[reply.reason] = self.result.notes.get(reply.reason, 0) + 1
        else:
            self.result.refused.append(refusal_of(image, reply))


def refusal_of(image: ImageFile, reply: EnrolReply) -> Refusal:
    """The refusal that a reply stands for."""
    return Refusal(
        image.subject, image.path, reply.reason, reply.remedy, reply.component, reply.measured, reply.required
    )


class _UnusableFileError(PermanentError):
    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.remedy = remedy


def enrol_request(watch_list: str, image: ImageFile, import_id: str = "") -> EnrolEntryRequest:
    """The request to enrol an image file.

    Raises:
        PermanentError: it cannot be read, is too large, or its name is.
    """
    try:
        data = image.path.read_bytes()
    except OSError as error:
        raise _UnusableFileError(f"the file cannot be read ({error.strerror})", "check its path and rights") from None
    if len(data) > MAX_REFERENCE_BYTES:
        most = MAX_REFERENCE_BYTES // 2**20
        raise _UnusableFileError(f"the file has {len(data) / 2**20:.1f} MiB, at most {most} are taken", FILE_TOO_LARGE)
    try:
        return EnrolEntryRequest(
            watch_list=watch_list,
            subject=image.subject,
            reference=image.name,
            image=data,
            entry=image.entry,
            import_id=import_id,
        )
    except ValidationError:
        reason = "the subject id or the name of the file will not do: at most 128 letters, no control characters"
        raise _UnusableFileError(reason, "give it a shorter one") from None


def _is_image(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
