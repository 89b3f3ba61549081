"""The figures of a bench as a person reads them."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median

from rich.console import Console
from rich.table import Table

from services.cli.bench.figures import Figures
from services.cli.bench.latency import Latency


def print_figures(figures: Figures, out: Console) -> None:
    """Prints the figures as tables."""
    out.print(_loops(figures))
    for line in _notes(figures):
        out.print(line, highlight=False)
    out.print(_processes(figures))
    if figures.latency is not None:
        out.print(_latency(figures.latency))
        out.print(_load(figures, figures.latency), highlight=False, soft_wrap=True)


def _loops(figures: Figures) -> Table:
    source, rounds = figures.source, figures.rounds
    title = f"{source.path.name}, {source.width} x {source.height}, cameras: {figures.cameras}, on {figures.provider}"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for column in ("frames/s", "CPU ms a frame", "faces a frame", "embedded a frame", "of the limit", "of naive"):
        table.add_column(column, justify="right")
    for name in ("limit", "pipeline", "naive"):
        ran = [getattr(one, name) for one in rounds]
        cpu = [sum(r.pipeline_cpu.values()) if name == "pipeline" else getattr(r, name).cpu_s_per_frame for r in rounds]
        table.add_row(
            name,
            f"{median(r.fps for r in ran):.1f}",
            f"{median(cpu) * 1000:.2f}",
            f"{median(r.work.faces / r.work.frames for r in ran):.2f}",
            f"{median(r.work.embedded / r.work.frames for r in ran):.3f}",
            f"{median(mine.fps / one.limit.fps for mine, one in zip(ran, rounds, strict=True)):.2f}",
            f"{median(mine.fps / one.naive.fps for mine, one in zip(ran, rounds, strict=True)):.1f}",
        )
    return table


def _notes(figures: Figures) -> Iterable[str]:
    times = len(figures.rounds)
    yield f"medians of {times} rounds" if times > 1 else "one round"
    if figures.naive_full_size is not None:
        yield f"the naive loop without making frames smaller: {figures.naive_full_size.fps:.1f} frames/s"


def _processes(figures: Figures) -> Table:
    table = Table(title="the pipeline by process", title_justify="left")
    table.add_column("")
    table.add_column("CPU ms a frame", justify="right")
    table.add_column("memory MB", justify="right")
    cpu, memory = figures.cpu_s_per_frame, figures.memory_mb
    for name in sorted(cpu, key=lambda name: -cpu[name]):
        table.add_row(name, f"{cpu[name] * 1000:.2f}", f"{memory[name]:.0f}" if name in memory else "")
    table.add_section()
    table.add_row("together", f"{sum(cpu.values()) * 1000:.2f}", f"{sum(memory.values()):.0f}")
    if figures.bus_bytes_per_frame is not None:
        table.add_row("on the bus", f"{figures.bus_bytes_per_frame / 1000:.1f} KB", "")
    return table


def _latency(latency: Latency) -> Table:
    p50, p99 = latency.percentile_ms(50), latency.percentile_ms(99)
    stated = f"p50 {p50:.0f} ms, p99 {p99:.0f} ms" if p50 is not None and p99 is not None else "no alert came"
    table = Table(title=f"from capture to alert: {stated}, {len(latency.total_ms)} alerts", title_justify="left")
    table.add_column("")
    table.add_column("mean ms", justify="right")
    table.add_column("share", justify="right")
    stages = latency.mean_stages_ms
    whole = sum(stages.values()) or 1.0
    for name, mean_ms in stages.items():
        table.add_row(name, f"{mean_ms:.1f}", f"{mean_ms / whole:.0%}")
    return table


def _load(figures: Figures, latency: Latency) -> str:
    under = "under" if figures.under_capacity else "[red]over[/]"
    offered = latency.cameras * latency.fps
    return (
        f"{latency.cameras} cameras at {latency.fps:.0f} frames/s are {offered:.0f} of {figures.pipeline_fps:.0f} "
        f"frames/s: {under} capacity; {latency.dropped} of {latency.frames + latency.dropped} frames dropped; "
        f"{len(latency.total_ms)} alerts for {latency.visits} visits"
    )
