"""A replay: recorded or live sources through the whole pipeline against a folder of reference images.

It goes through the same records, subjects and locks as any deployment: a watch list of its own is enrolled, cameras
and a deployment are recorded, and when the sources have ended the deployment is ended and the list destroyed.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from libs.bus import AskError, Bus, Mirror
from libs.errors import PermanentError, TransientError
from libs.waiting import any_of, end
from proto import subjects
from proto.messages import Alert, DeadLetter, WatchListReply, WatchListRequest
from proto.records import CameraRecord, CameraStatus, DeploymentRecord, TrackState
from services.cli.enrol import FolderEnrolment, Refusal, enrol_folder
from services.cli.outcome import CameraCount, Outcome, Progress
from services.cli.patience import Stop, insist, within
from services.cli.records import Arming
from services.cli.tally import OVER, Tally

__all__ = ["CameraCount", "Outcome", "Progress", "Refusal", "Replay", "ReplayOptions"]

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
WIND_DOWN_S = 0.6
"""How long the cameras of a replay that a person ends may take to say their last counts. What is under way is refused
from then on, for the deployment has ended, and is shown as lost."""
PORTRAITS_S = 0.3
"""How long the pictures of its alerts may take then. Without hurry they have longer."""

DEPLOYMENT = "the deployment {} may still be recorded as armed: the next start with the same --data-dir ends it"
WATCH_LIST = (
    "the watch list {} was not dropped: its files are deleted when the programs have ended; a Qdrant server "
    "keeps its collection"
)
UNKNOWN_LIST = "400"
"""How `match` refuses to drop a list that is not there, for example because an earlier ask was carried out."""


@dataclass(frozen=True)
class ReplayOptions:
    """What to replay. `sources` maps the name of a camera to its location."""

    references: Path
    sources: Mapping[str, str]
    threshold: float = DEFAULT_THRESHOLD
    cooldown_s: float = COOLDOWN_S
    realtime: bool = False


OnProgress = Callable[[Progress], None]
Mirrors = tuple[Mirror[CameraStatus], Mirror[TrackState]]


class Replay:
    """One replay on a running stack. `run` it once.

    Once its cameras run it heeds `stop`: it ends them, waits a moment for what is under way, and has an outcome.
    """

    def __init__(self, bus: Bus, options: ReplayOptions, on_progress: OnProgress, stop: Stop | None = None) -> None:
        self._bus = bus
        self._options = options
        self._on_progress = on_progress
        self._stop = stop or Stop()
        self._id = f"replay-{int(time.time()):08x}{secrets.token_hex(2)}"
        self._tally = Tally(self._id, options.sources)
        self._heard = time.monotonic()
        self._undone: set[str] = set()
        """What must be cleaned up: `DEPLOYMENT`, `WATCH_LIST`."""
        self._left_behind: list[str] = []

    async def run(self) -> Outcome:
        """Enrols, runs the cameras to their end or to a person's, and cleans up.

        Raises:
            UserError: there is no reference image, or none can be enrolled.
            TransientError: the bus or `match` was away for long before the cameras ran.
        """
        arming = Arming(self._bus, self._record(), self._cameras())
        self._undone.add(WATCH_LIST)
        try:
            await insist(partial(self._ask_for_list, "create"))
            await enrol_folder(self._bus, self._id, self._options.references, self._show_enrolment)
            seconds = await self._run_cameras(arming)
            outcome = await self._outcome(seconds)
        except asyncio.CancelledError:
            self._stop.ask()
            raise
        finally:
            await self._clean_up(arming)
        return replace(outcome, interrupted=self._stop.asked, left_behind=tuple(self._left_behind))

    async def _ask_for_list(self, verb: str) -> None:
        await self._bus.ask(f"{subjects.WATCHLIST}.{verb}", WatchListRequest(watch_list=self._id), WatchListReply)

    def _show_enrolment(self, enrolment: FolderEnrolment) -> None:
        self._tally.take_enrolment(enrolment)
        self._on_progress(self._tally.progress)

    # -- cameras

    def _cameras(self) -> list[CameraRecord]:
        return [
            CameraRecord(camera=name, location=location, realtime=self._options.realtime, retries=RETRIES)
            for name, location in self._options.sources.items()
        ]

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

    async def _run_cameras(self, arming: Arming) -> float:
        """Seconds from the arming of the cameras to the end of the last answer."""
        async with (
            Mirror.open(self._bus, subjects.STATUS, CameraStatus) as statuses,
            Mirror.open(self._bus, subjects.TRACKS, TrackState) as tracks,
        ):
            listeners = [
                asyncio.create_task(self._listen_for_alerts(), name="alerts"),
                asyncio.create_task(self._listen_for_the_dead(), name="dead letters"),
            ]
            began = time.monotonic()
            try:
                self._undone.add(DEPLOYMENT)
                self._stop.heeded = True
                await arming.arm()
                await self._follow((statuses, tracks))
                if self._stop.asked:
                    await self._wind_down((statuses, tracks), arming)
            finally:
                await end(*listeners)
        return time.monotonic() - began

    async def _follow(self, mirrors: Mirrors) -> None:
        """Returns when all is over, or seems to be, or a person wants the end."""
        while not self._stop.asked and not self._tally.is_over():
            if self._tally.have_ended() and time.monotonic() - self._heard > STALL_S:
                return
            await any_of(*(mirror.changed() for mirror in mirrors), self._stop.wait(), timeout_s=1.0)
            self._update(mirrors)

    async def _wind_down(self, mirrors: Mirrors, arming: Arming) -> None:
        """Ends the deployment, and waits a moment for the last counts of its cameras."""
        until = time.monotonic() + WIND_DOWN_S
        disarming = asyncio.create_task(arming.disarm(WIND_DOWN_S))
        try:
            while not (self._tally.is_over() and disarming.done()) and time.monotonic() < until:
                await any_of(*(mirror.changed() for mirror in mirrors), timeout_s=0.1)
                self._update(mirrors)
        finally:
            await end(disarming)

    async def _listen_for_alerts(self) -> None:
        async for alert in self._bus.follow(subjects.ALERTS, subjects.alerts_of(self._id), Alert):
            self._tally.take_alert(alert)
            self._heard = time.monotonic()
            self._on_progress(self._tally.progress)

    async def _listen_for_the_dead(self) -> None:
        since = time.time()
        async for letter in self._bus.follow(subjects.DEADLETTERS, subjects.DEADLETTERS.subjects[0], DeadLetter):
            if letter.at >= since and self._tally.take_letter(letter):
                self._heard = time.monotonic()

    def _update(self, mirrors: Mirrors) -> None:
        statuses, tracks = mirrors
        if self._tally.update(statuses.all().values(), tracks.all()):
            self._heard = time.monotonic()
            self._on_progress(self._tally.progress)

    # -- the end

    async def _outcome(self, seconds: float) -> Outcome:
        progress = self._tally.progress
        return Outcome(
            cameras={name: _settled(camera) for name, camera in progress.cameras.items()},
            alerts=sorted(progress.alerts, key=lambda alert: (alert.camera, alert.source_time_s)),
            refused=tuple(progress.enrolment.refused),
            lost=self._tally.lost(),
            seconds=seconds,
            references=progress.enrolment.enrolled,
            threshold=self._options.threshold,
            portraits=await self._portraits(),
            reasons=self._tally.reasons(),
        )

    async def _portraits(self) -> dict[str, bytes]:
        """The pictures of the alerts by key; empty where one could not be had."""
        alerts = self._tally.progress.alerts
        portraits = {key: b"" for alert in alerts for key in (alert.portrait, alert.reference_portrait)}

        async def fetch() -> None:
            for key in sorted(portraits):
                found: bytes | None = await insist(partial(self._bus.portraits.get, key))
                portraits[key] = found or b""

        try:
            await within(fetch(), self._stop, hurried_s=PORTRAITS_S)
        except TransientError as error:
            self._left_behind.append(f"pictures are missing in the report ({error.reason})")
        return portraits

    async def _clean_up(self, arming: Arming) -> None:
        """Ends the deployment and destroys the list; what cannot be done is noted."""
        try:
            await within(self._undo(arming), self._stop)
        except (TransientError, PermanentError) as error:
            self._left_behind.append(f"not all could be cleaned up ({error.reason})")
        self._left_behind += [text.format(self._id) for text in sorted(self._undone)]

    async def _undo(self, arming: Arming) -> None:
        if DEPLOYMENT in self._undone:
            await arming.disarm()
            self._undone.remove(DEPLOYMENT)
        try:
            await insist(partial(self._ask_for_list, "drop"))
        except AskError as error:
            if error.code != UNKNOWN_LIST:
                raise
        self._undone.remove(WATCH_LIST)


def _settled(camera: CameraCount) -> CameraCount:
    """The count as it stays: a camera that had not come to its end was stopped."""
    return camera if camera.state in OVER else replace(camera, state="stopped")
