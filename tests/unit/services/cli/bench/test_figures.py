"""Every ratio of a bench is taken within a round, and what was not measured is not stated."""

from pathlib import Path

import pytest

from services.cli.bench.figures import Figures, Loop, Round
from services.cli.bench.footage import Footage
from services.cli.bench.limit import Work
from services.cli.bench.pipeline import BUS, Stretch
from services.cli.bench.usage import Usage

FOOTAGE = Footage(Path("door.mp4"), frames=100, width=640, height=360, fps=25)


def a_round(limit_s, pipeline_s, naive_s=10.0, read_bytes=True):
    """A hundred frames by each of the three, in so many seconds of clock and CPU."""
    work = Work(frames=100, faces=100, embedded=3)
    read = ({BUS: 1_000}, {BUS: 501_000}) if read_bytes else ({}, {})
    before, after = Usage(0.0, {"detect": 1.0}, read[0]), Usage(pipeline_s, {"detect": 1.0 + pipeline_s}, read[1])
    stretch = Stretch(work, pipeline_s, before, after, {"detect": 80.0}, outcome=None)
    return Round(Loop(work, limit_s, limit_s), stretch, Loop(work, naive_s, naive_s))


def figures(*rounds, latency=None):
    return Figures(FOOTAGE, 1, "CPUExecutionProvider", rounds, None, latency).as_json()


def test_a_machine_that_slows_down_between_rounds_changes_no_ratio():
    told = figures(a_round(1.0, 2.0), a_round(10.0, 20.0, 40.0), a_round(2.0, 4.0, 16.0))
    assert told["pipeline_over_limit"] == told["limit_cpu_over_pipeline_cpu"] == 0.5
    assert told["pipeline_over_naive"] == 4.0
    assert told["pipeline_fps"] == 25.0


def test_a_frame_costs_what_the_pipeline_used_between_two_moments():
    told = figures(a_round(1.0, 2.0))
    assert told["cpu_s_per_frame"] == {"detect": pytest.approx(0.02)}
    assert told["bus_bytes_per_frame"] == 5_000
    assert (told["faces_per_frame"], told["frames"]) == ({"limit": 1, "pipeline": 1, "naive": 1}, 100)


def test_what_was_not_measured_is_not_stated():
    told = figures(a_round(1.0, 2.0, read_bytes=False))
    for name in ("latency_p50_ms", "latency_p99_ms", "latency_alerts", "under_capacity", "bus_bytes_per_frame"):
        assert told[name] is None
