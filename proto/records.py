"""The records that programs keep in NATS key-value buckets, encoded like messages."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from proto.messages import ListName, Message, Name, SubjectId, TrackId
from proto.values import Count, Explanation, Id, Score, Time

MOST_RECENT = 64
"""Alerts for a subject at a camera that are remembered: an hour of them at one a minute."""


class CameraRecord(Message):
    """Where a camera's frames come from, bucket `cameras`."""

    camera: Name
    location: str = Field(min_length=1, max_length=4096)
    """A file, a folder of images, or an http(s) or rtsp URL. May hold a password: never logged."""
    realtime: bool = True
    """Paced like a live camera, which drops frames it has no time for; otherwise each frame waits for its turn."""
    retries: Count | None = None
    """How often in a row a source that breaks is opened again; without a number for ever."""


class CameraStatus(Message):
    """What a camera has done in its deployment, bucket `status`."""

    deployment: Name
    camera: Name
    state: Literal["starting", "running", "retrying", "ended", "failed"]
    frames: Count = 0
    dropped: Count = 0
    detections: Count = 0
    tracks: Count = 0
    samples: Count = 0
    frame_count: Count | None = None
    """Frames in the source, where it says so."""
    detail: Explanation = ""
    """Why the camera is retrying, failed, or ended early."""
    updated_at: Time = 0.0
    reading: Id = ""
    """What the ids of all the tracks that are counted here start with. A file that is played again gets another."""
    disarmed: bool = False
    """Whether it ended before its source did, because its deployment was over; armed again, it runs again."""


class SampleScores(Message):
    """The scores at or over the floor of one sample of a track, by subject."""

    sample: Count
    scores: dict[SubjectId, Score]
    seed_scores: dict[SubjectId, Score] = Field(default_factory=dict)
    """Of subjects on lists of people who walk past on purpose; kept apart, so that neither kind touches the other."""


class Raised(Message):
    """An alert that a track raised, and the sample that tipped it."""

    alert: Id
    subject: SubjectId
    watch_list: ListName
    score: Score
    sample: Count
    seed: bool = False


class TrackState(Message):
    """What the samples of one track have come to so far, bucket `tracks` (memory)."""

    deployment: Name
    camera: Name
    track: TrackId
    samples: tuple[SampleScores, ...] = ()
    raised: tuple[Raised, ...] = ()

    def has(self, sample: int) -> bool:
        """Whether the sample was counted."""
        return any(scores.sample == sample for scores in self.samples)

    def has_all_before(self, sample: int) -> bool:
        """Whether every earlier sample of the track was counted."""
        return all(self.has(earlier) for earlier in range(1, sample))

    def with_sample(self, scores: SampleScores) -> TrackState:
        """The state with one more sample counted."""
        return self.model_copy(update={"samples": (*self.samples, scores)})

    def raised_by(self, sample: int) -> tuple[Raised, ...]:
        """The alerts that this sample tipped."""
        return tuple(raised for raised in self.raised if raised.sample == sample)


class RecentAlert(Message):
    """An alert for a subject at a camera, and when the face that tipped it was captured."""

    alert: Id
    captured_at: Time


class RecentAlerts(Message):
    """The latest alerts for a subject at a camera, bucket `cooldowns`; the newest is the last."""

    alerts: tuple[RecentAlert, ...]

    def has(self, alert: RecentAlert) -> bool:
        """Whether this very alert, tipped by the same face, is among them: its message came a second time."""
        return alert in self.alerts

    def forbid(self, alert: RecentAlert, cooldown_s: float) -> bool:
        """Whether the track has alerted before, the same moment has, or one nearer in time than the cool-down."""
        return any(
            past.alert == alert.alert
            or past.captured_at == alert.captured_at
            or abs(past.captured_at - alert.captured_at) < cooldown_s
            for past in self.alerts
        )

    def with_alert(self, alert: RecentAlert) -> RecentAlerts:
        """One more alert; of more than `MOST_RECENT` the first noted is forgotten."""
        return RecentAlerts(alerts=(*self.alerts, alert)[-MOST_RECENT:])


class Attempt(Message):
    """A stage is handling a message that was delivered suspiciously often, bucket `attempts` (memory)."""

    stage: Id
    sequence: Count


class Lease(Message):
    """Which ingest program holds a camera, bucket `leases`; gone when its holder stops renewing it."""

    holder: Id
    camera: Name
