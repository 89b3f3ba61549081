"""`watchline watchlist import`, `enrol` and `duplicates`: how people come onto a list, and who may be on it twice."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from libs.errors import UserError
from proto import subjects
from proto.messages import EnrolReply
from proto.requests.watchlists import DuplicatesReply, DuplicatesRequest
from services.cli.acting import AsOption, JsonOption, act, print_json, print_refused, request
from services.cli.client import Client
from services.cli.console import out
from services.cli.watchlists.acts import (
    BasisOption,
    DateOption,
    EntryExpiresOption,
    EntryReasonOption,
    ListArgument,
    RequesterOption,
    SourceOption,
    SubjectArgument,
    announce_act,
)
from services.cli.watchlists.import_command import DUPLICATES_TIMEOUT_S, ImportOptions, run_import
from services.cli.watchlists.manifest import entry_form
from services.cli.watchlists.reference_images import ImageFile, UnusableFileError, single_request
from services.cli.watchlists.tables import duplicates_table, enrolled_line

DUPLICATE_SCORE = 0.5
"""Score from which two entries are shown as possibly one person. Measured on 1,424 people of LFW, all different: 484
pairs are at 0.4 or over, 53 at 0.45, 3 at 0.5, none at 0.6."""


def import_list(  # noqa: PLR0913, PLR0917  the options of a command are its arguments
    watch_list: ListArgument,
    images_of: Annotated[
        Path | None,
        typer.Argument(
            metavar="SOURCE", help="A manifest (.csv or .jsonl), or a folder: an image or a folder of images a subject."
        ),
    ] = None,
    images: Annotated[Path | None, typer.Option(help="The folder of a manifest's images; its own without it.")] = None,
    reason: EntryReasonOption = "",
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
    raise typer.Exit(act(officer, lambda client: run_import(client, options)))


def enrol(  # noqa: PLR0913, PLR0917  the options of a command are its arguments
    watch_list: ListArgument,
    subject: SubjectArgument,
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="It shows this person's face, and no other.")],
    reason: EntryReasonOption,
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
        try:
            asked = single_request(client, watch_list, file)
        except UnusableFileError as error:
            raise UserError(f"{image}: {error.reason}", error.remedy, 1) from None
        await announce_act(client, f"enrol {subject} on", watch_list)
        return await client.act(f"{subjects.WATCHLIST}.enrol", asked, EnrolReply)

    reply = act(officer, work)
    if as_json:
        print_json(reply.model_dump())
    elif reply.enrolled:
        out.print(enrolled_line(reply), highlight=False, soft_wrap=True)
    else:
        print_refused(f"{image}: {reply.reason}" + (f": {reply.remedy}" if reply.remedy else ""))
    raise typer.Exit(0 if reply.enrolled else 1)


def duplicates(
    watch_list: ListArgument,
    score: Annotated[
        float, typer.Option("--from", min=-1, max=1, help="The score from which two may be one person.")
    ] = DUPLICATE_SCORE,
    officer: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Shows who may be on the list twice under two numbers, or on another list too. You decide; nothing is changed.

    It compares faces, so it is an act of an officer, and the audit holds that it was done.

    Example: `watchline watchlist duplicates wanted --from 0.6 --as l-stone`
    """
    asked = request(DuplicatesRequest, watch_list=watch_list, threshold=score)

    async def work(client: Client) -> DuplicatesReply:
        return await client.act(f"{subjects.WATCHLIST}.duplicates", asked, DuplicatesReply, DUPLICATES_TIMEOUT_S)

    pairs = act(officer, work).pairs
    if as_json:
        print_json([pair.model_dump() for pair in pairs])
    elif pairs:
        out.print(duplicates_table(pairs))
    else:
        out.print(f"nobody on {watch_list} resembles another at {score:g} or over", highlight=False)
