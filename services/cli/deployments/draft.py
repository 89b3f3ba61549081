"""Drafts of deployments as files: a template to start from, and what is read of one that was filled in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from libs.errors import UserError
from libs.toml import read_toml
from libs.wording import user_error
from proto.deployments import DeploymentDraft, Zone
from proto.messages import Name

TEMPLATE = """\
# The draft of a deployment. Fill it in, then:  watchline deployment draft THIS-FILE --as OFFICER
# Times bear their offset: 2026-03-14T09:00:00Z, or 2026-03-14T09:00:00+01:00.

deployment = "station-north"            # letters, digits, - and _
profile = "uk-police"                   # or eu-ai-act, evaluation, or one of the site's own

purpose = "WHAT IT IS FOR"
legal_basis = "ON WHICH LAW IT RESTS"
strict_necessity = "WHY NOTHING LESS INTRUSIVE WILL DO"
alternatives = "WHAT ELSE WAS CONSIDERED, AND WHY IT WAS NOT ENOUGH"
location = "WHERE"

starts_at = {starts_at}
ends_at = {ends_at}        # a hard stop

watch_lists = ["wanted"]                # made with `watchline watchlist create`, for this deployment alone
seed_lists = []                         # of known people who walk past on purpose, to measure the recognition rate

# Either the comparison score at or over which an alert is raised, or the false alert rate a face to aim for.
threshold = 0.60
# target_fpir = 0.0005
cooldown_s = 60.0                       # at least so long between two alerts for one person at one camera

signage_confirmed = false               # true once the signs are up
complaints_contact = "WHOM TO COMPLAIN TO"

# For the profile eu-ai-act: the ids of the fundamental rights impact assessment and of the registration in the EU
# database, and the judicial authorisation; or urgent = true, and `watchline deployment judicial` within 24 hours.
# fria = ""
# registration = ""
# judicial_authorisation = ""
# urgent = false

[dpia]                                  # the data protection impact assessment
id = "DPIA-1"
expires_at = {expires_at}

[policy]                                # the appropriate policy document
id = "APD-1"
expires_at = {expires_at}

# Each camera with its zone of recognition: only faces in it are searched and counted. The corners are fractions of the
# frame's width and height; without them it is the whole frame. min_face_px: narrower faces are not looked at.
[cameras.gate-1]
polygon = [[0.0, 0.2], [1.0, 0.2], [1.0, 1.0], [0.0, 1.0]]
min_face_px = 40
"""


WRITTEN = {"cameras": "the table [cameras.NAME]", "dpia": "the table [dpia]", "policy": "the table [policy]"}
"""How the values of a draft are written that are tables."""


class _Cameras(BaseModel):
    model_config = ConfigDict(extra="ignore")
    cameras: dict[Name, Zone] = Field(min_length=1)


def template(now: float) -> str:
    """A draft to fill in, whose deployment starts at the next full hour and lasts five."""
    start = datetime.fromtimestamp(now, UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    times = {"starts_at": start, "ends_at": start + timedelta(hours=5), "expires_at": start + timedelta(days=365)}
    return TEMPLATE.format(**{name: at.strftime("%Y-%m-%dT%H:%M:%SZ") for name, at in times.items()})


def read_draft(path: Path) -> DeploymentDraft:
    """The draft in a file. Raises `UserError` with the value that is wrong."""
    try:
        return DeploymentDraft.model_validate(_read(path))
    except ValidationError as error:
        raise user_error(error, str(path), WRITTEN) from None


def read_cameras(path: Path) -> dict[Name, Zone]:
    """The cameras in a file, which may be a whole draft. Raises `UserError` with the value that is wrong."""
    try:
        return _Cameras.model_validate(_read(path)).cameras
    except ValidationError as error:
        raise user_error(error, str(path), WRITTEN) from None


def _read(path: Path) -> dict[str, Any]:
    """What a file holds, its times as Unix seconds."""
    read = read_toml(path, "check the path of the draft")
    return {name: _timed(path, name, value) for name, value in read.items()}


def _timed(path: Path, name: str, value: object) -> object:
    """A value with every time in it as Unix seconds; a day without a time counts to its end, in UTC."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise UserError(
                f"{path}: {name} has no offset", f"write {value.isoformat()}Z, or {value.isoformat()}+01:00"
            )
        return value.timestamp()
    if isinstance(value, date):
        return datetime.combine(value, time.max, UTC).timestamp()
    if isinstance(value, Mapping):
        return {inner: _timed(path, f"{name}.{inner}", each) for inner, each in value.items()}
    return value
