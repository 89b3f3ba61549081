"""Enrols a folder of reference images: one image, or one folder of images, a subject."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from libs.bus import AskError, Bus
from libs.errors import TransientError, UserError
from proto import subjects
from proto.messages import EnrolReply, EnrolRequest

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
ENROL_TIMEOUT_S = 30.0
"""How long one image may take; it takes about 50 ms."""
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


async def enrol_folder(
    bus: Bus, watch_list: str, folder: Path, on_progress: Callable[[FolderEnrolment], None]
) -> FolderEnrolment:
    """What the enrolment of the images in `folder` came to; a bad image is refused and the others go on.

    Raises:
        UserError: there is no reference image, or none can be enrolled.
    """
    images = reference_images(folder)
    enrolment = FolderEnrolment(images=len(images))
    for subject, path in images:
        refusal = await _enrol(bus, watch_list, subject, path)
        if refusal is None:
            enrolment.enrolled += 1
        else:
            enrolment.refused.append(refusal)
        on_progress(enrolment)
    if enrolment.enrolled == 0:
        first = enrolment.refused[0]
        raise UserError(f"no reference could be enrolled from {folder}", f"{first.image.name}: {first.reason}")
    return enrolment


async def _enrol(bus: Bus, watch_list: str, subject: str, path: Path) -> Refusal | None:
    data = await asyncio.to_thread(path.read_bytes)
    if len(data) > MAX_REFERENCE_BYTES:
        most = MAX_REFERENCE_BYTES // 2**20
        return Refusal(subject, path, f"the file has {len(data) / 2**20:.1f} MiB, at most {most} are taken")
    ask = EnrolRequest(watch_list=watch_list, subject=subject, reference=path.name, image=data)
    try:
        reply = await bus.ask(f"{subjects.WATCHLIST}.enrol", ask, EnrolReply, ENROL_TIMEOUT_S)
    except (AskError, TransientError) as error:
        return Refusal(subject, path, error.reason)
    return None if reply.enrolled else Refusal(subject, path, reply.reason)


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
