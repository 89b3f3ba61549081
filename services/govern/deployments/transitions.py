"""How a deployment gets from one state to the next: a table of verbs, and what each changes in the record.

draft ─ authorise ─▶ authorised ─ arm ─▶ armed ─ end ─▶ ended ─ purge ─▶ purged
  └──── refuse ──▶ refused ◀─┘            ▲ │ suspend     ▲
                                      arm │ ▼             │
                                       suspended ── end ──┘
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import get_args

from libs.calibration import CalibrationError
from libs.errors import OBSTACLES_APART, ConflictError, PermanentError
from libs.officers import ForbiddenError, Officer, Role, Signed
from proto.audit import Deed, Details
from proto.deployments import DeploymentRecord, DeploymentState
from proto.requests.deployments import AmendRequest, TransitionRequest, Verb
from services.govern.deployments.arming import obstacles, projected_rate, threshold_of
from services.govern.deployments.binding import bind, canonical_sha256, told
from services.govern.deployments.periods import ended
from services.govern.deployments.situation import Situation, profile_of, read_situation
from services.govern.office import Office
from services.govern.profiles.reading import HOUR_S

LONGEST_NAMES = 512
LONGEST_REFERENCE = 128
"""Characters that the audit takes of a detail, and of one word."""
Changes = dict[str, object]
Change = Callable[[Office, DeploymentRecord, Signed[TransitionRequest]], tuple[Changes, Details]]
"""What a verb changes in a record besides its state, and what the audit is told of that; or why it cannot be."""


@dataclass(frozen=True)
class Step:
    """What a verb does: from which states, to which state (`None`: it stays), who may, and what else changes."""

    sources: frozenset[DeploymentState]
    target: DeploymentState | None
    roles: frozenset[Role]
    change: Change


def must_be(record: DeploymentRecord, verb: str, states: Collection[DeploymentState]) -> None:
    """Does nothing where the deployment is in one of these states.

    Raises:
        ConflictError: it is in another, or its data is being deleted.
    """
    if record.state not in states or record.deleting:
        state = "being purged" if record.deleting else record.state
        raise ConflictError(f"{record.id} is {state}: {verb} is for one that is {' or '.join(sorted(states))}")


def after(record: DeploymentRecord, deed: Deed, **changes: object) -> DeploymentRecord:
    """The next version of a record, after a deed that makes these changes."""
    version = {"deeds": (*record.deeds, deed), "record_version": record.record_version + 1}
    return record.model_copy(update={**changes, **version})


def must_be_able_to_authorise(
    office: Office, record: DeploymentRecord, signed: Signed[TransitionRequest] | Signed[AmendRequest]
) -> None:
    """Does nothing where the officer may authorise the deployment.

    Raises:
        ForbiddenError: the officer drafted it, or has not the rank for it.
    """
    drafters = {deed.who for deed in record.deeds if deed.verb == "draft"}
    if signed.who in drafters or drafters & _ids_of(office, signed.officer):
        raise ForbiddenError(f"{signed.who} drafted {record.id}: another officer must authorise it")
    profile = profile_of(office, record)
    if signed.officer is not None and not profile.permits_rank(signed.officer.rank):
        ranks = ", ".join(profile.authoriser_ranks)
        raise ForbiddenError(f"{signed.who} has the rank {signed.officer.rank!r}: it takes one of {ranks}")


def _ids_of(office: Office, officer: Officer | None) -> set[str]:
    """Every id under which the roster knows the holder of the officer's key: two names of one person are one person."""
    known = office.roster.officers()
    return {name for name, other in known.items() if officer is not None and other.public_key == officer.public_key}


def nothing_may_stand_against(verb: str, found: tuple[str, ...]) -> None:
    """Does nothing where no obstacle was found. Raises `ConflictError` with all of them."""
    if found:
        raise ConflictError(f"cannot {verb}: {OBSTACLES_APART.join(found)}")


# -- what each verb changes


def _nothing(_office: Office, _record: DeploymentRecord, _signed: Signed[TransitionRequest]) -> tuple[Changes, Details]:
    return {}, {}


def _authorise(office: Office, record: DeploymentRecord, signed: Signed[TransitionRequest]) -> tuple[Changes, Details]:
    must_be_able_to_authorise(office, record, signed)
    return {}, {"profile": record.draft.profile, "draft_sha256": canonical_sha256(record.draft)}


def _arm(office: Office, record: DeploymentRecord, _signed: Signed[TransitionRequest]) -> tuple[Changes, Details]:
    situation = read_situation(office, record)
    nothing_may_stand_against("arm", obstacles(situation))
    try:
        threshold = threshold_of(situation)
        evidence = _evidence(situation, threshold)
    except CalibrationError as error:
        raise ConflictError(error.reason) from None
    now = office.clock()
    binding = bind(situation)
    changes: Changes = {"threshold": threshold, "armed_at": record.armed_at or now, "binding": binding}
    if not record.urgent_until and _runs_unauthorised(situation):
        changes["urgent_until"] = now + situation.profile.urgency_hours * HOUR_S
    return changes, {**evidence, **told(binding)}


def _runs_unauthorised(situation: Situation) -> bool:
    """Whether it starts in urgency, before its judicial authorisation is there."""
    return situation.profile.judicial_authorisation and not situation.draft.judicial_authorisation


def _evidence(situation: Situation, threshold: float) -> Details:
    """What the audit keeps of an arming: which references are searched, and with which projected rate."""
    lines = sorted(f"{name} {watch_list.inputs_sha256}" for name, watch_list in situation.lists.items())
    return {
        "threshold": threshold,
        "references": situation.references,
        "false_alerts_per_face": projected_rate(situation, threshold),
        "cameras": named(situation.draft.cameras),
        "lists": named(situation.lists),
        "lists_sha256": _sha256("\n".join(lines)),
    }


def named(names: Iterable[str]) -> str:
    """Names as a detail of the audit: themselves where they fit, else how many and a hash over them."""
    text = " ".join(sorted(names))
    return text if len(text) <= LONGEST_NAMES else f"{len(text.split())} names, sha256 {_sha256(text)}"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _end(office: Office, record: DeploymentRecord, _signed: Signed[TransitionRequest]) -> tuple[Changes, Details]:
    return ended(record, office.clock()), {}


def _purge(_office: Office, _record: DeploymentRecord, _signed: Signed[TransitionRequest]) -> tuple[Changes, Details]:
    return {"deleting": True}, {}


def _grant_judicial(
    office: Office, record: DeploymentRecord, signed: Signed[TransitionRequest]
) -> tuple[Changes, Details]:
    if record.urgent_until and office.clock() >= record.urgent_until:
        raise ConflictError(f"the time of {record.id} without judicial authorisation is over: all of it is deleted")
    reference = _reference(signed.request)
    granted = record.draft.model_copy(update={"judicial_authorisation": reference})
    return {"draft": granted, "urgent_until": 0.0}, {"reference": reference}


def _refuse_judicial(
    office: Office, record: DeploymentRecord, signed: Signed[TransitionRequest]
) -> tuple[Changes, Details]:
    if not profile_of(office, record).judicial_authorisation:
        raise PermanentError(f"the profile {record.draft.profile} asks for no judicial authorisation")
    return {**ended(record, office.clock()), "deleting": True}, {"reference": _reference(signed.request)}


def _register(_office: Office, record: DeploymentRecord, signed: Signed[TransitionRequest]) -> tuple[Changes, Details]:
    reference = _reference(signed.request)
    return {"draft": record.draft.model_copy(update={"registration": reference})}, {"reference": reference}


def _reference(request: TransitionRequest) -> str:
    """The reference of a decision or a registration, fit for the audit."""
    reference = request.reference.strip()
    if not reference or len(reference) > LONGEST_REFERENCE or not reference.isprintable():
        raise PermanentError(
            f"{request.verb} needs the reference of the decision or registration, {LONGEST_REFERENCE} characters at "
            "most"
        )
    return reference


# -- the table


def _step(
    sources: Collection[DeploymentState], target: DeploymentState | None, roles: Collection[Role], change: Change
) -> Step:
    return Step(frozenset(sources), target, frozenset(roles), change)


_BEFORE: tuple[DeploymentState, ...] = ("draft", "authorised")
_RUN: tuple[DeploymentState, ...] = ("armed", "suspended", "ended")
STEPS: Mapping[Verb, Step] = {
    "authorise": _step(_BEFORE, "authorised", ["authoriser"], _authorise),
    "refuse": _step(_BEFORE, "refused", ["authoriser"], _nothing),
    "arm": _step(["authorised", "suspended"], "armed", ["commander"], _arm),
    "suspend": _step(["armed"], "suspended", ["commander", "authoriser", "operator"], _nothing),
    "end": _step(["armed", "suspended"], "ended", ["commander"], _end),
    "purge": _step(["ended"], None, ["commander"], _purge),
    "grant_judicial": _step([*_BEFORE, *_RUN], None, ["authoriser"], _grant_judicial),
    "refuse_judicial": _step(_RUN, "ended", ["authoriser"], _refuse_judicial),
    "register": _step([*_BEFORE, *_RUN], None, ["authoriser"], _register),
}
"""`purged` follows on `purge` by itself, once everything is deleted."""
AMENDABLE: frozenset[DeploymentState] = frozenset({"authorised", "armed", "suspended"})
TO_BE_ARMED: frozenset[DeploymentState] = frozenset({"draft", *STEPS["arm"].sources})
EVERY_ROLE: frozenset[Role] = frozenset(get_args(Role))
"""Which of them may, the step says."""
