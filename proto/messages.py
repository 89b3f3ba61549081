"""Every message on the bus, in the order in which the life of a face meets them.

Each is a frozen model and travels as one MessagePack map. Unknown fields are ignored and a new field has a default,
so that programs of two versions can talk; the type of a field never changes.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from proto.arrays import Boxes, Chip, Chips, Landmarks, Scores, Template, Templates
from proto.quality import Quality
from proto.values import Count, Explanation, Id, Measure, OptionalSha256, Score, Seconds, Time, Version

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
"""The name of a camera or deployment: one token of a subject."""
ListName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
"""The name of a watch list: part of the name of its collection."""
SubjectId = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""The nominal number of a listed person. Not a name: names are kept elsewhere."""
TrackId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,96}$")]
"""The id of a track, unique over cameras and restarts."""
MOST_IMAGES = 64
"""Reference images that one message brings."""
Box = tuple[Measure, Measure, Measure, Measure]
"""xyxy in pixels of the full frame."""


class Message(BaseModel):
    """What all messages are: frozen, tolerant of fields from the future, and of a named kind and version."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)
    version: ClassVar[int] = 1

    @classmethod
    @cache
    def kind(cls) -> str:
        """The name of the message type on the wire, for example `detect_request`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()


class DetectRequest(Message):
    """Asks where the faces are in a small JPEG; the answer is in pixels of the full frame, `width` x `height`."""

    camera: Name
    frame: Count
    width: int = Field(gt=0, le=16_384)
    height: int = Field(gt=0, le=16_384)
    jpeg: bytes


class Detections(Message):
    """The faces of one frame, the surest first; none is an answer too."""

    camera: Name
    frame: Count
    boxes: Boxes
    landmarks: Landmarks
    detect_scores: Scores


class DetectImagesRequest(Message):
    """Asks where the faces are in several images, for a message costs more than what is in it."""

    images: tuple[DetectRequest, ...] = Field(min_length=1, max_length=MOST_IMAGES)


class DetectImagesReply(Message):
    """The faces of each image, in the order of the request."""

    found: tuple[Detections | None, ...]
    """`None` for an image that is no usable JPEG."""
    reasons: tuple[Explanation, ...]
    """Why it is none; empty for the others."""


class Sighting(Message):
    """What a sample, its probe and its candidates have in common: where and when which track was seen."""

    deployment: Name
    record_version: Version
    camera: Name
    track: TrackId
    sample: Version
    """1 for the first sample of a track, then 2, 3, …"""
    frame: Count
    captured_at: Time
    source_time_s: Seconds
    box: Box
    detect_score: float = Field(ge=0, le=1)
    quality: Quality

    @property
    def id(self) -> str:
        """The id of the sample: the same however often it is sent."""
        return f"{self.track}.{self.sample}"

    def seen(self) -> dict[str, Any]:
        """The fields of the sighting alone, for the message that it becomes next."""
        return {name: getattr(self, name) for name in Sighting.model_fields}


class Sample(Sighting):
    """The best shot of a track so far: an aligned chip to embed and a small portrait for people."""

    chip: Chip
    portrait: bytes
    """JPEG."""


class Probe(Sighting):
    """A sample's template, to search with."""

    template: Template
    template_version: Id
    portrait: bytes


class Candidate(BaseModel):
    """One subject of a watch list who resembles a probe, and how much."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)
    watch_list: ListName
    subject: SubjectId
    score: Score


class Candidates(Sighting):
    """The candidate list of a probe: the subjects at or over the deployment's floor, best first.

    An empty list is sent too: it holds nothing of a face, and is what makes the rates of a deployment countable.
    """

    candidates: tuple[Candidate, ...]
    searched: Count
    """N, the references that were searched."""
    template_version: Id
    portrait: bytes
    """JPEG; empty when nobody resembled the probe."""


def alert_id(deployment: str, camera: str, track: str, subject: str, seed: bool) -> str:
    """The id of an alert: the same however often a track raises one for the same subject; a seed's is another."""
    kind = "seed" if seed else "alert"
    return hashlib.sha256("|".join([kind, deployment, camera, track, subject]).encode()).hexdigest()[:24]


class Alert(Message):
    """A track resembles a subject of a watch list at or over the deployment's threshold. A person must decide."""

    id: Id
    """`own_id`: `govern` takes no other."""
    deployment: Name
    record_version: Version
    camera: Name
    track: TrackId
    watch_list: ListName
    subject: SubjectId
    score: Score
    """The comparison score fused over the track. Not a probability."""
    threshold: Score
    searched: Count
    """N, the references that were searched."""
    samples: Count
    """How many samples of the track the score rests on."""
    template_version: Id
    captured_at: Time
    source_time_s: Seconds
    raised_at: Time
    frame: Count
    box: Box
    quality: Quality
    portrait: Id
    """Key in the object store `alert-portraits`; empty for a seed, of whom none is kept."""
    reference_portrait: Id
    """Key in the object store `reference-portraits`; empty when the reference was enrolled without one."""
    portrait_sha256: OptionalSha256 = ""
    """Of the portrait, for the records that outlive it."""
    seed: bool = False
    """Whether the subject walked past on purpose, to measure TPIR."""
    stamp: Id = ""
    """`EVALUATION` where the deployment is one; empty otherwise."""
    expires_at: Time = 0.0
    """When the alert and its portrait are deleted."""

    @property
    def own_id(self) -> str:
        """The id that it must have: nobody gives an alert the id of another."""
        return alert_id(self.deployment, self.camera, self.track, self.subject, self.seed)


class DeadLetter(Message):
    """A message that could not be handled: its ids and the reason, never its content."""

    stage: Id
    subject: Explanation
    message_id: Id
    message_kind: Id
    reason: Explanation
    deliveries: Count
    at: Time


class EmbedRequest(Message):
    """Asks for the templates of aligned faces."""

    chips: Chips
    both_ways: bool = False
    """Whether each is to be the mean of the face's template and that of its mirror image, of length 1: references."""


class EmbedReply(Message):
    """The templates, one a chip, in the order of the request."""

    templates: Templates
    template_version: Id


class EnrolReply(Message):
    """Whether the subject was enrolled; if not, why, in words and as a measurement where there is one."""

    watch_list: ListName
    subject: SubjectId
    reference: Id
    enrolled: bool
    already: bool = False
    """Whether the very same image was enrolled before: nothing was changed."""
    reason: Explanation = ""
    """Why it was not enrolled; or, where it was, what of the request was not taken."""
    remedy: Explanation = ""
    """What a person can do about the reason."""
    component: Id = ""
    """What was measured, for example `inter_eye_distance_px`."""
    measured: Measure | None = None
    required: Measure | None = None
    quality: Quality | None = None
