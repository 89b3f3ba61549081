"""What is due: alerts that nobody has decided in time, and what a crash kept from being told."""

from __future__ import annotations

from libs.surviving import surviving
from proto.cases import Case
from services.govern.cases.casebook import CaseBook
from services.govern.cases.telling import untold
from services.govern.office import Office

ESCALATED_AFTER_S = 120.0
"""Where the profile is gone: as those that ship have it."""


class Escalation:
    """Looks at every case that is not at rest."""

    def __init__(self, office: Office, book: CaseBook) -> None:
        self._office = office
        self._book = book

    async def look(self) -> None:
        """Does what is due, each thing once. What cannot be looked at now is logged, and looked at the next time."""
        for case in self._office.all_cases.all().values():
            if _may_escalate(case) or untold(case):
                with surviving(self._office.log, "case.waits", alert=case.alert):
                    await self._look_at(case)

    async def _look_at(self, case: Case) -> None:
        record = await self._book.deployment(case.deployment)
        profile = self._book.profile(record)
        after_s = profile.escalated_after_s if profile else ESCALATED_AFTER_S
        if self._is_due(case, after_s) and not record.closed:
            await self._book.change(case.deployment, case.alert, self._escalated)
        elif untold(case):
            await self._book.tell(case, aloud=not record.closed)

    def _is_due(self, case: Case, after_s: float) -> bool:
        return _may_escalate(case) and self._office.clock() >= case.raised_at + after_s

    def _escalated(self, case: Case) -> Case:
        if not _may_escalate(case):  # somebody decided after we looked
            return case
        return case.model_copy(update={"escalated_at": self._office.clock()})


def _may_escalate(case: Case) -> bool:
    return case.status == "open" and not case.seed and not case.escalated_at
