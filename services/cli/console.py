"""What a person sees while something long runs, and at its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table

from libs.assets import AssetStore
from proto.messages import Alert
from services.cli.importing import ImportResult
from services.cli.outcome import CameraCount, Outcome, Progress
from services.cli.report import counted

out = Console()
err = Console(stderr=True)


def fetch_assets(names: Sequence[str]) -> AssetStore:
    """The store, after fetching what is missing of `names` with a bar for each.

    Raises:
        UserError: one could not be fetched, or has another hash than the catalogue says.
    """
    store = AssetStore.from_environment()
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn()
    with Bars(*columns, console=err, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def progress(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(f"fetching {name}", total=total)
            bars.update(tasks[name], completed=done, total=total)

        store.fetch(names, progress)
    return store


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


def alert_line(alert: Alert) -> str:
    """An alert on one line, with its stamp."""
    stamp = f"[reverse] {escape(alert.stamp)} [/] " if alert.stamp else ""
    return (
        f"{stamp}[bold red]ALERT[/] camera [bold]{escape(alert.camera)}[/] at {alert.source_time_s:.2f} s: resembles "
        f"[bold]{escape(alert.subject)}[/], score {alert.score:.3f} (threshold {alert.threshold:.2f}, "
        f"{alert.samples} sample{'s' if alert.samples > 1 else ''}, N = {alert.searched})"
    )


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


def print_event(program: str, event: str) -> None:
    """What happened to a program, for example that it died and is started again."""
    err.print(f"[yellow]{escape(program)}[/] {escape(event)}")


def print_written(what: str, path: Path) -> None:
    """Where something was written."""
    out.print(f"{what}: {path}", soft_wrap=True, highlight=False)


def _note(camera: CameraCount) -> str:
    parts = [f"{camera.tracks} tracks", f"{camera.samples} samples"]
    if camera.dropped:
        parts.append(f"{camera.dropped} dropped")
    return ", ".join(parts) if camera.state == "running" else camera.state
