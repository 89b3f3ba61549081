"""What happens to an alert, told to the audit and to the bus: each thing once, also over a crash.

That there is an alert is told before it has a record. After that the record is the decision: what follows is told
afterwards and noted in `Case.told`; what a crash kept from being told is told at the next look. The audit knows
the entry by its id, the stream the message by its own: what was told and not noted is told no second time.

An intervention is suggested by one message, `Intervention`, that only a confirmed case comes to; an evaluation never
does. It travels sealed by this program, so that who can write to the bus alone cannot suggest one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from libs.bus import Conflict
from libs.errors import TransientError
from proto import subjects
from proto.audit import AuditEntry, Deed, Details, Event
from proto.cases import Adjudication, Case, Decision, Intervention
from proto.deployments import DeploymentRecord
from proto.messages import Message
from proto.requests.audit import AuditRequest
from proto.sealed import GOVERN
from proto.watchlists import Response
from services.govern.audit.details import fit
from services.govern.cases.evidence import Evidence, entry_id, left_out, what_was_said
from services.govern.cases.verdicts import status_of
from services.govern.office import Office

SAME_WHEN_RAISED_AGAIN = ("camera", "subject", "score", "searched", "template_version", "portrait_sha256")
"""What an alert has whenever it is raised, after a crash too; the threshold may have been amended meanwhile."""
TRIES = 8
"""As many people as may change one case at the same moment."""


@dataclass(frozen=True)
class Telling:
    """One thing that happened to a case: how the audit has it, and what is published of it, if anything."""

    audit: AuditRequest
    message: Message | None = None


def response_of(case: Case, record: DeploymentRecord) -> Response | Literal[""]:
    """How an officer may respond to it once it is confirmed: the class that its list had when it was armed."""
    return record.binding.responses.get(case.watch_list, "")


def tellings(case: Case) -> Iterator[Telling]:
    """Everything that has happened to a case."""
    yield _raised(case)
    for number, decision in enumerate(case.decisions, 1):
        yield _decided(case, decision, number)
    if case.escalated_at:
        deed = Deed(who=GOVERN, verb="escalate", at=case.escalated_at, reason="nobody has decided in time")
        message = _adjudication(case, "escalation", status="open", at=case.escalated_at)
        yield Telling(_entry(case, "alert.escalated", deed, _since(case, case.escalated_at)), message)
    if (intervention := _intervention(case)) is not None:
        yield intervention
    if (outcome := case.outcome) is not None:
        deed = Deed(
            who=outcome.officer,
            verb="engage",
            at=outcome.at,
            origin=outcome.origin,
            reason=outcome.reason,
            act=outcome.act,
        )
        details = {"engagement": outcome.engagement, **_since(case, outcome.at)}
        message = _adjudication(case, "engagement", case.status, outcome.at, outcome.officer)
        yield Telling(_entry(case, "alert.engaged", deed, details), message)


def is_told_otherwise(raised: AuditRequest, told: AuditEntry) -> bool:
    """Whether the audit tells of another alert under the id: by its list, and by `SAME_WHEN_RAISED_AGAIN`."""
    ours = fit(raised)
    differ = [name for name in SAME_WHEN_RAISED_AGAIN if told.details.get(name) != ours.details.get(name)]
    return bool(differ) or told.watch_list != ours.watch_list


def as_told(case: Case, told: AuditEntry) -> Case:
    """The case as the audit tells of its alert: no copy that comes later changes when it was, or how long it stays."""
    known = ("captured_at", "expires_at", "threshold")
    first: dict[str, object] = {name: told.details[name] for name in known if name in told.details}
    return case.model_copy(update={**first, "raised_at": told.deed.at, "record_version": told.record_version})


def contradiction(case: Case, now: float) -> AuditRequest:
    """That an alert is refused, since the audit tells of another under its id: once an id, whatever is tried."""
    deed = Deed(who=GOVERN, verb="refuse", at=now, reason="the audit tells of another alert under its id")
    raised = _entry(case, "alert.contradicted", deed, {})
    return raised.model_copy(update={"id": f"contradicted.{case.alert}"})


def untold(case: Case) -> list[Telling]:
    """What has happened to a case and is not told yet; of an alert that is deleted no intervention is suggested."""
    missing = [telling for telling in tellings(case) if telling.audit.id not in case.told]
    return [telling for telling in missing if not (case.deleted_at and isinstance(telling.message, Intervention))]


class Teller:
    """Tells what has happened to cases."""

    def __init__(self, office: Office, evidence: Evidence) -> None:
        self._office = office
        self._evidence = evidence

    async def tell(self, key: str, case: Case, aloud: bool = True) -> Case:
        """The case, with all that has happened to it told; unless `aloud`, to the audit alone.

        What the record says and its officers have not signed is not told, and no intervention with it.

        The audit comes first: nothing is published that it does not hold. An intervention that nobody was told of while
        its deployment was there is not suggested after it: the bus does not hear of it, nor the audit, unless the
        deployment went while the audit wrote it down.

        Raises:
            TransientError: the server is away; the next look goes on where this ended.
        """
        told = []
        for telling in await self._tellable(case):
            suggests = isinstance(telling.message, Intervention)
            if suggests and not (aloud and await self._is_still_due(key)):
                continue
            await self._office.ledger.append(telling.audit)
            if suggests and not await self._is_still_due(key):  # it may have waited for the audit
                continue
            if aloud and telling.message is not None:
                await self._publish(telling.message)
            told.append(telling.audit.id)
        return await self._note(key, case, told) if told else case

    async def _publish(self, message: Message) -> None:
        """Publishes what has happened; an intervention sealed, where and as the intervention itself would be."""
        if isinstance(message, Intervention):
            sealed = self._office.signer.seal(message)
            subject, message_id = subjects.address(message)
            # by its signature, which nobody knows beforehand: who takes the id first would have the stream drop it
            unguessed = f"{message_id}.{hashlib.sha256(sealed.signature).hexdigest()[:32]}"
            await self._office.bus.publish_as(subject, unguessed, sealed)
        else:
            await self._office.bus.publish(message, "")

    async def lacking(self, case: Case) -> Sequence[str]:
        """The acts that the audit holds of a case and its record does not: an older record was put back, or is read.

        Raises:
            TransientError: the audit is away.
        """
        known = {telling.audit.id for telling in tellings(case)}
        return await self._office.ledger.acts_of(case.deployment, case.alert, known)

    async def _must_lack_nothing(self, case: Case) -> None:
        if lacking := await self.lacking(case):
            raise TransientError(f"the record of alert {case.alert} lacks {lacking[0]}, which the audit has")

    async def _tellable(self, case: Case) -> list[Telling]:
        """What is untold and credible; and an intervention only where nothing else is there. What is not, is logged.

        Raises:
            TransientError: the deployment is not there (yet), the audit is away, or tells of more than the record.
        """
        await self._must_lack_nothing(case)
        record = self._office.all_deployments.get(subjects.key(case.deployment))
        if record is None:
            raise TransientError(f"the record of deployment {case.deployment} is not there (yet)")
        credible = await self._evidence.credible(case, record)
        altered = what_was_said(credible) != what_was_said(case)
        if altered:
            names = left_out(case, credible)
            self._office.log.error("case.forged", alert=case.alert, officers=names, status=credible.status)
        return [
            telling
            for telling in untold(credible)
            if not isinstance(telling.message, Intervention) or (not altered and self._may_intervene(credible, record))
        ]

    async def _is_still_due(self, key: str) -> bool:
        """Whether nothing came between while the rest was told: neither a deletion nor a decision.

        Raises:
            TransientError: the audit is away, or tells of more than the record.
        """
        found = await self._office.cases.get(key)
        if found is None:
            return False
        await self._must_lack_nothing(found[0])  # which may wait: so what else there is to know is read after it
        record = await self._office.deployments.get(subjects.key(found[0].deployment))
        found = await self._office.cases.get(key)
        if record is None or record[0].closed or found is None:
            return False
        return found[0].status == "confirmed" and not found[0].deleted_at

    def _may_intervene(self, case: Case, record: DeploymentRecord) -> bool:
        """Whether an intervention may be suggested, by the rules of the deployment and not by the case alone."""
        if case.is_gone(self._office.clock()):  # whoever was told of it now could compare nothing
            return False
        profile = self._office.profiles.get(record.draft.profile)
        if profile is None or profile.stamp or record.binding.stamp:
            return False
        if case.response != response_of(case, record):
            self._office.log.error("case.forged", alert=case.alert, response=case.response)
            return False
        return True

    async def _note(self, key: str, case: Case, told: list[str]) -> Case:
        """Notes in the record what is told."""
        for _ in range(TRIES):
            found = await self._office.cases.get(key)
            if found is None:
                return case
            record, revision = found
            noted = record.model_copy(update={"told": tuple(dict.fromkeys((*record.told, *told)))})
            try:
                await self._office.cases.replace(key, noted, revision)
            except Conflict:
                continue
            return noted
        raise TransientError("the case is being changed by others")


def _raised(case: Case) -> Telling:
    details: Details = {
        "camera": case.camera,
        "subject": case.subject,
        "score": case.score,
        "threshold": case.threshold,
        "searched": case.searched,
        "template_version": case.template_version,
        "portrait_sha256": case.portrait_sha256,
        "captured_at": case.captured_at,
        "expires_at": case.expires_at,
        "captured_to_alert_s": round(case.raised_at - case.captured_at, 3),
        **({"stamp": case.stamp} if case.stamp else {}),
    }
    deed = Deed(who=GOVERN, verb="raise", at=case.raised_at)
    return Telling(_entry(case, "seed.raised" if case.seed else "alert.raised", deed, details))


def _decided(case: Case, decision: Decision, number: int) -> Telling:
    last = number == len(case.decisions)
    status = case.status if last else status_of(case.decisions[:number], case.confirmations_needed)
    deed = Deed(
        who=decision.officer,
        verb="adjudicate",
        at=decision.at,
        origin=decision.origin,
        reason=decision.reason,
        act=decision.act,
    )
    details = {
        "verdict": decision.verdict,
        "status": status,
        "key_sha256": decision.key_sha256,
        **_since(case, decision.at),
    }
    message = _adjudication(case, "decision", status, decision.at, decision.officer)
    return Telling(_entry(case, "alert.decided", deed, details, decision.officer), message)


def _intervention(case: Case) -> Telling | None:
    """The one message that suggests an intervention, of a case that says it is confirmed; `None` of another."""
    confirmed = [decision for decision in case.decisions if decision.verdict == "confirmed"]
    if case.status != "confirmed" or not confirmed or not case.response:
        return None
    if case.stamp:  # an evaluation: nobody is engaged over it
        return None
    by = tuple(dict.fromkeys(decision.officer for decision in confirmed))
    at = max(decision.at for decision in confirmed)
    message = Intervention(
        deployment=case.deployment,
        record_version=case.record_version,
        alert=case.alert,
        camera=case.camera,
        watch_list=case.watch_list,
        subject=case.subject,
        response=case.response,
        captured_at=case.captured_at,
        confirmed_by=by,
        confirmed_at=at,
        stamp=case.stamp,
    )
    deed = Deed(who=GOVERN, verb="suggest_intervention", at=at)
    details = {"confirmed_by": " ".join(by), "response": case.response, **_since(case, at)}
    return Telling(_entry(case, "alert.intervention", deed, details), message)


def _since(case: Case, at: float) -> Details:
    return {
        "captured_to_alert_s": round(case.raised_at - case.captured_at, 3),
        "alert_to_act_s": round(at - case.raised_at, 3),
    }


def _entry(case: Case, event: Event, deed: Deed, details: Details, officer: str = "") -> AuditRequest:
    return AuditRequest(
        id=entry_id(case, event, officer),
        event=event,
        deed=deed,
        deployment=case.deployment,
        record_version=case.record_version,
        watch_list=case.watch_list,
        alert=case.alert,
        details=details,
    )


def _adjudication(case: Case, event: str, status: str, at: float, officer: str = "") -> Adjudication:
    return Adjudication.model_validate(
        {
            "deployment": case.deployment,
            "alert": case.alert,
            "event": event,
            "status": status,
            "officer": officer,
            "at": at,
        }
    )
