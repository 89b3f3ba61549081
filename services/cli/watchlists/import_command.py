"""What `watchline watchlist import` does: reads what is to be imported, imports it with a bar, and tells the result."""

from __future__ import annotations

import asyncio
import csv
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from libs.errors import PermanentError, TransientError, UserError
from proto import subjects
from proto.requests.watchlists import DuplicatesReply, DuplicatesRequest
from services.cli.acting import print_json, request
from services.cli.client import Client
from services.cli.console import err, out
from services.cli.watchlists.acts import announce_act, list_now, print_done, record_json
from services.cli.watchlists.importing import ImportResult, NothingEnrolledError, abort_import, import_images
from services.cli.watchlists.manifest import NEEDED, BadRow, Manifest, entry_form, read_manifest
from services.cli.watchlists.reference_images import Refusal, folder_images
from services.cli.watchlists.tables import duplicates_table, import_lines, refusals_table
from services.cli.words import counted, shown

DUPLICATES_TIMEOUT_S = 120.0
"""How long the search of a list against itself and all others may take: it grows with the square of the references."""
SHOWN = 20
"""Refusals and pairs shown in the terminal; all of the refusals go into the file."""
REFUSAL_COLUMNS = ("line", "subject", "image", "reason", "remedy", "component", "measured", "required")


@dataclass(frozen=True)
class ImportOptions:
    """What is to be imported, and what is wanted of it."""

    watch_list: str
    images_of: Path | None
    duplicates_from: float
    folder: Path | None = None
    defaults: Mapping[str, str] = field(default_factory=dict)
    refusals: Path | None = None
    resume: bool = False
    abort: bool = False
    as_json: bool = False


class NothingToImportError(UserError):
    """A manifest in which every row is bad: nothing was asked of anybody. `bad` says why, row by row."""

    def __init__(self, source: Path, bad: Sequence[BadRow]) -> None:
        first = f"line {bad[0].line}: {bad[0].reason}"
        super().__init__(f"{source} has no row that can be imported ({first})", "mend the manifest")
        self.bad = bad


async def run_import(client: Client, options: ImportOptions) -> int:
    """The exit code: 0 where all images are on the list, 1 where some were refused.

    Raises:
        UserError: there is nothing to import, the manifest cannot be read, or the name of the list will not do.
        TransientError: match or the bus stays away; the import can go on.
        AskError: the officer may not, or another import is under way.
        CancelledError: it was interrupted; the import can go on.
    """
    alike = request(DuplicatesRequest, watch_list=options.watch_list, threshold=options.duplicates_from)
    if options.abort:
        return await _abort(client, options)
    if options.refusals is not None:
        _check_writable(options.refusals)
    began = time.monotonic()
    try:
        manifest = read_source(options, time.time())
    except NothingToImportError as error:
        _report(options, ImportResult(), error.bad, None, began)
        raise
    resume = await _under_way(client, options.watch_list) if options.resume else ""
    try:
        with _bar() as bar:
            result = await import_images(client, options.watch_list, manifest.images, bar.show, resume)
    except NothingEnrolledError as error:
        _report(options, error.result, manifest.bad, None, began)
        raise
    except (asyncio.CancelledError, TransientError):
        _tell_how_to_go_on(options.watch_list)
        raise
    pairs = await _possible_duplicates(client, alike)
    _report(options, result, manifest.bad, pairs, began)
    return 1 if result.refused or manifest.bad else 0


def read_source(options: ImportOptions, now: float) -> Manifest:
    """The images of a manifest or a folder.

    Raises:
        UserError: there are none, or it cannot be read.
        NothingToImportError: it has rows, and none that will do.
    """
    source = options.images_of
    if source is None:
        raise UserError("nothing is named to import", "give a manifest (.csv or .jsonl) or a folder of images")
    if source.is_dir():
        missing = [name for name in NEEDED[2:] if name not in options.defaults]
        if missing:
            wanted = ", ".join("--" + name.replace("_", "-") for name in missing)
            raise UserError("a folder says nothing about its images", f"give {wanted}; or write a manifest")
        return Manifest(images=folder_images(source, entry_form(options.defaults, now)))
    if not source.exists():
        raise UserError(f"{source} does not exist", "check the path of the manifest or folder")
    manifest = read_manifest(source, options.folder or source.parent, options.defaults, now)
    if manifest.bad and not manifest.images:
        raise NothingToImportError(source, manifest.bad)
    if not manifest.images:
        raise UserError(f"{source} has no row that can be imported", "mend the manifest")
    return manifest


async def _abort(client: Client, options: ImportOptions) -> int:
    import_id = await _under_way(client, options.watch_list)
    await announce_act(client, "abort the import of", options.watch_list)
    print_done(await abort_import(client, options.watch_list, import_id), options.as_json)
    return 0


async def _under_way(client: Client, watch_list: str) -> str:
    """The import of the list that is under way.

    Raises:
        UserError: there is none.
    """
    reply = await list_now(client, watch_list)
    if not reply.record.import_id:
        raise UserError(f"no import of {watch_list} is under way", "begin one without --resume and --abort")
    return reply.record.import_id


async def _possible_duplicates(client: Client, alike: DuplicatesRequest) -> DuplicatesReply | None:
    """Who may be on the list twice; `None` where that could not be found out, which is said and spoils nothing."""
    try:
        return await client.act(f"{subjects.WATCHLIST}.duplicates", alike, DuplicatesReply, DUPLICATES_TIMEOUT_S)
    except (PermanentError, TransientError) as error:
        err.print(f"[yellow]possible duplicates were not searched for:[/] {escape(error.reason)}", soft_wrap=True)
        return None


class _Bar:
    """The bar of an import, with how many images a second."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._began = time.monotonic()
        self._task = bars.add_task("images", total=None, note="")

    def show(self, result: ImportResult) -> None:
        """Shows how far the import is."""
        per_s = result.done / max(time.monotonic() - self._began, 1e-3)
        notes = [f"{per_s:.0f} images/s"]
        if result.already:
            notes.append(f"{result.already} were there")
        if result.refused:
            notes.append(f"{len(result.refused)} refused")
        self._bars.update(self._task, completed=result.done, total=result.images, note=", ".join(notes))


@contextmanager
def _bar() -> Iterator[_Bar]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=err, refresh_per_second=4) as bars:
        yield _Bar(bars)


def _tell_how_to_go_on(watch_list: str) -> None:
    err.print(
        f"the import of [bold]{escape(watch_list)}[/] is not complete, and the list is not searched until it is. "
        "Run the same command again to go on where it stopped; or take it back: "
        f"`watchline watchlist import {escape(watch_list)} --abort`",
        soft_wrap=True,
        highlight=False,
    )


def _check_writable(path: Path) -> None:
    try:
        path.open("a").close()
    except OSError as error:
        raise UserError(f"--refusals {path} cannot be written ({error.strerror})", "choose another file") from None


def _write_refusals(path: Path | None, refused: Sequence[Refusal], bad: Sequence[BadRow]) -> None:
    """Writes all that was refused, as CSV, for the person who must mend it."""
    if path is None:
        return
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(REFUSAL_COLUMNS)
        for row in bad:
            writer.writerow((row.line, row.subject, row.image, row.reason, row.remedy, "", "", ""))
        for one in refused:
            measured = [f"{value:.4g}" if value is not None else "" for value in (one.measured, one.required)]
            writer.writerow((one.line or "", one.subject, one.given, one.reason, one.remedy, one.component, *measured))


def _report(
    options: ImportOptions, result: ImportResult, bad: Sequence[BadRow], pairs: DuplicatesReply | None, began: float
) -> None:
    """Writes what was refused into its file, and tells what the import came to."""
    _write_refusals(options.refusals, result.refused, bad)
    _tell(options, result, bad, pairs, time.monotonic() - began)


def _tell(
    options: ImportOptions, result: ImportResult, bad: Sequence[BadRow], pairs: DuplicatesReply | None, seconds: float
) -> None:
    if options.as_json:
        print_json(as_json(result, bad, pairs, seconds))
        return
    for line in import_lines(result, len(bad), seconds):
        out.print(line, highlight=False, soft_wrap=True)
    if result.refused or bad:
        out.print(refusals_table(result.refused, bad, most=SHOWN))
        if options.refusals is not None:
            out.print(f"refusals: {shown(str(options.refusals))}", soft_wrap=True, highlight=False, markup=False)
        elif len(result.refused) + len(bad) > SHOWN:
            out.print("all of them go into a file with --refusals FILE")
    if pairs is not None and pairs.pairs:
        out.print(duplicates_table(pairs.pairs[:SHOWN]))
        out.print(
            f"{counted(len(pairs.pairs), 'pair')} may be one person: compare and decide; "
            f"`watchline watchlist duplicates {escape(options.watch_list)}` shows them all",
            highlight=False,
            soft_wrap=True,
        )


def as_json(
    result: ImportResult, bad: Sequence[BadRow], pairs: DuplicatesReply | None, seconds: float
) -> dict[str, object]:
    """The result as `--json` writes it."""
    return {
        "images": result.images,
        "enrolled": result.enrolled,
        "already": result.already,
        "notes": result.notes,
        "refused": [
            {"line": r.line or None, "subject": r.subject, "image": r.given, "reason": r.reason, "remedy": r.remedy}
            for r in result.refused
        ],
        "bad_rows": [{"line": row.line, "reason": row.reason, "remedy": row.remedy} for row in bad],
        "possible_duplicates": [pair.model_dump() for pair in pairs.pairs] if pairs else None,
        "seconds": round(seconds, 3),
        "list": record_json(result.record) if result.record else None,
    }
