"""All that arming is judged by, read at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from libs.calibration import Calibration
from libs.errors import PermanentError
from libs.officers import Officer
from proto import subjects
from proto.cases import Case
from proto.deployments import DeploymentDraft, DeploymentRecord
from proto.records import CameraRecord
from proto.sealed import GOVERN
from proto.watchlists import EntryRecord, WatchListRecord
from services.govern.office import Office
from services.govern.profiles.reading import HOUR_S, Profile

ACTIVE = ("armed", "suspended")
"""States in which a deployment uses its lists, now or again."""


@dataclass(frozen=True)
class Situation:
    """A deployment, the rules it runs under, and what there is of what it names.

    Attributes:
        lists: those of its watch lists and seed lists that exist, by name.
        entries: who is on them.
        cameras: those of its cameras that are known, by name.
        calibrations: by template version.
        claims: by list, the deployment that it belongs to, where that is another.
        open_alerts: of other deployments, that nobody has decided about and somebody still can.
        lapsed_alerts: of other deployments, that were deleted before enough people had decided about them.
        urgency_before: another deployment that uses a list or a camera of this one in urgency, or did until lately,
            without a judge's word; empty where there is none.
        authoriser: who authorised it, as the roster has that officer now; `None` where nobody is.
    """

    record: DeploymentRecord
    profile: Profile
    lists: Mapping[str, WatchListRecord]
    entries: tuple[EntryRecord, ...]
    cameras: Mapping[str, CameraRecord]
    calibrations: Mapping[str, Calibration]
    claims: Mapping[str, str]
    open_alerts: int
    lapsed_alerts: int
    urgency_before: str
    authoriser: Officer | None
    now: float

    @property
    def draft(self) -> DeploymentDraft:
        """What the deployment is for, and within which limits."""
        return self.record.draft

    @property
    def references(self) -> int:
        """N: what is searched for each face."""
        return sum(watch_list.references for watch_list in self.lists.values())

    @property
    def authorised_by_govern(self) -> bool:
        """Whether the system itself authorised it, which has no rank."""
        return self.record.by("authorise") == GOVERN


def profile_of(office: Office, record: DeploymentRecord) -> Profile:
    """The profile a deployment runs under.

    Raises:
        PermanentError: it is there no longer.
    """
    profile = office.profiles.get(record.draft.profile)
    if profile is None:
        names = ", ".join(sorted(office.profiles))
        raise PermanentError(f"there is no profile {record.draft.profile}: choose one of {names}")
    return profile


def read_situation(office: Office, record: DeploymentRecord) -> Situation:
    """The situation of a deployment now. Raises `PermanentError`: its profile is gone."""
    profile, draft = profile_of(office, record), record.draft
    names = (*draft.watch_lists, *draft.seed_lists)
    found = {name: office.all_lists.get(subjects.key(name)) for name in names}
    lists = {name: watch_list for name, watch_list in found.items() if watch_list is not None}
    cameras = {name: office.all_cameras.get(subjects.key(name)) for name in draft.cameras}
    undecided = _undecided(office, record, profile)
    lapsed = sum(case.is_gone(office.clock()) for case in undecided)
    return Situation(
        record=record,
        profile=profile,
        lists=lists,
        entries=tuple(entry for entry in office.all_entries.all().values() if entry.watch_list in lists),
        cameras={name: camera for name, camera in cameras.items() if camera is not None},
        calibrations=office.calibrations,
        claims=_claims(office, record, profile, lists),
        open_alerts=len(undecided) - lapsed,
        lapsed_alerts=lapsed,
        urgency_before=_urgency_before(office, record, profile),
        authoriser=office.roster.officers().get(record.by("authorise")),
        now=office.clock(),
    )


def _claims(
    office: Office, record: DeploymentRecord, profile: Profile, lists: Mapping[str, WatchListRecord]
) -> dict[str, str]:
    """By list, another deployment with which it is destroyed, or from under which it would be."""
    claims: dict[str, str] = {}
    for other in office.all_deployments.all().values():
        if other.id == record.id or not other.armed_at:
            continue
        theirs = office.profiles.get(other.draft.profile)
        goes_with_it = theirs is None or theirs.list_destroyed_after_hours != "unlimited"
        would_be_missed = other.state in ACTIVE and profile.list_destroyed_after_hours != "unlimited"
        if goes_with_it or would_be_missed:
            used = (*other.draft.watch_lists, *other.draft.seed_lists)
            claims |= {name: other.id for name in used if name in lists and _was_there(lists[name], other)}
    return claims


def _was_there(watch_list: WatchListRecord, deployment: DeploymentRecord) -> bool:
    """Whether the list, not a later one of the same name, was there before the deployment ended."""
    return deployment.state in ACTIVE or watch_list.created_at <= deployment.ended_at


def _urgency_before(office: Office, record: DeploymentRecord, profile: Profile) -> str:
    """An urgent deployment with a list or a camera of this one that runs, or ended lately, without a judge's word."""
    since = office.clock() - profile.urgency_pause_hours * HOUR_S
    for other in office.all_deployments.all().values():
        ran_unauthorised = other.draft.urgent and other.armed_at and not other.draft.judicial_authorisation
        lately = not other.ended_at or other.ended_at > since
        if other.id != record.id and ran_unauthorised and lately and _share(record.draft, other.draft):
            return other.id
    return ""


def _share(one: DeploymentDraft, other: DeploymentDraft) -> bool:
    lists = {*one.watch_lists, *one.seed_lists} & {*other.watch_lists, *other.seed_lists}
    return bool(lists or one.cameras.keys() & other.cameras.keys())


def _undecided(office: Office, record: DeploymentRecord, profile: Profile) -> list[Case]:
    """Alerts of other deployments, not purged yet, about which too few people have decided.

    Evaluations and real deployments do not wait for each other.
    """
    closed = {other.id for other in office.all_deployments.all().values() if other.closed}
    return [
        case
        for case in office.all_cases.all().values()
        if case.status == "open" and not case.seed and case.deployment not in {record.id, *closed}
        if case.stamp == profile.stamp
    ]
