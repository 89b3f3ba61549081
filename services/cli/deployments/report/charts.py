"""Charts as inline SVG: nothing is loaded and nothing runs, colours are the page's own, and each says what it shows.

A chart has a title and a description for who cannot see it; the page shows its numbers as a table too. Colours are CSS
variables of the page (`--ink`, `--soft`, `--line`, `--mark`, `--accent`), so that paper, dark and light all fit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, LEFT, RIGHT = 760, 62, 30
"""Of every chart, in units of its own."""
MARKS = {"confirmed true": "disc", "confirmed false": "cross", "rejected": "cross", "unconfirmed": "ring"}
"""The shape of an alert by what came of it: told apart without colour."""


@dataclass(frozen=True)
class Mark:
    """An alert on a chart: where it lies, and what came of it."""

    at: float
    kind: str


@dataclass(frozen=True)
class Lane:
    """One camera on the time line: faces by bin, and alerts by time."""

    name: str
    faces: Sequence[int]
    marks: Sequence[Mark]


@dataclass(frozen=True)
class TimeBins:
    """`count` bins of `step_s` seconds from `start` (Unix seconds) on, with labels for some times."""

    start: float
    step_s: float
    count: int
    labels: Sequence[tuple[float, str]]


def histogram(bins: Mapping[int, int], width: int, threshold: float, marks: Sequence[Mark], title: str) -> str:
    """Counts by lower edge of bin (hundredths, `width` hundredths wide) on a logarithmic scale, and the threshold."""
    low = min([*bins, math.floor(threshold * 100)]) - 2 * width
    high = max([*bins, *(math.ceil(mark.at * 100) for mark in marks), math.ceil(threshold * 100)]) + 3 * width
    top, base = 46, 236
    most = max([*bins.values(), 10])

    def x(hundredths: float) -> float:
        return LEFT + (hundredths - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(count: float) -> float:
        return base - math.log10(count / 0.5) / math.log10(most / 0.5) * (base - top)

    parts = [*_powers(most, y), _label(LEFT, 14, "searches, logarithmic scale", "start")]
    for edge, count in sorted(bins.items()):
        over = "over" if edge >= threshold * 100 else "bar"
        box = x(edge) + 0.5, y(count), x(edge + width) - x(edge) - 1, base - y(count)
        parts.append(_rect(*box, over, f"{edge / 100:.2f} to {(edge + width) / 100:.2f}: {count:,} searches"))
    parts += [
        _axis(base),
        *_hundredths(low, high, x, base),
        _label(WIDTH - RIGHT, base + 38, "comparison score", "end"),
    ]
    parts += [_line(x(threshold * 100), 24, x(threshold * 100), base, "threshold")]
    beside, anchor = (6, "start") if x(threshold * 100) < WIDTH - 140 else (-6, "end")
    parts.append(_label(x(threshold * 100) + beside, 34, f"threshold {threshold:g}", anchor, "strong"))
    parts += [_mark(mark.kind, x(mark.at * 100), 52, f"alert, score {mark.at:.3f}") for mark in marks]
    desc = f"{sum(bins.values()):,} searches by the best score each came to; the threshold is {threshold:g}."
    return _svg(base + 48, title, desc, parts)


def timeline(lanes: Sequence[Lane], bins: TimeBins, title: str) -> str:
    """Faces seen over time, one lane a camera, with its alerts above."""
    lane_height, gap, top = 56, 46, 30
    most = max([1, *(faces for lane in lanes for faces in lane.faces)])
    scale = (WIDTH - LEFT - RIGHT) / (bins.count * bins.step_s)

    def x(at: float) -> float:
        return LEFT + min(max(at - bins.start, 0), bins.count * bins.step_s) * scale

    parts: list[str] = []
    for row, lane in enumerate(lanes):
        base = top + row * (lane_height + gap) + lane_height + 16
        parts.append(_label(LEFT, base - lane_height - 18, lane.name, "start", "strong"))
        parts += [_label(LEFT - 8, base - lane_height + 4, f"{most:,}", "end"), _label(LEFT - 8, base + 4, "0", "end")]
        parts.append(_line(LEFT, base - lane_height, WIDTH - RIGHT, base - lane_height, "grid"))
        for number, faces in enumerate(lane.faces):
            if faces:
                height, left = faces / most * lane_height, x(bins.start + number * bins.step_s)
                width = max(1.0, bins.step_s * scale - 1)
                parts.append(_rect(left, base - height, width, height, "bar", f"{faces:,} faces"))
        parts.append(_axis(base))
        parts += [_mark(mark.kind, x(mark.at), base - lane_height - 6, "alert") for mark in lane.marks]
    bottom = top + len(lanes) * (lane_height + gap) - gap + 16
    parts += [_label(x(at), bottom + 20, text, "middle") for at, text in bins.labels]
    faces = sum(sum(lane.faces) for lane in lanes)
    alerts = sum(len(lane.marks) for lane in lanes)
    desc = f"{faces:,} faces and {alerts:,} alerts at {len(lanes)} cameras."
    return _svg(bottom + 30, title, desc, parts)


def delays(rows: Sequence[tuple[str, Sequence[float]]], title: str) -> str:
    """Waiting times in seconds on a logarithmic scale, one row a step: each a dot, the median a bar."""
    ticks = ((0.1, "0.1 s"), (1, "1 s"), (10, "10 s"), (60, "1 min"), (600, "10 min"), (3600, "1 h"), (86400, "1 d"))
    times = [seconds for _, row in rows for seconds in row]
    low = 0.1 if min(times, default=1) >= 0.1 else 0.01
    high = next((tick for tick, _ in ticks if tick >= max([*times, 10])), max([*times, 10]))
    top, row_height = 34, 62

    def x(seconds: float) -> float:
        place = math.log(max(seconds, low) / low) / math.log(high / low)
        return LEFT + place * (WIDTH - LEFT - RIGHT)

    bottom = top + len(rows) * row_height
    parts = []
    for tick, text in ticks:
        if low <= tick <= high:
            parts += [_line(x(tick), top - 8, x(tick), bottom, "grid"), _label(x(tick), bottom + 18, text, "middle")]
    for number, (name, row) in enumerate(rows):
        middle = top + number * row_height + 36
        parts.append(_label(LEFT, middle - 22, f"{name} ({_of(row)})", "start", "strong"))
        parts.append(_line(LEFT, middle, WIDTH - RIGHT, middle, "grid"))
        parts += [f'<circle class="dot" cx="{x(seconds):.1f}" cy="{middle}" r="5"/>' for seconds in row]
        if row:
            parts.append(_line(x(median(row)), middle - 12, x(median(row)), middle + 12, "threshold"))
    desc = (
        "; ".join(f"{name}: {_of(row)}" for name, row in rows) + ". Each dot is an alert, the upright bar the median."
    )
    return _svg(bottom + 28, title, desc, parts)


def interval(value: float, low: float, high: float, title: str) -> str:
    """A ratio and its interval on a line that starts at 0."""
    end = high * 1.1 or 1.0

    def x(ratio: float) -> float:
        return 6 + ratio / end * 228

    parts = [
        _line(6, 12, 234, 12, "grid"),
        _line(6, 7, 6, 17, "axis"),
        f'<line class="range" x1="{x(low):.1f}" y1="12" x2="{x(high):.1f}" y2="12"/>',
        f'<circle class="dot" cx="{x(value):.1f}" cy="12" r="5.5"/>',
    ]
    return _svg(24, title, "", parts, width=240)


def median(values: Sequence[float]) -> float:
    """The median of at least one value."""
    ordered, middle = sorted(values), len(values) // 2
    return ordered[middle] if len(values) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _of(row: Sequence[float]) -> str:
    return f"n = {len(row)}" if row else "none"


def _svg(height: float, title: str, desc: str, parts: Sequence[str], width: int = WIDTH) -> str:
    described = f"<desc>{escape(desc)}</desc>" if desc else ""
    body = "\n".join(parts)
    opening = f'<svg viewBox="0 0 {width} {height:.0f}" role="img">'
    return f"{opening}<title>{escape(title)}</title>{described}\n{body}\n</svg>"


def _powers(most: int, y: Callable[[float], float]) -> Iterator[str]:
    """Grid lines at 1, 10, 100, …, as far as they fit."""
    for power in range(math.floor(math.log10(most)) + 1):
        level = y(10**power)
        yield _line(LEFT, level, WIDTH - RIGHT, level, "grid")
        yield _label(LEFT - 8, level + 4, f"{10**power:,}", "end")


def _hundredths(low: float, high: float, x: Callable[[float], float], base: float) -> Iterator[str]:
    for tenth in range(math.ceil(low / 10), math.floor(high / 10) + 1):
        yield _label(x(tenth * 10), base + 20, f"{tenth / 10:.1f}", "middle")


def _axis(y: float) -> str:
    return _line(LEFT, y, WIDTH - RIGHT, y, "axis")


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _rect(x: float, y: float, width: float, height: float, kind: str, tip: str) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect class="{kind}" {place}><title>{escape(tip)}</title></rect>'


def _label(x: float, y: float, text: str, anchor: str, kind: str = "soft") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _mark(kind: str, x: float, y: float, tip: str) -> str:
    title = f"<title>{escape(tip)}: {escape(kind)}</title>"
    match MARKS[kind]:
        case "disc":
            return f'<circle class="disc" cx="{x:.1f}" cy="{y:.1f}" r="5">{title}</circle>'
        case "ring":
            return f'<circle class="ring" cx="{x:.1f}" cy="{y:.1f}" r="4.5">{title}</circle>'
        case _:
            points = f"M{x - 4.5:.1f} {y - 4.5:.1f}l9 9m0 -9l-9 9"
            return f'<path class="cross" d="{points}">{title}</path>'
