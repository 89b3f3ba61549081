"""The records of cases, and what must be known to change one: its deployment, profile and list."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

from libs.bus import Conflict
from libs.errors import ConflictError, MissingError, PermanentError, TransientError
from proto import codec, subjects
from proto.cases import Case
from proto.deployments import DeploymentRecord
from services.govern.cases.evidence import Evidence, left_out, nothing_said, without_acts
from services.govern.cases.telling import TRIES, Teller, as_told, contradiction, is_told_otherwise, tellings
from services.govern.office import Office
from services.govern.profiles.reading import Profile

PAGE_CASES = 500
PAGE_BYTES = 400_000
"""Of the cases in one answer: the server takes 1 MiB, and reasons can be long."""


class CaseBook:
    """Finds and changes cases, by compare-and-set, and tells what has changed."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._evidence = Evidence(office.roster, office.ledger)
        self._teller = Teller(office, self._evidence)

    async def find(self, deployment: str, alert: str) -> tuple[Case, int]:
        """The case of an alert and its revision.

        Raises:
            MissingError: there is no such alert.
            PermanentError: its record is not as this program wrote it, or older than the audit tells of.
            TransientError: the server is away.
        """
        seen = 0
        for _ in range(TRIES):
            found = await self._office.cases.get(subjects.key(deployment, alert))
            if found is None:
                raise MissingError(f"there is no alert {alert} of deployment {deployment}: see `watchline alerts list`")
            lacking = await self._teller.lacking(found[0])
            if not lacking:
                return found
            if found[1] == seen:
                break
            seen = found[1]  # it may have been written between the two looks: the next one has it
        self._office.log.error("case.put_back", alert=alert, lacks=list(lacking))
        raise PermanentError(
            f"the audit tells of {lacking[0]}, and the record of the alert does not: restore the bucket of cases"
        )

    async def open(self, case: Case) -> Case:
        """The case, which is in the audit and in the book now if it was not before; and told.

        Raises:
            PermanentError: the audit tells of another alert under that id, or of more than there is a record of.
            TransientError: the server is away.
        """
        raised = next(tellings(case)).audit
        told = await self._office.ledger.find(raised.id) or await self._office.ledger.append(raised)
        if is_told_otherwise(raised, told):
            await self._office.ledger.append(contradiction(case, self.now()))
            raise PermanentError(f"the audit tells of another alert {case.alert}: see `watchline audit show`")
        if not await self._teller.lacking(case):
            with suppress(Conflict):  # it is in the book
                await self._office.cases.replace(subjects.key(case.deployment, case.alert), as_told(case, told), 0)
        there, _ = await self.find(case.deployment, case.alert)
        return await self.tell(there)

    async def change(self, deployment: str, alert: str, step: Callable[[Case], Case]) -> Case:
        """The case after `step`, which is done again on what somebody else has written meanwhile; and told.

        Raises:
            PermanentError: what `step` raises.
            TransientError: the server is away, or others write all the time; or the case is written, and the audit does
                not have it (yet). The same again is answered once it has.
        """
        record = await self.deployment(deployment)
        for _ in range(TRIES):
            before, revision = await self.find(deployment, alert)
            case = step(before)
            if case != before:
                await self._check(case, record)
                try:
                    await self._office.cases.replace(subjects.key(deployment, alert), case, revision)
                except Conflict:
                    continue
            return await self._told(case)
        raise TransientError(f"alert {alert} is being changed by others: look again")

    async def credible(self, case: Case) -> Case:
        """The case as far as its officers have signed it: see `Evidence.credible`. Without its deployment, nobody has.

        Raises:
            TransientError: the audit is away.
        """
        record = self._office.all_deployments.get(subjects.key(case.deployment))
        return await self._evidence.credible(case, record) if record is not None else nothing_said(case)

    async def _check(self, case: Case, record: DeploymentRecord) -> None:
        """Does nothing where a confirmation rests on what different people have signed.

        Raises:
            ConflictError: it does not.
            TransientError: the audit is away.
        """
        if case.status != "confirmed":
            return
        credible = await self._evidence.credible(case, record)
        if names := left_out(case, credible):
            said = f"no key of the roster signed for {names[0]}, or it signed under two names"
            raise ConflictError(f"alert {case.alert} cannot be confirmed: {said}")
        if credible.status != "confirmed":
            needed = f"{credible.confirmations_needed} different people"
            raise ConflictError(f"alert {case.alert} cannot be confirmed: {needed} must, and the record is altered")

    async def tell(self, case: Case, aloud: bool = True) -> Case:
        """The case, with all that has happened to it told: see `Teller.tell`. Raises `TransientError`."""
        return await self._teller.tell(subjects.key(case.deployment, case.alert), case, aloud)

    async def _told(self, case: Case) -> Case:
        """As `tell`; where that is not possible now, who asked is told what to do."""
        try:
            return await self.tell(case)
        except TransientError as error:
            said = f"alert {case.alert} is written down, and not in the audit yet ({error.reason})"
            raise TransientError(f"{said}: do the same again, with the same reason") from error

    async def deployment(self, name: str) -> DeploymentRecord:
        """The record of a deployment. Raises `MissingError`, `TransientError`."""
        found = await self._office.deployments.get(subjects.key(name))
        if found is None:
            raise MissingError(f"there is no deployment {name}: see `watchline deployment list`")
        return found[0]

    def now(self) -> float:
        """The time, in Unix seconds."""
        return self._office.clock()

    def profile(self, record: DeploymentRecord) -> Profile | None:
        """The rules that the deployment runs under; `None` where their file is gone."""
        return self._office.profiles.get(record.draft.profile)


def page_of(cases: Iterable[Case], after: str, count: int = PAGE_CASES) -> tuple[tuple[Case, ...], str]:
    """The cases that follow the key `after`, as many as one answer holds; and the key that the next page follows.

    By their size without the acts that were signed. The key is empty where this was the last page.
    """
    by_key = {subjects.key(case.deployment, case.alert): case for case in cases}
    keys = sorted(key for key in by_key if key > after)
    page: list[Case] = []
    size = 0
    for key in keys[:count]:
        size += len(codec.encode(without_acts(by_key[key])))
        if page and size > PAGE_BYTES:
            break
        page.append(by_key[key])
    return tuple(page), keys[len(page) - 1] if len(page) < len(keys) else ""
