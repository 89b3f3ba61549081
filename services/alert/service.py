"""Fuses the candidates of a track and raises one alert a subject, camera and window.

All state lies in the key-value store, so any replica can take any message and a killed one loses nothing: a track's
scores in `tracks`, the recent alerts for a subject at a camera in `cooldowns`, both written by compare-and-set before
the alert is published. A message that comes a second time finds what it did the first time and says it again, and
the stream drops the copy by its id.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from libs import metrics
from libs.actor import Stage
from libs.bus import Conflict, Records
from libs.errors import PermanentError, TransientError
from libs.service import Host
from libs.settings import TrustSettings, load
from libs.warrants import open_warrants
from proto import subjects
from proto.messages import Alert, Candidate, Candidates, Message
from proto.governance import Warrant
from proto.records import Raised, RecentAlert, RecentAlerts, SampleScores, TrackState
from services.alert.fusion import fuse
from services.alert.settings import AlertSettings

M = TypeVar("M", bound=Message)

CONFLICT_DELAY_S = 0.02
"""Another sample of the same track is being handled right now; that takes a few milliseconds."""
FORGET_AFTER_S = subjects.CANDIDATES.max_age_s
"""How long it is remembered when a waiting sample was first seen: as long as it can come again."""


class Store(Protocol[M]):
    """Records to compare and set, as `libs.bus.Records`."""

    async def get(self, key: str) -> tuple[M, int] | None:
        """The record and its revision."""

    async def replace(self, key: str, record: M, revision: int) -> int:
        """The new revision; raises `Conflict`."""


class Deployments(Protocol):
    """Where the alerter looks a deployment up."""

    async def find(self, key: str) -> Warrant | None:
        """The warrant of a deployment, or `None`."""


class Portraits(Protocol):
    """Where portraits are kept."""

    async def put(self, key: str, jpeg: bytes) -> None:
        """Keeps a portrait."""


@dataclass(frozen=True)
class Memory:
    """What an alerter remembers, and where."""

    deployments: Deployments
    tracks: Store[TrackState]
    cooldowns: Store[RecentAlerts]
    portraits: Portraits


class Alerter:
    """The handler of candidate lists."""

    def __init__(self, memory: Memory, settings: AlertSettings, clock: Callable[[], float] = time.time) -> None:
        self._memory = memory
        self._settings = settings
        self._clock = clock
        self._first_seen: dict[str, float] = {}

    async def consider(self, seen: Candidates) -> Sequence[Alert]:
        """The alerts that a candidate list gives rise to, given what its track has come to so far.

        Raises:
            PermanentError: no deployment that is armed now covers the camera.
            TransientError: an earlier sample of the track is still on its way, or another is being handled.
        """
        deployment = await self._memory.deployments.find(subjects.key(seen.deployment))
        if deployment is None or not deployment.covers(seen.camera, self._clock()):
            raise PermanentError(f"no armed deployment {seen.deployment} covers camera {seen.camera}")
        key = subjects.key(seen.deployment, seen.camera, seen.track)
        found = await self._memory.tracks.get(key)
        empty = TrackState(deployment=seen.deployment, camera=seen.camera, track=seen.track)
        state, revision = found or (empty, 0)
        if not state.has(seen.sample):
            self._wait_for_earlier(seen, state)
            state = await self._judge(seen, state.with_sample(_scores(seen)), deployment)
            try:
                await self._memory.tracks.replace(key, state, revision)
            except Conflict:
                raise TransientError("another sample of the track came first", CONFLICT_DELAY_S) from None
            self._first_seen.pop(seen.id, None)
        return [self._alert(seen, state, raised, deployment) for raised in state.raised_by(seen.sample)]

    def _wait_for_earlier(self, seen: Candidates, state: TrackState) -> None:
        """Keeps the samples of a track in order, as long as that is worth waiting for.

        Raises:
            TransientError: an earlier sample is missing.
        """
        if state.has_all_before(seen.sample):
            return
        now = self._clock()
        self._forget_before(now - FORGET_AFTER_S)
        if now - self._first_seen.setdefault(seen.id, now) < self._settings.hold_s:
            raise TransientError("an earlier sample of the track is on its way", self._settings.look_again_s)

    def _forget_before(self, then: float) -> None:
        """Drops what was first seen before `then`: some samples that waited here were handled by another replica."""
        for sample, first_seen in list(self._first_seen.items()):  # in the order they were seen
            if first_seen >= then:
                break
            del self._first_seen[sample]

    async def _judge(self, seen: Candidates, state: TrackState, deployment: Warrant) -> TrackState:
        """`state` with the alerts that its scores now call for."""
        for candidate in seen.candidates:
            known = {raised.subject for raised in state.raised}
            score = fuse(state.samples, candidate.subject, deployment.floor)
            if candidate.subject in known or score < deployment.threshold:
                continue
            alert = _alert_id(seen, candidate.subject)
            if await self._may_raise(seen, candidate, alert, deployment):
                await self._memory.portraits.put(subjects.alert_portrait(alert), seen.portrait)
                raised = Raised(
                    alert=alert,
                    subject=candidate.subject,
                    watch_list=candidate.watch_list,
                    score=score,
                    sample=seen.sample,
                )
                state = state.model_copy(update={"raised": (*state.raised, raised)})
        return state

    async def _may_raise(
        self, seen: Candidates, candidate: Candidate, alert: str, deployment: Warrant
    ) -> bool:
        """Whether no other alert stands for the subject at the camera within the cool-down; if so, takes the place."""
        key = subjects.key(seen.deployment, seen.camera, candidate.subject)
        found = await self._memory.cooldowns.get(key)
        recent, revision = found or (RecentAlerts(alerts=()), 0)
        this = RecentAlert(alert=alert, captured_at=seen.captured_at)
        if recent.has(this):
            return True
        if recent.forbid(this, deployment.cooldown_s):
            metrics.ALERTS.labels(seen.deployment, "withheld").inc()
            return False
        try:
            await self._memory.cooldowns.replace(key, recent.with_alert(this), revision)
        except Conflict:
            raise TransientError("another alert for the subject came first", CONFLICT_DELAY_S) from None
        metrics.ALERTS.labels(seen.deployment, "raised").inc()
        return True

    def _alert(self, seen: Candidates, state: TrackState, raised: Raised, deployment: Warrant) -> Alert:
        return Alert(
            id=raised.alert,
            deployment=seen.deployment,
            record_version=deployment.record_version,
            camera=seen.camera,
            track=seen.track,
            watch_list=raised.watch_list,
            subject=raised.subject,
            score=raised.score,
            threshold=deployment.threshold,
            searched=seen.searched,
            samples=[scores.sample for scores in state.samples].index(raised.sample) + 1,
            template_version=seen.template_version,
            captured_at=seen.captured_at,
            source_time_s=seen.source_time_s,
            raised_at=self._clock(),
            frame=seen.frame,
            box=seen.box,
            quality=seen.quality,
            portrait=subjects.alert_portrait(raised.alert),
            reference_portrait=subjects.reference_portrait(raised.watch_list, raised.subject),
        )


def _scores(seen: Candidates) -> SampleScores:
    """The scores of a sample by subject; of a subject on two lists the better one."""
    best: dict[str, float] = {}
    for candidate in seen.candidates:
        best[candidate.subject] = max(candidate.score, best.get(candidate.subject, -1.0))
    return SampleScores(sample=seen.sample, scores=best)


def _alert_id(seen: Candidates, subject: str) -> str:
    """The same id however often the same track raises an alert for the same subject."""
    return hashlib.sha256(f"{seen.deployment}|{seen.camera}|{seen.track}|{subject}".encode()).hexdigest()[:24]


@asynccontextmanager
async def alert(host: Host) -> AsyncIterator[None]:
    """The program: an actor on the candidate lists."""
    async with open_warrants(host.bus, load(TrustSettings), host.log) as warrants:
        memory = Memory(
            deployments=warrants,
            tracks=Records(host.bus, subjects.TRACKS, TrackState),
            cooldowns=Records(host.bus, subjects.COOLDOWNS, RecentAlerts),
            portraits=host.bus.portraits,
        )
        alerter = Alerter(memory, load(AlertSettings))
        async with host.actor(Stage("alert", subjects.CANDIDATES, Candidates, alerter.consider)):
            yield
