"""The pictures of a deployment's report, each with its caption and the numbers behind it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from services.cli import times
from services.cli.deployments.report import charts
from services.cli.deployments.report.charts import Lane, Mark, TimeBins
from services.cli.deployments.report.summary import MINUTE_S, Summary, decided_at, kind_of
from services.cli.words import counted

MOST_BINS = 72
"""Of the time line: bars of ten pixels."""
STEPS_MIN = (1, 2, 5, 10, 15, 30, 60, 120, 240, 480, 1440)
BIN_HUNDREDTHS = 2
"""As `match` counts: bins of 0.02."""
LABELS = 8
"""Most times written under the time line of a day or less."""
DAY_S = 86_400.0


@dataclass(frozen=True)
class Table:
    """The numbers behind a picture."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Picture:
    """A chart with its caption."""

    heading: str
    svg: Markup
    caption: str
    has_marks: bool
    table: Table


def pictures(summary: Summary) -> list[Picture]:
    """The pictures that there are numbers for."""
    return [picture for picture in (_scores(summary), _over_time(summary), _waits(summary)) if picture is not None]


def _scores(summary: Summary) -> Picture | None:
    threshold, size = summary.reply.record.threshold, summary.list_size
    if not summary.histogram or threshold is None or size is None:
        return None
    marks = [Mark(case.score, kind_of(case)) for case in summary.alerts]
    svg = charts.histogram(summary.histogram, BIN_HUNDREDTHS, threshold, marks, "Best scores of searches")
    rows = [
        (f"{edge / 100:.2f} to {(edge + BIN_HUNDREDTHS) / 100:.2f}", f"{number:,}")
        for edge, number in sorted(summary.histogram.items())
    ]
    true, unconfirmed = summary.kinds["confirmed true"], summary.kinds["unconfirmed"]
    mated = [f"those behind {counted(true, 'alert')} confirmed true"] if true else []
    mated += [f"perhaps those behind {counted(unconfirmed, 'unconfirmed alert')}"] if unconfirmed else []
    but = f" but {' and '.join(mated)}" if mated else ""
    caption = (
        f"{_searches(summary)} by the best score that each came to against {counted(size, 'reference')}. "
        f"As far as the decisions of people tell, all of them are non-mated (of people who are on no list){but}. An "
        "alert rests on the mean over the searches of a track, so a single search may lie over the threshold without "
        "one. Lists of seeds are left out."
    )
    table = Table("Searches by best score", ("best score", "searches"), rows)
    return Picture("How alike strangers were", Markup(svg), caption, bool(marks), table)  # noqa: S704  escaped there


def _searches(summary: Summary) -> str:
    total = summary.histogram.total()
    return f"{total:,} search" if total == 1 else f"{total:,} searches"


def _over_time(summary: Summary) -> Picture | None:
    stamps: list[float] = [minute * MINUTE_S for minutes in summary.faces_by_camera.values() for minute in minutes]
    stamps += [case.captured_at for case in summary.alerts]
    if not stamps:
        return None
    bins = _bins(min(stamps), max(stamps))
    names = sorted({*summary.faces_by_camera, *(case.camera for case in summary.alerts)})
    lanes = [_lane(summary, name, bins) for name in names]
    svg = charts.timeline(lanes, bins, "Faces seen and alerts over time, by camera")
    rows = [
        (times.moment(bins.start + number * bins.step_s), *(f"{lane.faces[number]:,}" for lane in lanes))
        for number in range(bins.count)
        if any(lane.faces[number] for lane in lanes)
    ]
    caption = (
        f"Faces as they entered the zone of recognition, in steps of {times.span(bins.step_s)}; alerts above. UTC."
    )
    table = Table("Faces seen", ("from (UTC)", *names), rows)
    heading = "Faces and alerts over time"
    return Picture(heading, Markup(svg), caption, bool(summary.alerts), table)  # noqa: S704  escaped there


def _bins(first: float, last: float) -> TimeBins:
    """Bins over the time from `first` to `last` (Unix seconds), in a round number of minutes each."""
    fits = (step for step in STEPS_MIN if (last - first) / (step * MINUTE_S) < MOST_BINS - 1)
    step_s = next(fits, STEPS_MIN[-1]) * MINUTE_S
    start = first // step_s * step_s
    count = int((last - start) // step_s) + 1
    return TimeBins(start, step_s, count, _labels(start, start + count * step_s))


def _labels(start: float, end: float) -> list[tuple[float, str]]:
    """A few round times from `start` to `end`, and how they are written."""
    fits = (step for step in STEPS_MIN if (end - start) / (step * MINUTE_S) <= LABELS)
    step_s = next(fits, STEPS_MIN[-1]) * MINUTE_S
    shown = times.hour if end - start <= DAY_S else times.moment
    first = math.ceil(start / step_s)
    return [(at * step_s, shown(at * step_s)) for at in range(first, math.floor(end / step_s) + 1)]


def _lane(summary: Summary, camera: str, bins: TimeBins) -> Lane:
    faces = [0] * bins.count
    for minute, number in summary.faces_by_camera.get(camera, Counter()).items():
        faces[int((minute * MINUTE_S - bins.start) // bins.step_s)] += number
    marks = [Mark(case.captured_at, kind_of(case)) for case in summary.alerts if case.camera == camera]
    return Lane(camera, faces, marks)


def _waits(summary: Summary) -> Picture | None:
    if not summary.alerts:
        return None
    to_alert = [case.raised_at - case.captured_at for case in summary.alerts]
    settled = [(decided_at(case), case.raised_at) for case in summary.alerts]
    to_decision = [at - raised for at, raised in settled if at is not None]
    early = sum(seconds < 0 for seconds in to_alert)
    steps = [("passage to alert", [wait for wait in to_alert if wait >= 0]), ("alert to decision", to_decision)]
    svg = charts.delays(steps, "Time from passage to alert, and from alert to decision")
    notes = [
        f"{len(to_alert) - len(to_decision)} of {counted(len(to_alert), 'alert')} settled by nobody."
        if len(to_decision) < len(to_alert)
        else "",
        f"{early} from recordings that were read faster than they were made: no waiting time." if early else "",
        "Recordings have the times of the deployment's own clock." if summary.reply.stamp else "",
    ]
    caption = " ".join(["The upright bars are medians; the scale is logarithmic.", *(note for note in notes if note)])
    rows = [_row_of_waits(name, waits) for name, waits in steps]
    table = Table("Waiting times", ("step", "n", "shortest", "median", "longest"), rows)
    heading = "From passage to alert to decision"
    return Picture(heading, Markup(svg), caption, has_marks=False, table=table)  # noqa: S704  escaped there


def _row_of_waits(name: str, waits: Sequence[float]) -> tuple[str, ...]:
    if not waits:
        return (name, "0", "", "", "")
    spans = (min(waits), charts.median(waits), max(waits))
    return (name, f"{len(waits):,}", *(times.span(seconds) for seconds in spans))
