"""The report of a replay: one HTML file with the pictures of its alerts, for the person who must decide about them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from jinja2 import Template

from proto.messages import Alert
from proto.quality import Quality
from services.cli.machine.data_dir import report_kept_until
from services.cli.pages import reading_pages
from services.cli.private_file import write_private
from services.cli.trials.outcome import CameraCount, Outcome
from services.cli.trials.replay import FLOOR_UNDER_THRESHOLD
from services.cli.words import SPACE, counted, percent_of

COUNTS = ("frames", "dropped", "detections", "tracks", "samples", "candidates", "alerts")
"""The fields of `CameraCount` that add up over cameras."""


@dataclass(frozen=True)
class AlertView:
    """One alert as the page shows it. A picture is a data URI, empty where there is none."""

    alert: Alert
    reference: str
    portrait: str
    time: str
    floor: float
    threshold_percent: float
    """Where the threshold lies between the floor (0) and a score of 1 (100)."""
    score_percent: float
    quality: tuple[tuple[str, str], ...]
    """The components by name, with their units."""


@dataclass(frozen=True)
class ReportView:
    """All that the page shows."""

    outcome: Outcome
    written: datetime
    """UTC."""
    kept_until: datetime
    """When the page must be gone; UTC."""
    total: CameraCount
    """The sums over all cameras."""
    alerts: tuple[AlertView, ...]
    missing_alerts: int
    """Alerts that were raised and never received."""
    failed: tuple[str, ...]
    """The cameras that did not come to the end of their source."""
    floor: float
    template_versions: tuple[str, ...]
    """Known from the alerts alone."""


def write_report(outcome: Outcome, path: Path) -> Path:
    """Writes the report to `path`, whole or not at all, readable by its owner alone; returns `path`.

    Raises:
        UserError: it cannot be written there.
    """
    return write_private(path, render(view(outcome, datetime.now(UTC))), "the report")


def view(outcome: Outcome, written: datetime) -> ReportView:
    """What the page shows of `outcome`."""
    cameras = outcome.cameras.values()
    failures = {"failed"} if outcome.interrupted else {"failed", "stopped"}
    total = CameraCount(**{name: sum(getattr(camera, name) for camera in cameras) for name in COUNTS})
    return ReportView(
        outcome=outcome,
        written=written,
        kept_until=datetime.fromtimestamp(report_kept_until(written.timestamp()), UTC),
        total=total,
        alerts=tuple(_alert_view(alert, outcome.portraits) for alert in outcome.alerts),
        missing_alerts=max(0, total.alerts - len(outcome.alerts)),
        failed=tuple(name for name, camera in outcome.cameras.items() if camera.state in failures),
        floor=_floor(outcome.threshold),
        template_versions=tuple(sorted({alert.template_version for alert in outcome.alerts})),
    )


def render(report: ReportView) -> str:
    """The page: HTML that loads nothing and runs nothing."""
    return _template().render(report=report)


def _alert_view(alert: Alert, portraits: Mapping[str, bytes]) -> AlertView:
    floor = _floor(alert.threshold)
    return AlertView(
        alert=alert,
        reference=_data_uri(portraits.get(alert.reference_portrait, b"")),
        portrait=_data_uri(portraits.get(alert.portrait, b"")),
        time=clock(alert.source_time_s),
        floor=floor,
        threshold_percent=_percent_between(floor, alert.threshold),
        score_percent=_percent_between(floor, alert.score),
        quality=_quality(alert.quality),
    )


def _floor(threshold: float) -> float:
    return max(-1.0, threshold - FLOOR_UNDER_THRESHOLD)


def _percent_between(floor: float, score: float) -> float:
    """Where `score` lies from `floor` (0) to 1 (100). A cosine in float32 can come out a little over 1."""
    return round(100 * min(max((score - floor) / (1 - floor), 0.0), 1.0), 2)


def _data_uri(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}" if jpeg else ""


def clock(seconds: float) -> str:
    """A time in a source as players show it, to the hundredth: `0:03.24`, `1:02:03.24`."""
    minutes, hundredths = divmod(round(seconds * 100), 6000)
    hours, minutes = divmod(minutes, 60)
    rest = f"{hundredths / 100:05.2f}"
    return f"{hours}:{minutes:02}:{rest}" if hours else f"{minutes}:{rest}"


def _quality(quality: Quality) -> tuple[tuple[str, str], ...]:
    return (
        ("unified quality", f"{quality.unified:.2f}"),
        ("inter-eye distance", f"{quality.inter_eye_distance_px:.0f}{SPACE}px"),
        ("sharpness", f"{quality.sharpness:.2f}"),
        ("yaw", _degrees(quality.head_pose_yaw_deg)),
        ("pitch", _degrees(quality.head_pose_pitch_deg)),
        ("roll", _degrees(quality.head_pose_roll_deg)),
        ("under-exposed", f"{100 * quality.under_exposure:.1f}{SPACE}%"),
        ("over-exposed", f"{100 * quality.over_exposure:.1f}{SPACE}%"),
        ("dynamic range", f"{quality.dynamic_range:.1f}{SPACE}bits"),
        ("detect score", f"{quality.detect_score:.2f}"),
    )


def _degrees(angle: float) -> str:
    return f"{round(angle)}°".replace("-", "\N{MINUS SIGN}")


@cache
def _template() -> Template:
    environment = reading_pages(Path(__file__).parent)
    environment.filters.update(counted=counted, percent_of=percent_of)
    return environment.get_template("report.html")
