"""From an alert to a case: only what a deployment that ran can have raised gets into the hands of people.

It gets there at once, whatever else is missing: it waits for as many people as the deployment was armed with; without
its profile as short as the strictest rules ask for.
"""

from __future__ import annotations

from libs.errors import MissingError, PermanentError
from proto.cases import Case
from proto.deployments import DeploymentRecord
from proto.messages import Alert
from services.govern.cases.casebook import CaseBook
from services.govern.profiles.reading import HOUR_S, Profile

KEPT_HOURS = 24.0
"""How long an alert is kept where nobody can say: as every profile that ships has it, and the SWP trial policy."""


async def open_case(alert: Alert, book: CaseBook) -> Case:
    """The case of an alert, or of one for a seed. The same alert again changes nothing.

    Raises:
        PermanentError: no deployment that ran can have raised it.
        TransientError: the server is away.
    """
    if alert.id != alert.own_id:
        raise PermanentError("no alert of ours has such an id")
    try:
        record = await book.deployment(alert.deployment)
    except MissingError:
        raise PermanentError(f"no deployment {alert.deployment} can have raised the alert") from None
    _check(alert, record)
    return await book.open(_case_of(alert, record, book.profile(record), book.now()))


def _check(alert: Alert, record: DeploymentRecord) -> None:
    if not record.armed_at or record.closed:
        raise PermanentError(f"deployment {record.id} is {record.state}: it raises no alerts")
    lists = record.draft.seed_lists if alert.seed else record.draft.watch_lists
    if alert.watch_list not in lists:
        kind = "seed" if alert.seed else "watch"
        raise PermanentError(f"deployment {record.id} has no {kind} list {alert.watch_list}")


def _case_of(alert: Alert, record: DeploymentRecord, profile: Profile | None, now: float) -> Case:
    raised_at = min(alert.raised_at, now)  # none is kept longer because a clock is ahead
    kept_until = raised_at + (profile.alerts_kept_hours if profile else KEPT_HOURS) * HOUR_S
    return Case(
        alert=alert.id,
        deployment=alert.deployment,
        record_version=alert.record_version,
        camera=alert.camera,
        watch_list=alert.watch_list,
        subject=alert.subject,
        score=alert.score,
        threshold=alert.threshold,
        searched=alert.searched,
        template_version=alert.template_version,
        captured_at=alert.captured_at,
        raised_at=raised_at,
        seed=alert.seed,
        stamp=record.binding.stamp or (profile.stamp if profile else ""),
        confirmations_needed=record.binding.confirmations,
        portrait_sha256=alert.portrait_sha256,
        expires_at=min(alert.expires_at or kept_until, kept_until),
    )
