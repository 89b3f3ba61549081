"""What people decided, with the act that each has signed: nobody else can decide in their name, or in the record alone.

Who can write the bucket of cases can spoil a case. He cannot make the audit say that somebody decided, nor make this
program suggest an intervention: both are told only of what its officer has signed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

from libs.errors import PermanentError
from libs.officers import Officer, Roster, Signed
from libs.seals import PublicKey
from proto import codec
from proto.cases import Case, Decision, Outcome
from proto.requests.alerts import AdjudicateRequest, EngagementRequest
from proto.sealed import Act, Sealed
from services.govern.cases.verdicts import status_of


def decision_of(signed: Signed[AdjudicateRequest], sealed: Sealed, now: float) -> Decision:
    """The decision that an officer has asked for, with its proof."""
    return Decision(
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


def unsigned(case: Case, roster: Roster, profile: str) -> list[str]:
    """The officers in whose name the record holds what they have not signed, or what was not theirs to say."""
    said: list[Decision | Outcome] = [*case.decisions, *([case.outcome] if case.outcome else [])]
    return [one.officer for one in said if not counts(case, one, roster, profile)]


def counts(case: Case, said: Decision | Outcome, roster: Roster, profile: str) -> bool:
    """Whether an operator who may act under the profile has signed this, of this alert, while it could be decided."""
    officer = roster.officers().get(said.officer)
    if officer is None or "operator" not in officer.roles or not officer.may_act_under(profile):
        return False
    act = _act(said, officer)
    if act is None or (_needs_portrait(said) and act.at >= case.expires_at):
        return False
    return _request(act, said) == _recorded(case, said)


def confirmers(case: Case, roster: Roster) -> set[str]:
    """The public keys of those who have confirmed: one person counts once, under whatever ids."""
    officers = roster.officers()
    said = (officers.get(decision.officer) for decision in case.decisions if decision.verdict == "confirmed")
    return {officer.public_key for officer in said if officer is not None}


def credible(case: Case, roster: Roster, profile: str) -> Case:
    """The case as far as its officers have signed it: what they have not is left out, and what rests on it."""
    decisions = tuple(one for one in case.decisions if counts(case, one, roster, profile))
    signed = case.model_copy(update={"decisions": decisions})
    status = case.status if case.status == "undecided" else status_of(decisions, case.confirmations_needed)
    if status == "confirmed" and len(confirmers(signed, roster)) < case.confirmations_needed:
        status = "open"
    outcome = case.outcome
    if outcome is not None and not (status == "confirmed" and counts(case, outcome, roster, profile)):
        outcome = None
    return signed.model_copy(update={"status": status, "outcome": outcome})


def without_acts(case: Case) -> Case:
    """The case without the signed acts themselves, which are long: their hashes stay."""
    decisions = tuple(one.model_copy(update={"sealed": ""}) for one in case.decisions)
    outcome = case.outcome.model_copy(update={"sealed": ""}) if case.outcome else None
    return case.model_copy(update={"decisions": decisions, "outcome": outcome})


def _needs_portrait(said: Decision | Outcome) -> bool:
    """Whether it rests on a comparison: once the portrait is deleted there is nothing left to compare."""
    return isinstance(said, Decision) and said.verdict != "no_decision"


def _recorded(case: Case, said: Decision | Outcome) -> AdjudicateRequest | EngagementRequest:
    """What must have been asked for, for the record to say this."""
    alert = {"deployment": case.deployment, "alert": case.alert, "reason": said.reason}
    if isinstance(said, Decision):
        return AdjudicateRequest.model_validate({**alert, "verdict": said.verdict})
    return EngagementRequest.model_validate({**alert, "engagement": said.engagement})


def _act(said: Decision | Outcome, officer: Officer) -> Act | None:
    """The act that the officer has signed; `None` where that is nothing, or another."""
    try:
        sealed = codec.decode(Sealed, base64.b64decode(said.sealed, validate=True))
        act = PublicKey.parse(officer.public_key).open(sealed, Act, said.officer)
    except (binascii.Error, codec.DecodeError, PermanentError):
        return None
    return act if hashlib.sha256(codec.encode(sealed)).hexdigest() == said.act else None


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
