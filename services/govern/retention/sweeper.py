"""Enforces the periods for which data may be kept, by the clock of this program, also after days of downtime.

Alerts go when the profile of their deployment says so; what reports are made of, when a purged deployment is old
enough; portraits that belong to no alert, within the hour. (`periods` says when a deployment ends and is purged.)
Each deletion is in the audit with its proof. What has no rules any more is reported, and nobody guesses some.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Protocol

from proto.audit import Deed
from proto.cases import Case
from proto.deployments import DeploymentRecord
from proto.messages import Alert
from proto.requests.audit import AuditRequest
from proto.sealed import GOVERN
from services.govern.office import Office
from services.govern.profiles.reading import HOUR_S, Profile
from services.govern.retention.erasure import Period
from services.govern.surviving import surviving

DAY_S = 24 * HOUR_S
STRAYS_S = HOUR_S
"""How often stray portraits are looked for, and how old one must be: an alert follows its portrait in milliseconds, or
within the 600 s for which its candidates can come again."""
NEVER = -math.inf
ALWAYS = math.inf


class Erasure(Protocol):
    """What deletes, with proofs: `services.govern.retention.erasure`."""

    async def alerts(self, deployment: str, raised_before: float) -> Mapping[str, int | str]:
        """Deletes alerts."""

    async def results(self, deployment: str) -> Mapping[str, int | str]:
        """Deletes cases, passages and counts."""

    async def oldest_alert(self, deployment: str) -> Alert | None:
        """The oldest alert that lies in a stream."""

    async def strays(self, put_before: float) -> int:
        """Deletes portraits without an alert."""


class Sweeper:
    """Deletes what may be kept no longer. One for the whole program."""

    def __init__(self, office: Office, erasure: Erasure) -> None:
        self._office = office
        self._erasure = erasure
        self._settled: set[str] = set()
        """Deployments of which nothing is left to delete."""
        self._reported: set[tuple[str, str]] = set()
        self._strays_at = -math.inf

    async def sweep(self) -> None:
        """Deletes all that is due. What cannot be done now is logged, holds up nothing else, and is done next time."""
        kept: dict[str, list[Case]] = defaultdict(list)
        for case in self._office.all_cases.all().values():
            if not case.deleted_at:
                kept[case.deployment].append(case)
        for record in self._office.all_deployments.all().values():
            if record.id not in self._settled and not record.deleting:
                await self._try(record, kept[record.id])
        await self._sweep_strays()

    async def _try(self, record: DeploymentRecord, kept: Sequence[Case]) -> None:
        with surviving(self._office.log, "retention.waits", deployment=record.id):
            await self._sweep_one(record, kept)

    async def _sweep_one(self, record: DeploymentRecord, kept: Sequence[Case]) -> None:
        """Deletes what is due of a deployment, of whose alerts these cases are."""
        profile = self._office.profiles.get(record.draft.profile)
        if profile is None:
            await self._report_missing(record)
        before = self._raised_before(record, profile)
        if await self._has_alerts_due(record.id, kept, before):
            proof = await self._erasure.alerts(record.id, before)
            self._office.log.info("retention.alerts_deleted", deployment=record.id, alerts=proof["alerts"])
        if profile is not None and self._logs_are_due(record, profile):
            await self._erasure.results(record.id)
            self._office.log.info("retention.results_deleted", deployment=record.id)
            self._settled.add(record.id)

    def _raised_before(self, record: DeploymentRecord, profile: Profile | None) -> float:
        """Alerts of the deployment that were raised before this are deleted; any others, when their own time comes."""
        if record.state == "purged":  # what came late
            return ALWAYS
        return self._office.clock() - profile.alerts_kept_hours * HOUR_S if profile is not None else NEVER

    async def _has_alerts_due(self, deployment: str, kept: Sequence[Case], raised_before: float) -> bool:
        """Whether there is an alert to delete: one with a case, or one in a stream that nobody has taken up."""
        period = Period(raised_before, self._office.clock())
        if any(period.ended(case) for case in kept):
            return True
        oldest = await self._erasure.oldest_alert(deployment)
        return oldest is not None and period.ended(oldest)

    def _logs_are_due(self, record: DeploymentRecord, profile: Profile) -> bool:
        """Whether the deployment was purged so long ago that its cases and counts go too."""
        purged = [deed.at for deed in record.deeds if deed.verb == "erase"]
        return (
            record.state == "purged"
            and bool(purged)
            and self._office.clock() >= purged[-1] + profile.logs_kept_days * DAY_S
        )

    async def _report_missing(self, record: DeploymentRecord) -> None:
        """Says, once, that nobody knows how long the data of a deployment may be kept."""
        name = record.draft.profile
        if (record.id, name) in self._reported:
            return
        self._office.log.error("retention.no_profile", deployment=record.id, profile=name)
        await self._office.ledger.append(
            AuditRequest(
                id=f"retention.no_profile.{record.id}.{name}",
                event="retention.no_profile",
                deed=Deed(
                    who=GOVERN,
                    verb="notice",
                    at=self._office.clock(),
                    reason="its profile is not there, and no period is guessed: put the profile back",
                ),
                deployment=record.id,
                record_version=record.record_version,
                details={"profile": name},
            )
        )
        self._reported.add((record.id, name))

    async def _sweep_strays(self) -> None:
        now = self._office.clock()
        if 0 <= now - self._strays_at < STRAYS_S:  # a clock that was set back does not put it off
            return
        with surviving(self._office.log, "retention.waits"):
            strays = await self._erasure.strays(now - STRAYS_S)
            self._strays_at = now
            if strays:
                self._office.log.info("retention.strays_deleted", portraits=strays)
