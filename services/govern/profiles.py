"""Policy profiles: the rules a deployment runs under, as data.

A profile is a TOML file in `services/govern/profiles/` or in the site's own folder (`WATCHLINE_GOVERN_PROFILES`), each
value with its source in a comment. Every value must be there: a missing or unknown one is refused, never guessed.
A limit that a profile does not set says so: `"unlimited"`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Unlimited = Literal["unlimited"]
DocumentName = Literal["dpia", "policy", "fria", "registration"]


class Profile(BaseModel):
    """The rules of one profile. Times are seconds, unless the name says hours."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    name: str
    title: str
    stamp: Literal["", "EVALUATION"]
    """Written on every alert and report."""
    live_sources: bool
    authoriser_ranks: tuple[str, ...]
    """Ranks an authorising officer may have; none named: any."""
    documents: tuple[DocumentName, ...]
    """Those of the draft that must be there, and unexpired where they expire."""
    signage: bool
    complaints_contact: bool
    judicial_authorisation: bool
    urgency_hours: float = Field(ge=0)
    """How long an urgent deployment may run without its judicial authorisation; 0: it may not."""
    longest_hours: float = Field(gt=0)
    """Of a deployment, from start to end."""
    list_age_hours: float | Unlimited
    """Age of a watch list, from the end of its last import, at which it is too old to be armed."""
    list_size: int | Unlimited
    """References on all lists of a deployment."""
    list_destroyed_after_hours: float | Unlimited
    """After the end of the deployment its lists are destroyed."""
    false_alerts_per_face: float = Field(gt=0, lt=1)
    """The highest projected rate: N times the model's calibrated false match rate."""
    backlog: int = Field(ge=0)
    """Alerts of earlier deployments that may still be open when another is armed."""
    confirmations: int = Field(ge=1)
    """People who must confirm an alert before an intervention is suggested."""
    escalated_after_s: float = Field(gt=0)
    """An alert that nobody has decided about by then is escalated."""
    alerts_kept_hours: float = Field(gt=0, le=31 * 24)
    """From when an alert was raised to when it is deleted, with its portrait."""
    purged_after_hours: float | Unlimited
    """After its end a deployment is purged."""
    logs_kept_days: float = Field(gt=0)
    """The least that audit and cases (ids and hashes) are kept. The audit itself is never deleted."""
    ends_with_restart: bool
    """Whether a deployment ends when `govern` starts: an evaluation does not outlive its program."""
    weak: tuple[str, ...]
    """Names of the values whose source is weak or could not be found, as their comments say."""
