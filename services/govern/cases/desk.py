"""Alerts in the hands of people: what they decide, what comes of it, and what happens if nobody does.

Each alert has one record, its case, which this program alone writes, by compare-and-set: of two officers who act at the
same moment one is first, and the act of the other is taken if it still fits. What a case comes to by the decisions is
in `verdicts`; what is told of it, in `telling`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TypeVar

from libs.errors import ConflictError
from libs.officers import ForbiddenError, Signed
from proto.cases import Case
from proto.counts import Passage
from proto.deployments import DeploymentRecord
from proto.messages import Alert, Message
from proto.requests.alerts import (
    AdjudicateRequest,
    CaseReply,
    CaseRequest,
    CasesReply,
    EngagementRequest,
    PassageReply,
    PassageRequest,
)
from proto.requests.listing import ListRequest
from proto.sealed import Sealed
from services.govern.cases import verdicts
from services.govern.cases.casebook import CaseBook, page_of
from services.govern.cases.escalation import Escalation
from services.govern.cases.evidence import decided_with, decision_of, outcome_of, without_acts
from services.govern.cases.intake import open_case
from services.govern.cases.passages import Passages
from services.govern.cases.telling import response_of
from services.govern.office import Office, Store

R = TypeVar("R", bound=Message)


class Cases:
    """The handlers of alerts, of what people decide about them, and of asks for them."""

    def __init__(self, office: Office, passages: Store[Passage]) -> None:
        self._office = office
        self._book = CaseBook(office)
        self._passages = Passages(office, passages)
        self._escalation = Escalation(office, self._book)

    async def take_alert(self, alert: Alert) -> Sequence[Message]:
        """Opens the case of an alert, or of one for a seed. Raises as `open_case`."""
        await open_case(alert, self._book)
        return ()

    async def adjudicate(self, sealed: Sealed) -> CaseReply:
        """The case, with one more decision.

        Raises:
            PermanentError: the act is not this officer's to do, or does not fit the case (any more).
            TransientError: the server is away.
        """
        signed = self._by_a_person(sealed, AdjudicateRequest)
        request = signed.request
        record = await self._in_force(request.deployment, signed)
        now = self._office.clock()
        decision = decision_of(signed, sealed, now)
        latest = max(now, signed.act.at)  # a clock that is ahead confirms nothing that its own time says is deleted

        def step(case: Case) -> Case:
            decided = verdicts.decide(case, decision, self._ids_of(signed, case), case.is_gone(latest))
            return _with_response(decided, record)

        return CaseReply(case=await self._book.change(request.deployment, request.alert, step))

    async def engage(self, sealed: Sealed) -> CaseReply:
        """The case, with what came of it. Raises as `adjudicate`."""
        signed = self._by_a_person(sealed, EngagementRequest)
        request = signed.request
        await self._in_force(request.deployment, signed)
        outcome = outcome_of(signed, sealed, self._office.clock())
        case = await self._book.change(request.deployment, request.alert, lambda case: verdicts.engage(case, outcome))
        return CaseReply(case=case)

    async def passage(self, sealed: Sealed) -> PassageReply:
        """The passage of a seed, as it is noted. Raises as `adjudicate`."""
        signed = self._by_a_person(sealed, PassageRequest)
        record = await self._in_force(signed.request.deployment, signed)
        return PassageReply(passage=await self._passages.note(signed, record))

    async def show(self, request: CaseRequest) -> CaseReply:
        """The case of one alert, as far as officers have signed it. Raises `MissingError`, `TransientError`."""
        case, _ = await self._book.find(request.deployment, request.alert)
        return CaseReply(case=await self._book.credible(case))

    async def list(self, request: ListRequest) -> CasesReply:
        """A page of the cases of a deployment, or of all, in the order of their keys; those of seeds too.

        Each as far as officers have signed it. Raises `TransientError`.
        """
        cases = [case for case in self._office.all_cases.all().values() if request.of in ("", case.deployment)]
        page, following = page_of(cases, request.after, request.count)
        return CasesReply(cases=tuple([without_acts(await self._book.credible(case)) for case in page]), next=following)

    async def escalate_due(self) -> None:
        """Escalates what nobody has decided in time, and tells what a crash kept from being told."""
        await self._escalation.look()

    def _by_a_person(self, sealed: Sealed, expected: type[R]) -> Signed[R]:
        """The request of an operator; the system itself, which may do much else, decides about nobody."""
        signed = self._office.roster.check(sealed, expected, {"operator"})
        if signed.officer is None:
            raise ForbiddenError(f"a person must do this, not {signed.who}")
        return signed

    async def _in_force(self, deployment: str, signed: Signed[R]) -> DeploymentRecord:
        """The deployment, in which the officer may act and people may still decide."""
        record = await self._book.deployment(deployment)
        signed.must_act_under(record.draft.profile)
        if record.closed:
            raise ConflictError(
                f"deployment {deployment} is {record.state} and its data deleted: nothing can be decided"
            )
        return record

    def _ids_of(self, signed: Signed[AdjudicateRequest], case: Case) -> Collection[str]:
        """Every id under which the roster knows the holder of the officer's key, or knew it when they decided."""
        key, officers = signed.key_sha256, self._office.roster.officers()
        names = {name for name, officer in officers.items() if officer.key_sha256 == key}
        return {signed.who, *names, *decided_with(key, case)}


def _with_response(case: Case, record: DeploymentRecord) -> Case:
    """A confirmed case with the response class of its list: before that it has none, and nothing suggests any."""
    return case.model_copy(update={"response": response_of(case, record)}) if case.status == "confirmed" else case
