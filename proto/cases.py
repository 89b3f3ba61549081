"""Alerts in the hands of people: what was decided, by whom, and what came of it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from proto.messages import ListName, Message, Name, SubjectId
from proto.sealed import OfficerId
from proto.values import Count, Id, Line, OptionalSha256, Score, Text, Time, Value, Version
from proto.watchlists import Response

Status = Literal["open", "confirmed", "rejected", "undecided"]
Verdict = Literal["confirmed", "rejected", "no_decision"]
Engagement = Literal["confirmed_true", "confirmed_false", "no_engagement"]
"""What came of an alert: South Wales Police's published terms."""


class Statement(Value):
    """What one person said of an alert, with the act that they have signed."""

    officer: OfficerId
    reason: Text
    at: Time
    """By the clock of `govern`."""
    origin: Line = ""
    act: OptionalSha256 = ""
    """SHA-256 of the sealed act, as in `Deed`."""
    sealed: str = ""
    """The sealed act itself, in base64: without it nothing is told of what was said."""


class Decision(Statement):
    """What one person decided of an alert."""

    verdict: Verdict
    key_sha256: OptionalSha256 = ""
    """Of the public key that signed it: all that one key has decided is one person's, under whatever names."""


class Outcome(Statement):
    """What came of a confirmed alert."""

    engagement: Engagement


class Case(Message):
    """An alert in the hands of people, bucket `cases`: ids, times and decisions. Written by `govern` alone."""

    alert: Id
    deployment: Name
    record_version: Version
    camera: Name
    watch_list: ListName
    subject: SubjectId
    response: Response | Literal[""] = ""
    """Of the list; empty until as many people as needed have confirmed, so that nothing suggests it before."""
    score: Score
    threshold: Score
    searched: Count
    template_version: Id = ""
    captured_at: Time
    raised_at: Time
    seed: bool = False
    stamp: Id = ""
    confirmations_needed: Count = Field(default=1, ge=1)
    status: Status = "open"
    decisions: tuple[Decision, ...] = ()
    outcome: Outcome | None = None
    escalated_at: Time = 0.0
    portrait_sha256: OptionalSha256 = ""
    """Of the portrait that people saw, which is not kept as long as this."""
    expires_at: Time = 0.0
    """When the alert and its portrait are to be deleted: from then on nobody can confirm it."""
    deleted_at: Time = 0.0
    """When the alert and its portrait were deleted."""
    told: tuple[Id, ...] = ()
    """Ids of what happened to it that is in the audit and published: what is missing here is made up for."""

    def is_gone(self, now: float) -> bool:
        """Whether the alert and its portrait are deleted at `now`, or should be: a late sweep changes nothing."""
        return self.deleted_at > 0 or now >= self.expires_at


class Intervention(Message):
    """Published once a person, or as many as the profile requires, confirmed an alert. Officers assess for themselves.

    Nothing that suggests an intervention is published before this.
    """

    deployment: Name
    record_version: Version
    alert: Id
    camera: Name
    watch_list: ListName
    subject: SubjectId
    response: Response
    captured_at: Time
    confirmed_by: tuple[OfficerId, ...]
    confirmed_at: Time
    stamp: Id = ""


class Adjudication(Message):
    """Published for every decision, engagement and escalation: what a control room follows."""

    deployment: Name
    alert: Id
    event: Literal["decision", "engagement", "escalation"]
    status: Status
    officer: Id = ""
    at: Time
