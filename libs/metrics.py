"""What every service measures of itself, in Prometheus' terms."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Bucket bounds in seconds: from one match (about 1 ms) to a delivery that waited for a restart."""

MESSAGES = Counter("watchline_messages", "Messages settled, by stage and outcome", ["stage", "outcome"])
HANDLE_SECONDS = Histogram("watchline_handle_seconds", "Seconds a handler took", ["stage"], buckets=SECONDS)
IN_HAND = Gauge("watchline_in_hand", "Messages a stage is working on now", ["stage"])
FRAMES = Counter("watchline_frames", "Frames of a camera, by what became of them", ["camera", "outcome"])
DETECTIONS = Counter("watchline_detections", "Faces detected in the frames of a camera", ["camera"])
SAMPLES = Counter("watchline_samples", "Samples a camera sent on", ["camera"])
SEARCHES = Counter(
    "watchline_searches",
    "Probes searched, by deployment and whether anyone was listed",
    ["deployment", "outcome"],
)
ALERTS = Counter("watchline_alerts", "Alerts raised or withheld within the cool-down", ["deployment", "outcome"])
BATCH_SIZE = Histogram(
    "watchline_batch_size", "Items a model took at once", ["stage"], buckets=(1, 2, 4, 8, 16, 32, 64)
)
