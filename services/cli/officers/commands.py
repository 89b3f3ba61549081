"""`watchline officer` and `watchline keys`: keys of officers and of `govern`, and the roster that names them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, get_args

import typer
from pydantic import TypeAdapter, ValidationError
from rich.table import Table
from rich.text import Text

from libs.errors import UserError
from libs.officers import Officer, Role, read_officers
from libs.seals import Signer
from libs.settings import TrustSettings, load
from proto.sealed import GOVERN, OfficerId
from services.cli.client import keys_folder
from services.cli.console import err, out
from services.govern.settings import GovernSettings

ROLES: tuple[str, ...] = get_args(Role)
ID: TypeAdapter[str] = TypeAdapter(OfficerId)

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Officers: who may do what. Each has a key of their own, and signs every act with it.\n\n"
    "The key stays with its officer; its public half goes into the roster of the site (`officers.toml`), which whoever "
    "runs the site keeps.",
)


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Small letters, digits, - and ., for example a-jones.")],
    role: Annotated[list[str], typer.Option(help=f"One of {', '.join(ROLES)}; give it once a role.")],
    rank: Annotated[str, typer.Option(help="Where a profile asks for one, to authorise.")] = "",
    profile: Annotated[
        list[str] | None, typer.Option(help="A profile under which the officer may act; without one all of the site's.")
    ] = None,
    roster: Annotated[
        Path | None, typer.Option(help="Also write the officer into this roster, if you are who keeps it.")
    ] = None,
) -> None:
    """Makes the key of an officer, and shows the table for the roster.

    Example: `watchline officer new a-jones --role drafter --rank inspector`
    """
    table = _table(_id(name), _roles(role), rank, profile or [])
    if roster is not None and name in _known(roster):
        raise UserError(f"{name} is on the roster {roster} already", "choose another name, or take the old one out")
    signer, path = Signer.generate(name), keys_folder() / f"{name}.key"
    signer.save(path)
    text = table.format(public_key=signer.public)
    err.print(f"the private key is {path}: it is {name}'s alone", soft_wrap=True, highlight=False)
    if roster is None:
        err.print("for the roster of the site:", highlight=False)
        typer.echo(text, nl=False)
        return
    _append(roster, text)
    err.print(f"{name} is on the roster {roster} now", soft_wrap=True, highlight=False)


@app.command("list")
def list_officers(
    roster: Annotated[Path | None, typer.Option(help="The roster; else that of WATCHLINE_TRUST_OFFICERS.")] = None,
) -> None:
    """The officers of the roster: roles, ranks, and the beginning of each public key.

    Example: `watchline officer list`
    """
    table = Table(box=None, pad_edge=False)
    for column in ("officer", "roles", "rank", "profiles", "public key"):
        table.add_column(column, no_wrap=column == "officer")
    for name, officer in sorted(read_officers(roster or load(TrustSettings).officers).items()):
        profiles = "all" if officer.profiles is None else ", ".join(sorted(officer.profiles))
        roles = ", ".join(sorted(officer.roles))
        table.add_row(name, roles, Text(officer.rank), profiles, f"{officer.public_key[:16]}…")
    out.print(table)


def keys(
    key: Annotated[
        Path | None, typer.Option(help="Where the private key is written; else WATCHLINE_GOVERN_KEY, or govern.key.")
    ] = None,
) -> None:
    """Makes the pair of keys of `govern`, which seals warrants and the audit, and prints the public one.

    Keep the private one where only that program runs: whoever has it can arm. Every program is told the public one.

    Example: `watchline keys --key /etc/watchline/govern.key`
    """
    path, signer = key or load(GovernSettings).key, Signer.generate(GOVERN)
    if not path.parent.is_dir():
        raise UserError(f"there is no folder {path.parent}", "make it, or choose another with --key")
    signer.save(path)
    err.print(f"the private key is {path}; tell every program the public one:", soft_wrap=True, highlight=False)
    typer.echo(f"WATCHLINE_TRUST_PUBLIC_KEY={signer.public}")


def _id(name: str) -> str:
    try:
        ID.validate_python(name)
    except ValidationError:
        raise UserError(f"{name!r} cannot name an officer", "use small letters, digits, - and ., at most 64") from None
    if name == GOVERN:
        raise UserError(f"{GOVERN} is the program of that name", "make its keys with `watchline keys`")
    return name


def _roles(names: list[str]) -> list[str]:
    for name in names:
        if name not in ROLES:
            raise UserError(f"there is no role {name!r}", f"choose from {', '.join(ROLES)}")
    return names


def _table(name: str, roles: list[str], rank: str, profiles: list[str]) -> str:
    """The table of an officer for the roster, but for the public key."""
    lines = [f'[officers."{name}"]', 'public_key = "{public_key}"', f"roles = {_array(roles)}"]
    lines += [f"rank = {_quoted(rank)}"] if rank else []
    lines += [f"profiles = {_array(profiles)}"] if profiles else []
    return "\n".join(lines) + "\n"


def _array(words: list[str]) -> str:
    return f"[{', '.join(map(_quoted, words))}]"


def _quoted(word: str) -> str:
    if not word.isprintable() or set(word) & set('"\\{}'):
        raise UserError(f"{word!r} will not do", "use letters, digits, blanks and dashes")
    return f'"{word}"'


def _known(roster: Path) -> dict[str, Officer]:
    return read_officers(roster) if roster.exists() else {}


def _append(roster: Path, text: str) -> None:
    try:
        with roster.open("a", encoding="utf-8") as file:
            file.write(("\n" if file.tell() else "") + text)
    except OSError as error:
        raise UserError(f"{roster} cannot be written ({error.strerror})", "choose another file") from None
