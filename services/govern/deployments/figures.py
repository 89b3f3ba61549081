"""What the report of a deployment is made of, gathered from the records: counts and ids, nothing of a face."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from libs.errors import MissingError
from proto import subjects
from proto.audit import AuditEntry, AuditHead, Event
from proto.cases import Case
from proto.counts import FaceCount, Passage, SearchCount
from proto.deployments import DeploymentRecord
from proto.requests.deployments import FiguresReply, FiguresRequest
from proto.watchlists import WatchListRecord
from services.govern.cases.casebook import page_of
from services.govern.cases.evidence import Evidence, what_was_said, without_acts
from services.govern.cases.passages import as_audited, audit_id
from services.govern.cases.telling import tellings
from services.govern.office import Book, Office

SAID: tuple[Event, ...] = ("alert.decided", "alert.escalated", "alert.intervention", "alert.engaged")
"""What happens to an alert, as the audit calls it."""
SETTLED_S = 60.0
"""After this long an alert that the audit tells of has a record, or lacks one."""
Counted = TypeVar("Counted", Case, Passage, FaceCount, SearchCount)


@dataclass(frozen=True)
class Counts:
    """What others have counted, by bucket."""

    passages: Book[Passage]
    faces: Book[FaceCount]
    searches: Book[SearchCount]
    heads: Book[AuditHead]
    audited: Audited


class Audited(Protocol):
    """The part of the audit that says which alerts and passages there were: `services.govern.audit.ledger.Chain`."""

    async def entries_of(self, event: Event, deployment: str) -> Sequence[AuditEntry]:
        """All entries of an event in a deployment. Raises `TransientError`."""


class Figures:
    """The handler of asks for figures."""

    def __init__(self, office: Office, counts: Counts) -> None:
        self._office = office
        self._counts = counts
        self._evidence = Evidence(office.roster, office.ledger)

    async def figures(self, ask: FiguresRequest) -> FiguresReply:
        """All figures of a deployment as they are now; of the cases a page, as far as officers have signed them.

        Each page says of all cases what is missing: one that vanishes between two pages is on neither.

        Raises:
            MissingError: there is no such deployment; or its profile is gone, without which nobody can say whether it
                was an evaluation.
            TransientError: the server is away.
        """
        found = await self._office.deployments.get(subjects.key(ask.deployment))
        if found is None:
            raise MissingError(f"there is no deployment {ask.deployment}")
        record, counts = found[0], self._counts
        noted = self._noted(record.id)  # before the audit, which holds each of them first
        audited = await self._audited(record.id)
        recorded = _of(record.id, self._office.all_cases.all().values())
        cases = [await self._evidence.credible(case, record) for case in recorded]
        held = {entry.id: entry for entry in audited["passage.noted"]}
        lists, others = self._lists(record)
        missing = (
            *_altered(recorded, cases),
            *await _unrecorded(audited, cases, self._office.clock() - SETTLED_S),
            *_refused(len(audited["alert.contradicted"])),
            *_unaudited(len(noted.keys() - held.keys())),
            *_lacking(len(held.keys() - self._noted(record.id)), "passage", "passages", "TPIR is not of all passages"),
            *others,
        )
        shown = {case.alert: without_acts(case) for case in cases}
        page, following = page_of(recorded, ask.after)
        head = max(counts.heads.all().values(), key=lambda head: head.sequence, default=None)
        return FiguresReply(
            record=record,
            stamp=self._stamp(record),
            lists=lists,
            cases=tuple(shown[case.alert] for case in page),
            passages=tuple(as_audited(noted[act], held[act]) for act in noted if act in held),
            faces=_of(ask.deployment, counts.faces.all().values()),
            searches=_of(ask.deployment, counts.searches.all().values()),
            audit_entries=head.sequence if head else 0,
            audit_head=head.sha256 if head else "",
            missing=missing,
            next=following,
        )

    def _noted(self, deployment: str) -> dict[str, Passage]:
        """The passages of a deployment that are recorded, the oldest first, by the id that the audit has for each."""
        return {audit_id(one): one for one in _of(deployment, self._counts.passages.all().values())}

    async def _audited(self, deployment: str) -> dict[Event, Sequence[AuditEntry]]:
        events: tuple[Event, ...] = ("passage.noted", "alert.raised", "alert.contradicted", *SAID)
        return {event: await self._counts.audited.entries_of(event, deployment) for event in events}

    def _stamp(self, record: DeploymentRecord) -> str:
        if record.binding.profile_sha256:  # whatever its profile has become since, it ran as this
            return record.binding.stamp
        profile = self._office.profiles.get(record.draft.profile)
        if profile is None:
            raise MissingError(f"the profile {record.draft.profile} is not there any more: put its file back")
        return profile.stamp

    def _lists(self, record: DeploymentRecord) -> tuple[tuple[WatchListRecord, ...], list[str]]:
        """The lists that were searched, as far as they are recorded, and of which there is another one today.

        Of a destroyed one the counts are left, until another of its name takes its place.
        """
        names = (*record.draft.watch_lists, *record.draft.seed_lists)
        found = [self._office.all_lists.get(subjects.key(name)) for name in names]
        known = [one for one in found if one is not None]
        others = [one.id for one in known if not record.binding.is_of(one)]
        said = "is another one today than the one that was searched: nothing of that is shown."
        return tuple(one for one in known if one.id not in others), [f"The list {name} {said}" for name in others]


def _altered(recorded: Iterable[Case], credible: Iterable[Case]) -> list[str]:
    """That so many cases are recorded otherwise than they are credible, if any."""
    pairs = zip(recorded, credible, strict=True)
    altered = sum(what_was_said(before) != what_was_said(after) for before, after in pairs)
    if not altered:
        return []
    whose = "1 alert says" if altered == 1 else f"{altered} alerts say"
    left_out = "that the officers named have not signed, or that too few have: it is left out."
    return [f"The record of {whose} something {left_out}"]


async def _unrecorded(
    audited: Mapping[Event, Sequence[AuditEntry]], cases: Sequence[Case], settled_by: float
) -> list[str]:
    """What the audit tells of and no record: alerts, and what happened to those that have one.

    An alert is in the audit before it has a record: one that came after `settled_by` may be on its way.
    """
    recorded = {case.alert for case in cases if not case.seed}
    raised = {entry.alert for entry in audited["alert.raised"] if _when_told(entry) <= settled_by}
    acts = {entry.id for event in SAID for entry in audited[event] if entry.alert in recorded}
    for case in cases:
        await asyncio.sleep(0)  # there may be thousands, and officers wait for other answers
        acts.difference_update(telling.audit.id for telling in tellings(case))
    one, many = "decision, escalation, intervention or outcome", "decisions, escalations, interventions or outcomes"
    return [
        *_lacking(len(raised - recorded), "alert", "alerts", "nobody can say what came of it"),
        *_lacking(len(acts), one, many, "`watchline audit show` has it"),
    ]


def _when_told(entry: AuditEntry) -> float:
    """By the clock of `govern`; the time of an entry never runs back, and says what the clock said where it would."""
    said = entry.details.get("clock_said", entry.at)
    return said if isinstance(said, float) else entry.at


def _refused(number: int) -> list[str]:
    """That so many alerts were refused, if any: one of two under an id is forged, and nobody can say which."""
    if not number:
        return []
    said = "1 alert was" if number == 1 else f"{number} alerts were"
    return [f"{said} refused: the audit tells of others under their ids, and the real ones may not be counted."]


def _unaudited(number: int) -> list[str]:
    """That so many records of passages count for nothing, if any."""
    if not number:
        return []
    said = "1 record of a passage is" if number == 1 else f"{number} records of passages are"
    return [f"{said} left out: the audit tells of no such passage."]


def _lacking(number: int, one: str, many: str, then: str) -> list[str]:
    """That so many things of the audit have no record, if any."""
    if not number:
        return []
    said = f"1 {one} that the audit tells of has" if number == 1 else f"{number} {many} of the audit have"
    return [f"{said} no record: {then}."]


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
