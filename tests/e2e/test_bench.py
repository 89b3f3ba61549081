"""The bench runs to its end and its figures hang together. Nothing is said of how fast this machine is."""

from __future__ import annotations

import json

import pytest

KEYS = {
    "limit_fps",
    "pipeline_fps",
    "naive_fps",
    "pipeline_over_limit",
    "pipeline_over_naive",
    "latency_p50_ms",
    "latency_p99_ms",
    "cpu_s_per_frame",
    "memory_mb",
    "bus_bytes_per_frame",
    "cameras",
    "frames",
    "source",
    "provider",
}
SERVICES = {"nats-server", "govern", "ingest", "detect", "embed", "match", "alert"}


def test_the_bench_measures_the_three_loops_and_the_way_of_each_alert(watchline, assets):
    clip = assets.path("single_face.mp4")
    done = watchline.run(
        *("bench", "--source", clip, "--seconds", "0.1", "--repeats", "1", "--json", "figures.json"),
        *("--realtime", "--realtime-seconds", "5"),
    )

    assert done.returncode == 0, done.stderr
    for word in ("limit", "pipeline", "naive", "ingest", "capture to alert", "frames dropped"):
        assert word in done.stdout
    figures = json.loads((watchline.folder / "figures.json").read_text())
    assert set(figures) >= KEYS
    assert (figures["cameras"], figures["source"], figures["source_size"]) == (1, "single_face.mp4", [640, 360])
    assert figures["frames"] >= 70
    assert figures["pipeline_over_limit"] == pytest.approx(figures["pipeline_fps"] / figures["limit_fps"])
    assert figures["faces_per_frame"] == pytest.approx({"limit": 1, "pipeline": 1, "naive": 1}, abs=0.05)
    assert set(figures["memory_mb"]) == SERVICES
    assert set(figures["cpu_s_per_frame"]) == {*SERVICES, "watchline"}
    assert figures["bus_bytes_per_frame"] > 5_000
    assert 1 <= figures["latency_alerts"] <= figures["latency_visits"] == 2
    assert 0 < figures["latency_p50_ms"] <= figures["latency_p99_ms"]
    assert all(milliseconds > 0 for milliseconds in figures["latency_stages_ms"].values())


def test_a_source_that_is_no_video_is_refused_in_one_line(watchline):
    (watchline.folder / "notes.mp4").write_text("no video")

    done = watchline.run("bench", "--source", "notes.mp4")

    assert done.returncode == 2
    assert "notes.mp4" in done.stderr
    assert "Traceback" not in done.stderr
