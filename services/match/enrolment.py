"""From one image file to one reference, or to the reason why not and what to do about it.

An image must show exactly one face, large and good enough to be compared. Its template is the mean of the face and its
mirror image, which costs nothing when searching (measured on LFW: TPIR at FPIR 1 %, N = 1,000, from 0.9695 to
0.9750).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar, TypeVarTuple

import cv2
import numpy as np

from libs.bus import AskError
from libs.errors import PermanentError
from libs.geometry import Floats, Image, align
from libs.images import ImageError, decode_rgb, encode_jpeg, image_size, is_plain_jpeg
from libs.portrait import encode_portrait, portrait_box
from libs.quality import chip_quality, geometry_quality, unify
from proto import subjects
from proto.messages import Detections, DetectRequest
from proto.quality import Quality
from services.match.embedding import Embedding
from services.match.registry import Asker
from services.match.settings import EnrolmentSettings

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

DETECT_JPEG_QUALITY = 95
"""Of 0..100: enrolment is rare, so its detection need not save bytes."""
DETECT_TIMEOUT_S = 5.0
"""How long `detect` may take: 10 ms on an idle core, and cameras may keep it busy."""
SMALL_PIXELS = 250_000
"""An image of 500 x 500 is opened in 2 ms."""
REMEDIES = {
    "inter_eye_distance_px": "use an image in which the face is larger",
    "quality": "use a sharper image, evenly lit, with the face turned to the camera",
    "no face": "use an image that shows the face from the front, upright, eyes and mouth free",
    "several faces": "cut the image so that this person's face alone is in it",
    "not read": "save it as JPEG or PNG",
}


class RefusedImageError(PermanentError):
    """An image that makes no reference: why, what was measured if anything was, and what a person can do."""

    def __init__(
        self, reason: str, remedy: str, component: str = "", values: tuple[float, float] | None = None
    ) -> None:
        super().__init__(reason)
        self.remedy = remedy
        self.component = component
        self.measured = values[0] if values else None
        self.required = values[1] if values else None


@dataclass(frozen=True)
class Face:
    """The one face of a reference image."""

    chip: Image
    portrait: bytes
    """JPEG."""
    quality: Quality


@dataclass(frozen=True)
class FaceReference:
    """What an image becomes: the template of its face, a portrait for people, and how good it is."""

    template: Floats
    portrait: bytes
    quality: Quality


class Enrolment:
    """Makes references of images. Asks `detect` and `embed` for their part, so no model is loaded here."""

    def __init__(self, bus: Asker, template_version: str, settings: EnrolmentSettings) -> None:
        self._bus = bus
        self._embedding = Embedding(bus, template_version)
        self._settings = settings
        self._hands = ThreadPoolExecutor(settings.threads, "enrolment")

    async def reference_of(self, data: bytes) -> FaceReference:
        """The reference that an image file becomes.

        Raises:
            RefusedImageError: it is no usable image, or does not show exactly one usable face.
            TransientError: detect, embed or the bus is away: ask again.
            PermanentError: embed runs another model than the gallery holds templates of.
        """
        small = _is_small(data)
        image, ask = await self._run(small, _opened, data, self._settings.detect_width_px)
        try:
            found = await self._bus.ask(subjects.DETECT, ask, Detections, DETECT_TIMEOUT_S)
        except AskError as error:
            raise RefusedImageError(error.reason, REMEDIES["not read"]) from None
        self._must_be_one(found)
        face = await self._run(small, cut, image, found.landmarks, found.boxes, found.detect_scores)
        self._must_be_good(face.quality)
        template = await self._embedding.template_of(face.chip)
        return FaceReference(template, face.portrait, face.quality)

    def close(self) -> None:
        """Lets its threads go."""
        self._hands.shutdown(wait=False)

    def _must_be_one(self, found: Detections) -> None:
        faces = int((found.detect_scores >= self._settings.min_score).sum())
        if faces == 0:
            raise RefusedImageError("no face was found in the image", REMEDIES["no face"])
        if faces > 1:
            raise RefusedImageError(
                f"{faces} faces were found in the image; a reference shows exactly one", REMEDIES["several faces"]
            )

    def _must_be_good(self, quality: Quality) -> None:
        required = (
            ("inter_eye_distance_px", quality.inter_eye_distance_px, self._settings.min_inter_eye_distance_px),
            ("quality", quality.unified, self._settings.min_quality),
        )
        for component, measured, least in required:
            if measured < least:
                raise RefusedImageError(
                    f"{component} is {measured:.3g}, a reference needs {least:.3g}",
                    REMEDIES[component],
                    component,
                    (measured, least),
                )

    async def _run(self, here: bool, work: Callable[[*Arguments], T], *arguments: *Arguments) -> T:
        """What `work` comes to: here, or in a thread where it would keep others waiting."""
        if here:
            return work(*arguments)
        return await asyncio.get_running_loop().run_in_executor(self._hands, work, *arguments)


def _is_small(data: bytes) -> bool:
    """Whether an image is opened in less time than it takes to hand it to a thread and be told of the result."""
    try:
        width, height = image_size(data)
    except ImageError:
        return True
    return width * height <= SMALL_PIXELS


def _opened(data: bytes, width_px: int) -> tuple[Image, DetectRequest]:
    """The image, and the ask for its faces in a small copy.

    Raises:
        RefusedImageError: it is no usable image.
    """
    try:
        image = decode_rgb(data)
    except ImageError as error:
        raise RefusedImageError(error.reason, error.remedy) from None
    height, width = image.shape[:2]
    jpeg = data if width <= width_px and is_plain_jpeg(data) else _detector_jpeg(image, width_px)
    return image, DetectRequest(camera="enrolment", frame=0, width=width, height=height, jpeg=jpeg)


def _detector_jpeg(image: Image, width_px: int) -> bytes:
    scale = width_px / image.shape[1]
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
    return encode_jpeg(np.asarray(small, np.uint8), DETECT_JPEG_QUALITY)


def cut(image: Image, landmarks: Floats, boxes: Floats, detect_scores: Floats) -> Face:
    """The surest of the faces that were found in an image: its chip, its portrait and its quality."""
    chip, box = align(image, landmarks[0]), boxes[0]
    quality = unify(geometry_quality(landmarks, detect_scores), 0, chip_quality(chip))
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (round(side) for side in portrait_box(tuple(box.tolist())))
    region = image[max(y0, 0) : min(y1, height), max(x0, 0) : min(x1, width)]
    return Face(chip, encode_portrait(np.ascontiguousarray(region)), quality)
