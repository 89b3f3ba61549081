"""What list managers ask of `match`, and what `match` has to show to `govern` for it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from proto.messages import MOST_IMAGES, EnrolReply, ListName, Message, SubjectId
from proto.values import Count, Id, Score, Sha256, Text, Time
from proto.watchlists import EntryForm, EntryRecord, WatchListForm, WatchListRecord


class CreateListRequest(Message):
    """Act: makes a watch list."""

    form: WatchListForm


class ImportRequest(Message):
    """Act: begins, completes or takes back an import of many images.

    Until it is completed the list cannot be armed; taken back, the list is as it was before.
    """

    watch_list: ListName
    step: Literal["begin", "complete", "abort"]
    import_id: str = Field(default="", max_length=64)
    """Of the import to complete or abort; to begin, of the one to resume, or nothing for a new one."""
    manifest_sha256: str = Field(default="", max_length=64)
    images: Count = 0
    refused: Count = 0

    @property
    def verb(self) -> str:
        """What its deed is called."""
        return {"begin": "begin_import", "complete": "import", "abort": "abort_import"}[self.step]

    @property
    def reason(self) -> str:
        """Why its deed is done: the end of an import names it."""
        return "" if self.step == "begin" else f"import {self.import_id}"


class ReferenceImage(Message):
    """An image file that shows exactly one face, whose it is, and what else is to be written down."""

    subject: SubjectId
    reference: str = Field(min_length=1, max_length=256)
    """Its name within the entry."""
    image: bytes
    entry: EntryForm


class EnrolEntryRequest(ReferenceImage):
    """Act: enrols a subject with one image: an act of its own, of which the audit hears."""

    watch_list: ListName
    notice: bytes = b""
    """The encoded, sealed `EnrolmentNotice`."""


class EnrolImagesRequest(Message):
    """Act: brings images of an import, of which the audit hears when it is complete."""

    watch_list: ListName
    import_id: str = Field(min_length=1, max_length=64)
    images: tuple[ReferenceImage, ...] = Field(min_length=1, max_length=MOST_IMAGES)


class EnrolImagesReply(Message):
    """What became of each image, in the order of the request."""

    images: tuple[EnrolReply, ...]


class EnrolmentNotice(Message):
    """Act: says of an enrolment what the audit may hold of it: neither picture nor name. The deed goes by it."""

    watch_list: ListName
    subject: SubjectId
    sha256: Sha256
    """Of the image file."""
    reason: Text


class RemoveEntryRequest(Message):
    """Act: takes a subject off a list."""

    watch_list: ListName
    subject: SubjectId
    reason: Text


class ExpireListRequest(Message):
    """Act: sets when a list expires. It can only come sooner."""

    watch_list: ListName
    expires_at: Time
    reason: Text


class DestroyListRequest(Message):
    """Act: destroys a list: templates, portraits and names. Ids, counts and hashes of the inputs stay."""

    watch_list: ListName
    reason: Text


class ListReply(Message):
    """A watch list as it is now."""

    record: WatchListRecord


class ListsReply(Message):
    """All watch lists."""

    records: tuple[WatchListRecord, ...]


class EntriesReply(Message):
    """A watch list and who is on it; a page of the entries at a time."""

    record: WatchListRecord
    entries: tuple[EntryRecord, ...]


class EntriesRequest(Message):
    """Asks who is on a list: `count` entries after the subject `after`, in order of subject."""

    watch_list: ListName
    after: Id = ""
    count: int = Field(default=500, ge=1, le=5000)


class DuplicatesRequest(Message):
    """Act: seeks those who may be on the list twice under two ids, or on another list too."""

    watch_list: ListName
    threshold: float = Field(ge=-1, le=1)


class PossibleDuplicate(Message):
    """Two entries that may be of one person: for a person to decide."""

    watch_list: ListName
    subject: SubjectId
    other_list: ListName
    other_subject: SubjectId
    score: Score


class DuplicatesReply(Message):
    """Possible duplicates, the most alike first."""

    pairs: tuple[PossibleDuplicate, ...]
