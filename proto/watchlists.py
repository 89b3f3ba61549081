"""Who is searched for: watch lists and their entries.

Records in NATS key-value buckets, encoded like messages. They hold ids, texts, counts and hashes; templates and
pictures lie elsewhere, and names in a bucket of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import ConfigDict, Field, model_validator

from proto.audit import Deed, Details, Event
from proto.messages import ListName, Message, Name, SubjectId
from proto.values import Count, Id, Line, OptionalSha256, Said, Sha256, Text, Time, Value, Version

Response = Literal["red", "amber", "green"]
"""How an officer may respond to a confirmed alert, by the category of the list (R (Bridges) v SWP 2019, p. 11)."""


class WatchListForm(Value):
    """What a watch list is for, as it was asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    watch_list: ListName
    profile: Name
    """The policy profile of the deployments that may search it: a list of an evaluation is never used in earnest."""
    purpose: Text
    owner: Text
    category: Text
    response: Response
    lawful_basis: Text
    criteria: Text
    """Who belongs on it, in words an authorising officer can approve."""
    expires_at: Time
    seed: bool = False
    """Whether it is of people who walk past on purpose, to measure TPIR."""


class OwedEntry(Value):
    """An act that the audit does not hold yet: what `match` must still tell `govern`."""

    record_version: Version
    event: Event
    deed: Deed
    details: Details = Field(default_factory=dict)
    sealed: bytes = b""
    """The officer's act, encoded and sealed, by which `govern` sees that the deed is that officer's."""


class WatchListRecord(Message):
    """A watch list and how far it is, bucket `watchlists`. Written by `match` alone, by compare-and-set."""

    form: WatchListForm
    record_version: Version
    state: Literal["ready", "importing", "aborting", "destroying", "destroyed"]
    """`aborting`: its import is being taken back, and `destroying`: both are finished also after a crash."""
    deeds: tuple[Deed, ...]
    """Every act, the newest last, an import counting as one; not more than the last 64."""
    created_at: Time
    built_at: Time = 0.0
    """When its last import was completed; 0 before."""
    import_id: Id = ""
    """The import that is under way: a list with one cannot be searched."""
    template_version: Id
    subjects: Count = 0
    references: Count = 0
    inputs_sha256: OptionalSha256 = ""
    """SHA-256 over the sorted hashes of its image files: which images it was built from."""
    destroyed_at: Time = 0.0
    removing: tuple[SubjectId, ...] = ()
    """Who is being taken off: not searched for any more, and erased also after a crash."""
    owed: tuple[OwedEntry, ...] = ()
    """Acts that are done and not in the audit yet."""

    @property
    def id(self) -> str:
        """The name of the list."""
        return self.form.watch_list

    def as_of(self, entries: Iterable[EntryRecord]) -> float:
        """When the list with those entries was last as it is (Unix seconds): built, and each image put forward."""
        images = (image.as_of for entry in entries if entry.form for image in entry.images if image.reference)
        return min([self.built_at or self.created_at, *images])


class EntryForm(Value):
    """Why a subject is on a list, and where the image comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    reason: Said
    requester: Said
    source: Said
    """Where the image comes from."""
    lawful_basis: Said
    """On which the image is held."""
    image_date: Line = ""
    """ISO 8601, as far as it is known."""
    under_18: bool = False
    under_18_rationale: Line = ""
    expires_at: Time
    name: Line = ""
    """Optional; kept apart from everything else, and never logged."""

    @model_validator(mode="after")
    def _a_minor_needs_a_rationale(self) -> EntryForm:
        if self.under_18 and not self.under_18_rationale:
            raise ValueError("a person under 18 needs under_18_rationale")
        return self


class EnrolledImage(Value):
    """One reference of an entry: the hash of its image file, never the image."""

    reference: Id
    """What people call it; empty once it is gone, for it may be the name of a file that names a person."""
    sha256: Sha256
    quality: float = Field(ge=0, le=1)
    enrolled_at: Time
    import_id: Id = ""
    source: Line = ""
    image_date: Line = ""
    lawful_basis: Line = ""
    """Where this image comes from, of which day it is, and on which basis it is held; empty once it is gone."""
    reviewed_at: Time = 0.0
    """When an officer last put it forward again, in a later import; 0 where nobody did."""

    @property
    def as_of(self) -> float:
        """When somebody last said that it belongs on the list."""
        return max(self.enrolled_at, self.reviewed_at)


class EntryRecord(Message):
    """A subject on a watch list, bucket `entries`. What is left of it when the list is destroyed: ids and hashes."""

    watch_list: ListName
    subject: SubjectId
    images: tuple[EnrolledImage, ...]
    form: EntryForm | None = None
    """Without its name; `None` once the entry is gone."""
    removed_at: Time = 0.0


class NameRecord(Message):
    """The name of a subject, bucket `names`: kept apart, erased with the entry."""

    name: Line
