"""From capture to the alert in a subscriber's hands, and how long each stage had it on the way.

Where a message was at what time is read from what the stages log of every message anyway: when it was handled, how
long that took, and how long it had waited since the stage before published it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np

from proto.messages import Alert
from services.cli.bench.footage import Footage
from services.cli.trials.evaluation import Evaluation
from services.cli.trials.replay import Outcome, Progress, Replay, ReplayOptions

STAGES = ("ingest", "embed", "match", "alert", "delivery")
"""`ingest`: until the sample is on the bus; `embed`, `match`, `alert`: until the stage's own message is, or the alert
is raised; `delivery`: until the subscriber has the alert."""
HANDLERS = {"embed": "sample", "match": "probe", "alert": "candidates"}
"""The stages that log messages, and the first part of the id of what each handles."""


@dataclass(frozen=True)
class Latency:
    """The latencies of the alerts of a replay in real time."""

    total_ms: Sequence[float]
    stages_ms: Mapping[str, Sequence[float]]
    frames: int
    dropped: int
    cameras: int
    fps: float
    visits: int
    """How often a face came into view: each is worth an alert."""

    def percentile_ms(self, percent: float) -> float | None:
        """The latency that `percent` of the alerts did not exceed; None where there was no alert."""
        return float(np.percentile(self.total_ms, percent)) if self.total_ms else None

    @property
    def mean_stages_ms(self) -> dict[str, float]:
        """What each stage takes on average; together the mean latency."""
        return {name: float(np.mean(values)) if values else 0.0 for name, values in self.stages_ms.items()}


@dataclass
class _Received:
    """When each alert came into our hands, by its id."""

    at: dict[str, float] = field(default_factory=dict)

    def see(self, progress: Progress) -> None:
        """Called at every change of the replay, and so at once when an alert comes."""
        now = time.time()
        for alert in progress.alerts[len(self.at) :]:
            self.at.setdefault(alert.id, now)


async def measure_latency(
    evaluation: Evaluation, footage: Footage, visits: int, options: ReplayOptions, logs: Path
) -> Latency:
    """The latencies of a replay of `footage` in real time, on the cameras of `options`; `logs`: the stack's folder."""
    received = _Received()
    outcome = await Replay(evaluation, options, received.see).run()
    published = published_at({stage: (logs / f"{stage}.log").read_text().splitlines() for stage in HANDLERS})
    return _latency(outcome, received.at, published, footage, visits * len(options.sources))


def published_at(lines: Mapping[str, Iterable[str]]) -> dict[str, dict[str, float]]:
    """By stage and id of the sample: Unix seconds at which what the stage handles came onto the bus.

    `lines` are the stages' logs. A message that was delivered again counts by its first publication.
    """
    found: dict[str, dict[str, float]] = {stage: {} for stage in lines}
    for stage, of_stage in lines.items():
        for line in of_stage:
            entry = json.loads(line) if line.startswith("{") else {}
            if entry.get("event") == "message" and entry.get("outcome") == "done":
                logged_at = datetime.fromisoformat(entry["timestamp"]).timestamp()
                sample = entry["id"].removeprefix(f"{HANDLERS[stage]}.")
                found[stage][sample] = logged_at - entry["seconds"] - entry["waited_s"]
    return found


def stages_ms(alert: Alert, received_at: float, published: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Milliseconds that each stage had what became of `alert`, in their order; their sum is the whole way."""
    sample = f"{alert.track}.{alert.samples}"
    times = [alert.captured_at, *(published[stage][sample] for stage in HANDLERS), alert.raised_at, received_at]
    return {name: (end - start) * 1000 for name, start, end in zip(STAGES, times[:-1], times[1:], strict=True)}


def _latency(
    outcome: Outcome,
    received_at: Mapping[str, float],
    published: Mapping[str, Mapping[str, float]],
    footage: Footage,
    visits: int,
) -> Latency:
    ways = [stages_ms(alert, received_at[alert.id], published) for alert in outcome.alerts]
    return Latency(
        total_ms=[sum(way.values()) for way in ways],
        stages_ms={name: [way[name] for way in ways] for name in STAGES},
        frames=sum(camera.frames for camera in outcome.cameras.values()),
        dropped=sum(camera.dropped for camera in outcome.cameras.values()),
        cameras=len(outcome.cameras),
        fps=footage.fps,
        visits=visits,
    )
