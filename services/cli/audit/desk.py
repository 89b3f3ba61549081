"""What the commands of the audit do: they read the stream or an export, and open what they find there."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from libs import chain
from libs.bus import Bus, Records
from libs.errors import UserError
from libs.seals import PublicKey, SealError
from libs.settings import TrustSettings, load
from proto import subjects
from proto.audit import AuditEntry, AuditHead
from proto.sealed import Sealed
from services.cli.acting import must_be_known
from services.cli.audit import export
from services.cli.audit.export import About, Format, Line
from services.cli.client import open_client
from services.cli.console import err


@dataclass(frozen=True)
class Wanted:
    """Which entries a person asks for."""

    since: float = 0.0
    deployment: str = ""

    def takes(self, entry: AuditEntry) -> bool:
        """Whether an entry is one of them."""
        return entry.at >= self.since and self.deployment in ("", entry.deployment)

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return self == Wanted()


def parse_key(text: str) -> PublicKey:
    """The key of `govern`, or that of `WATCHLINE_TRUST_PUBLIC_KEY` where `text` is empty. Raises `UserError`."""
    if not text:
        return load(TrustSettings).key()
    try:
        return PublicKey.parse(text)
    except ValueError as error:
        raise UserError("--public-key is no key", str(error)) from None


def parse_head(text: str) -> AuditHead:
    """The head that a person wrote down. Raises `UserError`."""
    found = re.fullmatch(r"\s*(\d{1,15}):([0-9a-fA-F]{64})\s*", text)
    if found is None:
        raise UserError(f"--head {text} is no head", "write SEQ:HASH, as `watchline audit verify` prints it")
    return AuditHead(sequence=int(found[1]), sha256=found[2].lower(), at=0.0)


def parse_format(text: str) -> Format:
    """The format of an export. Raises `UserError`."""
    formats: dict[str, Format] = {"jsonl": "jsonl", "csv": "csv"}
    if text in formats:
        return formats[text]
    raise UserError(f"--format {text} is unknown", "choose jsonl or csv")


def verify_file(path: Path, key: PublicKey, heads: list[AuditHead]) -> chain.Verdict:
    """The verdict on an export. Raises `UserError`."""
    about, count, lines = export.open_export(path)
    with _bar("verifying", count) as advance:
        return export.verify_export(about, _counted(lines, advance), key, heads)


async def verify_stream(key: PublicKey, heads: list[AuditHead]) -> chain.Verdict:
    """The verdict on the audit as it lies on the bus, held against the heads kept there too.

    Raises:
        UserError, TransientError: the server is away.
    """
    async with open_client() as client:
        with _bar("verifying", await client.bus.last_sequence(subjects.AUDIT)) as advance:
            return await verify_bus(client.bus, key, heads, advance)


async def verify_bus(
    bus: Bus, key: PublicKey, heads: Iterable[AuditHead] = (), advance: Callable[[], None] = lambda: None
) -> chain.Verdict:
    """The same for a bus that is open; `advance` is called after each entry. Raises `TransientError`."""
    kept = export.heads_in(await _heads(bus), key)
    verifier = chain.Verifier(key)
    async for stored in bus.stored(subjects.AUDIT):
        verifier.take(stored.sequence, stored.data)
        advance()
    return verifier.verdict([*kept, *heads])


async def export_to(file: TextIO, form: Format, wanted: Wanted, key: PublicKey) -> int:
    """How many entries it wrote. Raises as `verify_stream`.

    What is no entry of `govern` is written too, but into a selection of one deployment: it is evidence.
    """
    count = 0
    async with open_client() as client:
        heads = await _heads(client.bus)
        with _bar("exporting", await client.bus.last_sequence(subjects.AUDIT)) as advance:
            async for stored in client.bus.stored(subjects.AUDIT):
                advance()
                entry = opened(stored.data, key)
                if not (wanted.takes(entry) if entry else wanted.everything or (count and not wanted.deployment)):
                    continue
                if not count:
                    first = stored.sequence if wanted.since and not wanted.deployment else 1
                    file.write(export.opening(About(first, wanted.deployment, heads), form))
                file.write(export.as_line(stored.sequence, entry, stored.data, form))
                count += 1
        if wanted.deployment and not count:
            await must_be_known(client, wanted.deployment)
    if not count:
        file.write(export.opening(About(1, wanted.deployment, heads if wanted.everything else ()), form))
    return count


async def newest(
    key: PublicKey, wanted: Wanted, last: int, sequence: int | None = None
) -> list[tuple[int, AuditEntry | None]]:
    """The entry at `sequence`, or else the `last` newest, as far as they are wanted. Raises as `verify_stream`."""
    async with open_client() as client:
        end = await client.bus.last_sequence(subjects.AUDIT)
        if sequence is not None:
            stored = await client.bus.stored_at(subjects.AUDIT, sequence) if sequence <= end else None
            entry = opened(stored.data, key) if stored is not None else None
            there = stored is not None and (entry is None or wanted.takes(entry))
            return [(sequence, entry)] if there else []
        first = 1 if not wanted.everything else end - last + 1
        found: deque[tuple[int, AuditEntry | None]] = deque(maxlen=min(last, end))
        async for stored in client.bus.stored(subjects.AUDIT, first=first):
            entry = opened(stored.data, key)
            if entry is None or wanted.takes(entry):
                found.append((stored.sequence, entry))
        if wanted.deployment and not any(entry for _, entry in found):
            await must_be_known(client, wanted.deployment)
        return list(found)


async def followed(key: PublicKey, wanted: Wanted, last: int) -> AsyncIterator[AuditEntry | None]:
    """The `last` newest entries, and each new one; `None` for what is none of govern's. Raises as `verify_stream`."""
    async with open_client() as client:
        if wanted.deployment:
            await must_be_known(client, wanted.deployment)
        first = await client.bus.last_sequence(subjects.AUDIT) - last + 1
        async for sealed in client.bus.follow(subjects.AUDIT, subjects.AUDIT.subjects[0], Sealed, first):
            try:
                entry = key.open(sealed, AuditEntry)
            except SealError:
                yield None
                continue
            if wanted.takes(entry):
                yield entry


def opened(data: bytes, key: PublicKey) -> AuditEntry | None:
    """The entry in `data`; `None` where it is none that `govern` signed."""
    try:
        return chain.open_entry(data, key)
    except SealError:
        return None


async def _heads(bus: Bus) -> tuple[Sealed, ...]:
    return tuple((await Records(bus, subjects.HEADS, Sealed).all()).values())


@contextmanager
def _bar(what: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar on the error stream, where that is a terminal: it is advanced by calling what this gives."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Bars(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:
        task = bars.add_task(what, total=total)
        yield lambda: bars.advance(task)


def _counted(lines: Iterable[Line], advance: Callable[[], None]) -> Iterator[Line]:
    for line in lines:
        advance()
        yield line
