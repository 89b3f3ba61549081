"""What the report of a deployment is made of, gathered from the records: counts and ids, nothing of a face."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from libs.errors import MissingError
from proto import subjects
from proto.governance import (
    AuditHead,
    Case,
    DeploymentDraft,
    DeploymentRecord,
    FaceCount,
    Passage,
    SearchCount,
    WatchListRecord,
)
from proto.requests import DeploymentRequest, FiguresReply
from services.govern.office import Book, Office

Counted = TypeVar("Counted", Case, Passage, FaceCount, SearchCount)


@dataclass(frozen=True)
class Counts:
    """What others have counted, by bucket."""

    passages: Book[Passage]
    faces: Book[FaceCount]
    searches: Book[SearchCount]
    heads: Book[AuditHead]


class Figures:
    """The handler of asks for figures."""

    def __init__(self, office: Office, counts: Counts) -> None:
        self._office = office
        self._counts = counts

    async def figures(self, ask: DeploymentRequest) -> FiguresReply:
        """All figures of a deployment as they are now.

        Raises:
            MissingError: there is no such deployment; or its profile is gone, without which nobody can say whether it
                was an evaluation.
            TransientError: the server is away.
        """
        found = await self._office.deployments.get(subjects.key(ask.deployment))
        if found is None:
            raise MissingError(f"there is no deployment {ask.deployment}")
        record, counts = found[0], self._counts
        head = max(counts.heads.all().values(), key=lambda head: head.sequence, default=None)
        return FiguresReply(
            record=record,
            stamp=self._stamp(record),
            lists=self._lists(record.draft),
            cases=_of(ask.deployment, self._office.all_cases.all().values()),
            passages=_of(ask.deployment, counts.passages.all().values()),
            faces=_of(ask.deployment, counts.faces.all().values()),
            searches=_of(ask.deployment, counts.searches.all().values()),
            audit_entries=head.sequence if head else 0,
            audit_head=head.sha256 if head else "",
        )

    def _stamp(self, record: DeploymentRecord) -> str:
        profile = self._office.profiles.get(record.draft.profile)
        if profile is None:
            raise MissingError(f"the profile {record.draft.profile} is not there any more: put its file back")
        return profile.stamp

    def _lists(self, draft: DeploymentDraft) -> tuple[WatchListRecord, ...]:
        """The lists that were searched, as far as they are recorded; of a destroyed one the counts are left."""
        names = (*draft.watch_lists, *draft.seed_lists)
        found = (self._office.all_lists.get(subjects.key(name)) for name in names)
        return tuple(record for record in found if record is not None)


def _of(deployment: str, records: Iterable[Counted]) -> tuple[Counted, ...]:
    """The records of a deployment, the oldest first."""
    return tuple(sorted((one for one in records if one.deployment == deployment), key=_when))


def _when(record: Case | Passage | FaceCount | SearchCount) -> float:
    match record:
        case Case():
            return record.raised_at
        case Passage():
            return record.at
        case FaceCount() | SearchCount():
            return record.updated_at
