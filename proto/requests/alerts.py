"""What operators ask of `govern` about alerts, and its answers."""

from __future__ import annotations

from proto.cases import Case, Engagement, Verdict
from proto.counts import Passage
from proto.messages import Message, Name, SubjectId
from proto.values import Id, Text, Time


class AdjudicateRequest(Message):
    """Act: a person's decision about an alert."""

    deployment: Name
    alert: Id
    verdict: Verdict
    reason: Text


class EngagementRequest(Message):
    """Act: what came of a confirmed alert."""

    deployment: Name
    alert: Id
    engagement: Engagement
    reason: Text


class PassageRequest(Message):
    """Act: a seed has walked through the zone of a camera."""

    deployment: Name
    camera: Name
    subject: SubjectId
    at: Time


class CaseRequest(Message):
    """Asks for one alert in the hands of people."""

    deployment: Name
    alert: Id


class CaseReply(Message):
    """An alert in the hands of people."""

    case: Case


class CasesReply(Message):
    """The alerts of a deployment, or of all, a page at a time, in the order of their keys.

    Without the acts that were signed: the answer for one alert has them.
    """

    cases: tuple[Case, ...]
    next: Id = ""
    """What to ask for after, for the next page; empty where this was the last."""


class PassageReply(Message):
    """A passage as it was noted."""

    passage: Passage
