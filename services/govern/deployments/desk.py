"""Deployments: what officers may do to them, in which state, and what is written when they do.

An act is taken only if its officer has the role, acts under the profile, and has seen the record as it is now: it names
the version it was made for, and is refused (409) where somebody was faster. What follows from it is `reconcile`'s part.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

from pydantic import ValidationError

from libs.bus import Conflict
from libs.errors import ConflictError, MissingError, PermanentError, TransientError
from libs.officers import Signed
from proto import subjects
from proto.audit import Details
from proto.deployments import DeploymentDraft, DeploymentRecord
from proto.messages import Message
from proto.requests.deployments import (
    AmendRequest,
    DeploymentReply,
    DeploymentRequest,
    DeploymentsReply,
    DraftRequest,
    TransitionRequest,
)
from proto.requests.listing import ListRequest
from proto.sealed import Sealed
from services.govern.deployments.arming import obstacles, obstacles_to_amending, threshold_of
from services.govern.deployments.binding import canonical_sha256, locations_of, runs_under, told
from services.govern.deployments.situation import Situation, profile_of, read_situation
from services.govern.deployments.transitions import (
    AMENDABLE,
    EVERY_ROLE,
    STEPS,
    TO_BE_ARMED,
    after,
    must_be,
    must_be_able_to_authorise,
    named,
    nothing_may_stand_against,
)
from services.govern.office import Office

R = TypeVar("R", bound=Message)


class Follow(Protocol):
    """What makes the world match a record: `services.govern.deployments.reconcile.Reconciler`."""

    async def reconcile(self, deployment: str) -> DeploymentRecord:
        """The record, with which everything is in line. Raises `TransientError`, `PermanentError`."""


class Deployments:
    """Answers acts on deployments, and asks for them."""

    def __init__(self, office: Office, reconciler: Follow) -> None:
        self._office = office
        self._reconciler = reconciler

    # -- acts

    async def draft(self, sealed: Sealed) -> DeploymentReply:
        """The new deployment; or the draft of one that is not authorised yet, drafted again.

        Raises:
            PermanentError: the officer may not, the profile is unknown, or there is such a deployment already.
            TransientError: the server is away.
        """
        signed = self._office.roster.check(sealed, DraftRequest, ["drafter"])
        draft, version = signed.request.draft, signed.request.record_version
        signed.must_act_under(draft.profile)
        details: Details = {"draft_sha256": canonical_sha256(draft)}
        deed = signed.deed("draft").model_copy(update={"details": details})
        if version == 0:
            record, revision = DeploymentRecord(draft=draft, record_version=1, state="draft", deeds=(deed,)), 0
            profile_of(self._office, record)
            if await self._office.deployments.get(subjects.key(draft.deployment)) is not None:
                raise ConflictError(f"there is a deployment {draft.deployment} already: choose another name")
            return await self._write(record, revision, deed.verb)
        before, revision = await self._find(draft.deployment, version, signed)
        must_be(before, "draft", ["draft"])
        record = after(before, deed, draft=draft)
        profile_of(self._office, record)
        return await self._write(record, revision, deed.verb)

    async def transition(self, sealed: Sealed) -> DeploymentReply:
        """The deployment after the verb was done to it.

        Raises:
            PermanentError: the officer may not, or it cannot be done: the reason says what stands against it.
            TransientError: the server is away; or it is done, and not all has followed from it yet.
        """
        signed = self._office.roster.check(sealed, TransitionRequest, EVERY_ROLE)
        request = signed.request
        step = STEPS[request.verb]
        signed.must_be_one_of(step.roles)
        before, revision = await self._find(request.deployment, request.record_version, signed)
        if request.verb == "purge" and before.deleting:  # it is under way: go on with it
            return await self._followed(before.id, request.verb)
        must_be(before, request.verb, step.sources)
        changes, details = step.change(self._office, before, signed)
        deed = signed.deed(request.verb, request.reason).model_copy(update={"details": details})
        record = after(before, deed, **{"state": step.target or before.state, **changes})
        return await self._write(record, revision, request.verb)

    async def amend(self, sealed: Sealed) -> DeploymentReply:
        """The deployment with another threshold or other cameras. Raises as `transition`."""
        signed = self._office.roster.check(sealed, AmendRequest, ["authoriser"])
        request = signed.request
        before, revision = await self._find(request.deployment, request.record_version, signed)
        must_be(before, "amend", AMENDABLE)
        must_be_able_to_authorise(self._office, before, signed)
        draft, details = _amended(before.draft, request)
        details["draft_sha256"] = canonical_sha256(draft)
        deed = signed.deed("amend", request.reason)
        record = after(before, deed, draft=draft)
        if before.threshold is not None and before.state != "authorised":
            situation = read_situation(self._office, record)
            nothing_may_stand_against("amend", obstacles_to_amending(situation))
            threshold = threshold_of(situation)
            details |= {"threshold_before": before.threshold, "threshold": threshold}
            binding = before.binding
            if request.cameras is not None:
                binding = binding.model_copy(update={"locations": locations_of(situation)})
            details |= told(binding)
            record = record.model_copy(update={"threshold": threshold, "binding": binding})
        deeds = (*before.deeds, deed.model_copy(update={"details": details}))
        return await self._write(record.model_copy(update={"deeds": deeds}), revision, deed.verb)

    # -- asks

    async def show(self, ask: DeploymentRequest) -> DeploymentReply:
        """A deployment, what stands against arming it, and what is weak about it. Raises `MissingError`."""
        found = await self._office.deployments.get(subjects.key(ask.deployment))
        if found is None:
            raise MissingError(f"there is no deployment {ask.deployment}: see `watchline deployment list`")
        return self._reply(found[0])

    async def list(self, ask: ListRequest) -> DeploymentsReply:
        """All deployments, by name; or the one that `of` names."""
        records = self._office.all_deployments.all().values()
        named = sorted((record for record in records if ask.of in ("", record.id)), key=lambda record: record.id)
        return DeploymentsReply(records=tuple(named))

    # -- reading and writing

    async def _find(self, deployment: str, version: int, signed: Signed[R]) -> tuple[DeploymentRecord, int]:
        """The record that the officer has seen, and its revision; the officer may act under its profile."""
        found = await self._office.deployments.get(subjects.key(deployment))
        if found is None:
            raise MissingError(f"there is no deployment {deployment}: see `watchline deployment list`")
        record, _ = found
        signed.must_act_under(record.draft.profile)
        if record.record_version != version:
            last = record.deeds[-1]
            raise ConflictError(
                f"{deployment} is at version {record.record_version} (last: {last.verb} by {last.who}) and the act was "
                f"made for version {version}: look at it again"
            )
        return found

    async def _write(self, record: DeploymentRecord, revision: int, verb: str) -> DeploymentReply:
        """The reply to an act, written if nobody was faster, once everything has followed from it."""
        try:
            await self._office.deployments.replace(subjects.key(record.id), record, revision)
        except Conflict:
            raise ConflictError(f"somebody else has just changed {record.id}: look at it again") from None
        self._office.log.info(
            "deployment", deployment=record.id, verb=verb, state=record.state, version=record.record_version
        )
        return await self._followed(record.id, verb)

    async def _followed(self, deployment: str, verb: str) -> DeploymentReply:
        try:
            return self._reply(await self._reconciler.reconcile(deployment))
        except TransientError as error:
            raise TransientError(
                f"{verb} is decided and recorded, and what follows from it is made up for soon ({error.reason})"
            ) from None

    def _reply(self, record: DeploymentRecord) -> DeploymentReply:
        try:
            situation = read_situation(self._office, record)
        except PermanentError as error:  # its profile is gone: it can still be looked at, and ended
            return DeploymentReply(record=record, obstacles=(error.reason,))
        return DeploymentReply(
            record=record,
            obstacles=obstacles(situation) if record.state in TO_BE_ARMED else (),
            warnings=(
                *_rebound(situation),
                *_lapsed(situation),
                *situation.profile.weaknesses(),
                *_limits(situation),
            ),
        )


def _amended(draft: DeploymentDraft, request: AmendRequest) -> tuple[DeploymentDraft, Details]:
    """The draft as the request changes it, and what the audit is told of that.

    Raises:
        PermanentError: nothing is changed, or what comes of it is no draft.
    """
    changes: dict[str, object] = {}
    details: Details = {}
    if request.threshold is not None or request.target_fpir is not None:
        changes |= {"threshold": request.threshold, "target_fpir": request.target_fpir}
    if request.cameras is not None:
        changes["cameras"] = request.cameras
        details |= {"cameras_before": named(draft.cameras), "cameras": named(request.cameras)}
    if not changes:
        raise PermanentError("an amendment changes the threshold, the target FPIR or the cameras: name one")
    try:
        return DeploymentDraft.model_validate({**draft.model_dump(), **changes}), details
    except ValidationError as error:
        raise PermanentError(f"the amendment will not do: {error.errors(include_url=False)[0]['msg']}") from None


def _rebound(situation: Situation) -> tuple[str, ...]:
    """That arming it again would take other rules than those it ran under."""
    record = situation.record
    if record.state not in ("armed", "suspended") or runs_under(record, situation.profile):
        return ()
    return (f"the profile {situation.profile.name} is not as it was when this was armed: arming takes it as it is now",)


def _lapsed(situation: Situation) -> tuple[str, ...]:
    """That alerts were let lapse: nobody can decide about them any more, so nothing but being told is left."""
    lapsed = situation.lapsed_alerts
    if not lapsed:
        return ()
    return (f"alerts of other deployments that were deleted before enough people had decided: {lapsed}",)


def _limits(situation: Situation) -> tuple[str, ...]:
    """What the calibrations of the lists' models cannot say."""
    versions = sorted({watch_list.template_version for watch_list in situation.lists.values()})
    known = ((version, situation.calibrations.get(version)) for version in versions)
    return tuple(f"calibration of {version}: {found.limits}" for version, found in known if found is not None)
