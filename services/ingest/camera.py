"""The camera actor: keeps one camera of one deployment read, for as long as the deployment is armed.

What can be joined where it is now (`live`: a stream) goes on counting when it is opened again. What starts over (a
file, a recording on a web server) is counted anew, under a new `reading`, so that no frame counts twice.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator

from libs.log import describe_bug
from libs.waiting import end
from proto.counts import FaceCount
from proto.deployments import Warrant
from proto.records import CameraRecord, CameraStatus
from services.ingest.finished import UnfinishedError, must_be_finished, while_finished
from services.ingest.frame import Frame
from services.ingest.reader import HaltedError, Reader, ReaderOptions
from services.ingest.reading import Reading, Tally, Tools
from services.ingest.source import Source, SourceError
from services.ingest.sources import SourceOptions, is_live_by_scheme, open_source

RETRY_FIRST_S = 0.5
"""The pause before a camera that died is tried the first time; it doubles from there."""
NOT_ARMED = "the deployment is not armed any more"
ELSEWHERE = (
    "the location of the camera is not the one that was armed: amend the cameras of the deployment, or suspend it and "
    "arm it again"
)


class Disarmed(Exception):  # noqa: N818  not an error: the window is over
    """The deployment is not armed any more."""


class LiveSourceRefusedError(SourceError):
    """A source that is live, in a deployment that may read recordings alone. Trying again cannot help."""

    def __init__(self) -> None:
        super().__init__("the source is live", "this deployment may read recordings alone: name a file or a folder")


class CameraActor:
    """One camera of one deployment. `run` it once.

    Attributes:
        status: what was told of it last.
        live: whether its source can be left and joined again without being read twice; unknown is no.
    """

    def __init__(self, record: CameraRecord, warrant: Warrant, tools: Tools) -> None:
        self._record = record
        self._warrant = warrant
        self._tools = tools
        self._tally = self._new_tally()
        self._has_run = False
        self._opened = False
        self.live = False
        self.status = CameraStatus(deployment=warrant.deployment, camera=record.camera, state="starting")

    def amend(self, warrant: Warrant) -> None:
        """Takes a new version of the deployment's warrant; it holds from the next frame on."""
        self._warrant = warrant

    def armed(self) -> Warrant:
        """The warrant as it stands, which covers this camera now.

        The first lock: asked before the source is opened, before each frame is decoded (`_is_armed`), and before
        anything of a frame is sent; by this machine's own clock, whatever else is down.

        Raises:
            Disarmed: it does not.
        """
        warrant = self._warrant
        if not self._is_armed():
            raise Disarmed
        return warrant

    def _is_armed(self) -> bool:
        """The same as a question; asked on the reader's thread."""
        warrant, record = self._warrant, self._record
        is_bound = warrant.is_bound_to(record.camera, record.location)
        return is_bound and warrant.covers(record.camera, self._tools.clock())

    def disarm(self, reason: str = NOT_ARMED) -> None:
        """Tells that the camera ended before its source did; to be called before its task is cancelled."""
        self._say(state="ended", detail=reason, disarmed=True)

    def fail(self, error: BaseException) -> None:
        """Tells that the camera is given up: its source broke, or `error` is a bug."""
        self._say(state="failed", detail=_described(error))

    async def run(self) -> None:
        """Reads the camera until its source or its deployment ends, opening it again whenever it dies."""
        try:
            await self._read_until_the_end()
        except Disarmed:
            bound = self._warrant.is_bound_to(self._record.camera, self._record.location)
            self.disarm(NOT_ARMED if bound else ELSEWHERE)

    async def _read_until_the_end(self) -> None:
        failures = 0
        while True:
            frames_before = self._tally.frames
            error = await self._what_ended_a_reading()
            if error is None:
                return
            went_on = self.live and self._tally.frames > frames_before
            failures = 1 if went_on else failures + 1
            if not self._may_come_back(error, failures):
                self.fail(error)
                return
            self._say(state="retrying", detail=_described(error))
            await asyncio.sleep(min(RETRY_FIRST_S * 2 ** (failures - 1), self._tools.settings.retry_max_s))

    async def _what_ended_a_reading(self) -> BaseException | None:
        """Reads the source once: `None` at its end, else what broke it, or the bug that one of its frames met.

        Raises:
            Disarmed: the deployment ended.
        """
        reading = asyncio.create_task(self._read_once(), name=f"read {self._record.camera}")
        reporter = asyncio.create_task(self._report_progress(), name=f"report {self._record.camera}")
        try:
            await asyncio.wait({reading})
        finally:
            await end(reporter, reading)  # at once: a source may be slow to end, and it is another's to tell of by then
            self._tell_faces()
        error = reading.exception()
        if isinstance(error, (Disarmed, HaltedError)):
            raise Disarmed
        if error is not None and not isinstance(error, SourceError):
            self._tools.log.error("camera.bug", camera=self._record.camera, **describe_bug(error))
        return error

    def _may_come_back(self, error: BaseException, failures: int) -> bool:
        """Whether to open the source again.

        Where that may help, where it is on the network and has run before, and after a bug: the next frame may be well.
        """
        self._has_run = self._has_run or self._tally.frames > 0
        if isinstance(error, (LiveSourceRefusedError, UnfinishedError)):
            return False
        lasting = isinstance(error, SourceError) and not error.transient
        promising = not lasting or ("://" in self._record.location and self._has_run)
        return promising and (self._record.retries is None or failures <= self._record.retries)

    async def _read_once(self) -> None:
        options = ReaderOptions(
            realtime=self._record.realtime,
            epoch_s=self.armed().in_force_from,
            may_go_on=self._is_armed,
            guard=self._guarded,
        )
        async with Reader(self._open, options) as reader:
            self.live, self._opened = reader.source.live, True
            if not self.live:
                self._tally = self._new_tally()
            self._say(state="running", detail="", frame_count=reader.source.frame_count)
            await Reading(self._record.camera, reader, self.armed, self._tally, self._tools).run()
            self._say(state="ended", detail=reader.source.damage or "")

    def _open(self) -> Source:
        """The source, where the deployment may read it; runs on the reader's thread.

        Raises:
            LiveSourceRefusedError: it is live and may not be. By its scheme that is known before anything is opened;
                a stream over http shows it when it is open, and is closed before a frame of it is taken.
            UnfinishedError: it is a recording that is still being made.
            SourceError: it cannot be opened.
        """
        recordings_alone = not self._warrant.live_sources
        if recordings_alone and is_live_by_scheme(self._record.location):
            raise LiveSourceRefusedError
        if recordings_alone:
            must_be_finished(self._record.location, self._warrant.in_force_from)
        source = self._open_any()
        if recordings_alone and source.live:
            with source:
                raise LiveSourceRefusedError
        return source

    def _guarded(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        warrant = self._warrant
        if warrant.live_sources:
            return frames
        return while_finished(frames, self._record.location, warrant.in_force_from)

    def _open_any(self) -> Source:
        settings = self._tools.settings
        options = SourceOptions(
            max_fps=settings.max_fps,
            image_fps=settings.image_fps,
            threads=1 if self._record.realtime else settings.decode_threads,
            warn=lambda warning: self._tools.log.warning("source", camera=self._record.camera, warning=warning),
        )
        return open_source(self._record.location, options)

    def _new_tally(self) -> Tally:
        return Tally(f"{self._record.camera}-{secrets.token_hex(4)}-")

    async def _report_progress(self) -> None:
        while True:
            await asyncio.sleep(self._tools.settings.status_every_s)
            self._say()

    def _say(self, **changes: object) -> None:
        told = {**self._tally.counts(), "reading": self._tally.reading, **changes, "updated_at": self._tools.clock()}
        self.status = self.status.model_copy(update=told)
        self._tools.report(self.status)
        self._tell_faces()

    def _tell_faces(self) -> None:
        """Tells how many faces this reading has seen: numbers alone. Of a source that never opened nothing is told."""
        if self._opened:
            count = FaceCount(
                deployment=self.status.deployment,
                camera=self._record.camera,
                reading=self._tally.reading,
                live=self.live,
                minutes={f"{minute}": faces for minute, faces in self._tally.minutes.items()},
                updated_at=self._tools.clock(),
            )
            self._tools.count(count)


def _described(error: BaseException) -> str:
    """What a person is told; of a bug only its type, for its message may quote what was handled."""
    return str(error) if isinstance(error, SourceError) else f"a bug ({type(error).__name__}); the log says where"
