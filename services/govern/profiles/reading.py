"""Policy profiles: the rules a deployment runs under, as data.

A profile is a TOML file in `services/govern/profiles/` or in the site's own folder (`WATCHLINE_GOVERN_PROFILES`), each
value with its source in a comment. Every value must be there: a missing or unknown one is refused, never guessed.
A limit that a profile does not set says so: `"unlimited"`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from libs.errors import UserError
from libs.toml import read_toml
from libs.wording import user_error

Unlimited = Literal["unlimited"]
DocumentName = Literal["dpia", "policy", "fria", "registration"]
Hours = Annotated[float, Field(ge=0)] | Unlimited
Count = Annotated[int, Field(ge=0)] | Unlimited
Words = Annotated[tuple[str, ...], Field(strict=False)]
"""An array in TOML."""
SHIPPED = Path(__file__).parent
HOUR_S = 3600.0
"""In which profiles count."""


class Profile(BaseModel):
    """The rules of one profile. Times are seconds, unless the name says hours."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)
    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    """The name of its file without `.toml`."""
    title: str = Field(min_length=1)
    stamp: Literal["", "EVALUATION"]
    """Written on every alert and report."""
    live_sources: bool
    authoriser_ranks: Words
    """Ranks an authorising officer may have; none named: any."""
    documents: Annotated[tuple[DocumentName, ...], Field(strict=False)]
    """Those of the draft that must be there, and unexpired where they expire."""
    signage: bool
    complaints_contact: bool
    judicial_authorisation: bool
    urgency_hours: float = Field(ge=0)
    """How long an urgent deployment may run without its judicial authorisation; 0: it may not."""
    urgency_pause_hours: float = Field(ge=0)
    """After an urgent deployment that ended without a judge's word, before its lists or cameras are in another."""
    longest_hours: float = Field(gt=0)
    """Of a deployment, from start to end."""
    list_age_hours: Hours
    """Age of a watch list, from the end of its last import, at which it is too old to be armed."""
    list_size: Count
    """References on all lists of a deployment."""
    list_destroyed_after_hours: Hours
    """After the end of the deployment its lists are destroyed."""
    false_alerts_per_face: float = Field(gt=0, lt=1)
    """The highest projected rate: N times the upper bound of the model's calibrated false match rate."""
    backlog: Count
    """Alerts of earlier deployments that may still be open when another is armed."""
    confirmations: int = Field(ge=1)
    """People who must confirm an alert before an intervention is suggested."""
    escalated_after_s: float = Field(gt=0)
    """An alert that nobody has decided about by then is escalated."""
    alerts_kept_hours: float = Field(gt=0, le=31 * 24)
    """From when an alert was raised to when it is deleted, with its portrait."""
    purged_after_hours: Hours
    """After its end a deployment is purged."""
    logs_kept_days: float = Field(gt=0)
    """The least that audit and cases (ids and hashes) are kept. The audit itself is never deleted."""
    ends_with_restart: bool
    """Whether a deployment ends when `govern` starts: an evaluation does not outlive its program."""
    weak: Words
    """Names of the values whose source is weak or could not be found, as their comments say."""

    @model_validator(mode="after")
    def _contradicts_nothing(self) -> Profile:
        unknown = set(self.weak) - set(Profile.model_fields)
        if unknown:
            raise ValueError(f"weak names no value of a profile: {', '.join(sorted(unknown))}")
        if self.stamp == "EVALUATION" and self.live_sources:
            raise ValueError("an evaluation reads recordings: live_sources is false where stamp is EVALUATION")
        if self.urgency_hours and not self.judicial_authorisation:
            raise ValueError("urgency_hours is 0 where no judicial authorisation is required")
        return self

    def permits_rank(self, rank: str) -> bool:
        """Whether an officer of that rank may authorise."""
        return not self.authoriser_ranks or rank.casefold() in {known.casefold() for known in self.authoriser_ranks}

    def weaknesses(self) -> tuple[str, ...]:
        """A line for each value whose source is weak, for people."""
        return tuple(
            f"{name} = {_shown(getattr(self, name))}: its source is weak or was not found" for name in self.weak
        )


def load_profiles(site: Path | None = None) -> dict[str, Profile]:
    """The profiles that ship with the product and those in the folder `site`, by name.

    Raises:
        UserError: a file cannot be read, a value is missing, unknown or will not do, or a site's profile has the name
            of a shipped one.
    """
    profiles = {path.stem: load_profile(path) for path in sorted(SHIPPED.glob("*.toml"))}
    if site is None:
        return profiles
    if not site.is_dir():
        raise UserError(f"WATCHLINE_GOVERN_PROFILES={site} is no folder", "name the folder of the site's profiles")
    for path in sorted(site.glob("*.toml")):
        if path.stem in profiles:
            raise UserError(f"{path} has the name of a profile that ships with the product", "give it another name")
        profiles[path.stem] = load_profile(path)
    return profiles


def load_profile(path: Path) -> Profile:
    """The profile in a file. Raises `UserError` with the file and the value that is wrong."""
    try:
        profile = Profile.model_validate(read_toml(path, "check the file", f"the profile {path}"))
    except ValidationError as error:
        raise user_error(error, f"the profile {path}") from None
    if profile.name != path.stem:
        raise UserError(f"the profile {path}: name", f"it is {profile.name!r}, and must be that of the file")
    return profile


def _shown(value: object) -> str:
    """A value as a person reads it."""
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else f"{value}".lower()
