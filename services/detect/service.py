"""Answers where the faces in a frame are, or in several images: a stateless stage, scaled by starting more of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import numpy as np

from libs import metrics
from libs.errors import PermanentError
from libs.geometry import Image
from libs.images import decode_jpeg, use_one_thread
from libs.inference import Batcher
from libs.models import open_session
from libs.service import Host
from libs.settings import InferenceSettings, load
from proto import subjects
from proto.messages import DetectImagesReply, DetectImagesRequest, Detections, DetectRequest
from services.detect.settings import DetectSettings
from services.detect.yunet import Faces, YuNet

MAX_ASK_PIXELS = 9_000_000
"""A 4K frame unscaled. Measured with YuNet: 0.65 GB of memory and 0.8 s for 8 megapixels, 1.5 GB and 3 s for 20."""


class Detector:
    """Finds the faces in the JPEGs of several asks at once; runs in the threads of a batcher."""

    def __init__(self, model: YuNet, settings: DetectSettings) -> None:
        self._model = model
        self._settings = settings

    def detect(self, asks: Sequence[DetectRequest]) -> list[Detections | PermanentError]:
        """The answer to each ask, in pixels of its full frame; an undecodable JPEG spoils its own ask alone."""
        metrics.BATCH_SIZE.labels("detect").observe(len(asks))
        images = [_decoded(ask.jpeg) for ask in asks]
        whole = [image for image in images if not isinstance(image, PermanentError)]
        found = iter(self._model.detect(whole, self._settings.min_score, self._settings.nms_iou))
        return [
            image if isinstance(image, PermanentError) else _in_full_frame(ask, image, next(found))
            for ask, image in zip(asks, images, strict=True)
        ]


@asynccontextmanager
async def detect(host: Host) -> AsyncIterator[None]:
    """The program: answers on the detect subject while the block runs."""
    use_one_thread()
    settings, inference = load(DetectSettings), load(InferenceSettings)
    session, lanes = open_session(settings.model, inference, host.log)
    detector = Detector(YuNet(session), settings)
    async with Batcher(detector.detect, max_batch=lanes.batch, workers=lanes.workers) as batcher:

        async def answer(ask: DetectRequest) -> Detections:
            found = await batcher(ask)
            if isinstance(found, PermanentError):
                raise found
            host.log.debug("detected", camera=ask.camera, frame=ask.frame, faces=len(found.boxes))
            return found

        async def answer_all(ask: DetectImagesRequest) -> DetectImagesReply:
            found = await asyncio.gather(*(batcher(image) for image in ask.images))
            return DetectImagesReply(
                found=tuple(None if isinstance(one, PermanentError) else one for one in found),
                reasons=tuple(one.reason if isinstance(one, PermanentError) else "" for one in found),
            )

        concurrency = host.settings.concurrency
        async with (
            host.bus.answering(subjects.DETECT, DetectRequest, answer, concurrency),
            host.bus.answering(subjects.DETECT_IMAGES, DetectImagesRequest, answer_all, concurrency),
        ):
            yield


def _decoded(jpeg: bytes) -> Image | PermanentError:
    try:
        return decode_jpeg(jpeg, MAX_ASK_PIXELS)
    except PermanentError as error:
        return error


def _in_full_frame(ask: DetectRequest, image: Image, faces: Faces) -> Detections:
    scale = np.array([ask.width / image.shape[1], ask.height / image.shape[0]], np.float32)
    return Detections(
        camera=ask.camera,
        frame=ask.frame,
        boxes=(faces.boxes * np.tile(scale, 2)).astype(np.float32),
        landmarks=(faces.landmarks * scale).astype(np.float32),
        detect_scores=faces.detect_scores.astype(np.float32),
    )
