"""Enrols a folder of reference images: one image, or one folder of images, a subject."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from libs.bus import Bus
from libs.errors import PermanentError, TransientError, UserError
from libs.images import IMAGE_SUFFIXES
from proto import subjects
from proto.messages import EnrolReply, EnrolRequest
from services.cli.patience import heed_cancellation

ENROL_TIMEOUT_S = 30.0
"""How long one image may take; it takes about 50 ms."""
PAUSES_S = (0.5, 1.0, 2.0)
"""Pauses before an ask is made again; a killed service is back after about two seconds."""
SUBJECTS_AT_ONCE = 4
"""Subjects whose images are under way at a time. Those of one go one after the other: its last is its portrait."""
MAX_REFERENCE_BYTES = 7 * 1024 * 1024
"""A little under the largest message the bus of the single machine carries (8 MB)."""


@dataclass(frozen=True)
class Refusal:
    """A reference image that was not enrolled, and why."""

    subject: str
    image: Path
    reason: str


@dataclass
class FolderEnrolment:
    """How far the enrolment of a folder is."""

    images: int = 0
    enrolled: int = 0
    refused: list[Refusal] = field(default_factory=list)

    def take(self, refusal: Refusal | None) -> None:
        """Counts one image, which was refused or not."""
        if refusal is None:
            self.enrolled += 1
        else:
            self.refused.append(refusal)


async def enrol_folder(
    bus: Bus, watch_list: str, folder: Path, on_progress: Callable[[FolderEnrolment], None]
) -> FolderEnrolment:
    """What the enrolment of the images in `folder` came to; a bad image is refused and the others go on.

    Raises:
        UserError: there is no reference image, or none can be enrolled.
    """
    images = reference_images(folder)
    by_subject: dict[str, list[Path]] = {}
    for subject, path in images:
        by_subject.setdefault(subject, []).append(path)
    enrolment = FolderEnrolment(images=len(images))
    waiting = iter(by_subject.items())

    async def enrol_in_turn() -> None:
        for subject, paths in waiting:  # which all of these share
            for path in paths:
                enrolment.take(await _enrol(bus, watch_list, subject, path))
                heed_cancellation()
                on_progress(enrolment)

    async with asyncio.TaskGroup() as group:
        for _ in range(SUBJECTS_AT_ONCE):
            group.create_task(enrol_in_turn())
    order = {path: number for number, (_, path) in enumerate(images)}
    enrolment.refused.sort(key=lambda refusal: order[refusal.image])
    if enrolment.enrolled == 0:
        first = enrolment.refused[0]
        raise UserError(f"no reference could be enrolled from {folder}", f"{first.image.name}: {first.reason}")
    return enrolment


async def _enrol(bus: Bus, watch_list: str, subject: str, path: Path) -> Refusal | None:
    """Why the image was not enrolled, or `None`."""
    try:
        ask = await asyncio.to_thread(_request, watch_list, subject, path)
        reply = await _insist(partial(bus.ask, f"{subjects.WATCHLIST}.enrol", ask, EnrolReply, ENROL_TIMEOUT_S))
    except (PermanentError, TransientError) as error:
        return Refusal(subject, path, error.reason)
    return None if reply.enrolled else Refusal(subject, path, reply.reason)


def _request(watch_list: str, subject: str, path: Path) -> EnrolRequest:
    """The ask to enrol an image file.

    Raises:
        PermanentError: it cannot be read, is too large, or its name is.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PermanentError(f"the file cannot be read ({error.strerror})") from None
    if len(data) > MAX_REFERENCE_BYTES:
        most = MAX_REFERENCE_BYTES // 2**20
        raise PermanentError(f"the file has {len(data) / 2**20:.1f} MiB, at most {most} are taken")
    try:
        return EnrolRequest(watch_list=watch_list, subject=subject, reference=path.name, image=data)
    except ValidationError:
        reason = "the name of the image or its folder will not do: at most 128 letters, no control characters"
        raise PermanentError(reason) from None


async def _insist(ask: Callable[[], Awaitable[EnrolReply]]) -> EnrolReply:
    """The answer to an ask, which is asked again a few times while somebody is away. Raises `TransientError`."""
    for pause_s in PAUSES_S:
        try:
            return await ask()
        except TransientError:
            await asyncio.sleep(pause_s)
    return await ask()


def reference_images(folder: Path) -> list[tuple[str, Path]]:
    """The images of a folder with the subject each belongs to: one image, or one folder of images, a subject.

    Raises:
        UserError: there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder", "give a folder with one image, or one folder of images, a subject")
    images = [(path.stem, path) for path in sorted(folder.iterdir()) if _is_image(path)]
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        images += [(inner.name, path) for path in sorted(inner.iterdir()) if _is_image(path)]
    if not images:
        raise UserError(f"{folder} holds no image", f"put images into it ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return images


def _is_image(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES
