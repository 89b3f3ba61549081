"""Manifests of reference images: a CSV or JSON-lines file that says whose each image is and why they are listed.

A manifest that cannot be read as one is refused whole. A bad row is reported by its line, and the others are taken.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from libs.errors import UserError
from libs.wording import fault
from proto.watchlists import EntryForm
from services.cli.acting import request
from services.cli.given_times import parse_deadline
from services.cli.watchlists.reference_images import ImageFile
from services.cli.words import shown

NEEDED = ("subject", "image", "reason", "requester", "source", "lawful_basis", "expires")
OPTIONAL = ("reference", "image_date", "under_18", "under_18_rationale", "name")
COLUMNS = (*NEEDED, *OPTIONAL)
YES, NO = frozenset({"yes", "true", "1", "y"}), frozenset({"no", "false", "0", "n", ""})
JSON_SUFFIXES = frozenset({".jsonl", ".ndjson"})
DELIMITERS = ",;\t"
"""What may stand between the values of a CSV; spreadsheets of many countries write semicolons."""
SEPARATOR = re.compile(r'"?sep=([^\w"\s]|\t)"?[,;\t]*', re.IGNORECASE)
"""What some spreadsheets write before the header, to say it."""
MAX_LETTERS = 4096
"""Of a value: the longest path that Linux takes. Whatever else there is to say is shorter."""


@dataclass(frozen=True)
class BadRow:
    """A row that says nothing that can be imported."""

    line: int
    subject: str
    image: str
    reason: str
    remedy: str


@dataclass
class Manifest:
    """What a manifest asks for."""

    images: list[ImageFile] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)


class _BadRowError(Exception):
    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


def read_manifest(path: Path, folder: Path, defaults: Mapping[str, str], now: float) -> Manifest:
    """What the manifest at `path` asks for; its images lie in `folder`. `defaults` fill what a row leaves open.

    Raises:
        UserError: it cannot be read, has a column that we do not know, or lacks one for which there is no default.
    """
    manifest, seen = Manifest(), set[tuple[str, Path]]()
    for line, row in _rows(path, defaults):
        try:
            manifest.images.append(_image(line, row, folder, now, seen))
        except _BadRowError as error:
            subject, image = (shown(str(row.get(name) or ""))[:MAX_LETTERS] for name in ("subject", "image"))
            manifest.bad.append(BadRow(line, subject, image, error.reason, error.remedy))
    return manifest


def entry_form(options: Mapping[str, str], now: float) -> EntryForm:
    """The particulars of an entry as the options of a command give them.

    Raises:
        UserError: one will not do; it is named as the command calls it.
    """
    minor = bool(options.get("under_18"))
    if minor and not options.get("under_18_rationale"):
        raise UserError("--under-18 will not do alone", "give --under-18-rationale, or leave the person off the list")
    expires_at = parse_deadline(options["expires"], now, "--expires")
    said = {name: value for name, value in options.items() if name != "expires"}
    return request(EntryForm, **{**said, "under_18": minor, "expires_at": expires_at})


def _rows(path: Path, defaults: Mapping[str, str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows with the lines they start on; where a row leaves something open, with the default."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"the manifest {path} cannot be read ({error.strerror})", "check the path") from None
    except UnicodeDecodeError:
        raise UserError(f"the manifest {path} is not UTF-8", "save it as CSV or JSON lines, in UTF-8") from None
    read = _json_rows if path.suffix.lower() in JSON_SUFFIXES else _csv_rows
    for line, row in read(path, text, defaults):
        given = {name: value for name, value in row.items() if value not in (None, "")}
        yield line, {**defaults, **given}


def _csv_rows(path: Path, text: str, defaults: Mapping[str, str]) -> Iterator[tuple[int, dict[str, Any]]]:
    header = next((line for line in re.split(r"[\r\n]+", text) if line.strip()), "")
    told = SEPARATOR.fullmatch(header.strip(" "))
    comma = told[1] if told else next((letter for letter in DELIMITERS if letter in header), ",")
    lines = io.StringIO(text, newline="")  # which tears no value at a letter that only looks like the end of a line
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # a value that is too long is told with its row
    reader = csv.reader(lines, delimiter=comma, skipinitialspace=True, strict=True)
    before = 0
    try:
        filled = (values for values in reader if any(value.strip() for value in values))
        if told:
            next(filled)
        names = [name.strip().lower() for name in next(filled, [])]
        while names and not names[-1]:  # a spreadsheet pads every row to the longest
            names.pop()
        _check_columns(path, names, defaults)
        before = reader.line_num
        for values in reader:
            if any(value.strip() for value in values):
                row: dict[Any, Any] = dict(zip_longest(names, values[: len(names)]))
                if any(value.strip() for value in values[len(names) :]):
                    row[None] = values
                yield before + 1, row
            before = reader.line_num
    except csv.Error as error:
        remedy = "check its quotes; JSON lines are in a file named .jsonl"
        raise UserError(f"line {before + 1} of {path} is no CSV ({error})", remedy) from None


def _json_rows(path: Path, text: str, defaults: Mapping[str, str]) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, row_text in enumerate(text.split("\n"), 1):
        if not row_text.strip():
            continue
        try:
            row = json.loads(
                row_text, object_pairs_hook=_once_each, parse_int=str, parse_float=str, parse_constant=_no_number
            )
        except (ValueError, RecursionError) as error:
            raise UserError(f"line {line} of {path} is no JSON ({error})", "write one object a line") from None
        if not isinstance(row, dict):
            raise UserError(f"line {line} of {path} is no JSON object", "write one object a line")
        _check_columns(path, row, defaults)
        yield line, row


def _once_each(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        raise ValueError("a name comes twice in it")
    return row


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _check_columns(path: Path, names: Iterable[str], defaults: Mapping[str, str]) -> None:
    """Does nothing for columns that can be imported.

    Raises:
        UserError: one is unknown, comes twice or is missing.
    """
    there = list(names)
    known = f"the columns are {', '.join(NEEDED)}; and if you want {', '.join(OPTIONAL)}"
    if unknown := [name for name in there if name not in COLUMNS]:
        raise UserError(f"{path} has a column {unknown[0]!r}, which is not one of ours", known)
    if len(set(there)) < len(there):
        raise UserError(f"{path} has a column twice", known)
    missing = [name for name in NEEDED if name not in there and name not in defaults]
    if missing:
        given = [name for name in missing if name not in ("subject", "image")]
        remedy = known + (f"; or give {', '.join(map(_option, given))} for all" if given else "")
        raise UserError(f"{path} has no column {missing[0]!r}", remedy)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _image(line: int, row: Mapping[str, Any], folder: Path, now: float, seen: set[tuple[str, Path]]) -> ImageFile:
    if None in row:
        raise _BadRowError("the row has more values than there are columns", "quote values with commas in them")
    for name, value in row.items():
        if isinstance(value, (dict, list)) or (isinstance(value, bool) and name != "under_18"):
            raise _BadRowError(f"{name} is no text", "write a short text")
        if len(str(value)) > MAX_LETTERS:
            raise _BadRowError(f"{name} has {len(str(value)):,} letters", "write a short text")
        if shown(str(value)) != str(value):
            raise _BadRowError(f"{name} holds half a letter", "write it as UTF-8, and so the manifest")
    texts = {name: str(value).strip() for name, value in row.items()}
    for name in ("subject", "image"):
        if not texts.get(name):
            raise _BadRowError(f"{name} is empty", f"fill in {name}")
    path = _path(folder, texts["image"])
    entry = _entry(texts, now)
    image = ImageFile(texts["subject"], path, entry, texts.get("reference", ""), line, given=texts["image"])
    if (image.subject, path) in seen:
        raise _BadRowError("the image comes twice for the subject", "remove one of the two rows")
    seen.add((image.subject, path))
    return image


def _path(folder: Path, given: str) -> Path:
    """Where an image lies, whether or not it is there."""
    try:
        path = (folder / given).resolve()
    except (OSError, RuntimeError, ValueError):  # too long, links that lead back to themselves, NUL
        raise _BadRowError("the image has a path that leads nowhere", "check the path") from None
    if not path.is_relative_to(folder.resolve()):
        raise _BadRowError("the image lies outside of the folder of images", "name it relative to --images")
    return path


def _entry(row: Mapping[str, str], now: float) -> EntryForm:
    for name in NEEDED[2:]:
        if not row.get(name):
            raise _BadRowError(f"{name} is empty", f"fill it in, or give {_option(name)} for all")
    try:
        return EntryForm(
            reason=row["reason"],
            requester=row["requester"],
            source=row["source"],
            lawful_basis=row["lawful_basis"],
            image_date=row.get("image_date", ""),
            under_18=_flag(row.get("under_18", "")),
            under_18_rationale=row.get("under_18_rationale", ""),
            expires_at=parse_deadline(row["expires"], now, "expires"),
            name=row.get("name", ""),
        )
    except UserError as error:
        raise _BadRowError(error.problem, error.remedy) from None
    except ValidationError as error:
        where, said = fault(error)
        raise _BadRowError(f"{where}: {said}" if where else said, "mend the row") from None


def _flag(text: str) -> bool:
    if text.lower() not in YES | NO:
        raise _BadRowError(f"under_18 is {text!r}", "write yes or no")
    return text.lower() in YES
