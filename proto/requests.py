"""What officers and programs ask of `govern` and `match`, and the answers.

Acts travel sealed (`proto.sealed`): the request of an act is the `request` of an `Act` that its officer has signed.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from proto.audit import AuditEntry, Deed, Details, Event
from proto.cases import Case, Engagement, Verdict
from proto.counts import FaceCount, Passage, SearchCount
from proto.deployments import DeploymentDraft, DeploymentRecord, Zone
from proto.messages import MOST_IMAGES, EnrolReply, ListName, Message, Name, SubjectId
from proto.sealed import OfficerId
from proto.values import Sha256, Text
from proto.watchlists import EntryForm, EntryRecord, WatchListForm, WatchListRecord

Verb = Literal["authorise", "refuse", "arm", "suspend", "end", "purge", "grant_judicial", "refuse_judicial", "register"]
"""What is done to a deployment. The last three are of the profile `eu-ai-act`."""


# -- deployments


class DraftRequest(Message):
    """Act: drafts a deployment; or redrafts one that is not authorised yet, where `record_version` is its own."""

    draft: DeploymentDraft
    record_version: int = Field(default=0, ge=0)


class TransitionRequest(Message):
    """Act: does `verb` to a deployment whose record is at `record_version`; otherwise it is refused (409)."""

    verb: Verb
    deployment: Name
    record_version: int = Field(ge=1)
    reason: str = Field(default="", max_length=4000)
    reference: str = Field(default="", max_length=512)
    """The id of the judicial authorisation that was granted or refused, or of the registration."""


class AmendRequest(Message):
    """Act: changes threshold or cameras of a deployment that is authorised, armed or suspended."""

    deployment: Name
    record_version: int = Field(ge=1)
    reason: Text
    threshold: float | None = Field(default=None, ge=-1, le=1)
    target_fpir: float | None = Field(default=None, gt=0, lt=1)
    cameras: dict[Name, Zone] | None = None


class DeploymentRequest(Message):
    """Asks for one deployment."""

    deployment: Name


class DeploymentReply(Message):
    """A deployment, and what now stands against arming it."""

    record: DeploymentRecord
    obstacles: tuple[str, ...] = ()
    """Each with its remedy; none where it can be armed."""
    warnings: tuple[str, ...] = ()
    """Values of its profile whose source is weak."""


class ListRequest(Message):
    """Asks for all records of a kind; of one deployment where `of` names it, else (empty) of all.

    Alerts come a page at a time: at most `count` of those whose key follows `after` (`CasesReply.next`).
    """

    of: str
    after: str = ""
    count: int = Field(default=500, ge=1, le=5000)


class DeploymentsReply(Message):
    """All deployments."""

    records: tuple[DeploymentRecord, ...]


class FiguresRequest(Message):
    """Asks for all that a report is made of; for the cases alone that follow `after`, where it says so."""

    deployment: Name
    after: str = ""


class FiguresReply(Message):
    """All that the report of a deployment is made of; of the cases a page, without the acts that were signed.

    What no officer signed is left out of the cases, and counts as missing.
    """

    record: DeploymentRecord
    stamp: str
    lists: tuple[WatchListRecord, ...]
    cases: tuple[Case, ...]
    passages: tuple[Passage, ...]
    faces: tuple[FaceCount, ...]
    searches: tuple[SearchCount, ...]
    audit_entries: int
    audit_head: str
    missing: tuple[str, ...] = ()
    """In words, why the cases fall short of what happened; nothing where they do not."""
    next: str = ""
    """What to ask for after, for the next page of cases; empty where this was the last."""


# -- alerts


class AdjudicateRequest(Message):
    """Act: a person's decision about an alert."""

    deployment: Name
    alert: str
    verdict: Verdict
    reason: Text


class EngagementRequest(Message):
    """Act: what came of a confirmed alert."""

    deployment: Name
    alert: str
    engagement: Engagement
    reason: Text


class PassageRequest(Message):
    """Act: a seed has walked through the zone of a camera."""

    deployment: Name
    camera: Name
    subject: SubjectId
    at: float


class CaseRequest(Message):
    """Asks for one alert in the hands of people."""

    deployment: Name
    alert: str


class CaseReply(Message):
    """An alert in the hands of people."""

    case: Case


class CasesReply(Message):
    """The alerts of a deployment, or of all, a page at a time, in the order of their keys.

    Without the acts that were signed: the answer for one alert has them.
    """

    cases: tuple[Case, ...]
    next: str = ""
    """What to ask for after, for the next page; empty where this was the last."""


class PassageReply(Message):
    """A passage as it was noted."""

    passage: Passage


class Intervention(Message):
    """Published once a person, or as many as the profile requires, confirmed an alert. Officers assess for themselves.

    Nothing that suggests an intervention is published before this.
    """

    deployment: Name
    record_version: int
    alert: str
    camera: Name
    watch_list: ListName
    subject: SubjectId
    response: Literal["red", "amber", "green"]
    captured_at: float
    confirmed_by: tuple[OfficerId, ...]
    confirmed_at: float
    stamp: str = ""


class Adjudication(Message):
    """Published for every decision, engagement and escalation: what a control room follows."""

    deployment: Name
    alert: str
    event: Literal["decision", "engagement", "escalation"]
    status: str
    officer: str = ""
    at: float


# -- watch lists


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
    images: int = Field(default=0, ge=0)
    refused: int = Field(default=0, ge=0)


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
    expires_at: float
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
    after: str = ""
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
    score: float


class DuplicatesReply(Message):
    """Possible duplicates, the most alike first."""

    pairs: tuple[PossibleDuplicate, ...]


# -- audit


class AuditRequest(Message):
    """Asks `govern` to append an act of another program. The same id again changes nothing."""

    id: str = Field(min_length=1, max_length=256)
    event: Event
    deed: Deed
    deployment: str = ""
    record_version: int = 0
    watch_list: str = ""
    alert: str = ""
    details: Details = Field(default_factory=dict)
    sealed: bytes = b""
    """The act of the officer whose deed it is, encoded and sealed; nothing where a program did it by itself."""


class AuditReply(Message):
    """The entry as it stands in the chain."""

    entry: AuditEntry
