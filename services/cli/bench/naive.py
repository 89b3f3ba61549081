"""The naive loop: what one writes in an afternoon with OpenCV alone, every face of every frame compared."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from libs.assets import AssetStore
from libs.geometry import CHIP_SIDE_PX, Floats, Image
from libs.prepare import prepare
from libs.settings import load
from services.cli.bench.limit import Work
from services.detect.settings import DetectSettings
from services.embed.settings import EmbedSettings
from services.embed.sface import TEMPLATE_LENGTH
from services.ingest.settings import IngestSettings
from services.ingest.tracker import TrackerSettings

TOP_K = 5000
"""Candidates before overlaps are dropped: OpenCV's default."""


@dataclass(frozen=True)
class NaiveOptions:
    """`width_px`: what frames are made smaller to before faces are looked for; None looks in the full frame.

    The default is the width the pipeline asks about, so that both find the same faces.
    """

    width_px: int | None = None
    references: int = 1
    seconds: float = math.inf
    """Stop after so long; without it, at the end of the video."""


def naive_options() -> NaiveOptions:
    """The loop that finds the faces the pipeline finds."""
    return NaiveOptions(width_px=load(IngestSettings).detect_width_px)


class NaiveLoop:
    """OpenCV's own classes on the published models, with their default threads.

    A face is what would start a track in the pipeline: the loop has no use for weaker detections.
    """

    def __init__(self, store: AssetStore) -> None:
        settings = load(DetectSettings)
        detector = str(store.path(settings.model))
        embedder = str(prepare(store.path(load(EmbedSettings).model), "opencv", store.cache_dir / "prepared"))
        logs = cv2.utils.logging
        level = logs.setLogLevel(logs.LOG_LEVEL_ERROR)  # else OpenCV 5 warns of itself, once a network
        limits = TrackerSettings().high_score, settings.nms_iou, TOP_K
        self._detector = cv2.FaceDetectorYN.create(detector, "", (32, 32), *limits)
        self._recognizer = cv2.FaceRecognizerSF.create(embedder, "")
        self._recognizer.feature(np.zeros((CHIP_SIDE_PX, CHIP_SIDE_PX, 3), np.uint8))  # its first run prepares the net
        logs.setLogLevel(level)

    def run(self, path: Path, options: NaiveOptions) -> Work:
        """What came of the frames of the video at `path`."""
        gallery = np.zeros((options.references, TEMPLATE_LENGTH), np.float32)
        work, video = Work(), cv2.VideoCapture(str(path))
        ends_at = time.monotonic() + options.seconds
        while time.monotonic() < ends_at:
            read, image = video.read()
            if not read:
                break
            faces = self._faces(np.asarray(image, np.uint8), options.width_px)
            for face in faces:
                template = self._recognizer.feature(self._recognizer.alignCrop(image, face))
                (gallery @ (template[0] / np.linalg.norm(template[0]))).max()
            work = Work(work.frames + 1, work.faces + len(faces), work.embedded + len(faces))
        video.release()
        return work

    def _faces(self, image: Image, width_px: int | None) -> Floats:
        """(n, 15) box, landmarks and score of each face, in pixels of `image`."""
        scale = min(1.0, width_px / image.shape[1]) if width_px else 1.0
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
        self._detector.setInputSize((small.shape[1], small.shape[0]))
        found: Floats | None = self._detector.detect(small)[1]  # type: ignore[assignment]  # None where there is none
        if found is None:
            return np.zeros((0, 15), np.float32)
        return np.hstack([found[:, :14] / scale, found[:, 14:]])
