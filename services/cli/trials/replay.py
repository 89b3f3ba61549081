"""A replay: recorded sources through the whole pipeline against a folder of reference images.

It is an evaluation, and goes through the same acts, records and locks as any deployment: a watch list of its own is
made and imported, a deployment is drafted, authorised and armed; and when the sources have ended it is ended and
purged, and the list destroyed.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from libs.bus import Mirror
from libs.errors import PermanentError, TransientError, UserError
from libs.waiting import any_of, end
from proto import subjects
from proto.deployments import Zone
from proto.messages import Alert, DeadLetter
from proto.records import CameraRecord, CameraStatus, TrackState
from proto.watchlists import EntryForm
from services.cli.machine.cameras import register, unregister
from services.cli.patience import INSIST_S, Stop, insist, within
from services.cli.trials.course import TO_ARMED, TO_ENDED, TO_PURGED
from services.cli.trials.evaluation import LONGEST_S, STAMP, Evaluation, draft, list_form
from services.cli.trials.outcome import CameraCount, Outcome, Progress
from services.cli.trials.tally import OVER, Tally
from services.cli.watchlists.importing import ImportResult, import_images
from services.cli.watchlists.reference_images import Refusal, folder_images

__all__ = ["CameraCount", "Outcome", "Progress", "Refusal", "Replay", "ReplayOptions"]

DEFAULT_THRESHOLD = 0.5
"""Comparison score. Source: measured, docs/decisions.md, "The default threshold"."""
FLOOR_UNDER_THRESHOLD = 0.1
"""As `govern` seals it: candidates this far under the threshold still count towards the fusion of a track; under it
they are forgotten."""
COOLDOWN_S = 60.0
"""The shortest time between two alerts for one subject at one camera."""
RETRIES = 3
"""A source that cannot be reached is given up after so many more tries (about four seconds)."""
STALL_S = 30.0
"""Samples that were not answered so long after the last sign of life are given up, and reported."""
WIND_DOWN_S = 0.6
"""How long the cameras of a replay that a person ends may take to say their last counts. What is under way is refused
from then on, for the deployment has ended, and is shown as lost."""
PORTRAITS_S = 0.3
"""How long the pictures of its alerts may take then. Without hurry they have longer."""

DEPLOYMENT = "the deployment {} may still be armed: the next start with the same --data-dir ends it"
DATA = "the deployment {} was not purged: the next start with the same --data-dir purges it"
WATCH_LIST = (
    "the watch list {} was not destroyed: its files are deleted when the programs have ended; a Qdrant server keeps "
    "its collection until the next start with the same --data-dir"
)


@dataclass(frozen=True)
class ReplayOptions:
    """What to replay. `sources` maps the name of a camera to its location."""

    references: Path
    sources: Mapping[str, str]
    threshold: float = DEFAULT_THRESHOLD
    cooldown_s: float = COOLDOWN_S
    realtime: bool = False


OnProgress = Callable[[Progress], None]
OnEnded = Callable[[Evaluation, str], Awaitable[None]]
"""Called with the name of the deployment when it has ended, while all that is known of it is still there."""
Mirrors = tuple[Mirror[CameraStatus], Mirror[TrackState]]


class Replay:
    """One replay on a running stack. `run` it once.

    Once its cameras run it heeds `stop`: it ends them, waits a moment for what is under way, and has an outcome.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        options: ReplayOptions,
        on_progress: OnProgress,
        stop: Stop | None = None,
        on_ended: OnEnded | None = None,
    ) -> None:
        self._evaluation = evaluation
        self._bus = evaluation.bus
        self._options = options
        self._on_progress = on_progress
        self._on_ended = on_ended
        self._stop = stop or Stop()
        self._id = f"replay-{int(time.time()):08x}{secrets.token_hex(2)}"
        self._course = evaluation.course(self._id)
        self._tally = Tally(self._id, options.sources)
        self._heard = time.monotonic()
        self._undone: set[str] = set()
        """What must be cleaned up: `DEPLOYMENT`, `DATA`, `WATCH_LIST`."""
        self._left_behind: list[str] = []

    async def run(self) -> Outcome:
        """Imports, runs the cameras to their end or to a person's, and cleans up.

        Raises:
            UserError: there is no reference image, or none can be enrolled.
            TransientError: the bus or a service was away for long before the cameras ran.
            AskError: an act was refused.
        """
        try:
            await self._import()
            seconds = await self._run_cameras()
            outcome = await self._outcome(seconds)
        except asyncio.CancelledError:
            self._stop.ask()
            raise
        finally:
            await self._clean_up()
        return replace(outcome, interrupted=self._stop.asked, left_behind=tuple(self._left_behind))

    async def _import(self) -> None:
        entry = EntryForm(
            reason="evaluation",
            requester="the operator of this machine",
            source="the folder of references",
            lawful_basis="the operator answers for it",
            expires_at=time.time() + LONGEST_S,
        )
        images = folder_images(self._options.references, entry)
        self._undone.add(WATCH_LIST)
        await self._course.make_list(list_form(self._id))
        await import_images(self._evaluation.client("list_manager"), self._id, images, self._show_import)

    def _show_import(self, result: ImportResult) -> None:
        self._tally.take_import(result)
        self._on_progress(self._tally.progress)

    # -- cameras

    async def _arm(self) -> None:
        """Registers the cameras, and arms the deployment that makes them run."""
        cameras = [
            CameraRecord(camera=name, location=location, realtime=self._options.realtime, retries=RETRIES)
            for name, location in self._options.sources.items()
        ]
        await register(self._bus, cameras)
        zones = {name: Zone() for name in self._options.sources}
        await self._course.draft(draft(self._id, zones, self._options.threshold, self._options.cooldown_s))
        await self._course.go(TO_ARMED)

    async def _disarm(self, patience_s: float = INSIST_S) -> None:
        """Ends the deployment, and forgets its cameras."""
        await self._course.go(TO_ENDED, patience_s)
        self._undone.discard(DEPLOYMENT)

    async def _run_cameras(self) -> float:
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
                self._undone |= {DEPLOYMENT, DATA}
                self._stop.heeded = True
                await self._arm()
                await self._follow((statuses, tracks))
                if self._stop.asked:
                    await self._wind_down((statuses, tracks))
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

    async def _wind_down(self, mirrors: Mirrors) -> None:
        """Ends the deployment, and waits a moment for the last counts of its cameras."""
        until = time.monotonic() + WIND_DOWN_S
        disarming = asyncio.create_task(self._disarm(WIND_DOWN_S), name="disarm")
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
            refused=tuple(progress.references.refused),
            lost=self._tally.lost(),
            seconds=seconds,
            references=progress.references.enrolled,
            threshold=self._options.threshold,
            portraits=await self._portraits(),
            reasons=self._tally.reasons(),
            deployment=self._id,
            stamp=STAMP,
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

    async def _clean_up(self) -> None:
        """Ends the deployment, destroys the list and purges; what cannot be done is noted."""
        try:
            await within(self._undo(), self._stop)
        except (TransientError, PermanentError) as error:
            self._left_behind.append(f"not all could be cleaned up ({error.reason})")
        if DEPLOYMENT in self._undone:
            self._undone.discard(DATA)  # which goes without saying
        self._left_behind += [text.format(self._id) for text in sorted(self._undone)]

    async def _undo(self) -> None:
        if DEPLOYMENT in self._undone:
            await self._disarm()
        if DATA in self._undone:
            await unregister(self._bus, self._options.sources)
            await self._take_down()
        if WATCH_LIST in self._undone:
            await self._course.destroy_list()
            self._undone.remove(WATCH_LIST)
        if DATA in self._undone:
            await self._course.go(TO_PURGED)
            self._undone.remove(DATA)

    async def _take_down(self) -> None:
        """Lets what is known of the deployment be taken down, unless a person is in a hurry."""
        if self._on_ended is None or self._stop.asked:
            return
        try:
            await self._on_ended(self._evaluation, self._id)
        except (TransientError, PermanentError, UserError) as error:
            self._left_behind.append(f"the report of the deployment is missing ({error})")


def _settled(camera: CameraCount) -> CameraCount:
    """The count as it stays: a camera that had not come to its end was stopped."""
    return camera if camera.state in OVER else replace(camera, state="stopped")
