"""What people decided, with the act that each has signed: nobody else can decide in their name, or in the record alone.

Who can write the bucket of cases can spoil a case. He cannot make the audit say that somebody decided, nor make this
program suggest an intervention: both are told only of what its officer has signed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

from libs.errors import PermanentError
from libs.officers import Roster, Signed
from libs.seals import PublicKey
from proto import codec
from proto.governance import Case, Decision, Outcome
from proto.requests import AdjudicateRequest, EngagementRequest
from proto.sealed import Act, Sealed


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


def unsigned(case: Case, roster: Roster) -> list[str]:
    """The officers in whose name the record holds what they have not signed."""
    said: list[Decision | Outcome] = [*case.decisions, *([case.outcome] if case.outcome else [])]
    return [one.officer for one in said if _signed(one, roster) != _recorded(case, one)]


def _recorded(case: Case, said: Decision | Outcome) -> AdjudicateRequest | EngagementRequest:
    """What must have been asked for, for the record to say this."""
    alert = {"deployment": case.deployment, "alert": case.alert, "reason": said.reason}
    if isinstance(said, Decision):
        return AdjudicateRequest.model_validate({**alert, "verdict": said.verdict})
    return EngagementRequest.model_validate({**alert, "engagement": said.engagement})


def _signed(said: Decision | Outcome, roster: Roster) -> AdjudicateRequest | EngagementRequest | None:
    """What the officer has signed; `None` where that is nothing, or something else."""
    officer = roster.officers().get(said.officer)
    if officer is None:
        return None
    kind: type[AdjudicateRequest | EngagementRequest]
    kind = AdjudicateRequest if isinstance(said, Decision) else EngagementRequest
    try:
        data = base64.b64decode(said.sealed, validate=True)
        sealed = codec.decode(Sealed, data)
        act = PublicKey.parse(officer.public_key).open(sealed, Act, said.officer)
        if hashlib.sha256(codec.encode(sealed)).hexdigest() != said.act:
            return None
        return codec.decode(kind, act.request)
    except (binascii.Error, codec.DecodeError, PermanentError):
        return None


def _as_text(sealed: Sealed) -> str:
    return base64.b64encode(codec.encode(sealed)).decode()
