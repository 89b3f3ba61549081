"""The limit: what the pipeline does to a frame, in one process and with nothing between the steps.

    decoder threads ──frames──▶ a pool that scales and detects ──in order──▶ track, best shot ──chips──▶ embed, batched

The same adapters, prepared models, tracker and best-shot rules as the services; no bus, no JPEG, no message, no
portrait. How it was made fast, and what was slower, is in docs/performance.md.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from libs.geometry import Image, align, chip_region
from libs.log import Log
from libs.models import open_session
from libs.quality import chip_quality, geometry_quality, unify
from libs.settings import InferenceSettings, load
from services.detect.settings import DetectSettings
from services.detect.yunet import Faces, YuNet
from services.embed.settings import EmbedSettings
from services.embed.sface import SFace
from services.ingest.best_shot import BestShot, BestShotSettings
from services.ingest.frame import Frame
from services.ingest.settings import IngestSettings
from services.ingest.source import SourceOptions
from services.ingest.sources import open_source
from services.ingest.tracker import NO_TRACK, Tracker, TrackerSettings

EMBED_BATCH = 8
"""Chips of one run, as in `embed`."""


@dataclass(frozen=True)
class LimitOptions:
    """How the work is spread. `workers` 0 is one a core."""

    workers: int = 0
    decode_threads: int = 2
    ahead: int = 3
    """Frames that wait in front of each worker, so that none is ever idle."""


@dataclass(frozen=True)
class Work:
    """What was done to the frames; the same for the pipeline and the naive loop, so that they can be compared."""

    frames: int = 0
    faces: int = 0
    """Detections that belong to a track; of the naive loop, which has none, all of them."""
    embedded: int = 0


class Models:
    """The two models as the services open them."""

    def __init__(self, log: Log) -> None:
        inference, self._settings = load(InferenceSettings), load(DetectSettings)
        session, _ = open_session(self._settings.model, inference, log)
        embedder, _ = open_session(load(EmbedSettings).model, inference, log, EMBED_BATCH)
        self.provider = session.provider
        self._width_px = load(IngestSettings).detect_width_px
        self._yunet, self._sface = YuNet(session), SFace(embedder)

    def detect(self, frame: Frame) -> Faces:
        """The faces of the frame, in pixels of the full frame."""
        image = frame.scaled(self._width_px)
        (faces,) = self._yunet.detect([image], self._settings.min_score, self._settings.nms_iou)
        return _in_full_frame(faces, image, frame)

    def embed(self, chips: list[Image]) -> int:
        """How many templates were made of the chips."""
        return len(self._sface.embed(np.stack(chips)))


@dataclass
class _Camera:
    """One source on its way through the limit."""

    models: Models
    pool: ThreadPoolExecutor
    frames: int = 0
    faces: int = 0
    tracker: Tracker = field(default_factory=lambda: Tracker(TrackerSettings()))
    best: BestShot[Image] = field(default_factory=lambda: BestShot(BestShotSettings()))
    chips: list[Image] = field(default_factory=list)
    embeds: list[Future[int]] = field(default_factory=list)

    def run(self, frames: Iterator[Frame], ahead: int) -> Work:
        """What came of the frames, when the last of them is done."""
        asked: deque[tuple[Frame, Future[Faces]]] = deque()
        for frame in frames:
            asked.append((frame, self.pool.submit(self.models.detect, frame)))
            if len(asked) > ahead:
                self._take(*asked.popleft())
        for waiting in asked:
            self._take(*waiting)
        for track in self.tracker.finish():
            self._keep(self.best.finish(track))
        self._embed()
        return Work(self.frames, self.faces, sum(done.result() for done in self.embeds))

    def _take(self, frame: Frame, found: Future[Faces]) -> None:
        """The decisions of services/ingest/reading.py."""
        faces, now_s = found.result(), frame.source_time_s
        update = self.tracker.update(now_s, faces.boxes, faces.detect_scores)
        self.frames += 1
        self.faces += int((update.track_ids != NO_TRACK).sum())
        geometry = geometry_quality(faces.landmarks, faces.detect_scores)
        for row in update.confirmed.nonzero()[0].tolist():
            track = int(update.track_ids[row])
            if self.best.wants_chip(track, now_s, float(geometry.quality[row])):
                chip = _chip(frame, faces, row)
                quality = unify(geometry, row, chip_quality(chip)).unified
                self._keep(self.best.offer(track, now_s, quality, chip))
        for track in update.ended:
            self._keep(self.best.finish(track))

    def _keep(self, chip: Image | None) -> None:
        if chip is not None:
            self.chips.append(chip)
        if len(self.chips) >= EMBED_BATCH:
            self._embed()

    def _embed(self) -> None:
        if self.chips:
            self.embeds.append(self.pool.submit(self.models.embed, self.chips))
            self.chips = []


def run_limit(path: Path, cameras: int, models: Models, options: LimitOptions) -> Work:
    """What came of `cameras` readings of the video at `path`, all at once."""
    workers = options.workers or os.cpu_count() or 1
    ahead = max(1, options.ahead * workers // cameras)

    def one(_camera: int) -> Work:
        with open_source(str(path), SourceOptions(threads=options.decode_threads)) as source:
            return _Camera(models, pool).run(iter(source), ahead)

    with (
        _opencv_without_threads(),
        ThreadPoolExecutor(workers, "limit") as pool,
        ThreadPoolExecutor(cameras, "camera") as readers,
    ):
        done = list(readers.map(one, range(cameras)))
    return Work(*(sum(getattr(work, name) for work in done) for name in ("frames", "faces", "embedded")))


@contextmanager
def _opencv_without_threads() -> Iterator[None]:
    """Keeps OpenCV's own threads out of the way: measured, they triple the CPU time of turning YUV into RGB."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def _in_full_frame(faces: Faces, image: Image, frame: Frame) -> Faces:
    scale = np.array([frame.width / image.shape[1], frame.height / image.shape[0]], np.float32)
    return Faces(faces.boxes * np.tile(scale, 2), faces.landmarks * scale, faces.detect_scores)


def _chip(frame: Frame, faces: Faces, row: int) -> Image:
    landmarks = faces.landmarks[row]
    pixels, corner = frame.region(chip_region(landmarks, frame.width, frame.height))
    return align(pixels, landmarks - np.array(corner, np.float32))
