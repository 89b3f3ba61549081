"""What is written down of who is on a list and why, and what stays of it when they are off again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from proto.watchlists import EnrolledImage, EntryForm, EntryRecord, WatchListRecord

OF_THE_IMAGE = {"source", "image_date", "lawful_basis"}
"""Particulars that each image has of its own."""


@dataclass(frozen=True)
class Counts:
    """How many are on a list, and from which image files."""

    subjects: int
    references: int
    inputs_sha256: str
    """SHA-256 over the sorted hashes of the image files."""


def counts(entries: Iterable[EntryRecord]) -> Counts:
    """The counts of the entries that are still on the list."""
    on_it = [entry for entry in entries if entry.form is not None]
    hashes = sorted(image.sha256 for entry in on_it for image in live(entry))
    digest = hashlib.sha256("\n".join(hashes).encode()).hexdigest() if hashes else ""
    return Counts(len(on_it), len(hashes), digest)


def counted(record: WatchListRecord, found: Counts) -> WatchListRecord:
    """The record with these counts."""
    return record.model_copy(
        update={"subjects": found.subjects, "references": found.references, "inputs_sha256": found.inputs_sha256}
    )


def live(entry: EntryRecord) -> tuple[EnrolledImage, ...]:
    """The images whose references are in the gallery; of those that are gone the hashes alone are left."""
    return tuple(image for image in entry.images if image.reference)


def reference_id(subject: str, sha256: str) -> str:
    """The id of a reference in the gallery: of an image file for a subject, whatever people call it."""
    return f"{subject}/{sha256}"


def has_image(entry: EntryRecord | None, sha256: str) -> bool:
    """Whether an image file of that hash is enrolled."""
    return entry is not None and any(image.sha256 == sha256 for image in live(entry))


def reviewed(entry: EntryRecord, sha256: str, now: float) -> EntryRecord:
    """The entry with the image of that hash put forward again at `now`."""
    images = (
        image.model_copy(update={"reviewed_at": now}) if image.sha256 == sha256 and image.reference else image
        for image in entry.images
    )
    return entry.model_copy(update={"images": tuple(images)})


def with_image(entry: EntryRecord, form: EntryForm, image: EnrolledImage) -> EntryRecord:
    """The entry with one more image, in place of one of the same file. The particulars it has stay."""
    own = image.model_copy(
        update={"source": form.source, "image_date": form.image_date, "lawful_basis": form.lawful_basis}
    )
    others = tuple(other for other in entry.images if not (other.reference and other.sha256 == image.sha256))
    kept = entry.form if entry.form is not None else form.model_copy(update={"name": ""})
    return entry.model_copy(update={"images": (*others, own), "form": kept, "removed_at": 0.0})


def not_taken(entry: EntryRecord, form: EntryForm, name: str) -> str:
    """Which particulars of `form` were not taken, because the entry, which has that `name`, has others."""
    if entry.form is None:
        return ""
    had, asked = entry.form.model_dump(exclude=OF_THE_IMAGE), form.model_dump(exclude=OF_THE_IMAGE)
    had["name"] = name if asked["name"] else ""
    other = [field for field, value in asked.items() if had[field] != value]
    return f"the entry keeps the {', '.join(other)} it has" if other else ""


def without_import(entry: EntryRecord, import_id: str, now: float) -> EntryRecord | None:
    """The entry as it was before the import; `None` where there was none."""
    before = tuple(image for image in entry.images if image.import_id != import_id)
    if not before:
        return None
    left = entry.model_copy(update={"images": before})
    return left if live(left) else stripped(left, now)


def stripped(entry: EntryRecord, now: float) -> EntryRecord:
    """What is left of an entry whose person is off the list at `now`: ids, hashes of the image files, and times.

    Off since `now`, or since it expired.
    """
    since = min(now, entry.form.expires_at) if entry.form is not None else now
    gone = {"reference": "", "source": "", "image_date": "", "lawful_basis": ""}
    images = tuple(image.model_copy(update=gone) for image in entry.images)
    return entry.model_copy(update={"images": images, "form": None, "removed_at": entry.removed_at or since})
