"""The audit for the eyes of people: a table of who did what, an entry in full, and the verdict on a chain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rich.table import Table
from rich.text import Text

from libs.chain import Verdict
from proto.audit import AuditEntry
from services.cli.times import clock_time, date, iso

COLUMNS = ("", "when (UTC)", "who", "what", "on", "from", "why")
FOREIGN = "not govern's: see `watchline audit verify`"


def entry_table(entries: Iterable[tuple[int, AuditEntry | None]]) -> Table:
    """The entries, a row each: those that `govern` did not sign say so."""
    table = Table()
    for column in COLUMNS:
        table.add_column(column, justify="right" if not column else "left", overflow="fold")
    for place, entry in entries:
        if entry is None:
            table.add_row(str(place), "", "", Text(FOREIGN, "red"))
        else:
            table.add_row(*_cells(entry))
    return table


def entry_line(entry: AuditEntry | None) -> Text:
    """An entry on one line; one that `govern` did not sign says so."""
    if entry is None:
        return Text(f"an entry that is {FOREIGN}", "red")
    sequence, when, who, what, on, origin, why = _cells(entry)
    where = f" from {origin}" if origin else ""
    said = ": ".join(part for part in (f"by {who}{where}", on, why) if part)
    return Text.assemble((f"{sequence}  {when}  ", "dim"), (f"{what} ", "bold"), said)


def entry_lines(place: int, entry: AuditEntry | None) -> Iterator[Text]:
    """An entry in full."""
    if entry is None:
        yield Text(f"what stands at place {place} is {FOREIGN}", "red")
        return
    deed = entry.deed
    yield Text.assemble((f"entry {entry.sequence}", "bold"), f"  {entry.event}")
    yield Text(f"at        {iso(entry.at)}")
    yield Text(f"who       {deed.who}, from {deed.origin or 'the system itself'}, at {iso(deed.at)} by their clock")
    yield Text(f"on        {_on(entry) or 'the system'}")
    if deed.reason:
        yield Text(f"why       {deed.reason}")
    for name, value in sorted(entry.details.items()):
        yield Text(f"          {name} = {value}")
    yield Text(f"id        {entry.id}")
    if deed.act:
        yield Text(f"act       {deed.act} (SHA-256 of the act as its officer signed it)")
    yield Text(f"follows   {entry.previous.hex()}")


def verdict_lines(verdict: Verdict) -> Iterator[Text]:
    """What there is to say of a chain: each break by the entry it is at, then what to do."""
    for found in verdict.breaks:
        yield Text.assemble((f"{found.kind:<9} ", "bold red"), found.says)
    for warning in verdict.warnings:
        yield Text.assemble(("warning   ", "bold yellow"), warning)
    many = f"{verdict.entries} entr{'y' if verdict.entries == 1 else 'ies'}"
    if not verdict.whole:
        breaks = len(verdict.breaks)
        yield Text(f"the audit is broken at {breaks} place{'s' if breaks > 1 else ''}; {many} are govern's", "bold red")
        return
    if verdict.head is None:
        yield Text("the audit is whole: there are no entries")
        return
    yield Text.assemble(("the audit is whole: ", "bold green"), f"{many}, the last at {iso(verdict.head.at)}")
    yield Text(f"head: {verdict.head.sequence}:{verdict.head.sha256}")
    yield Text(
        "Keep the head where nobody of this system can change it: given to `watchline audit verify --head`, it shows "
        "a tail that was cut off.",
        "dim",
    )


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """The verdict for other software."""
    return {
        "whole": verdict.whole,
        "entries": verdict.entries,
        "head": f"{verdict.head.sequence}:{verdict.head.sha256}" if verdict.head else None,
        "breaks": [{"kind": one.kind, "sequence": one.sequence, "says": one.says} for one in verdict.breaks],
        "warnings": list(verdict.warnings),
    }


def _cells(entry: AuditEntry) -> tuple[str, ...]:
    when = f"{date(entry.at)} {clock_time(entry.at)}"
    return str(entry.sequence), when, entry.deed.who, entry.event, _on(entry), entry.deed.origin, entry.deed.reason


def _on(entry: AuditEntry) -> str:
    """What the act was done to, with the version of its record."""
    version = f" v{entry.record_version}" if entry.record_version else ""
    parts = [
        f"deployment {entry.deployment}{version}" if entry.deployment else "",
        f"list {entry.watch_list}{version if not entry.deployment else ''}" if entry.watch_list else "",
        f"alert {entry.alert[:8]}" if entry.alert else "",
    ]
    return ", ".join(part for part in parts if part)
