"""The audit: appends every act to the chain in stream AUDIT, once, after the entry that is the last at that moment.

The server takes an entry only while the last sequence is the one that the entry was made for, so that two writers
cannot fork the chain: the slower one reads on and tries again. Acts have ids, and the one that is there already is
never written twice, over restarts, over writers, and where an answer of the server was lost.

Time in the chain never runs back: an entry made while the clock is behind the last one bears the time of that one, and
says in `details` what the clock said.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Protocol

from libs import chain
from libs.bus import Bus, Conflict, Records, Stored
from libs.errors import PermanentError, TransientError
from libs.log import Log
from libs.seals import SealError, Signer
from libs.waiting import settled
from proto import codec, subjects
from proto.audit import AuditEntry, AuditHead, Deed, Details, Event
from proto.messages import Message
from proto.requests.audit import AuditRequest
from proto.sealed import GOVERN, Sealed
from services.govern.audit.details import fit
from services.govern.audit.index import Index

HEAD = "head"
"""The key of the newest head in bucket `heads`. A head that the chain came to contradict is kept under another."""
TAIL = 256
"""Entries at the end of the chain whose seals and links are checked at start; `watchline audit verify` checks all."""
AT_A_TIME = 64
"""Entries that are fetched side by side: one after the other, each would wait for the server."""
TRIES = 100
"""How often another writer may come first."""


class Stream(Protocol):
    """The part of the bus that the chain lies on."""

    async def append(self, stream: subjects.Stream, subject: str, message: Message, expected_last: int) -> int:
        """The sequence of the message; raises `Conflict`."""

    def stored(self, stream: subjects.Stream, subject: str = ">", first: int = 1) -> AsyncIterator[Stored]:
        """What lies in the stream."""

    async def stored_at(self, stream: subjects.Stream, sequence: int) -> Stored | None:
        """What lies there, if there is anything."""

    async def last_sequence(self, stream: subjects.Stream) -> int:
        """The last sequence there."""


class Heads(Protocol):
    """Where sealed heads are kept, as `libs.bus.Records`."""

    async def all(self) -> dict[str, Sealed]:
        """Every head, by key."""

    async def put(self, key: str, record: Sealed) -> int:
        """Keeps a head."""


class Chain:
    """The chain as its writer knows it. Made by `open`."""

    def __init__(
        self, stream: Stream, heads: Heads, signer: Signer, log: Log, clock: Callable[[], float] = time.time
    ) -> None:
        self._stream = stream
        self._heads = heads
        self._signer = signer
        self._log = log
        self._clock = clock
        self._lock = asyncio.Lock()
        self._last = 0
        self._digest = chain.GENESIS
        self._at = 0.0
        self._index = Index()
        self._seen: AuditHead | None = None
        """What a chain that is being read from its beginning must agree with; `None` once it is read."""
        self._unnoticed: list[chain.Break] = []
        """What is wrong with the chain and is not written into it yet."""
        self._verified: dict[str, int] = {}
        """By deployment, the highest version whose entry was found to be true."""
        self._contradicted: set[str] = set()
        """Ids under which another act was told, which is logged once."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls, bus: Bus, signer: Signer, log: Log, clock: Callable[[], float] = time.time
    ) -> AsyncIterator[Chain]:
        """The chain on a bus, read to its end. What is wrong with its tail is logged and written into it.

        Raises:
            TransientError: the server is away.
        """
        opened = cls(bus, Records(bus, subjects.HEADS, Sealed), signer, log, clock)
        await opened.read()
        yield opened

    @property
    def head(self) -> AuditHead:
        """The last entry, as far as this writer knows; sequence 0 before the first."""
        return AuditHead(sequence=self._last, sha256=self._digest.hex(), at=self._at)

    @property
    def entries(self) -> int:
        """How many entries there are, as far as this writer knows."""
        return self._last

    async def entries_of(self, event: Event, deployment: str) -> list[AuditEntry]:
        """All entries of an event in a deployment, the oldest first. Raises `TransientError`."""
        async with self._lock:
            await self._catch_up()
            acts = self._index.acts(event, deployment)
        found: list[AuditEntry | None] = []
        for start in range(0, len(acts), AT_A_TIME):
            async with self._lock:  # between the parts others get their turn
                await self._finish_reading()
                found += await settled(self._find(act) for act in acts[start : start + AT_A_TIME])
        return [entry for entry in found if entry and (entry.event, entry.deployment) == (event, deployment)]

    async def append(self, request: AuditRequest) -> AuditEntry:
        """The entry of an act; the one that is there already where its id came before.

        Raises:
            PermanentError: it holds what an audit may not, or another act has that id.
            TransientError: the server is away or slow, or other writers came first all the time.
        """
        fitting = fit(request)
        async with self._lock:
            await self._finish_reading()
            if self._index.places(fitting.id):
                await self._read_on()  # it counts where it still stands
            return await self._append_once(fitting)

    async def find(self, act: str) -> AuditEntry | None:
        """The entry of the act of that id, if there is one that is ours: what others wrote under it does not count.

        Raises:
            TransientError: the server is away.
        """
        if (remembered := self._index.remembered(act)) is not None:
            return remembered
        async with self._lock:
            if (found := await self._find(act)) is None:
                await self._catch_up()  # another writer may have told of it
                found = await self._find(act)
            return found

    async def acts_of(self, deployment: str, alert: str, but: Collection[str]) -> list[str]:
        """The ids of what happened to an alert, those in `but` left out.

        Raises:
            TransientError: the server is away.
        """
        async with self._lock:
            await self._catch_up()
            told = [await self._find(act) for act in sorted(self._index.acts_of(alert).difference(but))]
        return [entry.id for entry in told if entry and (entry.deployment, entry.alert) == (deployment, alert)]

    async def _find(self, act: str) -> AuditEntry | None:
        """As `find`, as far as this writer has read. What turns out to be no entry of the act is looked at once."""
        if (remembered := self._index.remembered(act)) is not None:
            return remembered
        index = self._index
        for place in index.places(act):
            stored = await self._stream.stored_at(subjects.AUDIT, place)
            if stored is not None and (entry := self._opened(stored)) is not None and entry.id == act:
                index.remember(entry)
                return entry
            index.drop(act, place)
        return None

    async def _append_once(self, request: AuditRequest) -> AuditEntry:
        for _ in range(TRIES):
            if (there := await self._find(request.id)) is not None:
                self._must_be_of(there, request)
                return there
            try:
                return await self._append(request)
            except Conflict:
                await self._read_on()
        raise TransientError("other writers of the audit came first all the time")

    async def _append(self, request: AuditRequest) -> AuditEntry:
        """The entry, now the last of the chain. Raises `Conflict` where another became that."""
        at, details = self._time(request.details)
        request = request.model_copy(update={"details": details})
        entry = chain.following(request, self._last + 1, self._digest, at)
        sealed = self._signer.seal(entry)
        await self._stream.append(subjects.AUDIT, subjects.audit(entry.event), sealed, self._last)
        self._note(entry.sequence, codec.encode(sealed), entry)
        await self._publish_head()
        return entry

    def _must_be_of(self, there: AuditEntry, request: AuditRequest) -> None:
        """Does nothing where the entry is of the act. Raises `PermanentError`: one act would hide another."""
        if _what(there) != _what(request):
            if request.id not in self._contradicted:  # who is refused may ask again and again
                self._contradicted.add(request.id)
                self._log.error("audit.contradicted", sequence=there.sequence, id=request.id)
            raise PermanentError(f"the audit holds another act under {request.id}, at {there.sequence}: see the log")

    async def version_of(self, key: str) -> int:
        """The highest version of a deployment's record that the audit tells of; 0 where it knows no such deployment.

        Raises:
            TransientError: the server is away.
        """
        async with self._lock:
            await self._catch_up()
            known = self._verified.get(key, 0)
            versions = self._index.versions(key)
            for version in sorted((version for version in versions if version > known), reverse=True):
                if await self._find(versions[version]) is not None:
                    self._verified[key] = version
                    return version
            return known

    def _time(self, details: Details) -> tuple[float, Details]:
        """When an entry that is made now was made, and its details."""
        now = self._clock()
        if now >= self._at:
            return now, details
        self._log.warning("audit.clock_behind", seconds=round(self._at - now, 3))
        return self._at, {**details, "clock_said": now}

    async def _catch_up(self) -> None:
        """Finishes what an outage has cut short, and takes notice of what others have appended."""
        await self._finish_reading()
        await self._read_on()

    async def _read_on(self) -> None:
        """Takes notice of what others have appended."""
        last = await self._stream.last_sequence(subjects.AUDIT)
        if last == self._last:
            return
        if last < self._last or not await self._is_where_it_was():  # made anew under a program that runs
            await self.read()
            return
        async for stored in self._stream.stored(subjects.AUDIT, first=self._last + 1):
            self._note(stored.sequence, stored.data, self._opened(stored))
        self._last = max(self._last, last)

    async def _finish_reading(self) -> None:
        """Reads the chain where an outage cut a reading short, and writes into it what was found wrong with it."""
        if self._seen is not None:
            await self.read()
        await self._notice()

    async def _is_where_it_was(self) -> bool:
        """Whether the last entry that is known lies in the stream as it did."""
        stored = await self._stream.stored_at(subjects.AUDIT, self._last) if self._last else None
        return stored is None or chain.digest(stored.data) == self._digest

    def _opened(self, stored: Stored) -> AuditEntry | None:
        try:
            return chain.open_entry(stored.data, self._signer.public)
        except SealError as error:
            self._log.error("audit.foreign", sequence=stored.sequence, reason=error.reason)
            return None

    def _note(self, place: int, data: bytes, entry: AuditEntry | None) -> None:
        """Takes what lies at `place` for the last entry: whatever it is, the next one follows from its bytes."""
        self._last, self._digest = place, chain.digest(data)
        if entry is not None:
            self._at = max(self._at, entry.at)
            self._index.note(chain.Claim(entry.id, entry.event, entry.deployment), place)

    # -- at start

    async def read(self) -> None:
        """Reads the chain from its beginning, and says in it what is wrong with its tail. Raises `TransientError`.

        What was known before stays so: the chain must agree with the last head that this program has seen.
        """
        began = time.monotonic()
        self._seen = self._seen or self.head
        self._last, self._digest, self._index = 0, chain.GENESIS, Index()
        last = await self._stream.last_sequence(subjects.AUDIT)
        verifier = chain.Verifier(self._signer.public, first=max(1, last - TAIL + 1))
        async for stored in self._stream.stored(subjects.AUDIT):
            if stored.sequence >= verifier.first:
                self._note(stored.sequence, stored.data, verifier.take(stored.sequence, stored.data))
            else:
                self._note_unopened(stored)
        self._last = max(self._last, last)
        self._log.info("audit.opened", entries=self._last, seconds=round(time.monotonic() - began, 3))
        self._unnoticed = await self._broken(verifier, [self._seen] if self._seen.sequence else [])
        self._seen = None
        await self._notice()
        if self._last:
            await self._publish_head()

    async def _notice(self) -> None:
        """Writes into the chain what is wrong with it."""
        while self._unnoticed:
            found = self._unnoticed[0]
            await self._append_once(_noticed(found, self._clock()))
            self._unnoticed = [other for other in self._unnoticed if other != found]

    def _note_unopened(self, stored: Stored) -> None:
        """As `_note`, of what lies there as it says: opening all seals takes six times as long."""
        self._note(stored.sequence, stored.data, None)
        if (claim := chain.claim(stored.data)) is not None:
            self._index.note(claim, stored.sequence)

    async def _broken(self, verifier: chain.Verifier, seen: list[AuditHead]) -> list[chain.Break]:
        """What is wrong with the tail, which is logged; the head that proves it is kept."""
        heads = await open_heads(self._heads, self._signer)
        newest = max([*seen, *(heads[key] for key in [HEAD] if key in heads)], key=_sequence, default=None)
        breaks = verifier.verdict([newest] if newest else []).breaks
        for found in breaks:
            self._log.error("audit.broken", kind=found.kind, sequence=found.sequence, says=found.says)
        if newest is not None and any(found.kind in ("cut", "rewritten", "changed") for found in breaks):
            await self._heads.put(f"{HEAD}.{newest.sequence}.{newest.sha256[:16]}", self._signer.seal(newest))
        return list(breaks)

    async def _publish_head(self) -> None:
        """Keeps the newest head where a chain that is cut short later can be held against it.

        A writer that dies before this leaves an older head, which the chain still agrees with.
        """
        try:
            await self._heads.put(HEAD, self._signer.seal(self.head))
        except TransientError as error:  # the entry is in the chain; the next one brings its head
            self._log.warning("audit.head_not_kept", reason=error.reason)


async def open_heads(heads: Heads, signer: Signer) -> dict[str, AuditHead]:
    """The heads that `signer` sealed, by key. Raises `TransientError`."""
    opened = {}
    for key, sealed in (await heads.all()).items():
        try:
            opened[key] = signer.public.open(sealed, AuditHead, signer.name)
        except SealError:
            continue
    return opened


def _what(act: AuditEntry | AuditRequest) -> tuple[str, ...]:
    """What makes an act the same one when it is told again."""
    deed = act.deed
    return act.event, act.deployment, act.watch_list, act.alert, deed.act, deed.who, deed.verb


def _sequence(head: AuditHead) -> int:
    return head.sequence


def _noticed(found: chain.Break, now: float) -> AuditRequest:
    """What goes into the chain when something is wrong with it."""
    return AuditRequest(
        id=f"audit.broken.{found.kind}.{found.sequence}",
        event="audit.broken",
        deed=Deed(who=GOVERN, verb="notice", at=now, reason=found.says),
        details={"kind": found.kind, "sequence": found.sequence},
    )
