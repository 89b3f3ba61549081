"""The report of a deployment: what was done in whose name, and its error rates with all that is needed to doubt them.

`watchline deployment report ID` writes three files:

    report.html   for the public and the chief officer: figures, pictures, who authorised what, and what is not known.
                  It holds no portrait, no id of a subject and no reason that somebody gave for a decision about one.
    report.csv    one row under a row of names, for comparison with other deployments: the columns of `row`.
    report.json   for the force itself: the same figures, and each alert by its id. Not for publication.

All are readable by their owner alone; publishing is a decision of its own.

Columns of report.csv: `deployment`, `stamp` (EVALUATION or empty), `profile`, `record_version`, `state`; `date` (UTC,
of the first arming), `place`, `starts_at` and `ends_at` (ISO 8601), `duration_minutes` (armed, without suspensions),
`cameras`; `list_size` (the largest N searched, without seeds), `list_size_smallest` (the smallest: less where people
were taken off meanwhile), `faces_seen`, `threshold`; `alerts`, `confirmed_true`, `confirmed_false`, `rejected`,
`unconfirmed` (these four add up to `alerts`). Then four ratios, each as its value and the `_low` and `_high` end of its
95 % Clopper-Pearson interval: `false_per_face` and `false_per_alert` (false alerts are those confirmed false or
rejected), and the same two with `_at_worst` (all unconfirmed alerts counted as false). Their denominators are
`faces_seen` and `alerts`. Then `tpir` with `_low` and `_high` and its denominator `passages`;
`projected_false_per_face` and `projected_false_per_face_upper` (N times the calibrated false match rate, and by the
upper end of its interval); `complete` (yes, or no where counts are missing: report.html says which);
`audit_entries` and `audit_head` (the chain at the time of the report). A figure that cannot be given is left empty.
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from libs.intervals import Ratio
from proto import subjects
from proto.audit import Deed
from proto.cases import Case
from proto.requests.deployments import DeploymentReply, DeploymentRequest, FiguresReply, FiguresRequest
from services.cli import console
from services.cli.acting import look, request
from services.cli.client import Client
from services.cli.deployments.report.gaps import incomplete, unknown
from services.cli.deployments.report.page import render
from services.cli.deployments.report.summary import KINDS, Summary, decided_at, kind_of, summarise
from services.cli.private_file import write_private
from services.cli.times import date, iso

Figure = str | int | float
FIGURES_TIMEOUT_S = 60.0
"""For a page of figures, for which every signature of a large deployment is looked at."""


def report(
    deployment: Annotated[str, typer.Argument(help="The deployment, as `watchline deployment list` shows it.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder to write into; by default a new one named after the deployment."),
    ] = None,
) -> None:
    """Writes the report of a deployment: report.html, report.csv and report.json.

    Both ratios are in it, false alerts per face seen and per alert, each with its n and an exact 95 % interval.

    Example: `watchline deployment report station-north --out reports/station-north`
    """
    folder = out or Path(f"{deployment}-report")
    request(DeploymentRequest, deployment=deployment)  # so that its name is one
    for path in look(lambda client: write_deployment_report(client, deployment, folder)):
        console.print_written(path.suffix[1:], path)


async def write_deployment_report(client: Client, deployment: str, folder: Path) -> list[Path]:
    """The files of the report, written into `folder`: page, row and figures, in this order.

    Raises:
        AskError: there is no such deployment.
        TransientError: `govern` does not answer.
        UserError: a file cannot be written.
    """
    ask = DeploymentRequest(deployment=deployment)
    reply = await _figures(client, deployment)
    shown = await client.ask(f"{subjects.DEPLOYMENT}.show", ask, DeploymentReply)
    now = time.time()
    summary = summarise(reply, now)
    return [
        write_private(folder / "report.html", render(summary, shown.warnings, now), "the report"),
        write_private(folder / "report.csv", as_csv(row(summary)), "the report"),
        write_private(folder / "report.json", as_json(summary, now), "the report"),
    ]


async def _figures(client: Client, deployment: str) -> FiguresReply:
    """All figures, with the cases of all pages, and what any page says is missing. Raises as `Client.ask`."""
    subject = f"{subjects.DEPLOYMENT}.figures"
    pages: list[FiguresReply] = []
    while not pages or pages[-1].next:
        ask = FiguresRequest(deployment=deployment, after=pages[-1].next if pages else "")
        pages.append(await client.ask(subject, ask, FiguresReply, FIGURES_TIMEOUT_S))
    cases = sorted((case for page in pages for case in page.cases), key=lambda case: case.raised_at)
    missing = dict.fromkeys(said for page in pages for said in page.missing)
    return pages[0].model_copy(update={"cases": tuple(cases), "missing": tuple(missing), "next": ""})


def row(summary: Summary) -> dict[str, Figure]:
    """The columns of report.csv by name, as the head of this file describes them."""
    reply, record, draft = summary.reply, summary.reply.record, summary.reply.record.draft
    known, worst = zip(*(pair or (None, None) for pair in (summary.per_face, summary.per_alert)), strict=True)
    projection = summary.projection
    return {
        "deployment": record.id,
        "stamp": reply.stamp,
        "profile": draft.profile,
        "record_version": record.record_version,
        "state": record.state,
        "date": date(record.armed_at or draft.starts_at),
        "place": draft.location,
        "starts_at": iso(draft.starts_at),
        "ends_at": iso(record.ended_at or draft.ends_at),
        "duration_minutes": round(summary.duration_s / 60, 1),
        "cameras": len(draft.cameras),
        "list_size": summary.sizes[1] if summary.sizes else "",
        "list_size_smallest": summary.sizes[0] if summary.sizes else "",
        "faces_seen": summary.faces,
        "threshold": "" if record.threshold is None else record.threshold,
        "alerts": len(summary.alerts),
        **{kind.replace(" ", "_"): summary.kinds[kind] for kind in KINDS},
        **_columns("false_per_face", known[0]),
        **_columns("false_per_alert", known[1]),
        **_columns("false_per_face_at_worst", worst[0]),
        **_columns("false_per_alert_at_worst", worst[1]),
        **_columns("tpir", summary.tpir),
        "passages": len(reply.passages),
        "projected_false_per_face": _short(projection.per_face) if projection else "",
        "projected_false_per_face_upper": _short(projection.per_face_upper) if projection else "",
        "complete": "no" if incomplete(summary) else "yes",
        "audit_entries": reply.audit_entries,
        "audit_head": reply.audit_head,
    }


def as_csv(figures: Mapping[str, Figure]) -> str:
    """One row under its names. A text that a spreadsheet would take for a formula is quoted against that."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(figures)
    writer.writerow(_plain(figure) for figure in figures.values())
    return text.getvalue()


def as_json(summary: Summary, now: float) -> str:
    """The figures and each alert by its id; no subject, no reason, no picture."""
    reply, draft = summary.reply, summary.reply.record.draft
    told = {
        "written_at": iso(now),
        "figures": row(summary),
        "incomplete": incomplete(summary),
        "unknown": unknown(summary),
        "armed": [[iso(start), iso(end)] for start, end in summary.periods],
        "deployment": draft.model_dump(mode="json"),
        "deeds": [{"version": n, **_deed(deed)} for n, deed in enumerate(reply.record.deeds, 1)],
        "lists": [one.model_dump(mode="json", exclude={"deeds", "owed"}) for one in reply.lists],
        "alerts": [_alert(case) for case in reply.cases],
        "passages": [{"camera": passage.camera, "at": iso(passage.at)} for passage in reply.passages],
        "faces_by_minute": {
            camera: {iso(minute * 60): faces for minute, faces in sorted(minutes.items())}
            for camera, minutes in summary.faces_by_camera.items()
        },
        "best_scores": {f"{edge / 100:.2f}": number for edge, number in sorted(summary.histogram.items())},
    }
    return json.dumps(told, indent=2, ensure_ascii=False) + "\n"


def _columns(name: str, ratio: Ratio | None) -> dict[str, Figure]:
    ends = (ratio.value, ratio.low, ratio.high) if ratio else (None, None, None)
    names = (name, f"{name}_low", f"{name}_high")
    return {column: "" if end is None else _short(end) for column, end in zip(names, ends, strict=True)}


def _short(ratio: float) -> float:
    """Six significant figures: more than any count of faces supports."""
    return float(f"{ratio:.6g}")


def _plain(figure: Figure) -> Figure:
    is_formula = isinstance(figure, str) and figure.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{figure}" if is_formula else figure


def _deed(deed: Deed) -> dict[str, Figure]:
    return {"verb": deed.verb, "who": deed.who, "at": iso(deed.at), "act": deed.act}


def _alert(case: Case) -> dict[str, object]:
    settled = decided_at(case)
    return {
        "alert": case.alert,
        "seed": case.seed,
        "record_version": case.record_version,
        "camera": case.camera,
        "watch_list": case.watch_list,
        "score": round(case.score, 4),
        "threshold": case.threshold,
        "searched": case.searched,
        "captured_at": iso(case.captured_at),
        "seconds_to_alert": round(case.raised_at - case.captured_at, 3),
        "seconds_to_decision": None if settled is None else round(settled - case.raised_at, 3),
        "is": "seed" if case.seed else kind_of(case),
        "decisions": [{"officer": one.officer, "verdict": one.verdict, "at": iso(one.at)} for one in case.decisions],
        "engaged_by": case.outcome.officer if case.outcome else None,
    }
