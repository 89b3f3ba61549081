"""The audit as a hash chain: what the next entry holds, and what is wrong with a chain that somebody else kept.

Entry n names the SHA-256 of the sealed entry n - 1, byte for byte as it lies in the stream, and is signed by `govern`.
So an entry that was changed, dropped, moved, doubled or written by another shows, wherever it is; only a tail that was
cut off needs a head from elsewhere to show: the sealed one in bucket `heads`, and the one that a person wrote down.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import msgpack

from libs.seals import PublicKey, SealError
from proto import codec
from proto.audit import AuditEntry, AuditHead
from proto.requests.audit import AuditRequest
from proto.sealed import Sealed

GENESIS = bytes(32)
"""What the first entry names as the hash of the one before it."""

Kind = Literal["changed", "foreign", "missing", "moved", "repeated", "exchanged", "twice", "cut", "rewritten"]


class Claim(NamedTuple):
    """What an entry is, or says it is: the id of its act, what happened, and in which deployment, if in one."""

    id: str
    event: str
    deployment: str


@dataclass(frozen=True)
class Break:
    """One thing that is wrong with a chain, and the entry it is wrong with."""

    kind: Kind
    sequence: int
    """Of the entry; of something that is no entry its place in the stream."""
    says: str
    """For a person."""


@dataclass(frozen=True)
class Verdict:
    """What there is to say of a chain."""

    entries: int
    """Those that `govern` signed."""
    head: AuditHead | None
    """The last of them; `None` where there is none."""
    breaks: tuple[Break, ...]
    """Each change, gap, move, repetition, insertion and cut; none where the chain is whole."""
    warnings: tuple[str, ...]
    """What is no proof of tampering, and must be explained all the same."""

    @property
    def whole(self) -> bool:
        """Whether the chain is as it was written."""
        return not self.breaks


def digest(data: bytes) -> bytes:
    """What the entry after the sealed entry `data` names as the one before it."""
    return hashlib.sha256(data).digest()


def head(sequence: int, data: bytes, at: float) -> AuditHead:
    """The head of a chain whose last entry is `data`, sealed."""
    return AuditHead(sequence=sequence, sha256=digest(data).hex(), at=at)


def following(request: AuditRequest, sequence: int, previous: bytes, at: float) -> AuditEntry:
    """The entry of an act, at `sequence`, after the one whose digest is `previous`."""
    return AuditEntry(sequence=sequence, previous=previous, at=at, **dict(request))


def open_entry(data: bytes, key: PublicKey) -> AuditEntry:
    """The entry that lies in a stream as `data`.

    Raises:
        SealError: it is none that `govern` signed.
    """
    try:
        return key.open(codec.decode(Sealed, data), AuditEntry)
    except codec.DecodeError as error:
        raise SealError(str(error)) from None


def claim(data: bytes) -> Claim | None:
    """What a sealed entry says it is, without a look at its seal: a hint, and no more."""
    try:
        body = msgpack.unpackb(msgpack.unpackb(data)["body"])
        said = [body["id"], body["event"], body.get("deployment", "")]
    except (ValueError, TypeError, KeyError, AttributeError, msgpack.UnpackException, RecursionError):
        return None
    return Claim(*said) if all(isinstance(one, str) for one in said) else None


def verify(entries: Iterable[tuple[int, bytes]], key: PublicKey, heads: Iterable[AuditHead] = ()) -> Verdict:
    """The verdict on a chain: its sealed entries with their places in the stream, and heads that it must agree with."""
    verifier = Verifier(key)
    for place, data in entries:
        verifier.take(place, data)
    return verifier.verdict(heads)


@dataclass
class _Stranger:
    """Something in the chain that `govern` did not sign."""

    place: int
    digest: bytes
    behind: int
    """How many entries stand before it."""
    reason: str


@dataclass
class Verifier:
    """Takes the entries of a chain one after the other, in the order in which they lie."""

    key: PublicKey
    first: int = 1
    """The sequence of the first entry that is looked at."""
    _digests: dict[int, bytes] = field(default_factory=dict)
    _previous: dict[int, bytes] = field(default_factory=dict)
    _order: list[int] = field(default_factory=list)
    """The sequences of the entries as they lie, each once."""
    _ids: dict[str, int] = field(default_factory=dict)
    _strangers: list[_Stranger] = field(default_factory=list)
    _found: list[Break] = field(default_factory=list)
    _warnings: list[str] = field(default_factory=list)
    _last: int = 0
    _at: float = 0.0
    """When the last of the entries was written, by sequence."""
    _shifted: int = 0

    def take(self, place: int, data: bytes) -> AuditEntry | None:
        """The entry in `data`, which lies at `place` of the stream; `None` where it is none that `govern` signed."""
        hashed = digest(data)
        try:
            entry = open_entry(data, self.key)
        except SealError as error:
            self._strangers.append(_Stranger(place, hashed, len(self._order), error.reason))
            return None
        if entry.sequence in self._digests:
            self._take_again(place, entry.sequence, hashed)
        else:
            self._digests[entry.sequence], self._previous[entry.sequence] = hashed, entry.previous
            self._order.append(entry.sequence)
            self._shifted += entry.sequence != place
            self._look_at(entry)
        return entry

    def verdict(self, heads: Iterable[AuditHead] = ()) -> Verdict:
        """What there is to say of all that was taken, and of the `heads` that it must agree with."""
        heads = list(heads)
        breaks = [*self._found, *self._moved(), *self._exchanged(), *self._gone(heads)]
        breaks += [found for known in heads for found in self._against(known)]
        warnings = list(self._warnings)
        if self._shifted and not breaks:
            warnings.append(f"{self._shifted} entries lie at other places than they name: the stream was written anew")
        last = self._last
        known = AuditHead(sequence=last, sha256=self._digests[last].hex(), at=self._at) if last else None
        return Verdict(len(self._order), known, tuple(_in_order(breaks)), tuple(warnings))

    def _take_again(self, place: int, sequence: int, hashed: bytes) -> None:
        if self._digests[sequence] == hashed:
            says = f"entry {sequence} stands a second time at place {place} of the stream"
            self._found.append(Break("repeated", sequence, says))
        else:
            says = f"two different entries bear the sequence {sequence}; the second stands at place {place}"
            self._found.append(Break("exchanged", sequence, says))

    def _look_at(self, entry: AuditEntry) -> None:
        """Notes what is wrong with an entry by itself."""
        if (other := self._ids.setdefault(entry.id, entry.sequence)) != entry.sequence:
            says = f"entries {other} and {entry.sequence} are of the same act"
            self._found.append(Break("twice", entry.sequence, says))
        if entry.sequence < self._last:
            return
        if entry.at < self._at:
            self._warnings.append(f"the clock went back {self._at - entry.at:.3f} s before entry {entry.sequence}")
        self._last, self._at = entry.sequence, entry.at

    def _moved(self) -> Iterator[Break]:
        """The fewest entries that would have to move for all to be in order."""
        kept = set(_longest_rise(self._order))
        for before, sequence in zip([0, *self._order], self._order, strict=False):
            if sequence not in kept:
                where = f"after entry {before}" if before else "at the beginning"
                yield Break("moved", sequence, f"entry {sequence} stands {where}, out of its order")

    def _exchanged(self) -> Iterator[Break]:
        """The entries that follow from another one than the one before them."""
        for sequence, previous in self._previous.items():
            before = GENESIS if sequence == 1 else self._digests.get(sequence - 1)
            if before is not None and before != previous:
                yield Break("exchanged", sequence, f"entry {sequence} follows from another entry {sequence - 1}")

    def _gone(self, heads: Sequence[AuditHead]) -> Iterator[Break]:
        """The entries that are missing, and what stands in their places or between others."""
        end = max([self._last, *(known.sequence for known in heads)])
        missing = set(range(self.first, end + 1)) - self._digests.keys()
        for stranger in self._strangers:
            after, place = self._place_of(stranger, missing, end)
            missing.discard(place)
            if place and stranger.digest != self._previous.get(place + 1):
                yield Break(
                    "changed",
                    place,
                    f"what is in the place of entry {place} is not what govern signed: {stranger.reason}",
                )
            else:  # the next entry names it where it names any, so it stood there when that one was written
                where = f"at place {stranger.place} of the stream, after entry {after},"
                yield Break("foreign", stranger.place, f"what stands {where} is not govern's: {stranger.reason}")
        for start, stop in _runs(sorted(number for number in missing if number <= self._last)):
            yield Break("missing", start, f"{_entries(start, stop)} missing")
        for start, stop in _runs(sorted(number for number in missing if number > self._last)):
            yield Break("cut", start, f"{_entries(start, stop)} missing at the end: a head of the chain names one")

    def _place_of(self, stranger: _Stranger, missing: set[int], end: int) -> tuple[int, int]:
        """The entry before a stranger, and the missing one in whose place it stands; 0 where there is none."""
        after = self._order[stranger.behind - 1] if stranger.behind else self.first - 1
        before = self._order[stranger.behind] if stranger.behind < len(self._order) else end + 1
        if after < stranger.place < before and stranger.place in missing:
            return after, stranger.place
        return after, next((number for number in range(after + 1, before) if number in missing), 0)

    def _against(self, known: AuditHead) -> Iterator[Break]:
        """What a head says of the entry that it names, where there is one."""
        found = self._digests.get(known.sequence)
        if found is not None and found.hex() != known.sha256:
            says = f"entry {known.sequence} is another one than a head of the chain says"
            yield Break("rewritten", known.sequence, says)


def _entries(start: int, end: int) -> str:
    return f"entry {start} is" if start == end else f"entries {start} to {end} are"


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The runs of consecutive numbers in sorted ones: first and last of each."""
    start = None
    for index, number in enumerate(numbers):
        start = number if start is None else start
        if index + 1 == len(numbers) or numbers[index + 1] != number + 1:
            yield start, number
            start = None


def _longest_rise(numbers: Sequence[int]) -> list[int]:
    """The longest of the rising subsequences of distinct numbers (patience sorting, O(n log n))."""
    tails: list[int] = []
    before: dict[int, int | None] = {}
    for number in numbers:
        at = bisect_left(tails, number)
        before[number] = tails[at - 1] if at else None
        tails[at : at + 1] = [number]
    rise: list[int] = []
    current = tails[-1] if tails else None
    while current is not None:
        rise.append(current)
        current = before[current]
    return rise[::-1]


def _in_order(breaks: Iterable[Break]) -> list[Break]:
    """Each once, by sequence: two heads may say the same."""
    return sorted(dict.fromkeys(breaks), key=lambda found: found.sequence)
