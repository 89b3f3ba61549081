"""Fuses the candidates of a track and raises one alert a subject, camera and window.

It is the last of the three locks: whatever is searched, nothing is raised unless a warrant of `govern` covers the
camera now, by this program's own clock. An alert for a seed goes where seeds go, and never to operators.

All state lies in the key-value store, so any replica can take any message and a killed one loses nothing: a track's
scores in `tracks`, the recent alerts for a subject at a camera in `cooldowns`, both written by compare-and-set before
the alert is published. A message that comes a second time finds what it did the first time and says it again, and
the stream drops the copy by its id.
"""

from __future__ import annotations

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
from proto.deployments import Warrant
from proto.messages import Alert, Candidates, Message, alert_id
from proto.records import Raised, RecentAlert, RecentAlerts, TrackState
from services.alert.fusion import fuse
from services.alert.raising import alert_message, cooldown_key
from services.alert.seeds import by_kind, scores_by_kind
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
        warrant = await self._memory.deployments.find(subjects.key(seen.deployment))
        if warrant is None or not warrant.covers(seen.camera, self._clock()):
            raise PermanentError(f"no armed deployment {seen.deployment} covers camera {seen.camera}")
        key = subjects.key(seen.deployment, seen.camera, seen.track)
        found = await self._memory.tracks.get(key)
        empty = TrackState(deployment=seen.deployment, camera=seen.camera, track=seen.track)
        state, revision = found or (empty, 0)
        if not state.has(seen.sample):
            self._wait_for_earlier(seen, state)
            scores = scores_by_kind(seen, warrant.seed_lists)
            state = await self._judge(seen, state.with_sample(scores), warrant)
            try:
                await self._memory.tracks.replace(key, state, revision)
            except Conflict:
                raise TransientError("another sample of the track came first", CONFLICT_DELAY_S) from None
            self._first_seen.pop(seen.id, None)
        raised_now = state.raised_by(seen.sample)
        return [alert_message(seen, state, raised, warrant, self._clock()) for raised in raised_now]

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

    async def _judge(self, seen: Candidates, state: TrackState, warrant: Warrant) -> TrackState:
        """`state` with the alerts that its scores now call for."""
        for candidate, seed, samples in by_kind(seen, state, warrant.seed_lists):
            known = {(raised.subject, raised.seed) for raised in state.raised}
            score = fuse(samples, candidate.subject, warrant.floor)
            if (candidate.subject, seed) in known or score < warrant.threshold:
                continue
            alert = alert_id(seen.deployment, seen.camera, seen.track, candidate.subject, seed)
            if await self._may_raise(seen, candidate.subject, seed, warrant):
                if not seed:  # nobody compares it: a seed is counted, not decided about
                    await self._memory.portraits.put(subjects.alert_portrait(alert), seen.portrait)
                raised = Raised(
                    alert=alert,
                    subject=candidate.subject,
                    watch_list=candidate.watch_list,
                    score=score,
                    sample=seen.sample,
                    seed=seed,
                )
                state = state.model_copy(update={"raised": (*state.raised, raised)})
        return state

    async def _may_raise(self, seen: Candidates, subject: str, seed: bool, warrant: Warrant) -> bool:
        """Whether no other alert stands for the subject at the camera within the cool-down; if so, takes the place."""
        key = cooldown_key(seen, subject, seed)
        found = await self._memory.cooldowns.get(key)
        recent, revision = found or (RecentAlerts(alerts=()), 0)
        alert = alert_id(seen.deployment, seen.camera, seen.track, subject, seed)
        this = RecentAlert(alert=alert, captured_at=seen.captured_at)
        if recent.has(this):
            return True
        if recent.forbid(this, warrant.cooldown_s):
            metrics.ALERTS.labels(seen.deployment, "seed_withheld" if seed else "withheld").inc()
            return False
        try:
            await self._memory.cooldowns.replace(key, recent.with_alert(this), revision)
        except Conflict:
            raise TransientError("another alert for the subject came first", CONFLICT_DELAY_S) from None
        metrics.ALERTS.labels(seen.deployment, "seed_raised" if seed else "raised").inc()
        return True


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
