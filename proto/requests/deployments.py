"""What officers ask of `govern` about deployments, and its answers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from proto.cases import Case
from proto.counts import FaceCount, Passage, SearchCount
from proto.deployments import DeploymentDraft, DeploymentRecord, Zone
from proto.messages import Message, Name
from proto.values import Count, Explanation, Id, OptionalSha256, Text, Version
from proto.watchlists import WatchListRecord

Verb = Literal["authorise", "refuse", "arm", "suspend", "end", "purge", "grant_judicial", "refuse_judicial", "register"]
"""What is done to a deployment. The last three are of the profile `eu-ai-act`."""


class DraftRequest(Message):
    """Act: drafts a deployment; or redrafts one that is not authorised yet, where `record_version` is its own."""

    draft: DeploymentDraft
    record_version: Count = 0


class TransitionRequest(Message):
    """Act: does `verb` to a deployment whose record is at `record_version`; otherwise it is refused (409)."""

    verb: Verb
    deployment: Name
    record_version: Version
    reason: str = Field(default="", max_length=4000)
    reference: str = Field(default="", max_length=512)
    """The id of the judicial authorisation that was granted or refused, or of the registration."""


class AmendRequest(Message):
    """Act: changes threshold or cameras of a deployment that is authorised, armed or suspended."""

    deployment: Name
    record_version: Version
    reason: Text
    threshold: float | None = Field(default=None, ge=-1, le=1)
    target_fpir: float | None = Field(default=None, gt=0, lt=1)
    cameras: dict[Name, Zone] | None = None


class DeploymentRequest(Message):
    """Asks for one deployment."""

    deployment: Name


class DeploymentReply(Message):
    """A deployment, and what now stands against arming it."""

    record: DeploymentRecord
    obstacles: tuple[Explanation, ...] = ()
    """Each with its remedy; none where it can be armed."""
    warnings: tuple[Explanation, ...] = ()
    """Values of its profile whose source is weak."""


class DeploymentsReply(Message):
    """All deployments."""

    records: tuple[DeploymentRecord, ...]


class FiguresRequest(Message):
    """Asks for all that a report is made of; for the cases alone that follow `after`, where it says so."""

    deployment: Name
    after: Id = ""


class FiguresReply(Message):
    """All that the report of a deployment is made of; of the cases a page, without the acts that were signed.

    What no officer signed is left out of the cases, and counts as missing.
    """

    record: DeploymentRecord
    stamp: Id
    lists: tuple[WatchListRecord, ...]
    cases: tuple[Case, ...]
    passages: tuple[Passage, ...]
    faces: tuple[FaceCount, ...]
    searches: tuple[SearchCount, ...]
    audit_entries: Count
    audit_head: OptionalSha256
    missing: tuple[Explanation, ...] = ()
    """In words, why the cases fall short of what happened; nothing where they do not."""
    next: Id = ""
    """What to ask for after, for the next page of cases; empty where this was the last."""
