"""One reading of a source, from its first frame to its last.

    reader thread ──frames──▶ a few asks in flight ──answers, in order──▶ tracker ──▶ best shot ──▶ samples

A frame is taken only when there is a place for its ask: two for a live camera, four for a file. A file waits for
that; a live camera's frame is replaced by the next one before it was encoded, and counted. Every decision rests on
the time of the source, so the same file gives the same tracks and samples however fast the machine is.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from libs import metrics
from libs.errors import PermanentError, TransientError
from libs.log import Log
from libs.quality import geometry_quality
from libs.waiting import end
from proto import codec, subjects
from proto.counts import FaceCount
from proto.deployments import Warrant
from proto.messages import Detections, DetectRequest, Message, Sample
from proto.records import CameraStatus
from services.ingest.best_shot import BestShot, BestShotSettings
from services.ingest.frame import Frame
from services.ingest.reader import Reader
from services.ingest.samples import Place, Shot, cut_shots, to_sample
from services.ingest.settings import IngestSettings
from services.ingest.source import SourceError
from services.ingest.tracker import NO_TRACK, Tracker, TrackerSettings
from services.ingest.zone import in_zone

R = TypeVar("R", bound=Message)
Found = tuple[Frame, asyncio.Task[Detections | None]]


class Messenger(Protocol):
    """The part of the bus a camera uses."""

    async def ask(self, subject: str, message: Message, expected: type[R], timeout_s: float | None = None) -> R:
        """The answer to an ask."""

    async def publish(self, message: Message, trace: str) -> None:
        """Publishes a message."""

    @property
    def reconnected(self) -> asyncio.Event:
        """Set at the next reconnection."""


@dataclass(frozen=True)
class Tools:
    """What all cameras of a program share."""

    bus: Messenger
    threads: Executor
    settings: IngestSettings
    log: Log
    report: Callable[[CameraStatus], None]
    count: Callable[[FaceCount], None]
    clock: Callable[[], float] = time.time
    tracking: TrackerSettings = field(default_factory=TrackerSettings)
    best_shot: BestShotSettings = field(default_factory=BestShotSettings)


@dataclass
class Tally:
    """What a camera has done since its source was at its start. Faces are counted, never kept."""

    reading: str
    """What the ids of all its tracks start with; no other tally has the same."""
    frames: int = 0
    """Frames in which faces were looked for."""
    dropped: int = 0
    """Frames of a live camera for which there was no time, or no answer."""
    detections: int = 0
    """Faces that belong to a track; one face counts anew in every frame."""
    tracks: int = 0
    """Faces seen: tracks that were in the zone of recognition."""
    samples: int = 0
    minutes: Counter[int] = field(default_factory=Counter)
    """Those faces by the minute in which they were first in the zone (Unix seconds of capture // 60)."""

    def counts(self) -> dict[str, int]:
        """The totals, by the names that a `CameraStatus` has for them."""
        names = ("frames", "dropped", "detections", "tracks", "samples")
        return {name: getattr(self, name) for name in names}


class Reading:
    """Takes the frames of one reader through detection, tracking and best shot. `run` it once."""

    def __init__(self, camera: str, reader: Reader, armed: Callable[[], Warrant], tally: Tally, tools: Tools) -> None:
        self._camera = camera
        self._reader = reader
        self._armed = armed
        self._tally = tally
        self._tools = tools
        self._tracker = Tracker(tools.tracking)
        self._best: BestShot[Shot] = BestShot(tools.best_shot)
        self._name = f"{tally.reading}{secrets.token_hex(4)}"
        self._sent: dict[int, tuple[int, Sample | None]] = {}
        """Of each living track: how many samples were sent, and the last one, to send again if the bus forgot it."""
        settings = tools.settings
        self._places = asyncio.Semaphore(settings.asks_in_flight if reader.live else settings.asks_in_flight_lossless)
        self._asked: asyncio.Queue[Found | None] = asyncio.Queue()
        self._dropped_before = tally.dropped
        self._unanswered = 0

    async def run(self) -> None:
        """Returns when the source has ended and its last sample is sent.

        Raises:
            SourceError: the source broke; what it gave before that went all the way, to the last sample.
            Disarmed: the deployment ended; nothing more was handled.
        """
        follower = asyncio.create_task(self._follow(), name=f"track {self._camera}")
        resender = asyncio.create_task(self._resend_when_reconnected(), name=f"resend {self._camera}")
        asker = asyncio.create_task(self._ask_for_all(), name=f"ask {self._camera}")
        try:
            await asyncio.wait({follower, asker}, return_when=asyncio.FIRST_EXCEPTION)
            for task in (follower, asker):
                if task.done():
                    task.result()
            if (broken := asker.result()) is not None:
                raise broken
        finally:
            await end(follower, asker, resender)
            await self._cancel_asks()

    # -- frames out

    async def _ask_for_all(self) -> SourceError | None:
        """Takes frame after frame, each when there is a place for its ask; what broke the source, if it broke."""
        try:
            while True:
                await self._places.acquire()
                try:
                    frame = await self._reader.next()
                except SourceError as error:
                    return error
                finally:
                    self._count_dropped()
                if frame is None:
                    return None
                self._armed()
                task = asyncio.create_task(self._ask(frame), name=f"ask {self._camera} {frame.index}")
                self._asked.put_nowait((frame, task))
        finally:
            self._asked.put_nowait(None)

    async def _ask(self, frame: Frame) -> Detections | None:
        """The faces of a frame; `None` if nobody could say, which only a live camera gives up on."""
        loop, settings = asyncio.get_running_loop(), self._tools.settings
        jpeg = await loop.run_in_executor(self._tools.threads, frame.jpeg, settings.detect_width_px)
        ask = DetectRequest(camera=self._camera, frame=frame.index, width=frame.width, height=frame.height, jpeg=jpeg)
        try:
            return await self._persist(lambda: self._tools.bus.ask(subjects.DETECT, ask, Detections), give_up_s=0)
        except (TransientError, PermanentError, codec.DecodeError) as error:
            self._tools.log.warning("unanswered", camera=self._camera, frame=frame.index, reason=str(error))
            return None

    # -- answers in

    async def _follow(self) -> None:
        """Takes the answers in the order of their frames, to the end of the source."""
        while (asked := await self._asked.get()) is not None:
            frame, task = asked
            found = await task
            self._places.release()
            if found is None:
                self._unanswered += 1
                self._count_dropped()
                metrics.FRAMES.labels(self._camera, "unanswered").inc()
                continue
            self._armed()
            await self._observe(frame, found)
        for track in self._tracker.finish():
            await self._end(track)

    async def _observe(self, frame: Frame, found: Detections) -> None:
        """Takes the faces of one frame: into their tracks, and those in the zone out as samples where one is due."""
        now_s = frame.source_time_s
        update = self._tracker.update(now_s, found.boxes, found.detect_scores)
        self._count(int((update.track_ids != NO_TRACK).sum()))
        geometry = geometry_quality(found.landmarks, found.detect_scores)
        zone = self._armed().zone(self._camera)
        counting = update.confirmed & in_zone(zone, found.boxes, frame.width, frame.height)
        rows = [int(row) for row in counting.nonzero()[0]]
        for row in rows:
            self._greet(int(update.track_ids[row]), frame.captured_at)
        wanted = [
            row
            for row in rows
            if self._best.wants_chip(int(update.track_ids[row]), now_s, float(geometry.quality[row]))
        ]
        if wanted:
            threads = self._tools.threads
            shots = await asyncio.get_running_loop().run_in_executor(threads, cut_shots, frame, found, geometry, wanted)
            for row, shot in shots.items():
                track = int(update.track_ids[row])
                due = self._best.offer(track, now_s, shot.quality.unified, shot)
                if due is not None:
                    await self._send(track, due)
        for track in update.ended:
            await self._end(track)

    def _count(self, faces: int) -> None:
        self._tally.frames += 1
        self._tally.detections += faces
        metrics.FRAMES.labels(self._camera, "handled").inc()
        metrics.DETECTIONS.labels(self._camera).inc(faces)

    def _count_dropped(self) -> None:
        self._tally.dropped = self._dropped_before + self._reader.dropped + self._unanswered

    def _greet(self, track: int, captured_at: float) -> None:
        """Counts a face when it is first in the zone."""
        if track not in self._sent:
            self._sent[track] = (0, None)
            self._tally.tracks += 1
            self._tally.minutes[int(captured_at // 60)] += 1

    async def _end(self, track: int) -> None:
        """Sends the last good shot of a track that has ended, and forgets the track."""
        due = self._best.finish(track)
        if due is not None:
            await self._send(track, due)
        self._sent.pop(track, None)

    # -- samples out

    async def _send(self, track: int, shot: Shot) -> None:
        warrant = self._armed()
        number = self._sent[track][0] + 1
        place = Place(
            deployment=warrant.deployment,
            record_version=warrant.record_version,
            camera=self._camera,
            track=f"{self._name}-{track}",
            number=number,
        )
        sample = await asyncio.get_running_loop().run_in_executor(self._tools.threads, to_sample, shot, place)
        self._sent[track] = (number, sample)
        await self._publish(sample)

    async def _publish(self, sample: Sample) -> None:
        try:
            await self._persist(
                lambda: self._tools.bus.publish(sample, codec.new_trace()), self._tools.settings.give_up_s
            )
        except TransientError as error:
            self._tools.log.warning("sample.lost", camera=self._camera, sample=sample.id, reason=error.reason)
            return
        self._tally.samples += 1
        metrics.SAMPLES.labels(self._camera).inc()

    async def _resend_when_reconnected(self) -> None:
        """Sends the last sample of each living track again: a restarted server has forgotten what was in flight."""
        while True:
            await self._tools.bus.reconnected.wait()
            for _, sample in list(self._sent.values()):
                if sample is not None:
                    await self._persist_quietly(sample)

    async def _persist_quietly(self, sample: Sample) -> None:
        try:
            await self._tools.bus.publish(sample, codec.new_trace())
        except TransientError as error:
            self._tools.log.warning("sample.not_resent", camera=self._camera, reason=error.reason)

    # -- patience

    async def _persist(self, attempt: Callable[[], Coroutine[Any, Any, R | None]], give_up_s: float) -> R | None:
        """What `attempt` comes to. A file tries until it succeeds; a live camera for `give_up_s`.

        Raises:
            TransientError: the last one, when a live camera gives up.
        """
        began = time.monotonic()
        while True:
            try:
                return await attempt()
            except TransientError as error:
                self._armed()
                if self._reader.live and time.monotonic() - began >= give_up_s:
                    raise
                await asyncio.sleep(error.delay_s)

    async def _cancel_asks(self) -> None:
        while not self._asked.empty():
            asked = self._asked.get_nowait()
            if asked is not None:
                await end(asked[1])
