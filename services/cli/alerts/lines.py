"""Alerts and what people decide about them, in words that a person reads at a glance.

An alert says that a face resembles a subject of a list, and by which comparison score. Nothing here says that it is the
person: that is for people to decide.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.table import Table
from rich.text import Text

from proto.cases import Adjudication, Case, Intervention
from proto.messages import Alert
from services.cli.times import clock_time, iso, span

STYLES: Final = {"open": "bold yellow", "confirmed": "bold red", "rejected": "green", "undecided": "yellow"}
SHORT_ID = 8
"""Characters of an id in a table: enough to tell the alerts of a deployment apart, and to give to a command."""


def alert_line(alert: Alert) -> Text:
    """An alert as it comes."""
    kind = "seed " if alert.seed else "alert"
    decide = "counted, for nobody to decide" if alert.seed else "a person must decide"
    return Text.assemble(
        _when(alert.captured_at, alert.stamp),
        (f"{kind} {alert.id} ", "dim" if alert.seed else "bold red"),
        f"{alert.deployment}, camera {alert.camera}: resembles {alert.subject} of list {alert.watch_list}, "
        f"{_figures(alert.score, alert.threshold, alert.searched)}: {decide}",
    )


def adjudication_line(told: Adjudication) -> Text:
    """A decision, an outcome or an escalation as it is told."""
    said = {
        "decision": f"{told.officer} has decided: now {told.status}",
        "engagement": f"{told.officer} has noted the outcome",
        "escalation": "nobody has decided in time",
    }[told.event]
    style = "bold yellow" if told.event == "escalation" else STYLES.get(told.status, "")
    return Text.assemble(_when(told.at, ""), f"alert {told.alert} {told.deployment}: ", (said, style))


def intervention_line(told: Intervention) -> Text:
    """That as many people as needed have confirmed an alert."""
    return Text.assemble(
        _when(told.confirmed_at, told.stamp),
        (f"alert {told.alert} ", "bold red"),
        f"{told.deployment}, camera {told.camera}: confirmed by {', '.join(told.confirmed_by)}; "
        f"response {told.response}. Officers assess for themselves.",
    )


def forged_line(reason: str) -> Text:
    """An intervention that somebody else has published: nothing of it is shown, so that nobody acts on it."""
    return Text.assemble(("NOT GOVERN'S: ", "bold white on red"), f"an intervention that is none, do not act: {reason}")


def case_table(cases: list[Case], now: float) -> Table:
    """The alerts of a deployment, one a row."""
    table = Table()
    for column in ("id", "captured", "deployment", "camera", "resembles", "list"):
        table.add_column(column)
    table.add_column("score", justify="right")
    table.add_column("T", justify="right")
    table.add_column("is")
    table.add_column("decided by")
    for case in cases:
        table.add_row(
            case.alert[:SHORT_ID],
            clock_time(case.captured_at),
            case.deployment,
            case.camera,
            Text(case.subject),
            case.watch_list,
            f"{case.score:.3f}",
            f"{case.threshold:.2f}",
            standing(case, now),
            ", ".join(decision.officer for decision in case.decisions),
        )
    return table


def is_open(case: Case, now: float) -> bool:
    """Whether an alert waits for a decision; once it is deleted, nobody has anything left to compare."""
    return case.status == "open" and not case.seed and not case.is_gone(now)


def standing(case: Case, now: float) -> Text:
    """How far an alert is."""
    if case.seed:
        return Text("a seed", "dim")
    came_to_nothing = case.status == "open" and not is_open(case, now)
    text = Text("not decided", "dim") if came_to_nothing else Text(case.status, STYLES.get(case.status, ""))
    if case.status == "open" and case.confirmations_needed > 1:
        text.append(f", {_confirmations(case)} of {case.confirmations_needed} confirmed")
    if is_open(case, now):
        text.append(f", for {span(max(0.0, now - case.raised_at))}")
        text.append(", escalated" if case.escalated_at else "")
    if case.outcome is not None:
        text.append(f", {case.outcome.engagement.replace('_', ' ')}")
    if case.is_gone(now):
        text.append(", data deleted" if case.deleted_at else ", data past its time")
    if case.stamp:
        text.append(f" {case.stamp}", "bold")
    return text


def case_lines(case: Case, now: float) -> Iterator[Text]:
    """All there is to know about one alert, and what is to be done."""
    yield Text.assemble((f"alert {case.alert}", "bold"), f" {case.stamp}".rstrip(), ": ", standing(case, now))
    yield Text(f"resembles    {case.subject} of list {case.watch_list}: a likeness, which a person must judge")
    yield Text(f"score        {_figures(case.score, case.threshold, case.searched)}, {case.template_version}")
    yield Text(f"deployment   {case.deployment}, record version {case.record_version}, camera {case.camera}")
    yield Text(f"captured     {iso(case.captured_at)}, alert after {span(max(0.0, case.raised_at - case.captured_at))}")
    for decision in case.decisions:
        verdict = decision.verdict.replace("_", " ")
        yield Text(f"{verdict:<12} by {decision.officer}, {iso(decision.at)}: {decision.reason}")
    if case.response:
        yield Text(f"response     {case.response}")
    if case.outcome is not None:
        what = case.outcome.engagement.replace("_", " ")
        yield Text(f"outcome      {what}, by {case.outcome.officer}, {iso(case.outcome.at)}: {case.outcome.reason}")
    yield Text(f"kept         {_kept(case, now)}")
    yield Text(f"next         {next_step(case, now)}")


def next_step(case: Case, now: float) -> str:
    """What people are to do about an alert now."""
    short = case.alert[:SHORT_ID]
    if case.seed:
        return "nothing: it is of a known person who walked past on purpose, and is counted"
    if case.is_gone(now):
        return _step_after_deletion(case)
    if case.status == "open" and _confirmations(case):
        missing = case.confirmations_needed - _confirmations(case)
        return f"{missing} more must confirm, who have not decided yet: no intervention before that"
    if case.status == "open":
        return f"compare the two pictures (`watchline alerts show {short} --portraits DIR`), then adjudicate"
    if case.status == "confirmed" and case.outcome is None:
        return f"officers assess for themselves; then note what came of it (`watchline alerts outcome {short} …`)"
    return "another person may still decide" if case.status == "undecided" else "nothing"


def _step_after_deletion(case: Case) -> str:
    """The same once alert and portrait are deleted: what came of it can be noted until the deployment is purged."""
    if case.status in ("open", "undecided"):
        return "nothing: its data is deleted, so nobody can confirm or reject it, and it counts as unconfirmed"
    if case.status == "confirmed" and case.outcome is None:
        command = f"watchline alerts outcome {case.alert[:SHORT_ID]} …"
        return f"its data is deleted; until the deployment is purged, what came of it can be noted (`{command}`)"
    return "nothing: its data is deleted"


def _when(at: float, stamp: str) -> Text:
    return Text.assemble((f"{clock_time(at)} ", "dim"), (f"{stamp} " if stamp else "", "bold black on yellow"))


def _figures(score: float, threshold: float, searched: int) -> str:
    return f"comparison score {score:.3f} (threshold {threshold:.2f}, N = {searched})"


def _confirmations(case: Case) -> int:
    return sum(decision.verdict == "confirmed" for decision in case.decisions)


def _kept(case: Case, now: float) -> str:
    if case.deleted_at:
        return f"alert and portrait were deleted at {iso(case.deleted_at)}; this record of ids stays"
    return f"alert and portrait until {iso(case.expires_at)} (in {span(max(0.0, case.expires_at - now))})"
