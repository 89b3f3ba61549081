"""Reference images as files: whose they are, how they are asked to be enrolled, and why they were refused."""

from __future__ import annotations

import hashlib
import stat
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from libs.errors import PermanentError, UserError
from libs.images import IMAGE_SUFFIXES
from proto import codec
from proto.messages import EnrolReply
from proto.requests.watchlists import EnrolEntryRequest, EnrolmentNotice, ReferenceImage
from proto.watchlists import EntryForm
from services.cli.acting import request
from services.cli.client import Client
from services.cli.words import shown

MAX_REFERENCE_BYTES = 7 * 1024 * 1024
"""A little under the largest message the bus of the single machine carries (8 MB)."""
FILE_TOO_LARGE = "save it smaller: a few hundred pixels of face are plenty"


@dataclass(frozen=True)
class ImageFile:
    """A reference image, whose it is, and the particulars of the entry."""

    subject: str
    path: Path
    entry: EntryForm
    reference: str = ""
    """Its name within the entry; that of the file without one."""
    line: int = 0
    """Of the manifest that names it; 0 without one."""
    given: str = ""
    """The path as the manifest has it."""

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
    line: int = 0
    """Of the manifest that names the image; 0 without one."""
    given: str = ""
    """The path of the image as whoever imports it gave it."""


def folder_images(folder: Path, entry: EntryForm) -> list[ImageFile]:
    """The images of a folder, all with the particulars `entry`. Raises as `image_files`."""
    return [ImageFile(subject, path, entry) for subject, path in image_files(folder)]


def image_files(folder: Path) -> list[tuple[str, Path]]:
    """The image files of a folder, each with whose it is: one image, or one folder of images, a subject.

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


def refusal_of(image: ImageFile, reply: EnrolReply) -> Refusal:
    """The refusal that a reply stands for."""
    refusal = refused(image, reply.reason, reply.remedy)
    return replace(refusal, component=reply.component, measured=reply.measured, required=reply.required)


def refused(image: ImageFile, reason: str, remedy: str = "") -> Refusal:
    """The refusal of an image file."""
    given = shown(image.given or str(image.path))
    return Refusal(shown(image.subject), image.path, reason, remedy, line=image.line, given=given)


class UnusableFileError(PermanentError):
    """A file that cannot be sent, and what to do about it."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.remedy = remedy


def read_image(image: ImageFile) -> ReferenceImage:
    """The image with the bytes of its file, as it is sent.

    Raises:
        UnusableFileError: it cannot be read, is too large, or its name is.
    """
    try:
        there = image.path.stat()
        if not stat.S_ISREG(there.st_mode):
            raise UnusableFileError("it is no file", "give an image file")
        if there.st_size > MAX_REFERENCE_BYTES:
            most = MAX_REFERENCE_BYTES // 2**20
            raise UnusableFileError(
                f"the file has {there.st_size / 2**20:.1f} MiB, at most {most} are taken", FILE_TOO_LARGE
            )
        data = image.path.read_bytes()
    except OSError as error:
        raise UnusableFileError(f"the file cannot be read ({error.strerror})", "check its path and rights") from None
    try:
        return ReferenceImage(subject=image.subject, reference=image.name, image=data, entry=image.entry)
    except ValidationError:
        reason = "the subject id or the name of the file will not do: at most 128 letters, none of them to control"
        raise UnusableFileError(reason, "give it another, in UTF-8") from None


def single_request(client: Client, watch_list: str, image: ImageFile) -> EnrolEntryRequest:
    """The request to enrol an image file by itself, with the officer's notice for the audit.

    Raises:
        UserError: nobody is named who acts, or the name of the list will not do.
        UnusableFileError: as `read_image`.
    """
    read = read_image(image)
    notice = request(
        EnrolmentNotice,
        watch_list=watch_list,
        subject=image.subject,
        sha256=hashlib.sha256(read.image).hexdigest(),
        reason=image.entry.reason,
    )
    return EnrolEntryRequest(**dict(read), watch_list=watch_list, notice=codec.encode(client.sign(notice)))


def _is_image(path: Path) -> bool:
    """Whether it is named like one: a link that leads nowhere, for example, is refused by name, not passed over."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.is_dir()
