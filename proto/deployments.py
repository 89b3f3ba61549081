"""Where, when, why and for whom may be searched: deployments, and the warrants that open the three locks.

Records in NATS key-value buckets, encoded like messages and sealed by `govern`.
"""

from __future__ import annotations

import hashlib
import math
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from proto.audit import Deed
from proto.messages import ListName, Message, Name
from proto.values import Count, Id, Line, OptionalSha256, Score, Seconds, Sha256, Text, Time, Value, Version
from proto.watchlists import Response, WatchListRecord

DeploymentState = Literal["draft", "authorised", "armed", "suspended", "refused", "ended", "purged"]


WIDEST_FRAME_PX = 65_535
"""What a JPEG holds; no camera is as wide."""


class Zone(Value):
    """The zone of recognition of a camera: only faces in it are searched and counted (SWP's definition)."""

    polygon: tuple[tuple[float, float], ...] = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    """Corners as fractions of the frame's width and height, 0..1; the whole frame by default."""
    min_face_px: float = Field(default=0.0, ge=0, le=WIDEST_FRAME_PX)
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
    expires_at: Time


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
    cooldown_s: Seconds = 60.0
    starts_at: Time
    ends_at: Time
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


class Binding(Value):
    """What a deployment was armed with, so that nothing of it can be exchanged behind an armed warrant."""

    lists: dict[ListName, Time] = Field(default_factory=dict)
    """When each of its lists was created: another list of the same name is another list."""
    responses: dict[ListName, Response] = Field(default_factory=dict)
    """The response class of each, which a confirmed alert bears whatever has become of the list."""
    locations: dict[Name, Sha256] = Field(default_factory=dict)
    """The hash of the location of each camera (`location_sha256`)."""
    profile_sha256: OptionalSha256 = ""
    """Of the profile's values as they were: others are not what was armed."""
    confirmations: Count = Field(default=2, ge=1)
    """People who must confirm an alert; where nobody has said, as many as any profile that ships asks for."""
    stamp: Id = ""

    def is_of(self, watch_list: WatchListRecord) -> bool:
        """Whether that is the list which was armed, and not another of its name; before anything was, any may be."""
        return self.lists.get(watch_list.id, watch_list.created_at) == watch_list.created_at


def location_sha256(camera: str, location: str) -> str:
    """The hash by which a warrant knows where a camera's frames come from; a location may hold a password."""
    return hashlib.sha256(f"{camera}\0{location}".encode()).hexdigest()


class DeploymentRecord(Message):
    """A deployment and how far it is, bucket `deployments`. Written by `govern` alone, by compare-and-set."""

    draft: DeploymentDraft
    record_version: Version
    """Grows with every act; alerts, warrants and audit entries name it."""
    state: DeploymentState
    deeds: tuple[Deed, ...]
    """Every act so far, the newest last; the n-th made version n."""
    threshold: Score | None = None
    """As it was armed; from the draft, or from its target FPIR."""
    armed_at: Time = 0.0
    """When it was first armed; 0 before."""
    ended_at: Time = 0.0
    urgent_until: Time = 0.0
    """Without judicial authorisation by then it stops and all is deleted; 0 where that is not the question."""
    deleting: bool = False
    """Whether its data is being deleted: what must be finished after a crash."""
    binding: Binding = Binding()
    """What it was last armed with."""

    @property
    def id(self) -> str:
        """The name of the deployment."""
        return self.draft.deployment

    @property
    def closed(self) -> bool:
        """Whether its data is deleted, or being deleted: nothing can be decided any more."""
        return self.deleting or self.state in ("purged", "refused")

    def by(self, verb: str) -> str:
        """Who last did `verb`; empty where nobody did."""
        return next((deed.who for deed in reversed(self.deeds) if deed.verb == verb), "")


class Warrant(Message):
    """What lets cameras run, lists be searched and alerts be raised, bucket `warrants`, sealed by `govern`.

    The three locks (ingest, match and alert) go by this and their own clock alone.
    """

    deployment: Name
    record_version: Version = 1
    state: Literal["armed", "suspended", "ended"]
    purpose: Text
    cameras: tuple[Name, ...]
    watch_lists: tuple[ListName, ...]
    threshold: float = Field(ge=-1, le=1)
    """The score at or over which a track raises an alert."""
    floor: float = Field(ge=-1, le=1)
    """The score under which a comparison is forgotten at once."""
    cooldown_s: Seconds
    """The shortest time between two alerts for one subject at one camera."""
    starts_at: Time
    ends_at: Time
    first_armed: Time = 0.0
    """When it was first armed, in Unix seconds; 0 where that is not known."""
    profile: Id = ""
    stamp: Id = ""
    """Written on every alert and report: `EVALUATION`, or nothing."""
    zones: dict[Name, Zone] = Field(default_factory=dict)
    """The zone of recognition of each camera; a camera without one has the whole frame."""
    seed_lists: tuple[ListName, ...] = ()
    """Searched too; who is on one of these is a seed, never an alert for operators."""
    binding: Binding = Binding()
    """The lists and cameras that were armed: others of the same names are not covered."""
    live_sources: bool = False
    """Whether cameras may be live: an evaluation reads recordings alone."""
    alerts_kept_s: Seconds = Field(default=24 * 3600.0, gt=0)
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
