"""From one image file to one reference, or to the reason why not and what to do about it.

An image must show exactly one face, large and good enough to be compared. Its template is the mean of the face and its
mirror image, which costs nothing when searching (measured on LFW: TPIR at FPIR 1 %, N = 1,000, from 0.9695 to
0.9750).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
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
from proto.messages import (
    DetectImagesReply,
    DetectImagesRequest,
    Detections,
    DetectRequest,
    EmbedReply,
    EmbedRequest,
)
from proto.quality import Quality
from services.match.registry import Asker
from services.match.settings import EnrolmentSettings

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

DETECT_JPEG_QUALITY = 95
"""Of 0..100: enrolment is rare, so its detection need not save bytes."""
DETECT_TIMEOUT_S, EMBED_TIMEOUT_S = 5.0, 8.0
"""How long they may take for the images of one act: 0.1 and 0.3 s on an idle core, and cameras may keep them busy.
Asking again makes them busier."""
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


@dataclass(frozen=True)
class _Opened:
    """An image, and the ask for the faces in a small copy of it."""

    image: Image
    ask: DetectRequest


class Enrolment:
    """Makes references of images. Asks `detect` and `embed` for their part, so no model is loaded here.

    What belongs to images that come together travels together, for a message costs more than what is in it.
    """

    def __init__(self, bus: Asker, template_version: str, settings: EnrolmentSettings) -> None:
        self._bus = bus
        self._version = template_version
        self._settings = settings
        self._hands = ThreadPoolExecutor(settings.threads, "enrolment")

    async def references_of(self, files: Sequence[bytes]) -> list[FaceReference | RefusedImageError]:
        """What each image file becomes, in their order: a reference, or a refusal if it does not show one usable face.

        Raises:
            TransientError: detect, embed or the bus is away: ask again.
            PermanentError: embed runs another model than the gallery holds templates of.
        """
        small = [_is_small(data) for data in files]
        opened = [await self._run(here, _opened, data, self._settings) for here, data in zip(small, files, strict=True)]
        found = iter(await self._detect([one.ask for one in opened if isinstance(one, _Opened)]))
        faces = [
            await self._run(here, _face, one.image, next(found), self._settings) if isinstance(one, _Opened) else one
            for here, one in zip(small, opened, strict=True)
        ]
        templates = iter(await self._embed([face.chip for face in faces if isinstance(face, Face)]))
        return [
            face if isinstance(face, RefusedImageError) else FaceReference(next(templates), face.portrait, face.quality)
            for face in faces
        ]

    def close(self) -> None:
        """Lets its threads go."""
        self._hands.shutdown(wait=False)

    async def _detect(self, images: Sequence[DetectRequest]) -> list[Detections | RefusedImageError]:
        if not images:
            return []
        request = DetectImagesRequest(images=tuple(images))
        try:
            reply = await self._bus.ask(subjects.DETECT_IMAGES, request, DetectImagesReply, DETECT_TIMEOUT_S)
        except AskError as error:
            if len(images) > 1:
                raise  # whoever has sent them together sends them one by one, and learns which of them it is
            return [RefusedImageError(error.reason, REMEDIES["not read"])]
        return [
            RefusedImageError(reason, REMEDIES["not read"]) if found is None else found
            for found, reason in zip(reply.found, reply.reasons, strict=True)
        ]

    async def _embed(self, chips: Sequence[Image]) -> Floats:
        """The template of each face, float32 (n, d): the mean of it and its mirror image, of length 1."""
        if not chips:
            return np.zeros((0, 0), np.float32)
        request = EmbedRequest(chips=np.stack(chips), both_ways=True)
        reply = await self._bus.ask(subjects.EMBED, request, EmbedReply, EMBED_TIMEOUT_S)
        if reply.template_version != self._version:
            raise PermanentError(f"embed runs {reply.template_version}, the gallery holds {self._version}")
        return reply.templates

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


def _opened(data: bytes, settings: EnrolmentSettings) -> _Opened | RefusedImageError:
    try:
        image = decode_rgb(data)
    except ImageError as error:
        return RefusedImageError(error.reason, error.remedy)
    height, width = image.shape[:2]
    as_it_is = width <= settings.detect_width_px and is_plain_jpeg(data)
    jpeg = data if as_it_is else _detector_jpeg(image, settings.detect_width_px)
    return _Opened(image, DetectRequest(camera="enrolment", frame=0, width=width, height=height, jpeg=jpeg))


def _detector_jpeg(image: Image, width_px: int) -> bytes:
    scale = width_px / image.shape[1]
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
    return encode_jpeg(np.asarray(small, np.uint8), DETECT_JPEG_QUALITY)


def _face(image: Image, found: Detections | RefusedImageError, settings: EnrolmentSettings) -> Face | RefusedImageError:
    """The one face of an image, in which these were found; or why it is none to compare with."""
    if isinstance(found, RefusedImageError):
        return found
    faces = int((found.detect_scores >= settings.min_score).sum())
    if faces == 0:
        return RefusedImageError("no face was found in the image", REMEDIES["no face"])
    if faces > 1:
        reason = f"{faces} faces were found in the image; a reference shows exactly one"
        return RefusedImageError(reason, REMEDIES["several faces"])
    face = cut(image, found.landmarks, found.boxes, found.detect_scores)
    required = (
        ("inter_eye_distance_px", face.quality.inter_eye_distance_px, settings.min_inter_eye_distance_px),
        ("quality", face.quality.unified, settings.min_quality),
    )
    for component, measured, least in required:
        if measured < least:
            reason = f"{component} is {measured:.3g}, a reference needs {least:.3g}"
            return RefusedImageError(reason, REMEDIES[component], component, (measured, least))
    return face


def cut(image: Image, landmarks: Floats, boxes: Floats, detect_scores: Floats) -> Face:
    """The surest of the faces that were found in an image: its chip, its portrait and its quality."""
    chip, box = align(image, landmarks[0]), boxes[0]
    quality = unify(geometry_quality(landmarks, detect_scores), 0, chip_quality(chip))
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (round(side) for side in portrait_box(tuple(box.tolist())))
    region = image[max(y0, 0) : min(y1, height), max(x0, 0) : min(x1, width)]
    return Face(chip, encode_portrait(np.ascontiguousarray(region)), quality)
