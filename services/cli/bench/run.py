"""One run of the bench: the limit, the pipeline and the naive loop in turn on the same footage, several times."""

from __future__ import annotations

import asyncio
import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from libs import log
from libs.assets import AssetStore
from libs.log import Log
from libs.settings import LogSettings
from services.cli.bench.figures import Figures, Loop, Round
from services.cli.bench.footage import Footage, Visits, inspect, loop, visits
from services.cli.bench.latency import Latency, measure_latency
from services.cli.bench.limit import LimitOptions, Models, Work, run_limit
from services.cli.bench.naive import NaiveLoop, NaiveOptions, naive_options
from services.cli.bench.pipeline import THIS_PROGRAM, Pipeline
from services.cli.bench.show import print_figures
from services.cli.bench.usage import Processes
from services.cli.machine.stack import StackOptions
from services.cli.trials.demo import REFERENCE, SUBJECT
from services.cli.trials.evaluation import Evaluation, open_evaluation
from services.cli.trials.replay import ReplayOptions

SOURCE = "WolfgangLanger_Pexels.mp4"
"""640 x 360, one face."""
FACE = "single_face.mp4"
"""Shows the person of the demo's reference."""
__all__ = ["BenchOptions", "print_figures", "run_bench"]

LATENCY_FPS = 25
"""PAL, and what IP cameras are delivered with."""
FULL_SIZE_S = 3.0
"""How long the naive loop is watched at full size, where a frame can take a second."""


@dataclass(frozen=True)
class BenchOptions:
    """What to measure.

    Attributes:
        source: the video file for the three loops; None takes a clip of the demo.
        cameras: how many cameras read at once.
        seconds: about how long the limit takes for one round; the footage is looped to that.
        repeats: how often the three take their turns.
        realtime_s: how long the latency is measured; None leaves it out.
    """

    source: Path | None = None
    cameras: int = 1
    seconds: float = 8.0
    repeats: int = 3
    realtime_s: float | None = None


async def run_bench(options: BenchOptions, store: AssetStore, data_dir: Path, tell: Callable[[str], None]) -> Figures:
    """The figures of a bench whose stack keeps its data under `data_dir`; `tell` hears what is being measured.

    Raises:
        UserError: the source is no video, or the stack did not start or get through.
    """
    quiet = log.configure(LogSettings(level="error"), THIS_PROGRAM)
    with tempfile.TemporaryDirectory(prefix="watchline-bench-") as scratch:
        return await _Bench(options, store, data_dir, quiet, tell, Path(scratch)).run()


@dataclass
class _Bench:
    options: BenchOptions
    store: AssetStore
    data_dir: Path
    log: Log
    tell: Callable[[str], None]
    scratch: Path
    _me: Processes = field(default_factory=lambda: Processes({THIS_PROGRAM: os.getpid()}))

    async def run(self) -> Figures:
        source = inspect(self.options.source or self.store.path(SOURCE))
        models, naive = Models(self.log), NaiveLoop(self.store)
        self.tell("warming up")
        footage = loop(source, self._times(source, models), self.scratch / "footage.mp4")
        async with open_evaluation(StackOptions(self.data_dir), self.log) as evaluation:
            pipeline = Pipeline(evaluation, self._references())
            rounds = []
            for number in range(1, self.options.repeats + 1):
                self.tell(f"round {number} of {self.options.repeats}")
                rounds.append(await self._round(source, footage, (models, pipeline, naive)))
            full_size = await self._full_size(source, naive)
            latency = await self._latency(evaluation)
        return Figures(source, self.options.cameras, models.provider, tuple(rounds), full_size, latency)

    def _references(self) -> Path:
        """A folder with the reference of the person in `FACE`."""
        folder = self.scratch / "references"
        folder.mkdir(exist_ok=True)
        shutil.copy(self.store.path(REFERENCE), folder / f"{SUBJECT}.jpg")
        return folder

    def _times(self, source: Footage, models: Models) -> int:
        """How often the source is looped so that the limit takes about `seconds`; warms everything up on the way."""
        run_limit(source.path, self.options.cameras, models, LimitOptions())
        began = time.monotonic()
        run_limit(source.path, self.options.cameras, models, LimitOptions())
        return max(1, math.ceil(self.options.seconds / (time.monotonic() - began)))

    async def _round(self, source: Footage, footage: Footage, loops: tuple[Models, Pipeline, NaiveLoop]) -> Round:
        models, pipeline, naive = loops
        cameras = self.options.cameras
        limit = await self._measured(lambda: run_limit(footage.path, cameras, models, LimitOptions()))
        stretch = await pipeline.run(footage.path, cameras)
        naive_loop = await self._measured(lambda: naive.run(source.path, naive_options()))
        return Round(limit, stretch, naive_loop)

    async def _full_size(self, source: Footage, naive: NaiveLoop) -> Loop | None:
        """The naive loop without making frames smaller, which is the same where they are small already."""
        width_px = naive_options().width_px
        if width_px is None or source.width <= width_px:
            return None
        self.tell("the naive loop at full size")
        return await self._measured(lambda: naive.run(source.path, NaiveOptions(seconds=FULL_SIZE_S)))

    async def _measured(self, work: Callable[[], Work]) -> Loop:
        """One loop in this process, in a thread, so that the connection to the bus stays alive."""
        before = self._me.usage()
        done = await asyncio.to_thread(work)
        after = self._me.usage()
        return Loop(done, after.at_s - before.at_s, after.cpu_s[THIS_PROGRAM] - before.cpu_s[THIS_PROGRAM])

    async def _latency(self, evaluation: Evaluation) -> Latency | None:
        if self.options.realtime_s is None:
            return None
        self.tell(f"latency, {self.options.cameras} cameras for {self.options.realtime_s:.0f} s")
        once = Visits(times=1)
        times = max(1, round(self.options.realtime_s / (once.seen_s + once.away_s)))
        footage = visits(inspect(self.store.path(FACE)), Visits(times), LATENCY_FPS, self.scratch / "visits.mp4")
        sources = {f"live-{number}": str(footage.path) for number in range(1, self.options.cameras + 1)}
        replay = ReplayOptions(self._references(), sources, cooldown_s=0.0, realtime=True)
        return await measure_latency(evaluation, footage, times, replay, self.data_dir / "logs")
