"""Makes the world match the record of a deployment: its warrant, the audit, its lists, and its data.

The record is the decision; all that must follow from it follows here, and can be done again any number of times. It is
done after each act, at every start, and every few seconds. So a program that dies half-way finishes when it is back.

What stops a deployment is done first of all: its warrant. What starts one comes last, when the audit holds who did it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Iterable
from typing import Protocol

from libs.bus import Conflict
from libs.errors import PermanentError, TransientError
from libs.surviving import surviving
from proto import subjects
from proto.audit import Deed, Details
from proto.deployments import DeploymentRecord
from proto.requests.audit import AuditRequest
from proto.sealed import GOVERN
from services.govern.deployments.periods import Due, discards, due, lists_are_due
from services.govern.deployments.sealing import WarrantDesk
from services.govern.office import Office

EVENTS = {
    "draft": "drafted",
    "authorise": "authorised",
    "refuse": "refused",
    "arm": "armed",
    "suspend": "suspended",
    "end": "ended",
    "purge": "purge_ordered",
    "erase": "purged",
    "amend": "amended",
    "grant_judicial": "judicial_granted",
    "refuse_judicial": "judicial_refused",
    "lapse": "judicial_lapsed",
    "register": "registered",
}
"""What the audit calls each deed."""


class Lists(Protocol):
    """Where watch lists are destroyed."""

    async def destroy(self, name: str, reason: str) -> None:
        """Destroys a list; one that is destroyed or gone already is left. Raises `TransientError`, `PermanentError`."""


class Erasure(Protocol):
    """What deletes the data of deployments, with proofs: `services.govern.retention.erasure`."""

    async def everything(self, deployment: str, keep_cases: bool) -> dict[str, int | str]:
        """Deletes all data of a deployment; counts, and a hash over what was deleted. Raises `TransientError`."""


class Reconciler:
    """Brings the effects of deployments in line with their records."""

    def __init__(self, office: Office, lists: Lists, erasure: Erasure) -> None:
        self._office = office
        self._lists = lists
        self._erasure = erasure
        self._warrants = WarrantDesk(office)
        self._told: dict[str, int] = {}
        """How many deeds of each deployment are known to be in the audit."""
        self._settled: dict[str, tuple[int, bool]] = {}
        """The version of each deployment from which everything has followed."""
        self._turns: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """An act and the look at all deployments do not get into each other's way."""

    async def end_restarted(self) -> None:
        """Ends what does not outlive a restart of this program. To be called once, before anything can be armed."""
        for record in self._office.all_deployments.all().values():
            profile = self._office.profiles.get(record.draft.profile)
            if record.state in ("armed", "suspended") and profile is not None and profile.ends_with_restart:
                await self._try(record.id, restarted=True)

    async def reconcile_all(self) -> None:
        """Brings every deployment in line; one that cannot be now is logged, and holds up no other."""
        for record in self._office.all_deployments.all().values():
            if not self._is_settled(record):
                await self._try(record.id)

    def _is_settled(self, record: DeploymentRecord) -> bool:
        """Whether nothing can follow from the record any more: all has, and no warrant of it covers anything."""
        is_over = record.state in ("refused", "purged") and self._office.clock() >= record.draft.ends_at
        return is_over and self._settled.get(record.id) == self._as_it_is(record)

    def _as_it_is(self, record: DeploymentRecord) -> tuple[int, bool]:
        """What follows from a record that is over: it changes with its version, and when its lists are due."""
        return record.record_version, lists_are_due(record, self._office)

    async def _try(self, deployment: str, restarted: bool = False) -> None:
        with surviving(self._office.log, "deployment.waits", deployment=deployment):
            await self.reconcile(deployment, restarted)

    async def reconcile(self, deployment: str, restarted: bool = False) -> DeploymentRecord:
        """The record of a deployment, with which everything is in line now; what was due by the clock is done.

        Raises:
            TransientError: something is away, or somebody changes the record; it goes on at the next look.
            PermanentError: a list of it cannot be destroyed.
        """
        async with self._turns[deployment]:
            record, revision = await self._find(deployment)
            while (decided := due(record, self._office, restarted)) is not None:
                record, revision = await self._decide(record, revision, decided)
            record = await self._follow(record, revision)
            self._settled[record.id] = self._as_it_is(record)
            return record

    async def _follow(self, record: DeploymentRecord, revision: int) -> DeploymentRecord:
        """The record, once everything has followed from it in the order that matters.

        An effect that cannot be brought about now keeps none of the later ones from being, except a start.
        """
        if record.state == "armed":
            await self._audit(record)
            await self._warrants.put(record)
            return record
        failures = await _failures(effect(record) for effect in (self._warrants.put, self._audit, self._destroy_lists))
        if record.deleting:
            record = await self._erase(record, revision)
            failures += await _failures(effect(record) for effect in (self._warrants.put, self._audit))
        if failures:
            raise failures[0]
        return record

    async def _find(self, deployment: str) -> tuple[DeploymentRecord, int]:
        found = await self._office.deployments.get(subjects.key(deployment))
        if found is None:
            raise PermanentError(f"the record of deployment {deployment} is gone")
        return found

    async def _decide(self, record: DeploymentRecord, revision: int, decided: Due) -> tuple[DeploymentRecord, int]:
        """The record after a deed of the system itself, and its revision."""
        deed = Deed(
            who=GOVERN, verb=decided.verb, at=self._office.clock(), reason=decided.reason, details=decided.details
        )
        changes = {**decided.changes, "deeds": (*record.deeds, deed), "record_version": record.record_version + 1}
        changed = record.model_copy(update=changes)
        try:
            return changed, await self._office.deployments.replace(subjects.key(record.id), changed, revision)
        except Conflict:
            raise TransientError(f"deployment {record.id} was changed at this moment") from None

    async def _audit(self, record: DeploymentRecord) -> None:
        """Appends every deed that the audit does not hold yet. The n-th made version n."""
        for version in range(self._told.get(record.id, 0) + 1, len(record.deeds) + 1):
            deed = record.deeds[version - 1]
            await self._office.ledger.append(
                AuditRequest(
                    id=f"deployment.{record.id}.{version}",
                    event=f"deployment.{EVENTS[deed.verb]}",
                    deed=deed.model_copy(update={"details": {}}),
                    deployment=record.id,
                    record_version=version,
                    details=deed.details,
                )
            )
            self._told[record.id] = version

    async def _destroy_lists(self, record: DeploymentRecord) -> None:
        """Destroys the lists of a deployment that is over, when that is due; not a later one of the same name."""
        if not lists_are_due(record, self._office):
            return
        for name in (*record.draft.watch_lists, *record.draft.seed_lists):
            watch_list = self._office.all_lists.get(subjects.key(name))
            if watch_list is None or watch_list.state == "destroyed" or watch_list.created_at > record.ended_at:
                continue
            await self._lists.destroy(name, f"deployment {record.id} has ended")

    async def _erase(self, record: DeploymentRecord, revision: int) -> DeploymentRecord:
        """The record of a deployment whose data is deleted, with the proof of that."""
        proof: Details = {**await self._erasure.everything(record.id, keep_cases=not discards(record))}
        purged = Due("erase", "", {"state": "purged", "deleting": False}, proof)
        record, _ = await self._decide(record, revision, purged)
        return record


async def _failures(effects: Iterable[Awaitable[None]]) -> list[TransientError | PermanentError]:
    """Why effects could not be brought about, one after the other; nothing where all were."""
    failures: list[TransientError | PermanentError] = []
    for effect in effects:
        try:
            await effect
        except (TransientError, PermanentError) as error:
            failures.append(error)
    return failures
