"""What the commands on watch lists share: their arguments, and how an act is done and shown."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeVar

import typer
from pydantic import ValidationError

from libs.errors import UserError
from proto import subjects
from proto.messages import Message
from proto.requests import ListReply
from services.cli.client import DESTROY_S, Client, open_client
from services.cli.console import out
from services.cli.signals import until_done
from services.cli.watchlists.tables import record_lines

T = TypeVar("T")

ListArgument = Annotated[str, typer.Argument(metavar="LIST", help="Its name: small letters, digits and dashes.")]
SubjectArgument = Annotated[str, typer.Argument(metavar="SUBJECT", help="A nominal number, never a name.")]
AsOption = Annotated[
    str, typer.Option("--as", metavar="OFFICER", envvar="WATCHLINE_OFFICER", help="Who acts: signed with that key.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON, for other software.")]
WhyOption = Annotated[str, typer.Option("--reason", help="Why, in words. It goes into the audit: write no names.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why the person is on the list.")]
RequesterOption = Annotated[str, typer.Option(help="Who asked for it.")]
SourceOption = Annotated[str, typer.Option(help="Where the image comes from.")]
BasisOption = Annotated[str, typer.Option("--lawful-basis", help="On which the image is held.")]
DateOption = Annotated[str, typer.Option("--image-date", help="When the image was taken, as far as it is known.")]
EntryExpiresOption = Annotated[
    str, typer.Option("--expires", metavar="TIME", help="When the entry expires: 30d, 12h, or ISO 8601.")
]


def do_act(verb: str, request: Message, officer: str, as_json: bool) -> None:
    """Does an act on a list, and shows the list after it."""

    async def work(client: Client) -> ListReply:
        return await client.act(f"{subjects.WATCHLIST}.{verb}", request, ListReply, DESTROY_S)

    record = run(work, officer).record
    if as_json:
        print_json(record.model_dump())
        return
    for line in record_lines(record, time.time(), brief=True):
        out.print(line, highlight=False, soft_wrap=True)


def run(work: Callable[[Client], Coroutine[Any, Any, T]], officer: str = "") -> T:
    """What `work` comes to on the bus. Raises as `open_client` and `work`."""

    async def on_the_bus() -> T:
        async with open_client(officer or None) as client:
            return await work(client)

    return until_done(on_the_bus())


def make_request(kind: Callable[..., T], **fields: object) -> T:
    """A request of those fields.

    Raises:
        UserError: one of them will not do.
    """
    try:
        return kind(**fields)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in problem["loc"]).replace("_", "-")
        raise UserError(f"{where} will not do", str(problem["msg"]).lower()) from None


def print_json(value: object) -> None:
    """Prints the value for other software."""
    out.print_json(json.dumps(value))
