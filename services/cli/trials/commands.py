"""`watchline demo`, `replay` and `bench`: evaluations on recordings of one's own."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from libs import log
from libs.errors import UserError
from libs.settings import LogSettings
from services.cli import INTERRUPTED, console
from services.cli.machine.data_dir import REPORT, report_kept_until
from services.cli.machine.stack import MODELS, StackOptions
from services.cli.patience import Stop
from services.cli.signals import until_done
from services.cli.times import iso
from services.cli.trials import demo as demo_parts
from services.cli.trials import show
from services.cli.trials.arguments import check_outputs, parse_sources
from services.cli.trials.evaluation import open_evaluation
from services.cli.trials.outcome import Outcome
from services.cli.trials.replay import COOLDOWN_S, DEFAULT_THRESHOLD, Replay, ReplayOptions
from services.cli.trials.report import write_report
from services.cli.watchlists.reference_images import image_files

A_DAY_S = 86_400.0
"""The longest that a bench measures."""
JsonOption = Annotated[Path | None, typer.Option("--json", help="Also write the figures to this file, as JSON.")]
DataOption = Annotated[
    Path, typer.Option("--data-dir", help="Where the bus, the gallery, the logs and the report are kept.")
]
ThresholdOption = Annotated[
    float,
    typer.Option(
        min=-1.0,
        max=1.0,
        help="Comparison score at or over which a track raises an alert. Higher: fewer false alerts, more misses.",
    ),
]
RealtimeOption = Annotated[
    bool,
    typer.Option(
        "--realtime", help="Pace files like live cameras, which drop frames they have no time for (they are counted)."
    ),
]


def demo(json_out: JsonOption = None, data_dir: DataOption = Path(".watchline/demo")) -> None:
    """Three recorded cameras, one reference photograph, and a report with pictures. Takes a minute.

    One camera shows the person of the photograph and must raise exactly one alert; the others show someone who is on
    no list, and nobody; they must raise none. It is an evaluation: what it says is stamped so, and all is purged after.
    """
    check_outputs(json_out, data_dir)
    store = console.fetch_assets((*MODELS, *demo_parts.ASSETS))
    ending = demo_parts.Ending(data_dir / "deployment")
    with demo_parts.demo_options(store) as options:
        outcome = _replay(options, data_dir, ending)
    _tell(outcome, data_dir, json_out)
    for line in ending.lines(outcome):
        console.out.print(line, highlight=False, soft_wrap=True)
    if not (demo_parts.is_as_expected(outcome) and ending.is_whole()):
        raise UserError("the demo did not end as it must", f"see the logs in {data_dir / 'logs'}", 1)


def replay(
    references: Annotated[Path, typer.Option(help="Folder with one image, or one folder of images, for each subject.")],
    source: Annotated[
        list[str],
        typer.Option(
            help="A camera as NAME=LOCATION; give it once a camera. The location is a video file, an image, a folder "
            "of images, or the http(s) URL of a recording."
        ),
    ],
    threshold: ThresholdOption = DEFAULT_THRESHOLD,
    cooldown: Annotated[
        float, typer.Option(min=0, help="Shortest time in seconds between two alerts for one subject at one camera.")
    ] = COOLDOWN_S,
    realtime: RealtimeOption = False,
    json_out: JsonOption = None,
    data_dir: DataOption = Path(".watchline/replay"),
) -> None:
    """Your own footage against your own reference images. Lossless and repeatable unless `--realtime`.

    It is an evaluation: the footage must be recorded, and all of it is purged at the end. Live cameras run under a
    deployment that officers draft, authorise and arm on `watchline up`.

    Ctrl-C ends it with the result so far; a second Ctrl-C without.

    Example: `watchline replay --references people/ --source door=door.mp4 --source yard=recordings/`
    """
    options = ReplayOptions(references, parse_sources(source), threshold, cooldown, realtime)
    check_outputs(json_out, data_dir)
    image_files(references)  # what is missing is told before the machine starts
    console.fetch_assets(MODELS)
    _tell(_replay(options, data_dir), data_dir, json_out)


def bench(
    source: Annotated[Path | None, typer.Option(help="A video file, which is looped; or else a demo clip.")] = None,
    cameras: Annotated[int, typer.Option(min=1, max=32, help="Cameras that read it at once.")] = 1,
    seconds: Annotated[
        float, typer.Option(min=0.1, max=A_DAY_S, help="About how long the limit takes for one round.")
    ] = 8.0,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds; the figures are medians over them.")] = 3,
    realtime: Annotated[
        bool, typer.Option("--realtime", help="Measure the latency from capture to alert too, on live cameras.")
    ] = False,
    realtime_s: Annotated[float, typer.Option("--realtime-seconds", min=1, max=A_DAY_S, help="For how long.")] = 60.0,
    photos: Annotated[
        Path | None, typer.Option("--import", help="Measure the import of this folder of photographs instead.")
    ] = None,
    json_out: JsonOption = None,
    data_dir: DataOption = Path(".watchline/bench"),
) -> None:
    """How fast the pipeline is here: beside the best that one process can do, and beside a naive OpenCV loop.

    In one run, on the same frames: frames a second, CPU and memory by process, and bytes on the bus. Takes two minutes.
    With `--import` it is the import of watch lists, beside the best that one process can do on the same photographs.
    docs/performance.md says how each is built and what the figures mean.
    """
    from services.cli.bench import importing  # noqa: PLC0415  loads what no other command needs
    from services.cli.bench import run as bench_parts  # noqa: PLC0415  so does this

    check_outputs(json_out, data_dir)
    store = console.fetch_assets((*MODELS, *demo_parts.ASSETS))
    tell = console.err.print
    if photos is not None:
        imports = until_done(importing.run_import_bench(photos, repeats, data_dir, tell))
        importing.print_import_figures(imports, console.out)
        _write_figures(imports.as_json(), json_out)
        return
    options = bench_parts.BenchOptions(source, cameras, seconds, repeats, realtime_s if realtime else None)
    figures = until_done(bench_parts.run_bench(options, store, data_dir, tell))
    bench_parts.print_figures(figures, console.out)
    _write_figures(figures.as_json(), json_out)


def _replay(options: ReplayOptions, data_dir: Path, ending: demo_parts.Ending | None = None) -> Outcome:
    stop = Stop()

    async def on_a_stack() -> Outcome:
        with show.replay_bars() as bars:
            stack_options = StackOptions(data_dir, on_event=console.print_event)
            quiet = log.configure(LogSettings(level="error"), "watchline")
            async with open_evaluation(stack_options, quiet) as evaluation:
                on_ended = ending.report if ending else None
                outcome = await Replay(evaluation, options, bars.show, stop, on_ended).run()
                if ending and not outcome.interrupted:
                    await ending.verify(evaluation)
                return outcome

    return until_done(on_a_stack(), stop)


def _tell(outcome: Outcome, data_dir: Path, json_out: Path | None) -> None:
    show.print_outcome(outcome)
    console.print_written("report", write_report(outcome, data_dir / REPORT))
    if outcome.alerts:
        until = iso(report_kept_until(time.time()))
        console.out.print(
            f"it holds portraits: delete it when they are decided, by {until} at the latest", soft_wrap=True
        )
    _write_figures(outcome.as_json(), json_out)
    if outcome.interrupted:
        raise typer.Exit(INTERRUPTED)
    if not outcome.is_whole():
        raise typer.Exit(1)


def _write_figures(figures: Mapping[str, object], json_out: Path | None) -> None:
    if json_out is not None:
        json_out.write_text(json.dumps(figures, indent=2) + "\n")
        console.print_written("figures", json_out)
