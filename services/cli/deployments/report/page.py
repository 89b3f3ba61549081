"""The page of a deployment's report: its words and tables, from its summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Template
from markupsafe import Markup

from libs.intervals import Ratio
from proto.watchlists import WatchListRecord
from services.cli import times
from services.cli.deployments.report import charts
from services.cli.deployments.report.gaps import incomplete, unknown
from services.cli.deployments.report.pictures import Picture, pictures
from services.cli.deployments.report.summary import KINDS, PASSAGE_WINDOW_S, Summary, kind_of
from services.cli.pages import reading_pages
from services.cli.words import SPACE, counted


@dataclass(frozen=True)
class Measure:
    """One ratio as the page shows it."""

    name: str
    known: Ratio
    at_worst: Ratio | None
    of: str
    """What is counted and what it is divided by, in words."""
    picture: Markup


@dataclass(frozen=True)
class Page:
    """All that the template shows."""

    summary: Summary
    warnings: Sequence[str]
    written_at: float
    headline: str
    incomplete: Sequence[str]
    unknown: Sequence[str]
    measures: Sequence[Measure]
    missing_measures: Sequence[str]
    pictures: Sequence[Picture]
    cameras: Sequence[tuple[str, int, Counter[str]]]
    """Name, faces seen, and alerts by kind."""
    adjudicators: Sequence[tuple[str, Counter[str]]]
    """Id of an officer, and decisions by verdict and outcomes by engagement."""
    lists: Sequence[WatchListRecord]
    seed_lists: Sequence[WatchListRecord]


def render(summary: Summary, warnings: Sequence[str], now: float) -> str:
    """The page: HTML that loads nothing and runs nothing. `warnings`: weak values of the profile."""
    names = set(summary.reply.record.draft.seed_lists)
    page = Page(
        summary=summary,
        warnings=warnings,
        written_at=now,
        headline=headline(summary),
        incomplete=incomplete(summary),
        unknown=unknown(summary),
        measures=measures(summary),
        missing_measures=_missing(summary),
        pictures=pictures(summary),
        cameras=_by_camera(summary),
        adjudicators=_adjudicators(summary),
        lists=[one for one in summary.reply.lists if one.id not in names],
        seed_lists=[one for one in summary.reply.lists if one.id in names],
    )
    return _template().render(page=page)


def headline(summary: Summary) -> str:
    """The deployment in a sentence, with whatever speaks against it."""
    faces, alerts, kinds = summary.faces, len(summary.alerts), summary.kinds
    if not summary.periods:
        return "Never armed: nobody was searched for"
    if not alerts:
        return f"{counted(faces, 'face')} seen, no alert"
    if kinds["unconfirmed"] == alerts:
        return f"{counted(faces, 'face')} seen, {counted(alerts, 'unconfirmed alert')}"
    parts = [f"{summary.false:,} false", f"{kinds['confirmed true']:,} confirmed true"]
    if kinds["unconfirmed"]:
        parts.append(f"{kinds['unconfirmed']:,} unconfirmed")
    return f"{counted(faces, 'face')} seen, {counted(alerts, 'alert')}: {', '.join(parts)}"


def share(ratio: float) -> str:
    """A ratio for people: `87.5 %`, `0.081 %`; very small ones as `1.1 in a million`."""
    if ratio == 0:
        return "0"
    if ratio < 0.0001:
        return f"{ratio * 1e6:.2g} in a million" if ratio >= 1e-7 else f"{ratio * 1e9:.2g} in a billion"
    percent = 100 * ratio
    return f"{percent:.3g}{SPACE}%" if percent < 99.95 or ratio == 1 else f"{percent:.2f}{SPACE}%"


def expected(number: float) -> str:
    """A number of events to be expected: `44`, `0.3`, `fewer than 0.01`."""
    return "fewer than 0.01" if number < 0.01 else f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def one_in(ratio: float) -> str:
    """The same as `1 in 1,229`; empty where that says nothing."""
    return f"1 in {1 / ratio:,.0f}" if 0 < ratio <= 0.5 else ""


def measures(summary: Summary) -> list[Measure]:
    """The ratios that can be given."""
    found = [
        ("False alerts per face seen", summary.per_face, f"of {counted(summary.faces, 'face')} seen"),
        ("False alerts per alert", summary.per_alert, f"of {counted(len(summary.alerts), 'alert')}"),
    ]
    ratios = [Measure(name, *pair, of, _interval(name, pair[0])) for name, pair, of in found if pair is not None]
    if summary.tpir is not None:
        of = f"of {counted(summary.tpir.trials, 'passage')} of seeds recognised"
        name = "Seeds recognised (TPIR)"
        ratios.append(Measure(name, summary.tpir, None, of, _interval(name, summary.tpir)))
    return ratios


def _missing(summary: Summary) -> list[str]:
    """Which ratios cannot be given, and why."""
    missing = []
    if summary.per_face is None:
        missing.append("False alerts per face seen cannot be given: there is no complete count of faces.")
    if summary.per_alert is None:
        missing.append("There was no alert, so false alerts per alert cannot be given.")
    if summary.tpir is None:
        missing.append("No seed walked past, so TPIR cannot be given.")
    return missing


def _interval(name: str, ratio: Ratio) -> Markup:
    title = f"{name}: {share(ratio.value)}, 95 % interval from {share(ratio.low)} to {share(ratio.high)}"
    return Markup(charts.interval(ratio.value, ratio.low, ratio.high, title))  # noqa: S704  escaped there


def _by_camera(summary: Summary) -> list[tuple[str, int, Counter[str]]]:
    names = sorted({*summary.reply.record.draft.cameras, *summary.faces_by_camera})
    return [
        (
            name,
            summary.faces_by_camera.get(name, Counter()).total(),
            Counter(kind_of(case) for case in summary.alerts if case.camera == name),
        )
        for name in names
    ]


def _adjudicators(summary: Summary) -> list[tuple[str, Counter[str]]]:
    acts: dict[str, Counter[str]] = {}
    for case in summary.alerts:
        for decision in case.decisions:
            acts.setdefault(decision.officer, Counter())[decision.verdict] += 1
        if case.outcome is not None:
            acts.setdefault(case.outcome.officer, Counter())["engaged"] += 1
    return sorted(acts.items())


@cache
def _template() -> Template:
    environment = reading_pages(Path(__file__).parent)
    environment.filters.update(
        counted=counted,
        share=share,
        one_in=one_in,
        expected=expected,
        date=times.date,
        clock=times.clock_time,
        moment=times.moment,
        iso=times.iso,
        span=times.span,
    )
    environment.globals.update(KINDS=KINDS, WINDOW_S=PASSAGE_WINDOW_S)
    return environment.get_template("page.html")
