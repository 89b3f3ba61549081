"""Deletes alerts and the data of deployments so that nothing is left in the server's files, and proves it.

The proof is how many there were and the SHA-256 over their sorted ids, one a line: who has the ids of the alerts (the
cases keep them) can compute it. Messages of which there is no such case are proved apart, by where they lay. It stands
in the audit before the last trace goes, so a crash in between repeats a deletion or a proof and never loses one.
Everything here can be done again at any time.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from libs.bus import Bus, Conflict, Records, Stored
from libs.errors import TransientError
from proto import codec, subjects
from proto.audit import AuditEntry, Deed
from proto.cases import Case, Intervention
from proto.counts import FaceCount, Passage, SearchCount
from proto.messages import Alert, Message
from proto.records import CameraStatus, RecentAlerts, TrackState
from proto.requests.audit import AuditRequest
from proto.sealed import GOVERN, Sealed
from proto.subjects import Bucket
from services.govern.cases.vault import CaseVault

M = TypeVar("M", bound=Message)

Proof = dict[str, int | str]
"""Counts and hashes, fit to be the details of an audit entry."""
EVER = math.inf
TRIES = 20
"""How often somebody else may change a case while it is marked."""
WORKING: Sequence[tuple[Bucket, type[Message]]] = (
    (subjects.TRACKS, TrackState),
    (subjects.STATUS, CameraStatus),
)
"""What a deployment leaves behind while it runs, and needs no longer."""
RESULTS: Sequence[tuple[Bucket, type[Message]]] = (
    (subjects.CASE_RECORDS, Sealed),
    (subjects.PASSAGES, Passage),
    (subjects.FACES, FaceCount),
    (subjects.SEARCHES, SearchCount),
)
"""Ids, counts and decisions, of which reports are made."""


class Ledger(Protocol):
    """The audit, as `services.govern.audit.ledger.Chain`."""

    async def append(self, request: AuditRequest) -> AuditEntry:
        """The entry of an act."""


@dataclass(frozen=True)
class Period:
    """Which alerts are over: those raised before a moment, and those whose own time to be deleted has come."""

    raised_before: float
    expired_by: float

    def ended(self, alert: Alert | Case) -> bool:
        """Whether the alert may be kept no longer, by what it says itself."""
        return alert.raised_at < self.raised_before or 0 < alert.expires_at <= self.expired_by

    def is_over(self, stored: Stored) -> bool:
        """Whether what lies in a stream may be kept no longer: an alert, whatever it says, or what is none.

        Whoever raises an alert says when that was, and may say tomorrow. The server knows when it came.
        """
        alert = _decoded(Alert, stored)
        return alert is None or stored.at < self.raised_before or self.ended(alert)


@dataclass(frozen=True)
class _Message:
    """What lies among the alerts of a deployment, and the alert that it is, if it is one."""

    stream: subjects.Stream
    stored: Stored
    alert: Alert | None

    @property
    def id(self) -> str:
        """Of the alert; empty where it is none."""
        return self.alert.id if self.alert is not None else ""

    @property
    def place(self) -> str:
        """What no other message has, in this stream or in one that is made anew."""
        return f"{self.id} {self.stream.name} {self.stored.sequence} {self.stored.at:.6f}"

    def is_of(self, cases: Mapping[str, Case]) -> bool:
        """Whether the alert has a case, and the case is of this alert and not of another that was given its id."""
        case = cases.get(self.id)
        if self.alert is None or case is None:
            return False
        return (self.alert.portrait_sha256, self.alert.captured_at) == (case.portrait_sha256, case.captured_at)


@dataclass(frozen=True)
class _Over:
    """What of a deployment may be kept no longer."""

    messages: Sequence[_Message]
    unmarked: set[str]
    """Alerts whose cases do not say yet that they are deleted."""
    others: set[str]
    """Where the other messages lie: alerts that nobody has taken up, late copies, what is made up, and what is none."""
    portraits: set[str]
    """Alerts whose portraits go."""
    unknown: set[str]
    """Alerts that have neither a case nor a message that is kept: the portrait of one goes if it is old, too."""
    interventions: Sequence[Stored]


def proof_of(ids: Iterable[str]) -> str:
    """The SHA-256 over the sorted ids, one a line, in hexadecimal."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()


class Erasure:
    """Deletes what lies on a bus."""

    def __init__(self, bus: Bus, ledger: Ledger, cases: CaseVault, clock: Callable[[], float] = time.time) -> None:
        self._bus = bus
        self._ledger = ledger
        self._clock = clock
        self._cases = cases

    async def alerts(self, deployment: str, raised_before: float) -> Proof:
        """Deletes the alerts of a deployment that were raised before a moment (Unix seconds), or have expired by now.

        Raised or taken by the server: an alert that says that it was raised later than that is no exception. A message
        that is over goes, whatever it says; the portrait and case of an alert go by what this program knows of it.
        With them go their interventions. Returns how many, and the proof, which is in the audit before anything goes:
        alerts with a case by their ids, each once, and other messages by where they lay.

        Raises:
            TransientError: the server is away; what is left is deleted when this is asked for again.
        """
        over = await self._over(deployment, raised_before)
        proof: Proof = {"alerts": len(over.unmarked), "alerts_sha256": proof_of(over.unmarked)}
        proof["interventions"] = len(over.interventions)
        if over.unmarked:
            await self._prove("alerts", deployment, proof)
        elif over.interventions:
            places = proof_of(f"{stored.sequence} {stored.at:.6f}" for stored in over.interventions)
            alone: Proof = {"interventions": len(over.interventions), "interventions_sha256": places}
            await self._prove("interventions", deployment, alone)
        if over.others:
            others: Proof = {"messages": len(over.others), "messages_sha256": proof_of(over.others)}
            await self._prove("messages", deployment, others)
            proof |= others
        for key in await self._portraits_of(over, raised_before):
            await self._bus.portraits.drop(key)
        for stored in over.interventions:
            await self._bus.erase(subjects.INTERVENTIONS, stored)
        for alert in sorted(over.unmarked):  # before its message goes, by which alone it may be known to be over
            await self._mark(deployment, alert)
        for message in over.messages:
            await self._bus.erase(message.stream, message.stored)
        return proof

    async def everything(self, deployment: str, keep_cases: bool) -> Proof:
        """Deletes all that a deployment has left: alerts, portraits, cool-downs, tracks and the status of its cameras.

        What reports are made of (ids, counts and decisions) stays, or goes too where `keep_cases` is false. Returns
        how many of each, and the hash over the ids of all alerts there were. Raises as `alerts`.
        """
        proof = await self.alerts(deployment, EVER)
        ids = [case.alert for case in (await self._cases.all(deployment)).values()]
        if ids:
            proof |= {"alerts": len(ids), "alerts_sha256": proof_of(ids)}
        for bucket, kind in WORKING:
            proof[bucket.name] = await self._clear(bucket, kind, deployment)
        proof[subjects.COOLDOWNS.name] = await self._clear_cooldowns(deployment)
        if not keep_cases:
            return {**proof, **await self.results(deployment)}
        return {**proof, "cases_kept": len(ids)} if ids else proof

    async def results(self, deployment: str) -> Proof:
        """Deletes the cases, passages and counts of a deployment. Returns how many, with proof. Raises as `alerts`."""
        keys = {bucket: await Records(self._bus, bucket, kind).keys(deployment) for bucket, kind in RESULTS}
        proof: Proof = {bucket.name: len(found) for bucket, found in keys.items()}
        proof["results_sha256"] = proof_of(f"{bucket.name} {key}" for bucket, found in keys.items() for key in found)
        if any(keys.values()):
            await self._prove("results", deployment, proof)
        for bucket, kind in RESULTS:
            await self._clear(bucket, kind, deployment)
        proof["adjudications"] = await self._erase_all(subjects.ADJUDICATIONS, subjects.adjudications_of(deployment))
        return proof

    async def is_due(self, deployment: str, raised_before: float, read_through: bool) -> bool:
        """Whether something lies in the streams that `alerts` would delete now.

        Costs one look at the first message of each stream, than which the server took none earlier: whatever lies
        behind it and came too long ago, this tells. It does not tell of one behind it that says itself that it is over
        although it came later, nor of an intervention that came after its alert was deleted; to `read_through` does,
        and costs reading every message and case of the deployment.

        Raises:
            TransientError: the server is away.
        """
        period = Period(raised_before, self._clock())
        if read_through:
            over = await self._over(deployment, raised_before)
            return bool(over.messages or over.interventions)
        firsts = [await self._bus.oldest(stream, subject) for stream, subject in _alert_streams(deployment)]
        return any(stored is not None and period.is_over(stored) for stored in firsts)

    async def strays(self, put_before: float) -> int:
        """How many portraits it deleted that belong to no alert, and parts of portraits, put there before a moment.

        They are left by a program that died between a portrait and its alert. Raises `TransientError`.
        """
        put = await self._bus.portraits.all(subjects.ALERT_PORTRAITS)
        raised = {alert.portrait async for alert in self._all_alerts()}
        strays = sorted(key for key, at in put.items() if at < put_before and key not in raised)
        for key in strays:
            await self._bus.portraits.drop(key)
        parts = [await self._bus.portraits.drop_parts(store, put_before) for store in subjects.PORTRAIT_STORES]
        return len(strays) + sum(parts)

    # -- the parts of it

    async def _over(self, deployment: str, raised_before: float) -> _Over:
        """What of a deployment is over. Who makes up a message that names an alert has that message deleted alone."""
        period = Period(raised_before, self._clock())
        over: list[_Message] = []
        waiting: list[_Message] = []
        for stream, subject in _alert_streams(deployment):
            async for stored in self._bus.stored(stream, subject):
                message = _Message(stream, stored, _alert_of(deployment, stored))
                (over if period.is_over(stored) else waiting).append(message)
        cases = {case.alert: case for case in (await self._cases.all(deployment)).values()}
        gone = {alert for alert, case in cases.items() if case.deleted_at or period.ended(case)}
        # by the time of the server, whatever the clock of who raised it said
        gone.update(one.id for one in over if one.stored.at < raised_before and one.is_of(cases))
        over += [one for one in waiting if one.id in gone and one.is_of(cases)]
        unmarked = {alert for alert in gone if not cases[alert].deleted_at}
        known = cases.keys() | {one.id for one in waiting}
        return _Over(
            messages=over,
            unmarked=unmarked,
            others={one.place for one in over if one.id not in unmarked},
            portraits=unmarked | {one.id for one in over if one.id in gone},
            unknown={one.id for one in over if one.id and one.id not in known},
            interventions=[
                stored
                async for stored in self._bus.stored(subjects.INTERVENTIONS, subjects.interventions_of(deployment))
                if (said := _intervention(stored)) is None
                or said.alert in gone
                or (said.alert not in cases and stored.at < raised_before)
            ],
        )

    async def _portraits_of(self, over: _Over, raised_before: float) -> list[str]:
        """The keys of portraits that go; that of an alert nobody knows only if it was put there before the moment."""
        keys = {subjects.alert_portrait(alert) for alert in over.portraits}
        unknown = {subjects.alert_portrait(alert) for alert in over.unknown}
        if unknown:
            put = await self._bus.portraits.all(subjects.ALERT_PORTRAITS)
            keys |= {key for key in unknown & put.keys() if put[key] < raised_before}
        return sorted(keys)

    async def _all_alerts(self) -> AsyncIterator[Alert]:
        for stream in (subjects.ALERTS, subjects.SEEDS):
            async for stored in self._bus.stored(stream):
                if (alert := _decoded(Alert, stored)) is not None:
                    yield alert

    async def _erase_all(self, stream: subjects.Stream, subject: str) -> int:
        return sum([await self._bus.erase(stream, stored) async for stored in self._bus.stored(stream, subject)])

    async def _clear(self, bucket: Bucket, kind: type[M], *prefix: str) -> int:
        """How many records it deleted whose keys start with these parts."""
        records = Records(self._bus, bucket, kind)
        keys = await records.keys(*prefix)
        for key in keys:
            await records.delete(key)
        return len(keys)

    async def _clear_cooldowns(self, deployment: str) -> int:
        """How many cool-downs it deleted; those of seeds lie apart."""
        real = await self._clear(subjects.COOLDOWNS, RecentAlerts, deployment)
        return real + await self._clear(subjects.COOLDOWNS, RecentAlerts, "seed", deployment)

    async def _mark(self, deployment: str, alert: str) -> None:
        """Notes in a case when its alert was deleted. Raises `TransientError`."""
        key = subjects.key(deployment, alert)
        for _ in range(TRIES):
            found = await self._cases.get(key)
            if found is None or found[0].deleted_at:
                return
            case, revision = found
            try:
                await self._cases.replace(key, case.model_copy(update={"deleted_at": self._clock()}), revision)
            except Conflict:
                continue
            return
        raise TransientError(f"the case of alert {alert} is being changed by others: look again")

    async def _prove(self, what: str, deployment: str, proof: Proof) -> None:
        """Puts a proof into the audit; the same one again changes nothing."""
        now = self._clock()
        await self._ledger.append(
            AuditRequest(
                id=f"retention.{what}.{deployment}.{proof[f'{what}_sha256']}",
                event=f"retention.{what}_deleted",
                deed=Deed(who=GOVERN, verb="delete", at=now, reason="they may be kept no longer"),
                deployment=deployment,
                details={**proof},
            )
        )


def _alert_streams(deployment: str) -> Sequence[tuple[subjects.Stream, str]]:
    return (
        (subjects.ALERTS, subjects.alerts_of(deployment)),
        (subjects.SEEDS, subjects.seeds_of(deployment)),
    )


def _alert_of(deployment: str, stored: Stored) -> Alert | None:
    """The alert of the deployment that lies there; `None` of what is none, or has the id of another."""
    alert = _decoded(Alert, stored)
    if alert is None or alert.deployment != deployment or alert.id != alert.own_id:
        return None
    return alert


def _intervention(stored: Stored) -> Intervention | None:
    """The intervention in a sealed message, whoever sealed it: what is forged goes like what is not."""
    sealed = _decoded(Sealed, stored)
    try:
        return codec.decode(Intervention, sealed.body) if sealed is not None else None
    except codec.DecodeError:
        return None


def _decoded(kind: type[M], stored: Stored) -> M | None:
    try:
        return codec.decode(kind, stored.data)
    except codec.DecodeError:
        return None
