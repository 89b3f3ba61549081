"""Watch lists, entries, refusals and possible duplicates as a person reads them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from proto.messages import EnrolReply
from proto.requests.watchlists import PossibleDuplicate
from proto.watchlists import EntryRecord, WatchListRecord
from services.cli.times import moment, span
from services.cli.watchlists.importing import ImportResult
from services.cli.watchlists.manifest import BadRow
from services.cli.watchlists.reference_images import Refusal
from services.cli.words import counted

STYLES = {"red": "red", "amber": "yellow", "green": "green"}
DEEDS_SHOWN = 10


def lists_table(records: Sequence[WatchListRecord], now: float) -> Table:
    """All lists."""
    table = Table()
    for column in ("list", "response", "state", "people", "references", "built", "expires"):
        table.add_column(column)
    for record in records:
        form = record.form
        table.add_row(
            escape(record.id),
            f"[{STYLES[form.response]}]{form.response}[/]" + (" (seeds)" if form.seed else ""),
            state(record, now),
            str(record.subjects),
            str(record.references),
            moment(record.built_at) if record.built_at else "",
            moment(form.expires_at),
        )
    return table


def state(record: WatchListRecord, now: float) -> str:
    """How far a list is, in a word or two."""
    if record.state == "ready" and record.form.expires_at <= now:
        return "expired"
    words = {"importing": "being imported", "aborting": "being taken back", "destroying": "being destroyed"}
    return words.get(record.state, record.state)


def done_lines(record: WatchListRecord, now: float) -> Iterable[str]:
    """A list after an act, line by line."""
    yield f"{escape(record.id)} is {state(record, now)}, version {record.record_version}: {_size(record)}"
    yield from _owed_lines(record)


def record_lines(record: WatchListRecord, now: float) -> Iterable[str]:
    """A list, line by line."""
    form = record.form
    yield f"[bold]{escape(record.id)}[/], version {record.record_version}: {state(record, now)}, {_size(record)}"
    yield from _owed_lines(record)
    yield f"purpose:      {escape(form.purpose)}"
    yield f"owner:        {escape(form.owner)}"
    yield f"category:     {escape(form.category)} ([{STYLES[form.response]}]{form.response}[/])" + (
        ", seeds: people who walk past on purpose" if form.seed else ""
    )
    yield f"lawful basis: {escape(form.lawful_basis)}"
    yield f"criteria:     {escape(form.criteria)}"
    yield f"created:      {moment(record.created_at)} UTC; templates of {escape(record.template_version)}"
    if record.built_at:
        yield f"built:        {moment(record.built_at)} UTC ({span(now - record.built_at)} ago)"
    if record.destroyed_at:
        yield f"destroyed:    {moment(record.destroyed_at)} UTC"
    else:
        yield f"expires:      {moment(form.expires_at)} UTC"
    if record.removing:
        leaving = counted(len(record.removing), "person is", "people are")
        yield f"[yellow]{leaving} being taken off, and not searched for any more[/]"
    if record.state == "importing":
        yield f"import:       {escape(record.import_id)} is under way; the list is not searched until it is complete"
    if record.inputs_sha256:
        yield f"images:       sha256 {record.inputs_sha256}"
    for deed in record.deeds[-DEEDS_SHOWN:]:
        yield f"  {moment(deed.at)} {escape(deed.who)}: {escape(deed.verb)} {escape(deed.reason)}"


def _size(record: WatchListRecord) -> str:
    people = counted(record.subjects, "person", "people")
    return f"{people}, {counted(record.references, 'reference')}"


def _owed_lines(record: WatchListRecord) -> Iterable[str]:
    if record.owed:
        owed = counted(len(record.owed), "act is", "acts are")
        yield f"[yellow]{owed} not in the audit yet, which is told again until it has them: is govern running?[/]"


def entries_table(
    entries: Sequence[EntryRecord], names: Mapping[str, str], leaving: Collection[str], now: float
) -> Table:
    """Who is and was on a list, and who of them is being taken off."""
    table = Table()
    columns = ("subject", *(("name",) if names else ()), "images", "reason", "requester", "under 18", "expires")
    for column in columns:
        table.add_column(column)
    for entry in entries:
        form = entry.form
        shown = [escape(entry.subject), *((escape(names.get(entry.subject, "")),) if names else ())]
        if form is None:
            table.add_row(*shown, str(len(entry.images)), f"off the list since {moment(entry.removed_at)}", "", "", "")
            continue
        expires = moment(form.expires_at) + (" (expired)" if form.expires_at <= now else "")
        if entry.subject in leaving:
            expires = "being taken off now"
        minor = escape(form.under_18_rationale) if form.under_18 else ""
        images = str(sum(bool(image.reference) for image in entry.images))
        table.add_row(*shown, images, escape(form.reason), escape(form.requester), minor, expires)
    return table


def enrolled_line(reply: EnrolReply) -> str:
    """What came of one image that is on the list now."""
    if reply.already:
        return f"the image was on {escape(reply.watch_list)} already; nothing was changed"
    quality = f", quality {reply.quality.unified:.2f}" if reply.quality else ""
    note = f"; {escape(reply.reason)}" if reply.reason else ""
    return f"{escape(reply.subject)} is on {escape(reply.watch_list)}{quality}{note}"


def import_lines(result: ImportResult, bad_rows: int, seconds: float) -> Iterable[str]:
    """What an import came to, line by line."""
    per_s = result.done / seconds if seconds > 0 else 0.0
    yield f"{counted(result.enrolled, 'image')} enrolled in {span(seconds)} ({per_s:.1f} images/s)"
    if result.already:
        yield f"{counted(result.already, 'was', 'were')} on the list already"
    if result.refused or bad_rows:
        images = [f"{counted(len(result.refused), 'image was', 'images were')} refused"] if result.refused else []
        rows = [f"{counted(bad_rows, 'row')} of the manifest"] if bad_rows else []
        yield f"[yellow]{', and '.join(images + rows)}{'' if images else ' will not do'}[/]"
    for note, of in result.notes.items():
        yield f"{escape(note)} ({counted(of, 'image')}): to renew an entry, remove it and import it again"
    if result.record is not None:
        record = result.record
        people = counted(record.subjects, "person", "people")
        references = counted(record.references, "reference")
        yield f"[bold]{escape(record.id)}[/] has {people} with {references} now"
        if record.owed:
            yield "[yellow]the audit does not hold this yet, and is told again until it does: is govern running?[/]"


def refusals_table(refused: Sequence[Refusal], bad: Sequence[BadRow], most: int | None = None) -> Table:
    """What was refused, why, and what can be done."""
    table = Table(title="refused", title_justify="left")
    for column in ("image", "subject", "reason", "what to do"):
        table.add_column(column, overflow="fold")
    rows = [(f"line {row.line}", row.subject, row.reason, row.remedy) for row in bad]
    rows += [
        (f"line {one.line}: {one.given}" if one.line else Path(one.given).name, one.subject, one.reason, one.remedy)
        for one in refused
    ]
    for row in rows[:most]:
        table.add_row(*(escape(cell) for cell in row))
    if most is not None and len(rows) > most:
        table.add_row(f"and {len(rows) - most} more", "", "", "")
    return table


def duplicates_table(pairs: Sequence[PossibleDuplicate]) -> Table:
    """Who may be one person, for a person to decide."""
    table = Table(title="may be one person", title_justify="left")
    for column in ("subject", "resembles", "on list"):
        table.add_column(column)
    table.add_column("score", justify="right")
    for pair in pairs:
        table.add_row(escape(pair.subject), escape(pair.other_subject), escape(pair.other_list), f"{pair.score:.3f}")
    return table
