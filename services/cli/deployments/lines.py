"""What a person sees of deployments: a table of all, and one with its deeds and what stands against it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from proto.deployments import DeploymentDraft, DeploymentRecord, DeploymentState, Document
from proto.requests.deployments import DeploymentReply
from services.cli.deployments.signed_for import SignedFor, list_lines, rate_lines
from services.cli.times import iso, moment

STYLES: dict[DeploymentState, str] = {
    "draft": "yellow",
    "authorised": "cyan",
    "armed": "bold green",
    "suspended": "bold yellow",
    "refused": "red",
    "ended": "dim",
    "purged": "dim",
}
NEXT: dict[DeploymentState, str] = {
    "draft": "`authorise` or `refuse` it, as an authoriser who did not draft it",
    "authorised": "`arm` it, as a commander",
    "armed": "`suspend` or `end` it",
    "suspended": "`resume` or `end` it, as a commander",
    "ended": "`report`, then `purge` it",
}


def state_text(record: DeploymentRecord) -> Text:
    """The state of a deployment, in its colour."""
    words = f"{record.state}, being purged" if record.deleting else record.state
    return Text(words, STYLES[record.state])


def deployments_table(records: Sequence[DeploymentRecord]) -> Table:
    """All deployments, a row each."""
    table = Table(box=None, pad_edge=False)
    for column in ("deployment", "state", "version", "profile", "starts (UTC)", "ends (UTC)", "last"):
        table.add_column(column, no_wrap=column == "deployment", justify="right" if column == "version" else "left")
    for record in records:
        draft, last = record.draft, record.deeds[-1]
        table.add_row(
            *(record.id, state_text(record), str(record.record_version), draft.profile),
            *(moment(draft.starts_at), moment(draft.ends_at), f"{last.verb} by {last.who}"),
        )
    return table


def shown(reply: DeploymentReply, signed_for: SignedFor | None, now: float) -> RenderableType:
    """A deployment: what it is, what is signed for, who did what, what stands against arming it, and what is weak."""
    record = reply.record
    head = Text.assemble((record.id, "bold"), f", version {record.record_version}: ", state_text(record))
    parts: list[RenderableType] = [head, _facts(record)]
    if signed_for is not None:
        parts += [Text("\nWhat is signed for", "bold"), signed_for_table(signed_for, now)]
    parts += [Text("\nWhat was done", "bold"), _deeds(record)]
    if reply.obstacles:
        parts += [Text("\nWhat stands against arming it", "bold"), *_bullets(reply.obstacles, "red")]
    if reply.warnings:
        parts += [Text("\nWhat is weak", "bold"), *_bullets(reply.warnings, "yellow")]
    if record.state in NEXT and not record.deleting:
        parts.append(Text(f"\nnext: {NEXT[record.state]}"))
    return Group(*parts)


def signed_for_table(signed_for: SignedFor, now: float) -> Table:
    """What an officer signs for who authorises or arms: each list, and how often the threshold errs."""
    table = _two_columns()
    for one in signed_for.lists:
        table.add_row(f"{'seed' if one.seeds else 'watch'} list {one.name}", Text("\n".join(list_lines(one, now))))
    if signed_for.rates is None:
        table.add_row("how often it errs", Text(f"is not known: {signed_for.unknown}"))
    else:
        rates = signed_for.rates
        table.add_row(f"threshold {rates.threshold:.2f}", Text("\n".join(rate_lines(rates))))
    return table


def _bullets(lines: Sequence[str], style: str) -> Iterator[Text]:
    return (Text.assemble(("• ", style), line) for line in lines)


def _facts(record: DeploymentRecord) -> Table:
    draft = record.draft
    table = _two_columns()
    for name, value in _values(draft):
        if value:
            table.add_row(name, Text(value))
    if record.threshold is not None:
        table.add_row("armed with threshold", f"{record.threshold:.2f}")
    if record.urgent_until:
        table.add_row("without a judge until", iso(record.urgent_until))
    if record.ended_at:
        table.add_row("ended", iso(record.ended_at))
    return table


def _two_columns() -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _values(draft: DeploymentDraft) -> Iterator[tuple[str, str]]:
    yield "profile", draft.profile
    yield "purpose", draft.purpose
    yield "legal basis", draft.legal_basis
    yield "strict necessity", draft.strict_necessity
    yield "alternatives", draft.alternatives
    yield "location", draft.location
    yield "hours", f"{iso(draft.starts_at)} to {iso(draft.ends_at)}"
    for name, zone in draft.cameras.items():
        yield f"camera {name}", f"zone of {len(zone.polygon)} corners, faces from {zone.min_face_px:g} px"
    yield "watch lists", ", ".join(draft.watch_lists)
    yield "seed lists", ", ".join(draft.seed_lists)
    yield "threshold", f"{draft.threshold:.2f}" if draft.threshold is not None else ""
    yield "target FPIR", f"{draft.target_fpir:g}" if draft.target_fpir is not None else ""
    yield "documents", _documents({"DPIA": draft.dpia, "policy": draft.policy})
    yield "signs", "confirmed" if draft.signage_confirmed else "not confirmed"
    yield "complaints", draft.complaints_contact
    yield "judicial authorisation", draft.judicial_authorisation or ("urgent, none yet" if draft.urgent else "")
    yield "FRIA", draft.fria
    yield "registration", draft.registration


def _documents(documents: dict[str, Document | None]) -> str:
    named = (f"{name} {each.id} (until {iso(each.expires_at)})" for name, each in documents.items() if each)
    return ", ".join(named)


def _deeds(record: DeploymentRecord) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for version, deed in enumerate(record.deeds, 1):
        table.add_row(f"{version}", iso(deed.at), deed.verb, deed.who, deed.origin, Text(deed.reason))
    return table
