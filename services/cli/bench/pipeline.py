"""The pipeline under measurement: a replay on the real stack, watched from its first frame to its last answer."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from libs.errors import UserError
from services.cli.bench.limit import Work
from services.cli.bench.usage import Processes, Usage
from services.cli.trials.evaluation import Evaluation
from services.cli.trials.replay import Outcome, Progress, Replay, ReplayOptions

THIS_PROGRAM = "watchline"
"""The name under which the figures list the process that runs the replay."""
BUS = "nats-server"


@dataclass(frozen=True)
class Stretch:
    """One replay between the moment when all cameras ran and the end of the last frame's answer."""

    work: Work
    seconds: float
    before: Usage
    after: Usage
    memory_mb: Mapping[str, float]
    outcome: Outcome

    @property
    def fps(self) -> float:
        """Frames a second, all cameras together."""
        return self.work.frames / self.seconds

    @property
    def bus_bytes_per_frame(self) -> float | None:
        """Bytes that the bus took in a frame; every ask, answer and message goes in once. None if not known."""
        if BUS not in self.after.read_bytes:
            return None
        return (self.after.read_bytes[BUS] - self.before.read_bytes[BUS]) / self.work.frames


class Pipeline:
    """Replays on a running stack, measured."""

    def __init__(self, evaluation: Evaluation, references: Path) -> None:
        self._evaluation = evaluation
        self._references = references
        pids = {name: program.pid for name, program in evaluation.stack.programs.items()}
        self._processes = Processes({THIS_PROGRAM: os.getpid(), **{n: p for n, p in pids.items() if p}})

    async def run(self, source: Path, cameras: int) -> Stretch:
        """What a lossless replay of `source` on `cameras` cameras came to.

        Raises:
            UserError: it did not get through.
        """
        sources = {f"camera-{number}": str(source) for number in range(1, cameras + 1)}
        options = ReplayOptions(references=self._references, sources=sources)
        watch = _Watch(self._processes.usage)
        outcome = await Replay(self._evaluation, options, watch.see).run()
        memory = self._processes.memory_mb()
        del memory[THIS_PROGRAM]  # it holds the models of the limit and the naive loop
        return watch.stretch(outcome, memory)


class _Watch:
    """Takes the figures at the moment when every camera runs, and whenever the replay has got further."""

    def __init__(self, usage: Callable[[], Usage]) -> None:
        self._usage = usage
        self._first: Usage | None = None
        self._last: Usage | None = None
        self._frames_before = 0

    def see(self, progress: Progress) -> None:
        """Called at every change of the replay."""
        cameras = progress.cameras.values()
        if any(camera.state == "waiting" for camera in cameras):
            return
        if self._first is None:
            self._first, self._frames_before = self._usage(), sum(camera.frames for camera in cameras)
        self._last = self._usage()

    def stretch(self, outcome: Outcome, memory_mb: Mapping[str, float]) -> Stretch:
        """The replay as measured."""
        cameras = outcome.cameras.values()
        failed = [camera.detail for camera in cameras if camera.state != "ended"]
        if self._first is None or self._last is None or failed or outcome.lost:
            reason = failed[0] if failed else f"{outcome.lost} samples were lost"
            raise UserError(f"the pipeline did not get through ({reason})", "see the logs in the data directory", 1)
        work = Work(
            frames=sum(camera.frames for camera in cameras) - self._frames_before,
            faces=sum(camera.detections for camera in cameras),
            embedded=sum(camera.samples for camera in cameras),
        )
        seconds = self._last.at_s - self._first.at_s
        return Stretch(work, seconds, self._first, self._last, memory_mb, outcome)
