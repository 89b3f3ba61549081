"""Enforces the periods for which data may be kept, by the clock of this program, also after days of downtime.

Alerts go when the profile of their deployment says so; what reports are made of, when a purged deployment is old
enough, and at once where nothing may be kept, however late it came; portraits that belong to no alert, and alerts that
are older than they came, within the hour. (`periods` says when a deployment ends and is purged.)
Each deletion is in the audit with its proof. What has no rules any more is reported, and nobody guesses some.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Protocol

from libs.surviving import surviving
from proto.audit import Deed
from proto.cases import Case
from proto.deployments import DeploymentRecord
from proto.requests.audit import AuditRequest
from proto.sealed import GOVERN
from services.govern.deployments.periods import discards
from services.govern.office import Office
from services.govern.profiles.reading import HOUR_S, Profile
from services.govern.retention.erasure import Period

DAY_S = 24 * HOUR_S
STRAYS_S = HOUR_S
"""How often stray portraits are looked for, and how old one must be: an alert follows its portrait in milliseconds, or
within the 600 s for which its candidates can come again."""
THROUGH_S = HOUR_S
"""How often a deployment is looked through: all its messages are read. Reading 1,000 takes a fraction of a second."""
NEVER = -math.inf
ALWAYS = math.inf


class Erasure(Protocol):
    """What deletes, with proofs: `services.govern.retention.erasure`."""

    async def alerts(self, deployment: str, raised_before: float) -> Mapping[str, int | str]:
        """Deletes alerts."""

    async def results(self, deployment: str) -> Mapping[str, int | str]:
        """Deletes cases, passages and counts."""

    async def is_due(self, deployment: str, raised_before: float, read_through: bool) -> bool:
        """Whether something in a stream is to be deleted."""

    async def strays(self, put_before: float) -> int:
        """Deletes portraits without an alert."""


class Sweeper:
    """Deletes what may be kept no longer. One for the whole program."""

    def __init__(self, office: Office, erasure: Erasure) -> None:
        self._office = office
        self._erasure = erasure
        self._settled: set[str] = set()
        """Deployments whose results are deleted: nothing is left to delete but what comes late."""
        self._through_at: dict[str, float] = {}
        """When each deployment was last looked through."""
        self._reported: set[tuple[str, str]] = set()
        self._strays_at = -math.inf

    async def sweep(self) -> None:
        """Deletes all that is due. What cannot be done now is logged, holds up nothing else, and is done next time."""
        cases: dict[str, list[Case]] = defaultdict(list)
        for case in self._office.all_cases.all().values():
            cases[case.deployment].append(case)
        for record in self._office.all_deployments.all().values():
            if not record.deleting:
                await self._try(record, cases[record.id])
        await self._sweep_strays()

    async def _try(self, record: DeploymentRecord, cases: Sequence[Case]) -> None:
        with surviving(self._office.log, "retention.waits", deployment=record.id):
            now = self._office.clock()
            through = not _is_within(THROUGH_S, self._through_at.get(record.id, NEVER), now)
            if through or cases or record.id not in self._settled or discards(record):
                await self._sweep_one(record, cases, through)
            if through:
                self._through_at[record.id] = now

    async def _sweep_one(self, record: DeploymentRecord, cases: Sequence[Case], through: bool) -> None:
        """Deletes what is due of a deployment that has these cases; `through` also what no first look shows."""
        profile = self._office.profiles.get(record.draft.profile)
        if profile is None:
            await self._report_missing(record)
        before = self._raised_before(record, profile)
        if await self._has_alerts_due(record.id, cases, before, through):
            proof = await self._erasure.alerts(record.id, before)
            self._office.log.info("retention.alerts_deleted", deployment=record.id, alerts=proof["alerts"])
        may_have_results = bool(cases) or through or record.id not in self._settled
        if may_have_results and self._results_are_due(record, profile):
            proof = await self._erasure.results(record.id)
            if any(count for count in proof.values() if isinstance(count, int)):
                self._office.log.info("retention.results_deleted", deployment=record.id)
            self._settled.add(record.id)

    def _raised_before(self, record: DeploymentRecord, profile: Profile | None) -> float:
        """Alerts of the deployment that were raised before this are deleted; any others, when their own time comes."""
        if record.closed:  # what came late
            return ALWAYS
        return self._office.clock() - profile.alerts_kept_hours * HOUR_S if profile is not None else NEVER

    async def _has_alerts_due(
        self, deployment: str, cases: Sequence[Case], raised_before: float, through: bool
    ) -> bool:
        """Whether there is something to delete: an alert with a case, or what lies in a stream."""
        period = Period(raised_before, self._office.clock())
        if any(period.ended(case) for case in cases if not case.deleted_at):
            return True
        return await self._erasure.is_due(deployment, raised_before, through)

    def _results_are_due(self, record: DeploymentRecord, profile: Profile | None) -> bool:
        """Whether the cases and counts of a deployment go: it was purged long ago, or nothing of it may be kept."""
        if not record.closed:
            return False
        if record.state == "refused" or discards(record):
            return True
        purged = [deed.at for deed in record.deeds if deed.verb == "erase"]
        kept_s = profile.logs_kept_days * DAY_S if profile is not None else ALWAYS
        return bool(purged) and self._office.clock() >= purged[-1] + kept_s

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
        if _is_within(STRAYS_S, self._strays_at, now):
            return
        with surviving(self._office.log, "retention.waits"):
            strays = await self._erasure.strays(now - STRAYS_S)
            self._strays_at = now
            if strays:
                self._office.log.info("retention.strays_deleted", portraits=strays)


def _is_within(period_s: float, at: float, now: float) -> bool:
    """Whether `at` is no longer ago than that; a clock that was set back puts nothing off."""
    return 0 <= now - at < period_s
