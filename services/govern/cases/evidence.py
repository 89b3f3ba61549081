"""What people decided, with the act that each has signed: nobody else can decide in their name, or in the record alone.

The record is sealed by this program (`vault`), which says who wrote it and not who decided. So it is read through the
signatures of officers: nothing is shown, told, counted or followed by an intervention that its officer has not signed.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib

from libs.errors import PermanentError
from libs.officers import Officer, Roster, Signed
from libs.seals import PublicKey
from proto import codec
from proto.audit import AuditEntry, Event
from proto.cases import Case, Decision, Outcome
from proto.deployments import DeploymentRecord
from proto.requests.alerts import AdjudicateRequest, EngagementRequest
from proto.sealed import Act, Sealed
from services.govern.cases.verdicts import status_of
from services.govern.office import Ledger


def decision_of(signed: Signed[AdjudicateRequest], sealed: Sealed, now: float) -> Decision:
    """The decision that an officer has asked for, with its proof."""
    return Decision(
        key_sha256=signed.key_sha256,
        officer=signed.who,
        verdict=signed.request.verdict,
        reason=signed.request.reason,
        at=now,
        origin=signed.act.origin,
        act=signed.sha256,
        sealed=_as_text(sealed),
    )


def outcome_of(signed: Signed[EngagementRequest], sealed: Sealed, now: float) -> Outcome:
    """What an officer says came of an alert, with its proof."""
    return Outcome(
        officer=signed.who,
        engagement=signed.request.engagement,
        reason=signed.request.reason,
        at=now,
        origin=signed.act.origin,
        act=signed.sha256,
        sealed=_as_text(sealed),
    )


def entry_id(case: Case, event: Event, officer: str = "") -> str:
    """The id under which the audit has something that happened to an alert; the same happening always has it."""
    return ".".join(["alert", case.alert, event.rpartition(".")[2], *([officer] if officer else [])])


class Evidence:
    """Judges what the record of a case says in the name of officers.

    What the audit holds was checked against the roster of its time, and counts whoever has left the roster since; what
    it holds of that officer otherwise does not count. Anything else counts by the roster as it is now; and not if the
    record holds another decision of that key or name.
    The audit may hold two of one person, where the record was altered between them: `verdicts.people_of` counts one.
    """

    def __init__(self, roster: Roster, ledger: Ledger) -> None:
        self._roster = roster
        self._ledger = ledger

    async def credible(self, case: Case, record: DeploymentRecord) -> Case:
        """The case as far as its officers have signed it: what they have not is left out, and what rests on it.

        Raises:
            TransientError: the audit is away.
        """
        await asyncio.sleep(0)  # signatures take time, and officers wait for other answers
        profile = record.draft.profile
        decisions = tuple([one for one in case.decisions if await self._counts(case, one, profile)])
        status = status_of(decisions, case.confirmations_needed)
        if (status, case.status) == ("open", "undecided") and "no_decision" in {one.verdict for one in decisions}:
            status = "undecided"  # the portrait was deleted before enough had confirmed
        outcome = case.outcome if status == "confirmed" else None
        if outcome is not None and not await self._counts(case, outcome, profile):
            outcome = None
        response = case.response if status == "confirmed" else ""
        signed = {"decisions": decisions, "status": status, "outcome": outcome, "response": response}
        return case.model_copy(update=signed)

    async def _counts(self, case: Case, said: Decision | Outcome, profile: str) -> bool:
        """Whether an operator who might act under the profile has signed this, of this alert, while it was there."""
        sealed = _sealed(said)
        if sealed is None:
            return False
        try:
            act = codec.decode(Act, sealed.body)
        except codec.DecodeError:
            return False
        if _request(act, said) != _recorded(case, said) or (_needs_portrait(said) and act.at >= case.expires_at):
            return False
        event, by = ("alert.decided", said.officer) if isinstance(said, Decision) else ("alert.engaged", "")
        entry = await self._ledger.find(entry_id(case, event, by))
        return _is_of(entry, case, said) if entry is not None else self._is_signed(case, said, sealed, profile)

    def _is_signed(self, case: Case, said: Decision | Outcome, sealed: Sealed, profile: str) -> bool:
        officer = self._roster.officers().get(said.officer)
        if officer is None or "operator" not in officer.roles or not officer.may_act_under(profile):
            return False
        if isinstance(said, Decision) and not _is_the_only_one_of(officer, said, case):
            return False
        try:
            PublicKey.parse(officer.public_key).open(sealed, Act, said.officer)
        except PermanentError:
            return False
        return True


def _is_of(entry: AuditEntry, case: Case, said: Decision | Outcome) -> bool:
    """Whether the audit has what the record has in the officer's name, and nothing else."""
    if (entry.deployment, entry.alert) != (case.deployment, case.alert):
        return False
    if isinstance(said, Decision) and entry.details.get("key_sha256") != said.key_sha256:
        return False
    return (entry.deed.who, entry.deed.act) == (said.officer, said.act)


def what_was_said(case: Case) -> tuple[object, ...]:
    """What people have said of a case, and what it came to: a record is altered where this is not what is credible."""
    return case.status, case.decisions, case.outcome


def decided_with(key_sha256: str, case: Case) -> list[str]:
    """The names under which whoever has that key has decided about the alert, one for each decision."""
    return [decision.officer for decision in case.decisions if decision.key_sha256 == key_sha256]


def nothing_said(case: Case) -> Case:
    """The case as if nobody had decided."""
    return case.model_copy(update={"decisions": (), "status": "open", "outcome": None, "response": ""})


def left_out(case: Case, credible: Case) -> list[str]:
    """The officers in whose name the case holds what is not credible: not signed, or not theirs to say."""
    unsigned: list[Decision | Outcome] = [one for one in case.decisions if one not in credible.decisions]
    if credible.status == "confirmed" and case.outcome is not None and credible.outcome is None:
        unsigned.append(case.outcome)
    return [one.officer for one in unsigned]


def without_acts(case: Case) -> Case:
    """The case without the signed acts themselves, which are long: their hashes stay."""
    decisions = tuple(one.model_copy(update={"sealed": ""}) for one in case.decisions)
    outcome = case.outcome.model_copy(update={"sealed": ""}) if case.outcome else None
    return case.model_copy(update={"decisions": decisions, "outcome": outcome})


def _is_the_only_one_of(officer: Officer, decision: Decision, case: Case) -> bool:
    """Whether the record has the decision as that of the officer's key, and no other of that key or name."""
    names = [other.officer for other in case.decisions]
    once = names.count(decision.officer) == 1 == len(decided_with(decision.key_sha256, case))
    return once and decision.key_sha256 == officer.key_sha256


def _needs_portrait(said: Decision | Outcome) -> bool:
    """Whether it rests on a comparison: once the portrait is deleted there is nothing left to compare."""
    return isinstance(said, Decision) and said.verdict != "no_decision"


def _recorded(case: Case, said: Decision | Outcome) -> AdjudicateRequest | EngagementRequest:
    """What must have been asked for, for the record to say this."""
    alert = {"deployment": case.deployment, "alert": case.alert, "reason": said.reason}
    if isinstance(said, Decision):
        return AdjudicateRequest.model_validate({**alert, "verdict": said.verdict})
    return EngagementRequest.model_validate({**alert, "engagement": said.engagement})


def _sealed(said: Decision | Outcome) -> Sealed | None:
    """The sealed act of which the record has the hash; `None` where that is nothing, or another."""
    try:
        sealed = codec.decode(Sealed, base64.b64decode(said.sealed, validate=True))
    except (binascii.Error, codec.DecodeError):
        return None
    return sealed if hashlib.sha256(codec.encode(sealed)).hexdigest() == said.act else None


def _request(act: Act, said: Decision | Outcome) -> AdjudicateRequest | EngagementRequest | None:
    """What the act asks for; `None` where that is something else."""
    kind: type[AdjudicateRequest | EngagementRequest]
    kind = AdjudicateRequest if isinstance(said, Decision) else EngagementRequest
    try:
        return codec.decode(kind, act.request)
    except codec.DecodeError:
        return None


def _as_text(sealed: Sealed) -> str:
    return base64.b64encode(codec.encode(sealed)).decode()
