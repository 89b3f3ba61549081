"""The register of watch lists: where their records lie, who may change them, and what the audit must hear of it.

A change is one compare-and-set of the list's record, which holds the deed and, until `govern` has written it into
the audit, what is owed to the audit. So whatever dies in between, nothing is done unheard: what is owed is paid at
once, or at the next sweep. What the audit refuses stays owed, and is seen in the record of the list.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

from libs.bus import Conflict
from libs.errors import ConflictError, MissingError, PermanentError, TransientError
from libs.gallery import Gallery
from libs.log import Log
from libs.officers import Roster, Signed
from proto import subjects
from proto.audit import Deed, Details, list_act_id
from proto.codec import DecodeError
from proto.messages import Message
from proto.requests.audit import AuditReply, AuditRequest
from proto.sealed import Sealed
from proto.watchlists import EntryRecord, NameRecord, OwedEntry, WatchListRecord
from services.match.admission import Warrants, must_be_unarmed
from services.match.entries import Entries
from services.match.turns import Turns

M = TypeVar("M", bound=Message)
R = TypeVar("R", bound=Message)

DEEDS_KEPT = 64
"""Of one list; the audit holds them all."""
ATTEMPTS = 8
"""Writes of a record that may meet somebody else's; each then starts from what is there now."""
AUDIT_TIMEOUT_S = 5.0
"""How long `govern` may take to write an entry; it takes a few milliseconds."""
MYSELF = "match"
"""Who does what is due by the clock alone."""


class Shelf(Protocol[M]):
    """Records to compare and set, and to erase, as `libs.bus.Records`."""

    async def get(self, key: str) -> tuple[M, int] | None:
        """The record and its revision."""

    async def put(self, key: str, record: M) -> int:
        """The revision of the record, now there whatever was there before."""

    async def replace(self, key: str, record: M, revision: int) -> int:
        """The new revision; raises `Conflict`."""

    async def erase(self, key: str) -> None:
        """Removes the record, so that its bytes are gone from the disk."""


class Portraits(Protocol):
    """The pictures of references, as `libs.bus.Portraits`."""

    async def put(self, key: str, jpeg: bytes) -> None:
        """Keeps a portrait."""

    async def drop(self, key: str) -> None:
        """Erases a portrait, if there is one."""


class Asker(Protocol):
    """The part of the bus through which others are asked."""

    async def ask(self, subject: str, message: Message, expected: type[R], timeout_s: float | None = None) -> R:
        """The answer."""


Snapshot = Callable[[str], Awaitable[Mapping[str, EntryRecord]]]
"""All entries of a list by subject, as they lie in the bucket now."""
Change = Callable[[WatchListRecord], WatchListRecord]


@dataclass(frozen=True)
class Registry:
    """What every act on a list needs. One for the whole program."""

    bus: Asker
    lists: Shelf[WatchListRecord]
    entries: Shelf[EntryRecord]
    names: Shelf[NameRecord]
    portraits: Portraits
    gallery: Gallery
    roster: Roster
    warrants: Warrants
    book: Entries
    snapshot: Snapshot
    log: Log
    template_version: str
    clock: Callable[[], float] = time.time
    turns: Turns = field(default_factory=Turns)
    tidy: set[str] = field(default_factory=set)
    """Lists in whose gallery there is nothing but what their entries say, as far as this program has looked."""
    _newest: dict[str, WatchListRecord] = field(default_factory=dict)
    """What this program wrote itself, which the book may not have heard of yet."""
    _refused: set[str] = field(default_factory=set)
    """Entries that the audit did not take, as was logged."""

    def signed(self, sealed: Sealed, kind: type[M]) -> Signed[M]:
        """The request of an officer who may change lists. Raises as `Roster.check`."""
        return self.roster.check(sealed, kind, {"list_manager"})

    def must_be_unarmed(self, watch_list: str) -> None:
        """Does nothing for a list that people may be added to. Raises as `admission.must_be_unarmed`."""
        must_be_unarmed(self.warrants, watch_list, self.clock())

    def known(self, watch_list: str) -> WatchListRecord:
        """The list as this program knows it, without asking the bus.

        Raises:
            MissingError: it knows none.
        """
        key = subjects.key(watch_list)
        heard, written = self.book.lists.get(key), self._newest.get(key)
        known = [record for record in (heard, written) if record is not None]
        if not known:
            raise MissingError(f"there is no watch list {watch_list}: create it first")
        return max(known, key=lambda record: record.record_version)

    @contextmanager
    def untidy_if_cut_short(self, watch_list: str) -> Iterator[None]:
        """Runs the block; where it fails, the gallery may hold what no entry speaks for, until it is swept."""
        try:
            yield
        except BaseException:
            self.tidy.discard(watch_list)
            raise

    async def read(self, watch_list: str) -> WatchListRecord:
        """The list as it lies in the bucket now.

        Raises:
            MissingError: there is none.
            TransientError: the bus is away.
        """
        return (await self._read(watch_list))[0]

    async def change(self, watch_list: str, how: Change) -> WatchListRecord:
        """The record that `how` made of the list's, now written.

        Raises:
            MissingError: there is no such list.
            ConflictError: somebody else went on changing it.
            TransientError: the bus is away.
        """
        for _ in range(ATTEMPTS):
            record, revision = await self._read(watch_list)
            changed = how(record)
            if changed == record:
                return record
            try:
                await self.lists.replace(subjects.key(watch_list), changed, revision)
            except Conflict:
                continue
            self.note(changed)
            return changed
        raise ConflictError(f"the watch list {watch_list} is being changed by somebody else: look at it and try again")

    def note(self, record: WatchListRecord) -> None:
        """Remembers what was written of a list."""
        self._newest[subjects.key(record.id)] = record

    async def report(self, watch_list: str) -> WatchListRecord:
        """The list once the audit was told what it is owed, the oldest first; what the audit does not hold stays owed.

        Where `govern` is away, so is all that follows. What `govern` refuses (its officer is on the roster no longer,
        or the audit holds another act under its id) is logged once, told again at every look, and holds up nothing: so
        the audit may hold an act of a list after later ones. Which came first, the version in the id says, and the time
        of the deed.

        Raises:
            TransientError: the bus is away.
        """
        record = await self.read(watch_list)
        for owed in _payable(record):
            request = audit_request(record, owed)
            try:
                await self.bus.ask(f"{subjects.AUDIT_ASKS}.append", request, AuditReply, AUDIT_TIMEOUT_S)
            except TransientError as error:
                self.log.warning("audit.owed", watch_list=watch_list, entries=len(record.owed), reason=error.reason)
                break
            except (PermanentError, DecodeError) as error:
                self._note_refusal(request.id, error)
            else:
                record = await self.change(watch_list, partial(_without, owed))
        return record

    def _note_refusal(self, entry: str, error: Exception) -> None:
        """Logs, once, that the audit does not take an entry. Reasons hold ids alone, as every `PermanentError`'s."""
        if entry not in self._refused:
            self._refused.add(entry)
            self.log.error("audit.refused", entry=entry, reason=str(error))

    async def _read(self, watch_list: str) -> tuple[WatchListRecord, int]:
        found = await self.lists.get(subjects.key(watch_list))
        if found is None:
            raise MissingError(f"there is no watch list {watch_list}: create it first")
        return found


def with_deed(record: WatchListRecord, deed: Deed, **update: object) -> WatchListRecord:
    """The next version of the record: with the deed, and `update` of its fields."""
    deeds = (*record.deeds, deed)[-DEEDS_KEPT:]
    return record.model_copy(update={"record_version": record.record_version + 1, "deeds": deeds, **update})


def owing(record: WatchListRecord, event: str, details: Details, sealed: bytes = b"") -> WatchListRecord:
    """The record with its last deed owed to the audit, as `event`; `sealed` is the act of the officer who did it."""
    owed = OwedEntry(
        record_version=record.record_version, event=event, deed=record.deeds[-1], details=details, sealed=sealed
    )
    return record.model_copy(update={"owed": (*record.owed, owed)})


def own_deed(verb: str, reason: str, now: float) -> Deed:
    """A deed of this program itself, by its own clock."""
    return Deed(who=MYSELF, verb=verb, at=now, reason=reason)


def audit_request(record: WatchListRecord, owed: OwedEntry) -> AuditRequest:
    """What `govern` is asked to append; the same id each time, so that it is appended once."""
    return AuditRequest(
        id=list_act_id(record.id, owed.record_version, owed.deed),
        event=owed.event,
        deed=owed.deed,
        record_version=owed.record_version,
        watch_list=record.id,
        details=owed.details,
        sealed=owed.sealed,
    )


def promise(record: WatchListRecord) -> OwedEntry:
    """What a list that is being destroyed owes the audit of that; what else happens meanwhile may be owed after it.

    Raises:
        PermanentError: it owes nothing of that, so its record is none that this program wrote.
    """
    for owed in reversed(record.owed):
        if owed.event == "watchlist.destroyed":
            return owed
    raise PermanentError(f"the watch list {record.id} is being destroyed, and its record does not say by whom")


def without_promise(record: WatchListRecord) -> tuple[OwedEntry, ...]:
    """The rest of what it owes."""
    return _without(promise(record), record).owed


def _payable(record: WatchListRecord) -> tuple[OwedEntry, ...]:
    """What is owed and done: a destruction that is under way is told when it is over."""
    return without_promise(record) if record.state == "destroying" else record.owed


def _without(paid: OwedEntry, record: WatchListRecord) -> WatchListRecord:
    return record.model_copy(update={"owed": tuple(owed for owed in record.owed if owed != paid)})
