"""What the commands write for a person: on the output, or on the error stream while something runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from libs.assets import AssetStore
from proto.messages import Alert

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


def alert_line(alert: Alert) -> str:
    """An alert on one line, with its stamp."""
    stamp = f"[reverse] {escape(alert.stamp)} [/] " if alert.stamp else ""
    return (
        f"{stamp}[bold red]ALERT[/] camera [bold]{escape(alert.camera)}[/] at {alert.source_time_s:.2f} s: resembles "
        f"[bold]{escape(alert.subject)}[/], score {alert.score:.3f} (threshold {alert.threshold:.2f}, "
        f"{alert.samples} sample{'s' if alert.samples > 1 else ''}, N = {alert.searched})"
    )


def print_event(program: str, event: str) -> None:
    """What happened to a program, for example that it died and is started again."""
    err.print(f"[yellow]{escape(program)}[/] {escape(event)}")


def print_written(what: str, path: Path) -> None:
    """Where something was written."""
    out.print(f"{what}: {path}", soft_wrap=True, highlight=False)
