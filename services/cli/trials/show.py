"""What a person sees while a replay runs, and at its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table

from services.cli.console import alert_line, err, out
from services.cli.trials.outcome import CameraCount, Outcome, Progress
from services.cli.watchlists.importing import ImportResult
from services.cli.words import counted


@contextmanager
def replay_bars() -> Iterator[ReplayBars]:
    """The bars of a replay, on the error stream, while the block runs."""
    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=err) as bars:
        yield ReplayBars(bars)


class ReplayBars:
    """A bar for the references and one a camera; each alert is a line above them as it happens."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._alerts = 0

    def show(self, progress: Progress) -> None:
        """Shows how far a replay is."""
        self.show_import(progress.references)
        for name, camera in progress.cameras.items():
            if camera.state != "waiting":
                done = camera.frames + camera.dropped
                self._bar(
                    name, done, done if camera.state in ("ended", "stopped") else camera.frame_count, _note(camera)
                )
        for alert in progress.alerts[self._alerts :]:
            self._bars.console.print(alert_line(alert))
        self._alerts = len(progress.alerts)

    def show_import(self, result: ImportResult) -> None:
        """Shows how far the import of references is."""
        note = f"{len(result.refused)} refused" if result.refused else ""
        self._bar("references", result.done, result.images, note)

    def _bar(self, name: str, done: int, total: int | None, note: str) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(escape(name), total=total, note=note)
        self._bars.update(self._tasks[name], completed=done, total=total, note=note)


def print_outcome(outcome: Outcome) -> None:
    """The summary table of a replay, and what a person must know beside it."""
    table = Table(
        title=f"{counted(outcome.references, 'reference')}, threshold {outcome.threshold:.2f}", title_justify="left"
    )
    table.add_column("camera")
    for column in ("frames", "dropped", "faces", "tracks", "samples", "candidates", "alerts"):
        table.add_column(column, justify="right")
    for name, camera in outcome.cameras.items():
        counts = (
            camera.frames,
            camera.dropped,
            camera.detections,
            camera.tracks,
            camera.samples,
            camera.candidates,
            camera.alerts,
        )
        table.add_row(escape(name), *(str(count) for count in counts))
    out.print(table)
    frames = sum(camera.frames for camera in outcome.cameras.values())
    out.print(f"{frames} frames in {outcome.seconds:.1f} s, {frames / max(outcome.seconds, 1e-9):.0f} frames/s")
    for refusal in outcome.refused:
        err.print(f"[yellow]not enrolled:[/] {escape(refusal.image.name)}: {escape(refusal.reason)}")
    for name, detail in outcome.troubles().items():
        err.print(f"[yellow]camera {escape(name)}:[/] {escape(detail)}")
    if outcome.lost:
        lost = "1 sample was lost" if outcome.lost == 1 else f"{outcome.lost} samples were lost"
        err.print(f"[red]{lost}:[/] {escape(why_lost(outcome))}", soft_wrap=True)
    for left in outcome.left_behind:
        err.print(f"[yellow]not cleaned up:[/] {escape(left)}", soft_wrap=True)
    if outcome.interrupted:
        err.print("stopped before the end")


def why_lost(outcome: Outcome) -> str:
    """Why samples were lost, in one line."""
    reasons = [f"{reason} ({number})" for reason, number in outcome.reasons.items()]
    unknown = outcome.lost - sum(outcome.reasons.values())
    if unknown > 0:
        under_way = "they were still under way" if outcome.interrupted else "they were not answered in time"
        reasons.append(f"{under_way} ({unknown})")
    return "; ".join(reasons)


def _note(camera: CameraCount) -> str:
    parts = [f"{camera.tracks} tracks", f"{camera.samples} samples"]
    if camera.dropped:
        parts.append(f"{camera.dropped} dropped")
    return ", ".join(parts) if camera.state == "running" else camera.state
