"""Who may search for whom, where, when and why: deployments, watch lists, alerts in the hands of people, the audit.

All of these are records in NATS key-value buckets, encoded like messages; `AuditEntry` is a message of stream AUDIT.
They hold ids, texts, counts and hashes. None holds a template, a picture or the name of a person.
"""

from __future__ import annotations

import hashlib
import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from proto.messages import ListName, Message, Name, SubjectId
from proto.sealed import OfficerId

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]
"""A reason or a description, for people."""
Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=512)]
"""A short text, which may be empty."""
Said = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=512)]
"""A short text, which may not."""
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
DeploymentState = Literal["draft", "authorised", "armed", "suspended", "refused", "ended", "purged"]
Response = Literal["red", "amber", "green"]
"""How an officer may respond to a confirmed alert, by the category of the list (R (Bridges) v SWP 2019, p. 11)."""
Event = Annotated[str, StringConstraints(pattern=r"^[a-z_]+\.[a-z_]+$", max_length=64)]
"""What happened, for example `deployment.armed`: the last tokens of the subject of an audit entry."""
Details = dict[str, str | int | float | bool]
Status = Literal["open", "confirmed", "rejected", "undecided"]
Verdict = Literal["confirmed", "rejected", "no_decision"]
Engagement = Literal["confirmed_true", "confirmed_false", "no_engagement"]
"""What came of an alert: South Wales Police's published terms."""


class Value(BaseModel):
    """A part of a record: frozen, and tolerant of fields from the future."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Zone(Value):
    """The zone of recognition of a camera: only faces in it are searched and counted (SWP's definition)."""

    polygon: tuple[tuple[float, float], ...] = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    """Corners as fractions of the frame's width and height, 0..1; the whole frame by default."""
    min_face_px: float = Field(default=0.0, ge=0)
    """Width of a face's box, in pixels of the full frame, under which it is not looked at."""

    @model_validator(mode="after")
    def _is_a_polygon(self) -> Zone:
        if len(self.polygon) < 3:
            raise ValueError("a zone has at least three corners")
        if not all(0 <= x <= 1 and 0 <= y <= 1 for x, y in self.polygon):
            raise ValueError("the corners of a zone are fractions of the frame, from 0 to 1")
        if math.isclose(_area(self.polygon), 0, abs_tol=1e-9):
            raise ValueError("the corners of a zone enclose nothing")
        return self


def _area(polygon: tuple[tuple[float, float], ...]) -> float:
    """The area of a polygon by the shoelace formula."""
    following = (*polygon[1:], polygon[0])
    return abs(sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(polygon, following, strict=True))) / 2


class Document(Value):
    """A document a deployment rests on."""

    id: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=128)]
    expires_at: float


class DeploymentDraft(Value):
    """What a deployment is for and within which limits: everything an authorising officer must know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    deployment: Name
    profile: Name
    """The policy profile it runs under."""
    purpose: Text
    legal_basis: Text
    strict_necessity: Text
    """Why nothing less intrusive will do (DPA 2018, s. 35(5); AI Act, art. 5(2))."""
    alternatives: Text
    """What else was considered, and why it was not enough."""
    location: Text
    cameras: dict[Name, Zone] = Field(min_length=1)
    """The zone of recognition of each camera."""
    watch_lists: tuple[ListName, ...] = Field(min_length=1)
    seed_lists: tuple[ListName, ...] = ()
    """Lists of known people who walk past on purpose, to measure TPIR."""
    threshold: float | None = Field(default=None, ge=-1, le=1)
    """The score at or over which a track raises an alert; or else"""
    target_fpir: float | None = Field(default=None, gt=0, lt=1)
    """the false alert rate a face to aim for, from which the threshold follows when the deployment is armed."""
    cooldown_s: float = Field(default=60.0, ge=0)
    starts_at: float
    ends_at: float
    """A hard stop."""
    dpia: Document | None = None
    """The data protection impact assessment."""
    policy: Document | None = None
    """The appropriate policy document (DPA 2018, s. 42)."""
    signage_confirmed: bool = False
    complaints_contact: Line = ""
    judicial_authorisation: Line = ""
    """Its id (AI Act, art. 5(3))."""
    urgent: bool = False
    """Whether it starts before its judicial authorisation is there (AI Act, art. 5(3))."""
    fria: Line = ""
    """Id of the fundamental rights impact assessment (AI Act, art. 27)."""
    registration: Line = ""
    """Id in the EU database (AI Act, art. 49)."""

    @model_validator(mode="after")
    def _fits_together(self) -> DeploymentDraft:
        if self.ends_at <= self.starts_at:
            raise ValueError("a deployment ends after it starts")
        if (self.threshold is None) == (self.target_fpir is None):
            raise ValueError("give either a threshold or a target_fpir")
        lists = (*self.watch_lists, *self.seed_lists)
        if len(set(lists)) < len(lists):
            raise ValueError("a watch list is named twice")
        return self


class Deed(Value):
    """Who did what to a record, when, from where and why; `act` is the hash of the signed act."""

    who: OfficerId
    verb: str
    at: float
    origin: Line = ""
    reason: str = Field(default="", max_length=4000)
    act: str = ""
    """SHA-256 of the sealed act in hexadecimal; empty for an act of the system itself."""
    details: Details = Field(default_factory=dict)
    """What it changed: ids, counts and hashes."""


class Binding(Value):
    """What a deployment was armed with, so that nothing of it can be exchanged behind an armed warrant."""

    lists: dict[ListName, float] = Field(default_factory=dict)
    """When each of its lists was created: another list of the same name is another list."""
    locations: dict[Name, Sha256] = Field(default_factory=dict)
    """The hash of the location of each camera (`location_sha256`)."""
    profile_sha256: str = ""
    """Of the profile's values as they were: others are not what was armed."""
    stamp: str = ""


def location_sha256(camera: str, location: str) -> str:
    """The hash by which a warrant knows where a camera's frames come from; a location may hold a password."""
    return hashlib.sha256(f"{camera}\0{location}".encode()).hexdigest()


class DeploymentRecord(Message):
    """A deployment and how far it is, bucket `deployments`. Written by `govern` alone, by compare-and-set."""

    draft: DeploymentDraft
    record_version: int = Field(ge=1)
    """Grows with every act; alerts, warrants and audit entries name it."""
    state: DeploymentState
    deeds: tuple[Deed, ...]
    """Every act so far, the newest last; the n-th made version n."""
    threshold: float | None = None
    """As it was armed; from the draft, or from its target FPIR."""
    armed_at: float = 0.0
    """When it was first armed; 0 before."""
    ended_at: float = 0.0
    urgent_until: float = 0.0
    """Without judicial authorisation by then it stops and all is deleted; 0 where that is not the question."""
    deleting: bool = False
    """Whether its data is being deleted: what must be finished after a crash."""
    binding: Binding = Binding()
    """What it was last armed with."""

    @property
    def id(self) -> str:
        """The name of the deployment."""
        return self.draft.deployment

    def by(self, verb: str) -> str:
        """Who last did `verb`; empty where nobody did."""
        return next((deed.who for deed in reversed(self.deeds) if deed.verb == verb), "")


class Warrant(Message):
    """What lets cameras run, lists be searched and alerts be raised, bucket `warrants`, sealed by `govern`.

    The three locks (ingest, match and alert) go by this and their own clock alone.
    """

    deployment: Name
    record_version: int = Field(default=1, ge=1)
    state: Literal["armed", "suspended", "ended"]
    purpose: str = Field(min_length=1)
    cameras: tuple[Name, ...]
    watch_lists: tuple[ListName, ...]
    threshold: float = Field(ge=-1, le=1)
    """The score at or over which a track raises an alert."""
    floor: float = Field(ge=-1, le=1)
    """The score under which a comparison is forgotten at once."""
    cooldown_s: float = Field(ge=0)
    """The shortest time between two alerts for one subject at one camera."""
    starts_at: float
    ends_at: float
    first_armed: float = 0.0
    """When it was first armed, in Unix seconds; 0 where that is not known."""
    profile: str = ""
    stamp: str = ""
    """Written on every alert and report: `EVALUATION`, or nothing."""
    zones: dict[Name, Zone] = Field(default_factory=dict)
    """The zone of recognition of each camera; a camera without one has the whole frame."""
    seed_lists: tuple[ListName, ...] = ()
    """Searched too; who is on one of these is a seed, never an alert for operators."""
    binding: Binding = Binding()
    """The lists and cameras that were armed: others of the same names are not covered."""
    live_sources: bool = False
    """Whether cameras may be live: an evaluation reads recordings alone."""
    alerts_kept_s: float = Field(default=24 * 3600.0, gt=0)
    """How long an alert and its portrait are kept."""

    @model_validator(mode="after")
    def _floor_is_not_over_threshold(self) -> Warrant:
        if self.floor > self.threshold:
            raise ValueError(f"the floor {self.floor} is over the threshold {self.threshold}")
        if self.ends_at <= self.starts_at:
            raise ValueError("a deployment ends after it starts")
        return self

    def armed_at(self, now: float) -> bool:
        """Whether the deployment may run at `now` (Unix seconds)."""
        return self.state == "armed" and self.starts_at <= now < self.ends_at

    def covers(self, camera: str, now: float) -> bool:
        """Whether the deployment may run at `now` (Unix seconds) and `camera` is one of its own."""
        return self.armed_at(now) and camera in self.cameras

    def is_bound_to(self, camera: str, location: str) -> bool:
        """Whether the camera's frames come from where they came from when it was armed; without a binding, never."""
        return self.binding.locations.get(camera) == location_sha256(camera, location)

    @property
    def in_force_from(self) -> float:
        """When its cameras could first run: recordings are timed from here, as if they happened now."""
        return max(self.starts_at, self.first_armed)

    def zone(self, camera: str) -> Zone:
        """The zone of recognition of a camera."""
        return self.zones.get(camera, Zone())


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
    expires_at: float
    seed: bool = False
    """Whether it is of people who walk past on purpose, to measure TPIR."""


class OwedEntry(Value):
    """An act that the audit does not hold yet: what `match` must still tell `govern`."""

    record_version: int
    event: Event
    deed: Deed
    details: Details = Field(default_factory=dict)
    sealed: bytes = b""
    """The officer's act, encoded and sealed, by which `govern` sees that the deed is that officer's."""


class WatchListRecord(Message):
    """A watch list and how far it is, bucket `watchlists`. Written by `match` alone, by compare-and-set."""

    form: WatchListForm
    record_version: int = Field(ge=1)
    state: Literal["ready", "importing", "destroying", "destroyed"]
    deeds: tuple[Deed, ...]
    """Every act, the newest last, an import counting as one; not more than the last 64."""
    created_at: float
    built_at: float = 0.0
    """When its last import was completed; 0 before."""
    import_id: str = ""
    """The import that is under way: a list with one cannot be searched."""
    template_version: str
    subjects: int = Field(default=0, ge=0)
    references: int = Field(default=0, ge=0)
    inputs_sha256: str = ""
    """SHA-256 over the sorted hashes of its image files: which images it was built from."""
    destroyed_at: float = 0.0
    owed: tuple[OwedEntry, ...] = ()
    """Acts that are done and not in the audit yet."""

    @property
    def id(self) -> str:
        """The name of the list."""
        return self.form.watch_list


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
    expires_at: float
    name: Line = ""
    """Optional; kept apart from everything else, and never logged."""

    @model_validator(mode="after")
    def _a_minor_needs_a_rationale(self) -> EntryForm:
        if self.under_18 and not self.under_18_rationale:
            raise ValueError("a person under 18 needs under_18_rationale")
        return self


class EnrolledImage(Value):
    """One reference of an entry: the hash of its image file, never the image."""

    reference: str
    """Its name within the entry; empty once it is gone, for it may be the name of a file that names a person."""
    sha256: Sha256
    quality: float
    enrolled_at: float
    import_id: str = ""
    source: Line = ""
    image_date: Line = ""
    lawful_basis: Line = ""
    """Where this image comes from, of which day it is, and on which basis it is held; empty once it is gone."""
    reviewed_at: float = 0.0
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
    removed_at: float = 0.0


class NameRecord(Message):
    """The name of a subject, bucket `names`: kept apart, erased with the entry."""

    name: str


class Decision(Value):
    """What one person decided of an alert."""

    officer: OfficerId
    verdict: Verdict
    reason: Text
    at: float
    """By the clock of `govern`."""
    origin: Line = ""
    act: str = ""
    """SHA-256 of the sealed act, as in `Deed`."""
    sealed: str = ""
    """The sealed act itself, in base64: without it nothing is told of the decision."""


class Outcome(Value):
    """What came of a confirmed alert."""

    officer: OfficerId
    engagement: Engagement
    reason: Text
    at: float
    origin: Line = ""
    act: str = ""
    sealed: str = ""
    """As in `Decision`."""


class Case(Message):
    """An alert in the hands of people, bucket `cases`: ids, times and decisions. Written by `govern` alone."""

    alert: str
    deployment: Name
    record_version: int
    camera: Name
    watch_list: ListName
    subject: SubjectId
    response: Response | Literal[""] = ""
    """Of the list; empty until as many people as needed have confirmed, so that nothing suggests it before."""
    score: float
    threshold: float
    searched: int
    template_version: str = ""
    captured_at: float
    raised_at: float
    seed: bool = False
    stamp: str = ""
    confirmations_needed: int = Field(default=1, ge=1)
    status: Status = "open"
    decisions: tuple[Decision, ...] = ()
    outcome: Outcome | None = None
    escalated_at: float = 0.0
    portrait_sha256: str = ""
    """Of the portrait that people saw, which is not kept as long as this."""
    expires_at: float = 0.0
    """When the alert and its portrait are to be deleted: from then on nobody can confirm it."""
    deleted_at: float = 0.0
    """When the alert and its portrait were deleted."""
    told: tuple[str, ...] = ()
    """Ids of what happened to it that is in the audit and published: what is missing here is made up for."""


class Passage(Message):
    """A seed who walked through the zone of a camera, bucket `passages`: what TPIR is measured against."""

    deployment: Name
    camera: Name
    subject: SubjectId
    at: float
    noted_by: OfficerId
    noted_at: float = 0.0
    """By the clock of `govern`: who notes a passage late may know already what came of it."""


class FaceCount(Message):
    """Faces that one reading of a camera has seen, bucket `faces`: numbers alone, by minute."""

    deployment: Name
    camera: Name
    reading: str
    live: bool
    """A live source goes on under a new reading; a file starts over, and only its last reading counts."""
    minutes: dict[str, int]
    """Tracks that entered the zone, by minute (Unix seconds of capture // 60)."""
    updated_at: float = 0.0


class SearchCount(Message):
    """Best scores of the searches of one `match`, bucket `searches`: a histogram, no score by itself."""

    deployment: Name
    camera: Name
    counter: str
    """Which program counted."""
    searched: int
    """N at the last search."""
    histogram: dict[str, int]
    """Searches by the lower edge of the bin of their best score, in hundredths (`"38"`: 0.38 to 0.40)."""
    updated_at: float = 0.0


class AuditEntry(Message):
    """One act, in the chain: stream AUDIT, sealed by `govern`."""

    sequence: int = Field(ge=1)
    """Its place in the chain, and in the stream."""
    previous: bytes = Field(min_length=32, max_length=32)
    """SHA-256 of the sealed entry before it; zeros for the first."""
    id: str = Field(min_length=1, max_length=256)
    """Of the act: no two entries have the same."""
    event: Event
    at: float
    deed: Deed
    deployment: str = ""
    record_version: int = 0
    watch_list: str = ""
    alert: str = ""
    details: Details = Field(default_factory=dict)
    """Ids, counts and hashes."""


class AuditHead(Message):
    """The last entry of the chain, sealed in bucket `heads`: what tells a chain that was cut short from a whole one."""

    sequence: int
    sha256: Sha256
    at: float
