"""What the commands on watch lists share: their arguments, and how an act is done and shown."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from libs.bus import AskError
from libs.errors import MissingError
from proto import subjects
from proto.messages import Message
from proto.requests.listing import ListRequest
from proto.requests.watchlists import ListReply
from proto.watchlists import WatchListRecord
from services.cli.acting import act, announce, print_json, request
from services.cli.client import DESTROY_S, Client
from services.cli.console import out
from services.cli.times import TIME_HELP
from services.cli.watchlists.tables import done_lines, state

ListArgument = Annotated[str, typer.Argument(metavar="LIST", help="Its name: small letters, digits and dashes.")]
SubjectArgument = Annotated[str, typer.Argument(metavar="SUBJECT", help="A nominal number, never a name.")]
EntryReasonOption = Annotated[str, typer.Option("--reason", help="Why the person is on the list.")]
RequesterOption = Annotated[str, typer.Option(help="Who asked for it.")]
SourceOption = Annotated[str, typer.Option(help="Where the image comes from.")]
BasisOption = Annotated[str, typer.Option("--lawful-basis", help="On which the image is held.")]
DateOption = Annotated[
    str, typer.Option("--image-date", metavar="DATE", help="When the image was taken, as far as it is known: 2023-05.")
]
EntryExpiresOption = Annotated[
    str, typer.Option("--expires", metavar="TIME", help=f"When the entry expires. {TIME_HELP}")
]


def do_act(verb: str, watch_list: str, asked: Message, officer: str, as_json: bool, to: str = "") -> None:
    """Says what will be done to which version of a list, does it, and shows the list after it.

    `to` is what of the list it is done to, where that is not all of it: `S-0017 from`.
    """

    async def work(client: Client) -> ListReply:
        await announce_act(client, f"{verb} {to}".strip(), watch_list)
        return await client.act(f"{subjects.WATCHLIST}.{verb}", asked, ListReply, DESTROY_S)

    print_done(act(officer, work).record, as_json)


async def list_now(client: Client, watch_list: str) -> ListReply:
    """A list as its record is now. Raises as `Client.ask`, or `UserError` for what names none."""
    return await client.ask(f"{subjects.WATCHLIST}.show", request(ListRequest, of=watch_list), ListReply)


async def announce_act(client: Client, what: str, watch_list: str) -> None:
    """Says what is about to be done to a list. Raises as `Client.ask`, unless the list is to be created."""
    try:
        reply = await list_now(client, watch_list)
    except AskError as error:
        if what != "create" or error.code != MissingError.code:
            raise
        announce(what, watch_list, "which is new")
    else:
        announce(what, watch_list, f"version {reply.record.record_version} ({state(reply.record, time.time())})")


def record_json(record: WatchListRecord) -> dict[str, object]:
    """A list for other software, without the signed acts that the audit is still owed: they are bytes."""
    return record.model_dump(mode="json", exclude={"owed": {"__all__": {"sealed"}}})


def print_done(record: WatchListRecord, as_json: bool) -> None:
    """Shows a list after an act."""
    if as_json:
        print_json(record_json(record))
        return
    for line in done_lines(record, time.time()):
        out.print(line, highlight=False, soft_wrap=True)
