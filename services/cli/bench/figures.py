"""The figures of a bench: medians over rounds, and ratios taken within a round."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from services.cli.bench.footage import Footage
from services.cli.bench.latency import Latency
from services.cli.bench.limit import Work
from services.cli.bench.pipeline import Stretch
from services.cli.bench.usage import cpu_per_frame


@dataclass(frozen=True)
class Loop:
    """A loop in one process: the limit, or the naive one."""

    work: Work
    seconds: float
    cpu_s: float

    @property
    def fps(self) -> float:
        """Frames a second."""
        return self.work.frames / self.seconds

    @property
    def cpu_s_per_frame(self) -> float:
        """CPU seconds of all its threads."""
        return self.cpu_s / self.work.frames


@dataclass(frozen=True)
class Round:
    """The three, one after the other."""

    limit: Loop
    pipeline: Stretch
    naive: Loop

    @property
    def pipeline_cpu(self) -> dict[str, float]:
        """CPU seconds a frame by process."""
        return cpu_per_frame(self.pipeline.before, self.pipeline.after, self.pipeline.work.frames)


@dataclass(frozen=True)
class Figures:
    """What a bench came to."""

    source: Footage
    cameras: int
    provider: str
    rounds: tuple[Round, ...]
    naive_full_size: Loop | None
    """The naive loop on frames as they are, where the pipeline makes them smaller."""
    latency: Latency | None

    @property
    def pipeline_fps(self) -> float:
        """Frames a second of the pipeline, all cameras together."""
        return median(one.pipeline.fps for one in self.rounds)

    @property
    def under_capacity(self) -> bool | None:
        """Whether the cameras of the latency sent no more than the pipeline was seen to take; None without them."""
        if self.latency is None:
            return None
        return self.latency.cameras * self.latency.fps <= self.pipeline_fps

    @property
    def cpu_s_per_frame(self) -> dict[str, float]:
        """CPU seconds a frame of the pipeline, by process."""
        return _medians(one.pipeline_cpu for one in self.rounds)

    @property
    def memory_mb(self) -> dict[str, float]:
        """Memory of the pipeline that is not shared, by process."""
        return _medians(one.pipeline.memory_mb for one in self.rounds)

    @property
    def bus_bytes_per_frame(self) -> float | None:
        """Bytes into the bus a frame; None where the system does not say."""
        known = [one.pipeline.bus_bytes_per_frame for one in self.rounds]
        return median([value for value in known if value is not None]) if None not in known else None

    def as_json(self) -> dict[str, object]:
        """The figures as `--json` writes them."""
        rounds, latency = self.rounds, self.latency
        return {
            "limit_fps": median(r.limit.fps for r in rounds),
            "pipeline_fps": self.pipeline_fps,
            "naive_fps": median(r.naive.fps for r in rounds),
            "naive_full_size_fps": self.naive_full_size.fps if self.naive_full_size else None,
            "pipeline_over_limit": median(r.pipeline.fps / r.limit.fps for r in rounds),
            "pipeline_over_naive": median(r.pipeline.fps / r.naive.fps for r in rounds),
            "limit_cpu_s_per_frame": median(r.limit.cpu_s_per_frame for r in rounds),
            "naive_cpu_s_per_frame": median(r.naive.cpu_s_per_frame for r in rounds),
            "cpu_s_per_frame": self.cpu_s_per_frame,
            "limit_cpu_over_pipeline_cpu": median(
                r.limit.cpu_s_per_frame / sum(r.pipeline_cpu.values()) for r in rounds
            ),
            "memory_mb": self.memory_mb,
            "bus_bytes_per_frame": self.bus_bytes_per_frame,
            "faces_per_frame": self._per_frame("faces"),
            "embedded_per_frame": self._per_frame("embedded"),
            "latency_p50_ms": latency.percentile_ms(50) if latency else None,
            "latency_p99_ms": latency.percentile_ms(99) if latency else None,
            "latency_stages_ms": latency.mean_stages_ms if latency else None,
            "latency_alerts": len(latency.total_ms) if latency else None,
            "latency_visits": latency.visits if latency else None,
            "latency_frames": latency.frames if latency else None,
            "latency_dropped": latency.dropped if latency else None,
            "under_capacity": self.under_capacity,
            "cameras": self.cameras,
            "frames": rounds[0].pipeline.work.frames,
            "rounds": len(rounds),
            "source": self.source.path.name,
            "source_size": [self.source.width, self.source.height],
            "provider": self.provider,
        }

    def _per_frame(self, what: str) -> dict[str, float]:
        works = {"limit": [r.limit.work for r in self.rounds], "pipeline": [r.pipeline.work for r in self.rounds]}
        works["naive"] = [r.naive.work for r in self.rounds]
        return {name: median(getattr(w, what) / w.frames for w in some) for name, some in works.items()}


def _medians(of_rounds: Iterable[Mapping[str, float]]) -> dict[str, float]:
    rounds = list(of_rounds)
    return {name: median(values[name] for values in rounds) for name in rounds[0]}
