"""`watchline watchlist`: make lists, put people on them, look at them, and destroy them."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from proto import subjects
from proto.requests.listing import ListRequest
from proto.requests.watchlists import (
    CreateListRequest,
    DestroyListRequest,
    ExpireListRequest,
    ListReply,
    ListsReply,
    RemoveEntryRequest,
)
from proto.watchlists import NameRecord, Response, WatchListForm
from services.cli.acting import AsOption, JsonOption, ReasonOption, choice, look, print_json, print_nothing, request
from services.cli.client import Client
from services.cli.console import out
from services.cli.given_times import parse_deadline
from services.cli.times import TIME_HELP
from services.cli.watchlists.acts import ListArgument, SubjectArgument, do_act, list_now, record_json
from services.cli.watchlists.enrolment import duplicates, enrol, import_list
from services.cli.watchlists.importing import entries_of
from services.cli.watchlists.tables import entries_table, lists_table, record_lines

RESPONSES: dict[str, Response] = {"red": "red", "amber": "amber", "green": "green"}

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Watch lists: whom the cameras of a deployment look for, and why.\n\n"
    "Every list has a purpose, an owner and an end; every person on it a reason, a source and an end. "
    "Whoever changes a list is an officer with the role list_manager, and signs: `--as OFFICER`.",
)


@app.command()
def create(  # noqa: PLR0913, PLR0917  the options of a command are its arguments
    watch_list: ListArgument,
    profile: Annotated[str, typer.Option(help="The policy profile of the deployments that may search it.")],
    purpose: Annotated[str, typer.Option(help="What the list is for.")],
    owner: Annotated[str, typer.Option(help="Who answers for it.")],
    category: Annotated[str, typer.Option(help="Whom it holds, for example: wanted on warrant.")],
    response: Annotated[str, typer.Option(help="What a confirmed alert calls for: red, amber or green.")],
    lawful_basis: Annotated[str, typer.Option(help="The law it rests on.")],
    criteria: Annotated[str, typer.Option(help="Who belongs on it, so that an officer can approve of it.")],
    expires: Annotated[str, typer.Option(metavar="TIME", help=f"When it is destroyed. {TIME_HELP}")],
    seed: Annotated[bool, typer.Option("--seed", help="Of people who walk past on purpose, to measure.")] = False,
    officer: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Makes an empty list.

    Example: `watchline watchlist create wanted --profile uk-police --purpose "arrest warrants of the county" --owner
    "custody unit" --category "wanted on warrant" --response red --lawful-basis "DPA 2018, part 3" --criteria "a warrant
    for an indictable offence" --expires 30d --as l-stone`
    """
    form = request(
        WatchListForm,
        watch_list=watch_list,
        profile=profile,
        purpose=purpose,
        owner=owner,
        category=category,
        response=choice(response, RESPONSES, "a response class"),
        lawful_basis=lawful_basis,
        criteria=criteria,
        expires_at=parse_deadline(expires, time.time(), "--expires"),
        seed=seed,
    )
    do_act("create", watch_list, CreateListRequest(form=form), officer, as_json)


app.command("import")(import_list)
app.command()(enrol)


@app.command("list")
def list_lists(as_json: JsonOption = False) -> None:
    """Lists all lists, also those that are destroyed.

    Example: `watchline watchlist list`
    """

    async def work(client: Client) -> ListsReply:
        return await client.ask(f"{subjects.WATCHLIST}.list", ListRequest(of=""), ListsReply)

    records = look(work).records
    if as_json:
        print_json([record_json(record) for record in records])
    elif records:
        out.print(lists_table(records, time.time()))
    else:
        print_nothing("watch list yet", "start with `watchline watchlist create`")


@app.command()
def show(
    watch_list: ListArgument,
    entries: Annotated[bool, typer.Option("--entries", help="Also who is, and was, on it.")] = False,
    names: Annotated[bool, typer.Option("--names", help="With the names, where there are any.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Shows a list: what it is for, how far it is, how many are on it, and who did what to it.

    Example: `watchline watchlist show wanted --entries`
    """

    async def work(client: Client) -> tuple[ListReply, list[Any], dict[str, str]]:
        reply = await list_now(client, watch_list)
        listed = await entries_of(client, watch_list) if entries or names else []
        return reply, listed, await _names(client, watch_list) if names else {}

    reply, listed, known_as = look(work)
    if as_json:
        shown = [{**entry.model_dump(), "name": known_as.get(entry.subject, "")} for entry in listed]
        print_json({**record_json(reply.record), **({"entries": shown} if entries or names else {})})
        return
    for line in record_lines(reply.record, time.time()):
        out.print(line, highlight=False, soft_wrap=True)
    if listed:
        out.print(entries_table(listed, known_as, reply.record.removing, time.time()))


@app.command()
def remove(
    watch_list: ListArgument,
    subject: SubjectArgument,
    reason: ReasonOption,
    officer: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Takes a person off a list: templates, portrait and name are erased; number, hashes and times stay.

    Example: `watchline watchlist remove wanted S-0017 --reason "warrant withdrawn" --as l-stone`
    """
    asked = request(RemoveEntryRequest, watch_list=watch_list, subject=subject, reason=reason)
    do_act("remove", watch_list, asked, officer, as_json, f"{subject} from")


@app.command()
def expire(
    watch_list: ListArgument,
    at: Annotated[str, typer.Option(metavar="TIME", help=f"When; it can only come sooner. {TIME_HELP}")],
    reason: ReasonOption,
    officer: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Lets a list expire sooner. From then on it is not searched, and it is destroyed.

    Example: `watchline watchlist expire wanted --at 12h --reason "for tonight only" --as l-stone`
    """
    expires_at = parse_deadline(at, time.time(), "--at")
    asked = request(ExpireListRequest, watch_list=watch_list, expires_at=expires_at, reason=reason)
    do_act("expire", watch_list, asked, officer, as_json)


@app.command()
def destroy(
    watch_list: ListArgument,
    reason: ReasonOption,
    officer: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Destroys a list: templates, portraits and names are erased; numbers, counts and hashes of the images stay.

    Example: `watchline watchlist destroy wanted --reason "the deployment is over" --as l-stone`
    """
    asked = request(DestroyListRequest, watch_list=watch_list, reason=reason)
    do_act("destroy", watch_list, asked, officer, as_json)


app.command()(duplicates)


async def _names(client: Client, watch_list: str) -> dict[str, str]:
    """The names of those on the list, by subject."""
    from libs.bus import Records  # noqa: PLC0415  names are looked up on purpose alone

    records = Records(client.bus, subjects.NAMES, NameRecord)
    found = {}
    for entry in await entries_of(client, watch_list):
        name = await records.get(subjects.key(watch_list, entry.subject))
        if name is not None:
            found[entry.subject] = name[0].name
    return found
