"""The camera actor: keeps one camera of one deployment read, for as long as the deployment is armed."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

from proto.records import CameraRecord, CameraStatus, DeploymentRecord
from services.ingest.reader import Reader, ReaderOptions
from services.ingest.reading import Reading, Tally, Tools
from services.ingest.source import Source, SourceError
from services.ingest.sources import SourceOptions, open_source

RETRY_FIRST_S = 0.5
"""The pause before a camera that died is tried the first time; it doubles from there."""


class Disarmed(Exception):  # noqa: N818  not an error: the window is over
    """The deployment is not armed any more."""


class CameraActor:
    """One camera of one deployment. `run` it once."""

    def __init__(self, record: CameraRecord, deployment: DeploymentRecord, tools: Tools) -> None:
        self._record = record
        self._deployment = deployment
        self._tools = tools
        self._tally = Tally()
        self._status = CameraStatus(deployment=deployment.deployment, camera=record.camera, state="starting")

    def amend(self, deployment: DeploymentRecord) -> None:
        """Takes a new version of the deployment's record; it holds from the next frame on."""
        self._deployment = deployment

    def armed(self) -> DeploymentRecord:
        """The deployment as it stands, which covers this camera now.

        The first lock: asked before the source is opened and for every frame, by this machine's own clock, whatever
        else is down.

        Raises:
            Disarmed: it does not.
        """
        deployment = self._deployment
        if not deployment.armed_at(self._tools.clock()) or self._record.camera not in deployment.cameras:
            raise Disarmed
        return deployment

    async def run(self) -> None:
        """Reads the camera until its source or its deployment ends, opening it again whenever it dies."""
        reporter = asyncio.create_task(self._report_progress(), name=f"report {self._record.camera}")
        try:
            await self._read_until_the_end()
        except Disarmed:
            self._say(state="ended", detail="the deployment is not armed any more")
        finally:
            reporter.cancel()

    async def _read_until_the_end(self) -> None:
        failures = 0
        while True:
            frames_before = self._tally.frames
            try:
                return await self._read_once()
            except SourceError as error:
                failures = 1 if self._tally.frames > frames_before else failures + 1
                if not self._may_come_back(error, failures):
                    return self._say(state="failed", detail=str(error))
                self._say(state="retrying", detail=str(error))
            await asyncio.sleep(min(RETRY_FIRST_S * 2 ** (failures - 1), self._tools.settings.retry_max_s))

    def _may_come_back(self, error: SourceError, failures: int) -> bool:
        """Whether to open the source again: it says that may help, or it is on the network and has run before."""
        promising = error.transient or ("://" in self._record.location and self._tally.frames > 0)
        return promising and (self._record.retries is None or failures <= self._record.retries)

    async def _read_once(self) -> None:
        self.armed()
        options = ReaderOptions(realtime=self._record.realtime, epoch_s=self._tools.clock())
        async with Reader(self._open, options) as reader:
            self._say(state="running", detail="", frame_count=reader.source.frame_count)
            await Reading(self._record.camera, reader, self.armed, self._tally, self._tools).run()
            self._say(state="ended", detail=reader.source.damage or "")

    def _open(self) -> Source:
        options = SourceOptions(
            threads=1 if self._record.realtime else self._tools.settings.decode_threads,
            warn=lambda warning: self._tools.log.warning("source", camera=self._record.camera, warning=warning),
        )
        return open_source(self._record.location, options)

    async def _report_progress(self) -> None:
        while True:
            await asyncio.sleep(self._tools.settings.status_every_s)
            self._say()

    def _say(self, **changes: object) -> None:
        now = self._tools.clock()
        self._status = self._status.model_copy(update={**asdict(self._tally), **changes, "updated_at": now})
        self._tools.report(self._status)
