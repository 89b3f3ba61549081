"""`watchline watchlist`: make lists, put people on them, look at them, and destroy them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic import ValidationError

from libs.errors import UserError
from proto import subjects
from proto.governance import NameRecord, Response, WatchListForm
from proto.messages import EnrolReply, Message
from proto.requests import (
    CreateListRequest,
    DestroyListRequest,
    DuplicatesReply,
    DuplicatesRequest,
    ExpireListRequest,
    ListReply,
    ListRequest,
    ListsReply,
    RemoveEntryRequest,
)
from services.cli.client import Client, open_client
from services.cli.console import err, out
from services.cli.deadline import parse_deadline
from services.cli.import_command import ImportOptions, run_import
from services.cli.importing import ImageFile, enrol_request, entries_of, refusal_of
from services.cli.list_tables import (
    duplicates_table,
    enrolled_line,
    entries_table,
    lists_table,
    record_lines,
    refusals_table,
)
from services.cli.manifest import entry_form
from services.cli.signals import until_done

T = TypeVar("T")
M = TypeVar("M", bound=Message)
RESPONSES: dict[str, Response] = {"red": "red", "amber": "amber", "green": "green"}
DUPLICATE_SCORE = 0.5
"""Score from which two entries are shown as possibly one person. Measured on 1,424 people of LFW, all different: 484
pairs are at 0.4 or over, 53 at 0.45, 3 at 0.5, none at 0.6."""
LONG_ACT_S = 300.0
"""How long an act may take: destroying a list of 10,000 people overwrites each portrait, name and entry."""

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Watch lists: whom the cameras of a deployment look for, and why.\n\n"
    "Every list has a purpose, an owner and an end; every person on it a reason, a source and an end. "
    "Whoever changes a list is an officer with the role list_manager, and signs: `--as OFFICER`.",
)

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
    expires: Annotated[str, typer.Option(metavar="TIME", help="When it is destroyed: 30d, 12h, or ISO 8601.")],
    seed: Annotated[bool, typer.Option("--seed", help="Of people who walk past on purpose, to measure.")] = False,
    officer: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Makes an empty list.

    Example: `watchline watchlist create wanted --profile uk-police --purpose "arrest warrants of the county" --owner
    "custody unit" --category "wanted on warrant" --response red --lawful-basis "DPA 2018, part 3" --criteria "a warrant
    for an indictable offence" --expires 30d --as l-stone`
    """
    if response not in RESPONSES:
        raise UserError(f"--response {response} is no class", f"give one of {', '.join(RESPONSES)}")
    form = _request(
        WatchListForm,
        watch_list=watch_list,
        profile=profile,
        purpose=purpose,
        owner=owner,
        category=category,
        response=response,
        lawful_basis=lawful_basis,
        criteria=criteria,
        expires_at=parse_deadline(expires, time.time(), "--expires"),
        seed=seed,
    )
    _act("create", CreateListRequest(form=form), officer, as_json)


@app.command("import")
def import_list(  # noqa: PLR0913, PLR0917  the options of a command are its arguments
    watch_list: ListArgument,
    images_of: Annotated[
        Path | None,
        typer.Argument(
            metavar="SOURCE", help="A manifest (.csv or .jsonl), or a folder: an image or a folder of images a subject."
        ),
    ] = None,
    images: Annotated[Path | None, typer.Option(help="The folder of a manifest's images; its own without it.")] = None,
    reason: ReasonOption = "",
    requester: RequesterOption = "",
    source: SourceOption = "",
    lawful_basis: BasisOption = "",
    image_date: DateOption = "",
    expires: EntryExpiresOption = "",
    refusals: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what was refused there, as CSV, with reason and remedy.")
    ] = None,
    duplicates_from: Annotated[
        float, typer.Option("--duplicates-from", min=-1, max=1, help="Score from which two may be one person.")
    ] = DUPLICATE_SCORE,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the import under way, with these images.")
    ] = False,
    abort: Annotated[
        bool, typer.Option("--abort", help="Take the import under way back: the list is as before.")
    ] = False,
    officer: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Puts many people on a list, from a manifest or a folder. What was interrupted goes on when it is called again.

    A manifest has a row an image, with the columns subject, image, reason, requester, source, lawful_basis, expires;
    and if you want reference, image_date, under_18, under_18_rationale, name. What is the same for all can be an
    option instead. An image that is on the list already is passed over. Until the import is complete the list is not
    searched.

    Exit code 0: all images are on the list; 1: some were refused; 130: interrupted.

    Example: `watchline watchlist import wanted wanted.csv --images photos/ --refusals refused.csv --as l-stone`

    Example: `watchline watchlist import blue volunteers/ --reason "seed" --requester "Sgt 12" --source "taken today"
    --lawful-basis consent --expires 2d --as l-stone`
    """
    given = {
        "reason": reason,
        "requester": requester,
        "source": source,
        "lawful_basis": lawful_basis,
        "image_date": image_date,
        "expires": expires,
    }
    options = ImportOptions(
        watch_list=watch_list,
        images_of=images_of,
        folder=images,
        defaults={name: value for name, value in given.items() if value},
        refusals=refusals,
        duplicates_from=duplicates_from,
        resume=resume,
        abort=abort,
        as_json=as_json,
    )
    raise typer.Exit(_run(lambda client: run_import(client, options), officer))


@app.command()
def enrol(  # noqa: PLR0913, PLR0917  the options of a command are its arguments
    watch_list: ListArgument,
    subject: SubjectArgument,
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="It shows this person's face, and no other.")],
    reason: ReasonOption,
    requester: RequesterOption,
    source: SourceOption,
    lawful_basis: BasisOption,
    expires: EntryExpiresOption,
    image_date: DateOption = "",
    under_18: Annotated[bool, typer.Option("--under-18", help="The person is under 18.")] = False,
    rationale: Annotated[str, typer.Option("--under-18-rationale", help="Why a minor must be on the list.")] = "",
    name: Annotated[str, typer.Option(help="Kept apart from everything else, and erased with the entry.")] = "",
    officer: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Puts one person on a list with one image, or adds an image to one who is on it.

    Example: `watchline watchlist enrol wanted S-0017 photo.jpg --reason "warrant 17/2023" --requester "Insp. 4711"
    --source custody --lawful-basis "PACE 1984, s. 64A" --expires 30d --as l-stone`
    """
    row = {
        "reason": reason,
        "requester": requester,
        "source": source,
        "lawful_basis": lawful_basis,
        "image_date": image_date,
        "under_18": "yes" if under_18 else "",
        "under_18_rationale": rationale,
        "expires": expires,
        "name": name,
    }
    file = ImageFile(subject, image, entry_form(row, time.time()))

    async def work(client: Client) -> EnrolReply:
        return await client.act(f"{subjects.WATCHLIST}.enrol", enrol_request(watch_list, file), EnrolReply)

    reply = _run(work, officer)
    if as_json:
        _print_json(reply.model_dump())
    elif reply.enrolled:
        out.print(enrolled_line(reply), highlight=False, soft_wrap=True)
    else:
        err.print(refusals_table([refusal_of(file, reply)], []))
    raise typer.Exit(0 if reply.enrolled else 1)


@app.command("list")
def list_lists(as_json: JsonOption = False) -> None:
    """Lists all lists, also those that are destroyed.

    Example: `watchline watchlist list`
    """

    async def work(client: Client) -> ListsReply:
        return await client.ask(f"{subjects.WATCHLIST}.list", ListRequest(of=""), ListsReply)

    records = _run(work).records
    if as_json:
        _print_json([record.model_dump() for record in records])
    elif records:
        out.print(lists_table(records, time.time()))
    else:
        out.print("no watch lists")


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
        reply = await client.ask(f"{subjects.WATCHLIST}.show", ListRequest(of=watch_list), ListReply)
        listed = await entries_of(client, watch_list) if entries or names else []
        return reply, listed, await _names(client, watch_list) if names else {}

    reply, listed, known_as = _run(work)
    if as_json:
        shown = [{**entry.model_dump(), "name": known_as.get(entry.subject, "")} for entry in listed]
        _print_json({**reply.record.model_dump(), **({"entries": shown} if entries or names else {})})
        return
    for line in record_lines(reply.record, time.time()):
        out.print(line, highlight=False, soft_wrap=True)
    if listed:
        out.print(entries_table(listed, known_as, time.time()))


@app.command()
def remove(
    watch_list: ListArgument,
    subject: SubjectArgument,
    reason: WhyOption,
    officer: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Takes a person off a list: templates, portrait and name are erased; number, hashes and times stay.

    Example: `watchline watchlist remove wanted S-0017 --reason "warrant withdrawn" --as l-stone`
    """
    request = _request(RemoveEntryRequest, watch_list=watch_list, subject=subject, reason=reason)
    _act("remove", request, officer, as_json)


@app.command()
def expire(
    watch_list: ListArgument,
    at: Annotated[str, typer.Option(metavar="TIME", help="When: 12h, 30d, or ISO 8601. It can only come sooner.")],
    reason: WhyOption,
    officer: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Lets a list expire sooner. From then on it is not searched, and it is destroyed.

    Example: `watchline watchlist expire wanted --at 12h --reason "for tonight only" --as l-stone`
    """
    expires_at = parse_deadline(at, time.time(), "--at")
    request = _request(ExpireListRequest, watch_list=watch_list, expires_at=expires_at, reason=reason)
    _act("expire", request, officer, as_json)


@app.command()
def destroy(
    watch_list: ListArgument,
    reason: WhyOption,
    officer: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Destroys a list: templates, portraits and names are erased; numbers, counts and hashes of the images stay.

    Example: `watchline watchlist destroy wanted --reason "the deployment is over" --as l-stone`
    """
    request = _request(DestroyListRequest, watch_list=watch_list, reason=reason)
    _act("destroy", request, officer, as_json)


@app.command()
def duplicates(
    watch_list: ListArgument,
    score: Annotated[
        float, typer.Option("--from", min=-1, max=1, help="The score from which two may be one person.")
    ] = DUPLICATE_SCORE,
    as_json: JsonOption = False,
) -> None:
    """Shows who may be on the list twice under two numbers, or on another list too. You decide; nothing is changed.

    Example: `watchline watchlist duplicates wanted --from 0.6`
    """

    async def work(client: Client) -> DuplicatesReply:
        request = DuplicatesRequest(watch_list=watch_list, threshold=score)
        return await client.ask(f"{subjects.WATCHLIST}.duplicates", request, DuplicatesReply, timeout_s=120.0)

    pairs = _run(work).pairs
    if as_json:
        _print_json([pair.model_dump() for pair in pairs])
    elif pairs:
        out.print(duplicates_table(pairs))
    else:
        out.print(f"nobody on {watch_list} resembles another at {score:g} or over", highlight=False)


def _act(verb: str, request: Message, officer: str, as_json: bool) -> None:
    """Does an act on a list, and shows the list after it."""

    async def work(client: Client) -> ListReply:
        return await client.act(f"{subjects.WATCHLIST}.{verb}", request, ListReply, LONG_ACT_S)

    record = _run(work, officer).record
    if as_json:
        _print_json(record.model_dump())
        return
    for line in record_lines(record, time.time(), brief=True):
        out.print(line, highlight=False, soft_wrap=True)


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


def _run(work: Callable[[Client], Coroutine[Any, Any, T]], officer: str = "") -> T:
    """What `work` comes to on the bus. Raises as `open_client` and `work`."""

    async def on_the_bus() -> T:
        async with open_client(officer or None) as client:
            return await work(client)

    return until_done(on_the_bus())


def _request(kind: Callable[..., T], **fields: object) -> T:
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


def _print_json(value: object) -> None:
    out.print_json(json.dumps(value))
