"""Exports of the audit: one line an entry, which people can read, beside the sealed bytes that prove it.

A JSON-lines export begins with a line about itself: what was selected, and the sealed heads of the chain at that
moment. What a line says for people counts only as far as its sealed entry says the same, so both are compared.
"""

from __future__ import annotations

import base64
import binascii
import csv
import io
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

from libs import chain
from libs.errors import UserError
from libs.seals import PublicKey, SealError
from proto import codec
from proto.audit import AuditEntry, AuditHead
from proto.sealed import Sealed
from services.cli.times import iso

Format = Literal["jsonl", "csv"]
MARK = "watchline_audit"
SEALED = "sealed"
COLUMNS = (
    *("sequence", "at", "event", "who", "verb", "acted_at", "origin", "reason", "deployment", "record_version"),
    *("watch_list", "alert", "id", "act_sha256", "details"),
)
PLACE = re.compile(r"[0-9]{1,15}")
"""A place in the stream; a number of more digits is none."""
FORMULA = ("=", "+", "-", "@", "\t")
"""A cell of a CSV file that starts with one of these is a formula to a spreadsheet."""


@dataclass(frozen=True)
class About:
    """What an export says about itself: what was selected, and the heads of the chain when it was written."""

    first: int = 1
    deployment: str = ""
    heads: tuple[Sealed, ...] = ()


@dataclass(frozen=True)
class Line:
    """An entry as it stands in an export."""

    place: int
    data: bytes
    """As it was sealed; empty where the line holds none."""
    says: dict[str, Any]
    """What it says for people."""


def readable(entry: AuditEntry) -> dict[str, Any]:
    """An entry for people and spreadsheets: who did what, when, from where and why, on which version of what."""
    deed = entry.deed
    return {
        "sequence": entry.sequence,
        "at": iso(entry.at),
        "event": entry.event,
        "who": deed.who,
        "verb": deed.verb,
        "acted_at": iso(deed.at),
        "origin": deed.origin,
        "reason": deed.reason,
        "deployment": entry.deployment,
        "record_version": entry.record_version,
        "watch_list": entry.watch_list,
        "alert": entry.alert,
        "id": entry.id,
        "act_sha256": deed.act,
        "details": entry.details,
    }


def as_line(place: int, entry: AuditEntry | None, data: bytes, form: Format) -> str:
    """An entry and its sealed bytes as one line of an export; of what is no entry of `govern` the bytes alone."""
    sealed = base64.b64encode(data).decode()
    if form == "jsonl":
        said = readable(entry) if entry is not None else {"sequence": place}
        return json.dumps({**said, SEALED: sealed}, ensure_ascii=False) + "\n"
    cells = list(_cells(entry).values()) if entry is not None else [str(place)] + [""] * (len(COLUMNS) - 1)
    return _csv_line([*cells, sealed])


def opening(about: About, form: Format) -> str:
    """The first line of an export."""
    if form == "csv":
        return _csv_line([*COLUMNS, SEALED])
    heads = [base64.b64encode(codec.encode(sealed)).decode() for sealed in about.heads]
    said = {MARK: 1, "first": about.first, "deployment": about.deployment, "heads": heads}
    return json.dumps(said) + "\n"


@contextmanager
def written_whole(path: Path | None) -> Iterator[TextIO]:
    """A file that is there, readable by its owner alone, once the block has ended well; standard output without one.

    Raises:
        UserError: it cannot be written there.
    """
    if path is None:
        yield sys.stdout
        return
    try:
        descriptor, scratch = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    except OSError as error:
        raise _unwritable(path, error) from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            yield file
        Path(scratch).replace(path)
    except OSError as error:
        raise _unwritable(path, error) from None
    finally:
        Path(scratch).unlink(missing_ok=True)


def open_export(path: Path) -> tuple[About, int, Iterator[Line]]:
    """What an export says about itself, how many lines of entries it has at most, and the lines.

    Raises:
        UserError: the file cannot be read, or is no export.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        remedy = "check the path, or make an export with `watchline audit export --out FILE`"
        raise UserError(f"the export {path} cannot be read ({error.strerror})", remedy) from None
    except UnicodeDecodeError:
        raise _no_export(path) from None
    first = text.partition("\n")[0]
    if first.startswith("{") and MARK in first:
        return _about(first, path), text.count("\n") - 1, _json_lines(text.rstrip("\n").split("\n")[1:])
    if first.startswith("sequence,") and first.rstrip("\r").endswith(f",{SEALED}"):
        lines = list(_csv_lines(text))
        return About(lines[0].place if lines else 1), len(lines), iter(lines)
    raise _no_export(path)


def _no_export(path: Path) -> UserError:
    return UserError(f"{path} is no export of the audit", "make one with `watchline audit export --out FILE`")


def _unwritable(path: Path, error: OSError) -> UserError:
    return UserError(
        f"{path} cannot be written ({error.strerror})", "name a file, in a folder that is there, with --out"
    )


def agrees(line: Line, entry: AuditEntry) -> bool:
    """Whether a line says for people what its sealed entry says."""
    return line.says in (json.loads(json.dumps(readable(entry))), _cells(entry))


def heads_in(sealed: Iterable[Sealed], key: PublicKey) -> list[AuditHead]:
    """The heads among these that `govern` sealed."""
    opened = []
    for one in sealed:
        try:
            opened.append(key.open(one, AuditHead))
        except SealError:
            continue
    return opened


def verify_export(
    about: About, lines: Iterable[Line], key: PublicKey, heads: Iterable[AuditHead] = ()
) -> chain.Verdict:
    """The verdict on an export: on the chain in it, and on what its lines say for people."""
    verifier = chain.Verifier(key, first=about.first)
    differ = []
    for line in lines:
        entry = verifier.take(line.place, line.data)
        if entry is not None and not agrees(line, entry):
            says = f"the line of entry {entry.sequence} says something else than its sealed entry"
            differ.append(chain.Break("changed", entry.sequence, says))
    verdict = verifier.verdict([*heads, *heads_in(about.heads, key)])
    breaks, warnings = [*differ, *verdict.breaks], list(verdict.warnings)
    if about.deployment:
        breaks = [found for found in breaks if found.kind not in ("missing", "cut")]
        warnings.append(f"it is a selection of deployment {about.deployment}: a gap in it cannot be seen")
    if about.first > 1:
        warnings.append(f"it begins with entry {about.first}: nothing is said of those before it")
    return chain.Verdict(verdict.entries, verdict.head, tuple(breaks), tuple(warnings))


def _about(first: str, path: Path) -> About:
    try:
        said = json.loads(first)
        heads = tuple(codec.decode(Sealed, base64.b64decode(head, validate=True)) for head in said["heads"])
        return About(int(said["first"]), str(said["deployment"]), heads)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        raise UserError(f"the first line of {path} is damaged", "export the audit again") from None


def _json_lines(lines: Iterable[str]) -> Iterator[Line]:
    for number, text in enumerate(lines, start=1):
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            said = {}
        said = said if isinstance(said, dict) else {}
        yield _line(number, said)


def _csv_lines(text: str) -> Iterator[Line]:
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # what is no entry may be as large as a message
    for number, said in enumerate(csv.DictReader(io.StringIO(text, newline="")), start=1):
        yield _line(number, said)


def _line(number: int, said: dict[str, Any]) -> Line:
    """The line `number` of the entries: at the place it says, if it says any."""
    try:
        data = base64.b64decode(str(said.pop(SEALED, "")), validate=True)
    except binascii.Error:
        data = b""
    place = str(said.get("sequence", ""))
    return Line(int(place) if PLACE.fullmatch(place) else number, data, said)


def _cells(entry: AuditEntry) -> dict[str, str]:
    """An entry as the cells of a CSV file."""
    said = {**readable(entry), "details": json.dumps(entry.details, ensure_ascii=False, sort_keys=True)}
    return {column: _harmless(str(value)) for column, value in said.items()}


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(FORMULA) else cell


def _csv_line(cells: Iterable[str]) -> str:
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()
