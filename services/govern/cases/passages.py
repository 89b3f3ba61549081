"""Seeds who walked past a camera on purpose: what TPIR is measured against."""

from __future__ import annotations

from libs.errors import ConflictError, MissingError, PermanentError
from libs.officers import FRESH_S, Signed
from proto import subjects
from proto.audit import AuditEntry
from proto.counts import Passage
from proto.deployments import DeploymentRecord
from proto.requests.alerts import PassageRequest
from proto.requests.audit import AuditRequest
from services.govern.office import Office, Store

NOTED_WITHIN_S = 900.0
"""How late a passage may be noted: an officer who walks back to a desk has the time, who waits for what was recognised
to choose what to note has it less."""


class Passages:
    """Notes passages, each once."""

    def __init__(self, office: Office, store: Store[Passage]) -> None:
        self._office = office
        self._store = store

    async def note(self, signed: Signed[PassageRequest], record: DeploymentRecord) -> Passage:
        """The passage as it is noted; the same one again changes nothing.

        The audit comes first: no passage counts that it does not hold, and none is refused that it holds. An officer
        who got no answer asks again.

        Raises:
            MissingError, ConflictError, PermanentError: no such seed or camera, or a time at which none could pass.
            TransientError: the server is away.
        """
        request, entry = signed.request, _entry(signed, record)
        audited = await self._office.ledger.find(entry.id)  # by an act before, whose answer was lost
        if audited is None:
            self._check(request, record)
            audited = await self._office.ledger.append(entry)
        passage = as_audited(Passage(**request.model_dump(), noted_by=signed.who), audited)
        await self._store.put(_key(request), passage)
        return passage

    def _check(self, request: PassageRequest, record: DeploymentRecord) -> None:
        if request.camera not in record.draft.cameras:
            raise MissingError(f"deployment {record.id} has no camera {request.camera}")
        if not any(self._was_on(name, request, record) for name in record.draft.seed_lists):
            raise MissingError(f"the subject is on no seed list of deployment {record.id}: enrol it on one first")
        if not record.armed_at:
            raise ConflictError(f"deployment {record.id} has not been armed: nobody could be recognised yet")
        ended = record.ended_at or record.draft.ends_at
        until = min(ended, self._office.clock() + FRESH_S)
        if not max(record.armed_at, record.draft.starts_at) <= request.at <= until:
            raise PermanentError(f"the time is not one at which deployment {record.id} was running, up to now")
        if request.at < self._office.clock() - NOTED_WITHIN_S:
            raise PermanentError(f"a passage is noted within {NOTED_WITHIN_S / 60:.0f} minutes, not later")

    def _was_on(self, name: str, request: PassageRequest, record: DeploymentRecord) -> bool:
        """Whether the subject was on the list on passing: once a deployment is over, its lists may be destroyed."""
        watch_list = self._office.all_lists.get(subjects.key(name))
        entry = self._office.all_entries.get(subjects.key(name, request.subject))
        if watch_list is None or entry is None or not record.binding.is_of(watch_list):
            return False
        if entry.form is None:
            return request.at < entry.removed_at
        return request.subject not in watch_list.removing and request.at < entry.form.expires_at


def audit_id(passed: Passage | PassageRequest) -> str:
    """The id under which the audit has a passage; the same one always has it."""
    return f"passage.{subjects.token(_key(passed))}"


def as_audited(passage: Passage, entry: AuditEntry) -> Passage:
    """The passage as the audit tells of it: whatever its record says, who noted it and when."""
    return passage.model_copy(update={"noted_by": entry.deed.who, "noted_at": entry.at})


def _key(passed: Passage | PassageRequest) -> str:
    return subjects.key(passed.deployment, passed.camera, passed.subject, f"{passed.at * 1000:.0f}")


def _entry(signed: Signed[PassageRequest], record: DeploymentRecord) -> AuditRequest:
    request = signed.request
    return AuditRequest(
        id=audit_id(request),
        event="passage.noted",
        deed=signed.deed("note_passage"),
        deployment=request.deployment,
        record_version=record.record_version,
        details={"camera": request.camera, "subject": request.subject, "passed_at": request.at},
    )
