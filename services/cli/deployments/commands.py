"""`watchline deployment`: draft, authorise, arm, suspend, end and purge deployments, and look at them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from libs.bus import AskError
from libs.errors import MissingError
from proto import subjects
from proto.deployments import DeploymentRecord
from proto.requests.deployments import (
    AmendRequest,
    DeploymentReply,
    DeploymentRequest,
    DeploymentsReply,
    DraftRequest,
    TransitionRequest,
    Verb,
)
from proto.requests.listing import ListRequest
from services.cli.acting import (
    AsOption,
    JsonOption,
    ReasonOption,
    act,
    announce,
    choice,
    look,
    print_json,
    print_nothing,
    print_refused,
    request,
)
from services.cli.client import Client
from services.cli.console import err, out
from services.cli.deployments.draft import read_cameras, read_draft
from services.cli.deployments.draft import template as draft_template
from services.cli.deployments.lines import deployments_table, shown, signed_for_table, state_text
from services.cli.deployments.lists import lists_by_name, with_list_warnings
from services.cli.deployments.report.files import report
from services.cli.deployments.signed_for import SignedFor, read_signed_for

SIGNED: tuple[Verb, ...] = ("authorise", "arm")
"""Acts before which their officer is shown what they sign for."""
DECISIONS: dict[str, Verb] = {"granted": "grant_judicial", "refused": "refuse_judicial"}

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Deployments: no camera runs, no list is searched and no alert is raised without one that is armed.\n\n"
    "One officer drafts it, another authorises it, a commander arms it. Start with `watchline deployment template`; "
    "`watchline deployment show NAME` says what stands against arming it, and what to do about that.",
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Of the deployment.")]
ReferenceArgument = Annotated[str, typer.Argument(metavar="REFERENCE", help="Its id, as the authority gave it.")]


# -- looking


@app.command()
def template() -> None:
    """Prints a draft with comments, to fill in.

    Example: `watchline deployment template > station-north.toml`
    """
    typer.echo(draft_template(time.time()), nl=False)


@app.command("list")
def list_deployments(as_json: JsonOption = False) -> None:
    """All deployments, and how far each is.

    Example: `watchline deployment list`
    """

    async def work(client: Client) -> DeploymentsReply:
        return await client.ask(f"{subjects.DEPLOYMENT}.list", ListRequest(of=""), DeploymentsReply)

    reply = look(work)
    if as_json:
        print_json(reply.model_dump(mode="json"))
    elif reply.records:
        out.print(deployments_table(reply.records))
    else:
        print_nothing("deployment yet", "start with `watchline deployment template`")


@app.command()
def show(name: NameArgument, as_json: JsonOption = False) -> None:
    """One deployment: what it is for, what is signed for, who did what, what stands against arming it, what is weak.

    What is signed for are its lists (whom they hold, how many, as of when) and how often its threshold errs.

    Example: `watchline deployment show station-north`
    """

    async def work(client: Client) -> tuple[DeploymentReply, SignedFor | None]:
        reply = await _look(client, name)
        known = await lists_by_name(client)
        signed_for = await read_signed_for(client, reply.record, known)
        return with_list_warnings(reply, known, time.time()), signed_for

    reply, signed_for = look(work)
    if as_json:
        print_json({**reply.model_dump(mode="json"), "signed_for": signed_for.as_json() if signed_for else None})
    else:
        out.print(shown(reply, signed_for, time.time()), highlight=False)


# -- the acts of its story


@app.command()
def draft(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The draft: see `watchline deployment template`.")],
    officer: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Drafts the deployment in FILE; or drafts it again, as long as it is not authorised.

    Example: `watchline deployment draft station-north.toml --as a-jones`
    """
    drafted = read_draft(file)

    async def work(client: Client) -> DeploymentReply:
        try:
            before = (await _look(client, drafted.deployment)).record
        except AskError as error:
            if error.code != MissingError.code:
                raise
            before = None
        _announce("draft", before, drafted.deployment)
        asked = DraftRequest(draft=drafted, record_version=before.record_version if before else 0)
        return await client.act(f"{subjects.DEPLOYMENT}.draft", asked, DeploymentReply)

    _print_done(act(officer, work), as_json)


@app.command()
def authorise(
    name: NameArgument, reason: ReasonOption = "", officer: AsOption = "", as_json: JsonOption = False
) -> None:
    """Authorises a draft. The officer has the role and the rank for it, and did not draft it.

    Look first at what you sign for: `watchline deployment show` shows its lists, and how often its threshold errs.

    Example: `watchline deployment authorise station-north --as b-smith`
    """
    _transition("authorise", name, reason, officer, as_json)


@app.command()
def refuse(name: NameArgument, reason: ReasonOption = "", officer: AsOption = "", as_json: JsonOption = False) -> None:
    """Refuses a draft, or takes back an authorisation before it is armed.

    Example: `watchline deployment refuse station-north --reason "too wide" --as b-smith`
    """
    _transition("refuse", name, reason, officer, as_json)


@app.command()
def arm(name: NameArgument, reason: ReasonOption = "", officer: AsOption = "", as_json: JsonOption = False) -> None:
    """Arms a deployment: its cameras run from now to its end time, and no longer.

    Everything that stands against it is shown with its remedy.

    Example: `watchline deployment arm station-north --as c-brown`
    """
    _transition("arm", name, reason, officer, as_json)


@app.command()
def resume(name: NameArgument, reason: ReasonOption = "", officer: AsOption = "", as_json: JsonOption = False) -> None:
    """Arms a suspended deployment again. The same must stand against it as at first: nothing.

    Example: `watchline deployment resume station-north --as c-brown`
    """
    _transition("arm", name, reason, officer, as_json)


@app.command()
def suspend(name: NameArgument, reason: ReasonOption = "", officer: AsOption = "", as_json: JsonOption = False) -> None:
    """Stops a deployment at once, to go on later. A commander, an authoriser or an operator may.

    Example: `watchline deployment suspend station-north --reason "camera moved" --as d-green`
    """
    _transition("suspend", name, reason, officer, as_json)


@app.command()
def end(name: NameArgument, reason: ReasonOption = "", officer: AsOption = "", as_json: JsonOption = False) -> None:
    """Ends a deployment for good; its lists are destroyed when its profile says.

    Example: `watchline deployment end station-north --as c-brown`
    """
    _transition("end", name, reason, officer, as_json)


@app.command()
def purge(name: NameArgument, reason: ReasonOption = "", officer: AsOption = "", as_json: JsonOption = False) -> None:
    """Deletes the alerts and portraits of a deployment that has ended; the audit keeps the proof. Report first.

    Example: `watchline deployment purge station-north --as c-brown`
    """
    _transition("purge", name, reason, officer, as_json)


app.command("report")(report)


@app.command()
def amend(  # noqa: PLR0913, PLR0917  the options of a command are its arguments
    name: NameArgument,
    reason: ReasonOption,
    threshold: Annotated[float | None, typer.Option(min=-1, max=1, help="The new threshold.")] = None,
    target_fpir: Annotated[float | None, typer.Option(help="Or the new false alert rate a face to aim for.")] = None,
    cameras: Annotated[Path | None, typer.Option(help="A draft file, of which the cameras alone are read.")] = None,
    officer: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Changes threshold or cameras of a deployment that is authorised, armed or suspended, with a new version.

    An act of an authoriser. A draft is not amended but drafted again.

    Example: `watchline deployment amend station-north --threshold 0.62 --reason "too many alerts" --as b-smith`
    """
    zones = read_cameras(cameras) if cameras is not None else None

    async def work(client: Client) -> DeploymentReply:
        before = (await _look(client, name)).record
        asked = request(
            AmendRequest,
            deployment=name,
            record_version=before.record_version,
            reason=reason,
            threshold=threshold,
            target_fpir=target_fpir,
            cameras=zones,
        )
        _announce("amend", before, name)
        return await client.act(f"{subjects.DEPLOYMENT}.amend", asked, DeploymentReply)

    _print_done(act(officer, work), as_json)


@app.command()
def judicial(
    name: NameArgument,
    decision: Annotated[str, typer.Argument(metavar="DECISION", help="granted or refused.")],
    reference: ReferenceArgument,
    reason: ReasonOption = "",
    officer: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Records what a judge has decided. Refused: it stops at once, and everything of it is deleted.

    Example: `watchline deployment judicial station-north granted "J 4/2026" --as b-smith`
    """
    verb = choice(decision, DECISIONS, "a decision of a judge")
    _transition(verb, name, reason, officer, as_json, reference)


@app.command()
def register(
    name: NameArgument,
    reference: ReferenceArgument,
    reason: ReasonOption = "",
    officer: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Records the registration in the EU database.

    Example: `watchline deployment register station-north EU-2026-117 --as b-smith`
    """
    _transition("register", name, reason, officer, as_json, reference)


# -- how


def _transition(verb: Verb, name: str, reason: str, officer: str, as_json: bool, reference: str = "") -> None:
    """Shows what will be done to which version, and what is signed for with it; and does it."""

    async def work(client: Client) -> DeploymentReply:
        before = await _look(client, name)
        if verb == "arm" and before.obstacles:
            print_refused(f"{name} cannot be armed", before.obstacles)
            raise typer.Exit(1)
        asked = request(
            TransitionRequest,
            verb=verb,
            deployment=name,
            record_version=before.record.record_version,
            reason=reason,
            reference=reference,
        )
        _announce(verb, before.record, name)
        if verb in SIGNED:
            await _show_signed_for(client, before.record)
        return await client.act(f"{subjects.DEPLOYMENT}.transition", asked, DeploymentReply)

    _print_done(act(officer, work), as_json)


async def _look(client: Client, name: str) -> DeploymentReply:
    asked = request(DeploymentRequest, deployment=name)
    return await client.ask(f"{subjects.DEPLOYMENT}.show", asked, DeploymentReply)


async def _show_signed_for(client: Client, record: DeploymentRecord) -> None:
    """Shows the officer, beside the output, what they sign for."""
    signed_for = await read_signed_for(client, record, await lists_by_name(client))
    if signed_for is not None:
        err.print(signed_for_table(signed_for, time.time()), highlight=False)


def _announce(verb: str, before: DeploymentRecord | None, name: str) -> None:
    """Says what is about to be done, and to what: a change in between is refused."""
    announce(verb, name, f"version {before.record_version} ({before.state})" if before else "which is new")


def _print_done(reply: DeploymentReply, as_json: bool) -> None:
    record = reply.record
    if as_json:
        print_json(reply.model_dump(mode="json"))
        return
    out.print(Text.assemble(f"{record.id} is ", state_text(record), f", version {record.record_version}"))
    if reply.obstacles and record.state in ("draft", "authorised"):
        out.print("before it can be armed:", highlight=False)
        for obstacle in reply.obstacles:
            out.print(Text.assemble(("• ", "yellow"), obstacle), soft_wrap=True)
