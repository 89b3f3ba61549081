"""`watchline audit`: verify the chain, export it, and read who did what."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from libs.errors import UserError
from services.cli.audit import desk
from services.cli.audit.desk import Wanted, parse_format, parse_head, parse_key
from services.cli.audit.export import readable, written_whole
from services.cli.audit.lines import entry_line, entry_lines, entry_table, verdict_json, verdict_lines
from services.cli.console import err, out
from services.cli.given_times import parse_past
from services.cli.signals import until_done
from services.cli.times import TIME_HELP

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="The audit: every act, in a signed chain that shows whatever is changed in it.\n\n"
    "Start with `watchline audit show`; `watchline audit verify` proves that nothing was touched.",
)

KeyOption = Annotated[
    str,
    typer.Option(
        "--public-key", metavar="HEX", envvar="WATCHLINE_TRUST_PUBLIC_KEY", help="Of govern, who signs the entries."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON, for other software.")]
SinceOption = Annotated[str, typer.Option(metavar="TIME", help=f"Only entries from then on. {TIME_HELP}")]
DeploymentOption = Annotated[str, typer.Option(help="Only entries of this deployment.")]


@app.command()
def verify(
    head: Annotated[
        list[str] | None,
        typer.Option(metavar="SEQ:HASH", help="A head that was written down earlier; may be given several times."),
    ] = None,
    file: Annotated[Path | None, typer.Option(help="Verify this export instead of the stream, without a bus.")] = None,
    public_key: KeyOption = "",
    as_json: JsonOption = False,
) -> None:
    """Checks every entry: its signature, its place, and that it follows from the one before it.

    Names each entry that was changed, dropped, moved, doubled or written by somebody else, and a tail that was cut
    off. Exits with 1 where there is one.

    Examples: `watchline audit verify`; `watchline audit verify --file audit.jsonl --head 1234:5f3a…`
    """
    key, heads = parse_key(public_key), [parse_head(text) for text in head or ()]
    verdict = desk.verify_file(file, key, heads) if file is not None else until_done(desk.verify_stream(key, heads))
    if as_json:
        out.print_json(json.dumps(verdict_json(verdict)))
    else:
        for line in verdict_lines(verdict):
            (out if verdict.whole else err).print(line, soft_wrap=True, highlight=False)
    if not verdict.whole:
        raise typer.Exit(1)


@app.command()
def export(
    form: Annotated[str, typer.Option("--format", help="jsonl, or csv.")] = "jsonl",
    to: Annotated[
        Path | None, typer.Option("--out", "--output", "-o", metavar="FILE", help="Where to; or else standard output.")
    ] = None,
    since: SinceOption = "",
    deployment: DeploymentOption = "",
    public_key: KeyOption = "",
) -> None:
    """Writes the entries to a file that proves itself: `watchline audit verify --file FILE`, on any machine.

    Examples: `watchline audit export --out audit.jsonl`; `watchline audit export --format csv --since 7d -o week.csv`
    """
    wanted = Wanted(_since(since), deployment)
    chosen, key = parse_format(form), parse_key(public_key)
    with written_whole(to) as file:
        count = until_done(desk.export_to(file, chosen, wanted, key))
    err.print(f"{count} entries" + (f" in {to}" if to is not None else ""), soft_wrap=True, highlight=False)


@app.command()
def show(
    sequence: Annotated[int | None, typer.Argument(min=1, help="Of one entry, to see all of it.")] = None,
    last: Annotated[int, typer.Option(min=1, help="How many of the newest to show.")] = 20,
    since: SinceOption = "",
    deployment: DeploymentOption = "",
    public_key: KeyOption = "",
    as_json: JsonOption = False,
) -> None:
    """Who did what, when, on which version of what, from where, and why.

    Examples: `watchline audit show --deployment station-north`; `watchline audit show 17`
    """
    key, wanted = parse_key(public_key), Wanted(_since(since), deployment)
    found = until_done(desk.newest(key, wanted, last, sequence))
    if sequence is not None and not found:
        narrowed = "" if wanted.everything else " of that time and deployment"
        raise UserError(f"there is no entry {sequence}{narrowed}", "see `watchline audit show`", 1)
    if as_json:
        said = [readable(entry) if entry else {"sequence": place} for place, entry in found]
        out.print_json(json.dumps(said))
    elif sequence is not None:
        for line in entry_lines(*found[0]):
            out.print(line, soft_wrap=True, highlight=False)
    else:
        out.print(entry_table(found))


@app.command()
def tail(
    last: Annotated[int, typer.Option(min=0, help="How many of those before to begin with.")] = 10,
    deployment: DeploymentOption = "",
    public_key: KeyOption = "",
) -> None:
    """Follows the audit, a line an act, until Ctrl-C.

    Example: `watchline audit tail --deployment station-north`
    """
    key = parse_key(public_key)

    async def work() -> None:
        async for entry in desk.followed(key, Wanted(deployment=deployment), last):
            out.print(entry_line(entry), soft_wrap=True, highlight=False)

    until_done(work())


def _since(text: str) -> float:
    return parse_past(text, time.time(), "--since") if text else 0.0
