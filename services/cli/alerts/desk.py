"""What an operator does at the desk: finds an alert by the beginning of its id, and looks at its two pictures."""

from __future__ import annotations

from pathlib import Path

from libs.errors import UserError
from proto import subjects
from proto.cases import Case
from proto.requests.alerts import CaseReply, CaseRequest, CasesReply
from proto.requests.listing import ListRequest
from services.cli.client import Client
from services.cli.private_file import write_private

LIST_TIMEOUT_S = 15.0
"""For a page: the first after a start holds the decisions of 500 alerts against the audit, 0.6 to 2.6 s when busy."""


async def cases_of(client: Client, deployment: str = "") -> list[Case]:
    """The alerts of a deployment, or of all, the oldest first. Raises as `Client.ask`."""
    cases: list[Case] = []
    after = ""
    while True:
        ask = ListRequest(of=deployment, after=after)
        reply = await client.ask(f"{subjects.CASES}.list", ask, CasesReply, LIST_TIMEOUT_S)
        cases += reply.cases
        if not (after := reply.next):
            return sorted(cases, key=lambda case: (case.raised_at, case.alert))


async def find_case(client: Client, prefix: str) -> Case:
    """The alert whose id is `prefix`, or the only one whose id begins with it, as its record is now.

    Raises:
        UserError: there is none, or several.
    """
    known = await cases_of(client)
    found = [case for case in known if case.alert == prefix] or [
        case for case in known if prefix and case.alert.startswith(prefix)
    ]
    if not found:
        raise UserError(f"there is no alert whose id begins with {prefix!r}", "see `watchline alerts list`", 1)
    if len(found) > 1:
        ids = ", ".join(case.alert for case in found[:3])
        raise UserError(f"{len(found)} alerts have ids that begin with {prefix!r}", f"give more of one: {ids}")
    request = CaseRequest(deployment=found[0].deployment, alert=found[0].alert)
    return (await client.ask(f"{subjects.CASES}.show", request, CaseReply)).case


async def write_portraits(client: Client, case: Case, folder: Path) -> tuple[list[Path], list[str]]:
    """Writes the two pictures to compare, for their owner's eyes alone; gives the files, and what is not there.

    Raises:
        UserError: they cannot be written.
        TransientError: the bus is away.
    """
    written, missing = [], []
    pictures = {
        "seen": subjects.alert_portrait(case.alert),
        "reference": subjects.reference_portrait(case.watch_list, case.subject),
    }
    for name, key in pictures.items():
        jpeg = await client.bus.portraits.get(key)
        if jpeg is None:
            missing.append("the face that was seen" if name == "seen" else "the reference")
        else:
            written.append(write_private(folder / f"{case.alert}-{name}.jpg", jpeg, "the portrait"))
    return written, missing
