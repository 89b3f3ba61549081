"""`watchline alerts`: look at alerts, decide about them, and note what came of them."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from libs.settings import TrustSettings, load
from proto import subjects
from proto.cases import Case, Engagement, Verdict
from proto.requests.alerts import AdjudicateRequest, CaseReply, EngagementRequest, PassageReply, PassageRequest
from services.cli.acting import (
    AsOption,
    JsonOption,
    ReasonOption,
    act,
    announce,
    choice,
    look,
    must_be_known,
    print_json,
    print_nothing,
    request,
)
from services.cli.alerts.desk import cases_of, find_case, write_portraits
from services.cli.alerts.lines import case_lines, case_table, is_open, next_step, standing
from services.cli.alerts.tail import ALL, Tail, since_minutes
from services.cli.client import Client
from services.cli.console import err, out
from services.cli.given_times import parse_past
from services.cli.times import TIME_HELP, iso

VERDICTS: dict[str, Verdict] = {"confirmed": "confirmed", "rejected": "rejected", "no-decision": "no_decision"}
ENGAGEMENTS: dict[str, Engagement] = {
    "confirmed-true": "confirmed_true",
    "confirmed-false": "confirmed_false",
    "no-engagement": "no_engagement",
}

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Alerts: follow them, compare the pictures, decide, and note what came of it.\n\n"
    "An alert says that a face resembles somebody on a list. It is not a match: a person must decide, and where the "
    "deployment's profile says so, two.",
)

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Of the alert; its beginning is enough.")]
SeedsOption = Annotated[
    bool, typer.Option("--seeds", help="Those of seeds too: known people who walk past on purpose.")
]


@app.command("tail")
def follow(
    deployment: Annotated[str, typer.Option(help="Only of this deployment.")] = ALL,
    seeds: SeedsOption = False,
    last: Annotated[float, typer.Option(min=0, metavar="MINUTES", help="From how long ago on.")] = 60.0,
) -> None:
    """Follows alerts and decisions as they happen, a line each, until Ctrl-C.

    An intervention counts only if `govern` has sealed it: WATCHLINE_TRUST_PUBLIC_KEY says with which key. Another is
    shown as NOT GOVERN'S.

    Example: `watchline alerts tail --deployment station-north`
    """
    govern = load(TrustSettings).key()

    async def work(client: Client) -> None:
        if deployment != ALL:
            await must_be_known(client, deployment)
        show = partial(out.print, soft_wrap=True)
        await Tail(client.bus, govern, show, since_minutes(last)).run(deployment, seeds)

    look(work)


@app.command("list")
def list_cases(
    deployment: Annotated[str, typer.Option(help="Only of this deployment.")] = "",
    only_open: Annotated[bool, typer.Option("--open", help="Only those that wait for a decision.")] = False,
    seeds: SeedsOption = False,
    as_json: JsonOption = False,
) -> None:
    """Lists alerts, the oldest first.

    Example: `watchline alerts list --open`
    """

    async def work(client: Client) -> list[Case]:
        if deployment:
            await must_be_known(client, deployment)
        return await cases_of(client, deployment)

    cases, now = look(work), time.time()
    shown = [case for case in cases if (seeds or not case.seed) and (not only_open or is_open(case, now))]
    if as_json:
        print_json([case.model_dump() for case in shown])
    elif shown:
        out.print(case_table(shown, now))
    else:
        others = "there are others: leave out --open, or give --seeds"
        print_nothing("such alert", others) if cases else print_nothing("alert yet", "see `watchline alerts tail`")


@app.command()
def show(
    alert: IdArgument,
    portraits: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write the two pictures there, readable by you alone. Delete them after use."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Shows an alert: what it rests on, who has decided what, and what is to be done.

    Example: `watchline alerts show 3f2a --portraits /tmp/compare`
    """

    async def work(client: Client) -> tuple[Case, list[Path], list[str]]:
        case = await find_case(client, alert)
        return (case, *(await write_portraits(client, case, portraits) if portraits else ([], [])))

    case, written, missing = look(work)
    if as_json:
        print_json(case.model_dump())
    else:
        for line in case_lines(case, time.time()):
            out.print(line, soft_wrap=True)
    for path in written:
        err.print(f"picture: {path}", soft_wrap=True, highlight=False, markup=False)
    if written:
        err.print(
            f"compare them side by side, and delete them by {iso(case.expires_at)}, when ours are", soft_wrap=True
        )
    for what in missing:
        err.print(f"there is no picture of {what}: it was deleted, or never kept", soft_wrap=True)


@app.command()
def adjudicate(
    alert: IdArgument,
    verdict: Annotated[str, typer.Argument(metavar="VERDICT", help="confirmed, rejected or no-decision.")],
    reason: ReasonOption,
    officer: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Decides, as an operator, whether the face is that of the person on the list.

    Nobody decides twice. A rejection ends it. Nothing suggests an intervention before as many people as the profile
    asks for have confirmed.

    Example: `watchline alerts adjudicate 3f2a confirmed --reason "same scar over the left eye" --as d-green`
    """
    decided = choice(verdict, VERDICTS, "a verdict")

    async def work(client: Client) -> Case:
        case = await find_case(client, alert)
        named = {"deployment": case.deployment, "alert": case.alert}
        asked = request(AdjudicateRequest, **named, verdict=decided, reason=reason)
        _announce("adjudicate", case)
        return (await client.act(f"{subjects.CASES}.adjudicate", asked, CaseReply)).case

    _print_done(act(officer, work), as_json)


@app.command()
def outcome(
    alert: IdArgument,
    engagement: Annotated[
        str, typer.Argument(metavar="OUTCOME", help="confirmed-true, confirmed-false or no-engagement.")
    ],
    reason: ReasonOption,
    officer: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Notes what came of a confirmed alert: it was the person, it was not, or nobody was engaged.

    Example: `watchline alerts outcome 3f2a confirmed-false --reason "showed a passport" --as d-green`
    """
    came = choice(engagement, ENGAGEMENTS, "an outcome")

    async def work(client: Client) -> Case:
        case = await find_case(client, alert)
        named = {"deployment": case.deployment, "alert": case.alert}
        asked = request(EngagementRequest, **named, engagement=came, reason=reason)
        _announce("note the outcome of", case)
        return (await client.act(f"{subjects.CASES}.engage", asked, CaseReply)).case

    _print_done(act(officer, work), as_json)


@app.command()
def passage(
    deployment: Annotated[str, typer.Argument(metavar="DEPLOYMENT")],
    camera: Annotated[str, typer.Argument(metavar="CAMERA")],
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="The number of a seed of the deployment.")],
    at: Annotated[
        str, typer.Option(metavar="TIME", help=f"When; now without it. {TIME_HELP} 14:05:30 is of today.")
    ] = "",
    officer: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Notes that a seed has walked through the zone of a camera: what the recognition rate (TPIR) is measured against.

    Example: `watchline alerts passage station-north gate-1 blue-7 --at 14:05:30 --as d-green`
    """
    when = parse_past(at, time.time(), "--at") if at else time.time()
    asked = request(PassageRequest, deployment=deployment, camera=camera, subject=subject, at=when)

    async def work(client: Client) -> PassageReply:
        return await client.act(f"{subjects.CASES}.passage", asked, PassageReply)

    noted = act(officer, work).passage
    if as_json:
        print_json(noted.model_dump())
    else:
        out.print(f"noted: camera {noted.camera} at {iso(noted.at)}", highlight=False)


def _announce(verb: str, case: Case) -> None:
    announce(verb, f"alert {case.alert}", f"which is {case.status}")


def _print_done(case: Case, as_json: bool) -> None:
    if as_json:
        print_json(case.model_dump())
        return
    now = time.time()
    out.print(Text.assemble(f"alert {case.alert} is ", standing(case, now)), soft_wrap=True)
    out.print(f"next: {next_step(case, now)}", soft_wrap=True, highlight=False, markup=False)
