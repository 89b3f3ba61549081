"""A replay: recorded or live sources through the whole pipeline against a folder of reference images.

It goes through the same records, subjects and locks as any deployment: a watch list of its own is enrolled, cameras
and a deployment are recorded, and when the sources have ended the deployment is ended and the list destroyed.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from libs.bus import Bus, Mirror, Records
from libs.waiting import any_of, end
from proto import subjects
from proto.messages import (
    Alert,
    DeadLetter,
    WatchListReply,
    WatchListRequest,
)
from proto.records import CameraRecord, CameraStatus, DeploymentRecord, TrackState
from services.cli.enrol import FolderEnrolment, Refusal, enrol_folder

DEFAULT_THRESHOLD = 0.5
"""Comparison score. Source: measured, docs/decisions.md, "The default threshold"."""
FLOOR_UNDER_THRESHOLD = 0.1
"""Candidates this far under the threshold still count towards the fusion of a track; under it they are forgotten."""
COOLDOWN_S = 60.0
"""The shortest time between two alerts for one subject at one camera."""
RETRIES = 3
"""A source that cannot be reached is given up after so many more tries (about four seconds)."""
LONGEST_S = 24 * 3600.0
"""A replay's deployment ends by itself after a day."""
STALL_S = 30.0
"""Samples that were not answered so long after the last sign of life are given up, and reported."""


@dataclass(frozen=True)
class ReplayOptions:
    """What to replay. `sources` maps the name of a camera to its location."""

    references: Path
    sources: Mapping[str, str]
    threshold: float = DEFAULT_THRESHOLD
    cooldown_s: float = COOLDOWN_S
    realtime: bool = False


@dataclass(frozen=True)
class CameraCount:
    """What one camera came to."""

    frames: int = 0
    dropped: int = 0
    detections: int = 0
    tracks: int = 0
    samples: int = 0
    candidates: int = 0
    alerts: int = 0
    frame_count: int | None = None
    state: str = "waiting"
    detail: str = ""


@dataclass
class Progress:
    """How far a replay is; given to `on_progress` at every change."""

    enrolment: FolderEnrolment = field(default_factory=FolderEnrolment)
    cameras: dict[str, CameraCount] = field(default_factory=dict)
    alerts: list[Alert] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    answered: int = 0
    """Samples that came through to `alert`."""


@dataclass(frozen=True)
class Outcome:
    """What a replay came to. The portraits are JPEGs by key, for the report alone."""

    cameras: Mapping[str, CameraCount]
    alerts: Sequence[Alert]
    refused: Sequence[Refusal]
    lost: int
    """Samples that never came through: dead-lettered, or given up after `STALL_S`."""
    seconds: float
    references: int
    threshold: float
    portraits: Mapping[str, bytes]

    def as_json(self) -> dict[str, object]:
        """The outcome as `--json` writes it."""
        return {
            "cameras": {
                name: {
                    key: getattr(count, key)
                    for key in ("frames", "dropped", "tracks", "samples", "candidates", "alerts", "state", "detail")
                }
                for name, count in self.cameras.items()
            },
            "alerts": [
                {
                    "camera": alert.camera,
                    "subject": alert.subject,
                    "score": round(alert.score, 4),
                    "threshold": alert.threshold,
                    "time_s": round(alert.source_time_s, 3),
                    "box": [round(side, 1) for side in alert.box],
                    "track": alert.track,
                    "frame": alert.frame,
                }
                for alert in self.alerts
            ],
            "references": self.references,
            "refused": [{"subject": r.subject, "image": r.image.name, "reason": r.reason} for r in self.refused],
            "lost": self.lost,
            "seconds": round(self.seconds, 3),
        }


OnProgress = Callable[[Progress], None]


class Replay:
    """One replay on a running stack. `run` it once."""

    def __init__(self, bus: Bus, options: ReplayOptions, on_progress: OnProgress) -> None:
        self._bus = bus
        self._options = options
        self._on_progress = on_progress
        self._progress = Progress(cameras={name: CameraCount() for name in options.sources})
        self._id = f"replay-{int(time.time()):x}{secrets.token_hex(2)}"
        self._heard = time.monotonic()
        self._tracks: dict[str, TrackState] = {}

    async def run(self) -> Outcome:
        """Enrols, runs the cameras to their end, and cleans up.

        Raises:
            UserError: there is no reference image, or none can be enrolled.
        """
        async with self._watch_list():
            await self._enrol()
            began = time.monotonic()
            async with self._deployment():
                await self._follow_to_the_end()
            seconds = time.monotonic() - began
            return await self._outcome(seconds)

    # -- references

    @asynccontextmanager
    async def _watch_list(self) -> AsyncIterator[None]:
        ask = WatchListRequest(watch_list=self._id)
        await self._bus.ask(f"{subjects.WATCHLIST}.create", ask, WatchListReply)
        try:
            yield
        finally:
            await self._bus.ask(f"{subjects.WATCHLIST}.drop", ask, WatchListReply)

    async def _enrol(self) -> None:
        def show(enrolment: FolderEnrolment) -> None:
            self._progress.enrolment = enrolment
            self._on_progress(self._progress)

        await enrol_folder(self._bus, self._id, self._options.references, show)

    # -- cameras

    @asynccontextmanager
    async def _deployment(self) -> AsyncIterator[None]:
        cameras = Records(self._bus, subjects.CAMERAS, CameraRecord)
        deployments = Records(self._bus, subjects.DEPLOYMENTS, DeploymentRecord)
        record = self._record()
        try:
            for name, location in self._options.sources.items():
                camera = CameraRecord(camera=name, location=location, realtime=self._options.realtime, retries=RETRIES)
                await cameras.put(subjects.key(name), camera)
            await deployments.put(subjects.key(self._id), record)
            yield
        finally:
            await deployments.put(subjects.key(self._id), record.model_copy(update={"state": "ended"}))
            for name in self._options.sources:
                await cameras.delete(subjects.key(name))

    def _record(self) -> DeploymentRecord:
        now = time.time()
        return DeploymentRecord(
            deployment=self._id,
            state="armed",
            purpose="replay of the operator's own recordings",
            cameras=tuple(self._options.sources),
            watch_lists=(self._id,),
            threshold=self._options.threshold,
            floor=max(-1.0, self._options.threshold - FLOOR_UNDER_THRESHOLD),
            cooldown_s=self._options.cooldown_s,
            starts_at=now - 1,
            ends_at=now + LONGEST_S,
        )

    async def _follow_to_the_end(self) -> None:
        async with (
            Mirror.open(self._bus, subjects.STATUS, CameraStatus) as statuses,
            Mirror.open(self._bus, subjects.TRACKS, TrackState) as tracks,
        ):
            listeners = [
                asyncio.create_task(self._listen_for_alerts(), name="alerts"),
                asyncio.create_task(self._listen_for_the_dead(), name="dead letters"),
            ]
            try:
                while not self._is_over():
                    await any_of(statuses.changed(), tracks.changed(), timeout_s=1.0)
                    self._update(statuses.all().values(), tracks.all())
            finally:
                await end(*listeners)

    async def _listen_for_alerts(self) -> None:
        async for alert in self._bus.follow(subjects.ALERTS, subjects.alerts_of(self._id), Alert):
            self._progress.alerts.append(alert)
            self._heard = time.monotonic()
            self._on_progress(self._progress)

    async def _listen_for_the_dead(self) -> None:
        since = time.time()
        async for letter in self._bus.follow(subjects.DEADLETTERS, subjects.DEADLETTERS.subjects[0], DeadLetter):
            if letter.at >= since:
                self._progress.dead.append(letter)

    def _update(self, statuses: Iterable[CameraStatus], tracks: Mapping[str, TrackState]) -> None:
        before = (dict(self._progress.cameras), self._progress.answered)
        self._remember(tracks)
        for status in statuses:
            if status.deployment == self._id:
                seen = [track for track in self._tracks.values() if track.camera == status.camera]
                self._progress.cameras[status.camera] = _count(status, seen)
        self._progress.answered = sum(len(track.samples) for track in self._tracks.values())
        if (self._progress.cameras, self._progress.answered) != before:
            self._heard = time.monotonic()
            self._on_progress(self._progress)

    def _remember(self, tracks: Mapping[str, TrackState]) -> None:
        """Keeps the fullest state of each track: the bucket forgets when its server restarts."""
        for key, track in tracks.items():
            known = self._tracks.get(key)
            if track.deployment == self._id and (known is None or len(track.samples) >= len(known.samples)):
                self._tracks[key] = track

    def _is_over(self) -> bool:
        """Whether every camera has ended and every sample has been answered, or is not going to be."""
        cameras = self._progress.cameras.values()
        if not all(camera.state in ("ended", "failed") for camera in cameras):
            return False
        raised = sum(len(track.raised) for track in self._tracks.values())
        complete = self._unanswered() <= 0 and len(self._progress.alerts) >= raised
        return complete or time.monotonic() - self._heard > STALL_S

    def _unanswered(self) -> int:
        return sum(camera.samples for camera in self._progress.cameras.values()) - self._progress.answered

    # -- the outcome

    async def _outcome(self, seconds: float) -> Outcome:
        keys = {key for alert in self._progress.alerts for key in (alert.portrait, alert.reference_portrait)}
        portraits = {key: await self._bus.portraits.get(key) or b"" for key in sorted(keys)}
        return Outcome(
            cameras=dict(self._progress.cameras),
            alerts=sorted(self._progress.alerts, key=lambda alert: (alert.camera, alert.source_time_s)),
            refused=tuple(self._progress.enrolment.refused),
            lost=self._unanswered(),
            seconds=seconds,
            references=self._progress.enrolment.enrolled,
            threshold=self._options.threshold,
            portraits=portraits,
        )


def _count(status: CameraStatus, tracks: Sequence[TrackState]) -> CameraCount:
    return CameraCount(
        frames=status.frames,
        dropped=status.dropped,
        detections=status.detections,
        tracks=status.tracks,
        samples=status.samples,
        candidates=sum(len(sample.scores) for track in tracks for sample in track.samples),
        alerts=sum(len(track.raised) for track in tracks),
        frame_count=status.frame_count,
        state=status.state,
        detail=status.detail,
    )
