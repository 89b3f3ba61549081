"""What is due for a deployment by the clock alone: its end, its purge, the destruction of its lists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from proto.audit import Details
from proto.deployments import DeploymentRecord
from services.govern.deployments.binding import runs_under
from services.govern.office import Office
from services.govern.profiles.reading import HOUR_S, Hours

DISCARDING = ("refuse_judicial", "lapse")
"""Deeds after which nothing is kept: "all the data, as well as the results and outputs" (AI Act, art. 5(3))."""


@dataclass(frozen=True)
class Due:
    """A deed of the system itself, and what it changes in the record."""

    verb: str
    reason: str
    changes: Mapping[str, object]
    details: Details = field(default_factory=dict)


def due(record: DeploymentRecord, office: Office, restarted: bool = False) -> Due | None:
    """What is due now; nothing while the data of the deployment is being deleted.

    `restarted` where this program has just started and the profile says `ends_with_restart`.
    """
    if record.deleting or record.state in ("draft", "refused", "purged"):
        return None
    now = office.clock()
    return _due_by_the_clock(record, now) or _due_by_its_profile(record, office, now, restarted)


def _due_by_the_clock(record: DeploymentRecord, now: float) -> Due | None:
    if record.urgent_until and now >= record.urgent_until:
        changes = {**ended(record, record.urgent_until), "deleting": True}
        return Due("lapse", "no judicial authorisation came in time: it stops, and all of it is deleted", changes)
    if record.state != "ended" and now >= record.draft.ends_at:
        return Due("end", "its end time has passed", ended(record, record.draft.ends_at))
    return None


def _due_by_its_profile(record: DeploymentRecord, office: Office, now: float, restarted: bool) -> Due | None:
    if restarted and record.state in ("armed", "suspended"):
        return Due("end", "the system started anew, and its profile ends it with that", ended(record, now))
    profile = office.profiles.get(record.draft.profile)
    if record.state == "armed" and not runs_under(record, profile):
        return Due("suspend", "its profile is gone, or is not as it was when it was armed", {"state": "suspended"})
    if record.state == "ended" and profile is not None and _is_over(record, profile.purged_after_hours, now):
        return Due("purge", "its profile purges it now", {"deleting": True})
    return None


def ended(record: DeploymentRecord, at: float) -> dict[str, object]:
    """What changes in a record that ends at `at`: periods count from its first end, never a later one."""
    return {"state": "ended", "ended_at": record.ended_at or min(at, record.draft.ends_at)}


def lists_are_due(record: DeploymentRecord, office: Office) -> bool:
    """Whether the lists of a deployment must be destroyed by now.

    Those of one that never ran may be another's by now: they go when they expire.
    """
    if record.state not in ("ended", "purged") or not record.armed_at:
        return False
    profile = office.profiles.get(record.draft.profile)
    return discards(record) or (
        profile is not None and _is_over(record, profile.list_destroyed_after_hours, office.clock())
    )


def discards(record: DeploymentRecord) -> bool:
    """Whether even the cases and the lists of a deployment go."""
    return any(deed.verb in DISCARDING for deed in record.deeds)


def _is_over(record: DeploymentRecord, hours: Hours, now: float) -> bool:
    return hours != "unlimited" and now >= record.ended_at + hours * HOUR_S
