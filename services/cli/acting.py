"""What the commands of officers have in common: who acts, the work on the bus, its requests, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Annotated, Any, TypeVar

import typer
from pydantic import BaseModel, ValidationError
from rich.markup import escape

from libs.bus import Records
from libs.errors import OBSTACLES_APART, UserError
from libs.wording import fault
from proto import subjects
from proto.requests.deployments import DeploymentRequest
from proto.sealed import Sealed
from services.cli.client import Client, must_be_somebody, open_client
from services.cli.console import err
from services.cli.signals import until_done

T = TypeVar("T")
C = TypeVar("C")
M = TypeVar("M", bound=BaseModel)
ARGUMENTS = {
    "of": "the name",
    "deployment": "the name of the deployment",
    "watch_list": "the name of the list",
    "subject": "the number of the subject",
    "camera": "the name of the camera",
    "alert": "the id of the alert",
}
"""What commands call the values of requests that are arguments; the others are options."""

AsOption = Annotated[
    str, typer.Option("--as", metavar="OFFICER", envvar="WATCHLINE_OFFICER", help="Who acts: signed with that key.")
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why, in words. It goes into the audit: write no names.")]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON, for other software.")]


def look(work: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
    """What `work` comes to on the bus, which changes nothing. Raises as `open_client` and `work`."""
    return _on_the_bus(work, None)


async def must_be_known(client: Client, deployment: str) -> None:
    """Does nothing where there is, or was, a deployment of that name, for those who ask what came of it.

    Raises:
        UserError: there is none.
        TransientError: the server is away.
    """
    asked = request(DeploymentRequest, deployment=deployment)
    if await Records(client.bus, subjects.DEPLOYMENTS, Sealed).get(subjects.key(asked.deployment)) is None:
        raise UserError(f"there is no deployment {deployment}", "see `watchline deployment list`", 1)


def act(officer: str, work: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
    """What `work` comes to on the bus, by that officer.

    Raises:
        UserError: nobody is named who acts, or has no key here; nothing was done or announced.
        AskError: it was refused; `print_refusal` shows why.
    """
    must_be_somebody(officer)
    return _on_the_bus(work, officer)


def request(kind: type[M], **fields: object) -> M:
    """The request of those fields.

    Raises:
        UserError: one will not do; it is named as the command calls it.
    """
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        written = {name: ARGUMENTS.get(name, f"--{name.replace('_', '-')}") for name in kind.model_fields}
        where, said = fault(error, written)
        raise UserError(f"{where} will not do" if where else "that will not do", said) from None


def choice(text: str, choices: Mapping[str, C], what: str) -> C:
    """The choice that `text` names; `what` is what it should be, for example "a verdict".

    Raises:
        UserError: it names none.
    """
    if text not in choices:
        *others, last = choices
        raise UserError(f"{text} is not {what}", f"write {', '.join(others)} or {last}")
    return choices[text]


def announce(verb: str, what: str, as_it_is: str) -> None:
    """Says what is about to be done, and to what, as it is now: for example `arm north, version 3 (authorised)`."""
    err.print(f"{verb.replace('_', ' ')} {what}, {as_it_is}", highlight=False, markup=False, soft_wrap=True)


def print_nothing(what: str, how_to_begin: str) -> None:
    """Says, beside the output, that there is nothing to list."""
    err.print(f"there is no {what}: {how_to_begin}", highlight=False, markup=False, soft_wrap=True)


def print_json(value: object) -> None:
    """Prints JSON for other software: no colours, and no line broken."""
    typer.echo(json.dumps(value, indent=2))


def print_refusal(detail: str) -> None:
    """Prints why a program refused something."""
    reasons = detail.split(OBSTACLES_APART)
    if len(reasons) == 1:
        print_refused(detail)
    else:
        what, _, reasons[0] = reasons[0].partition(": ")
        print_refused(what, reasons)


def print_refused(what: str, obstacles: Sequence[str] = ()) -> None:
    """Prints that something was refused, and what stands against it, a line each."""
    err.print(f"[red]refused:[/] {escape(what)}", soft_wrap=True, highlight=False)
    for obstacle in obstacles:
        err.print(f"[red]•[/] {escape(obstacle)}", soft_wrap=True, highlight=False)


def _on_the_bus(work: Callable[[Client], Coroutine[Any, Any, T]], officer: str | None) -> T:
    async def connected() -> T:
        async with open_client(officer) as client:
            return await work(client)

    return until_done(connected())
