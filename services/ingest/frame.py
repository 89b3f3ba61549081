"""One decoded frame: small enough to ask about, sharp enough to crop from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from libs.images import encode_jpeg, encode_jpeg_planes
from services.ingest.orientation import UPRIGHT, Image, Orientation, Rect
from services.ingest.yuv import planes

JPEG_QUALITY = 70
"""libjpeg's scale, 0 to 100. Measured on a 1080p street clip at 640 x 360: 36 KB a frame, and YuNet finds 6.1
faces a frame with a mean score of 0.827, as at quality 90 (6.2; 0.826; 62 KB)."""

SCALING = Interpolation.AREA
"""Measured, 1080p to 640 x 360 in YUV: area 0.86 ms, fast bilinear 0.59, bilinear 1.42; faces found 6.3, 6.4,
6.4 a frame with mean scores 0.822, 0.818, 0.820. Area does not alias at 4K either."""


class Scaler:
    """Scales pictures with one libswscale context, from any thread; the frames of a source share one."""

    def __init__(self) -> None:
        self._lock = Lock()  # the context is not thread safe, and scaling touches fields of its input for a moment
        self._context = VideoReformatter()

    def scale(self, picture: av.VideoFrame, size: tuple[int, int], pixel_format: str) -> av.VideoFrame:
        """`picture` at `size` (width, height) in `pixel_format`; itself when it is that already."""
        with self._lock:
            return self._context.reformat(
                picture, *size, pixel_format, interpolation=SCALING, threads=1
            )  # one thread: the other cores have their own cameras


@dataclass(eq=False)
class Frame:
    """A decoded frame, upright, still in the pixel format it was decoded to. Several threads may use it.

    Attributes:
        picture: as decoded, before turning.
        index: position in the source, from 0; frames left out by the sampler are counted.
        source_time_s: seconds from the start of the source; grows from frame to frame.
        captured_at: unix seconds; set by the source, and by a `Reader` that knows better.
    """

    picture: av.VideoFrame
    index: int
    source_time_s: float
    captured_at: float
    orientation: Orientation = UPRIGHT
    scaler: Scaler = field(default_factory=Scaler, repr=False)
    width: int = field(init=False)
    height: int = field(init=False)

    def __post_init__(self) -> None:
        self.width, self.height = self.orientation.size(self.picture.width, self.picture.height)

    @classmethod
    def from_rgb(cls, image: Image, index: int = 0, source_time_s: float = 0.0, captured_at: float = 0.0) -> Frame:
        """A frame of an RGB uint8 (H, W, 3) image."""
        return cls(av.VideoFrame.from_ndarray(image, format="rgb24"), index, source_time_s, captured_at)

    def jpeg(self, width_px: int) -> bytes:
        """The whole frame as a JPEG at most `width_px` wide, same aspect, never enlarged.

        A box in it leads back to the frame by the ratio of the widths along x and of the heights along y.
        """
        small = self._small(width_px)
        views = planes(small)
        if self.orientation == UPRIGHT and views is not None and views.halved:
            return encode_jpeg_planes(views.jpeg_planes(), JPEG_QUALITY)
        return encode_jpeg(self.orientation.upright(_rgb(small)), JPEG_QUALITY)

    def scaled(self, width_px: int) -> Image:
        """The whole frame as RGB uint8 at most `width_px` wide, same aspect, never enlarged."""
        return self.orientation.upright(_rgb(self._small(width_px)))

    def region(self, xyxy: Sequence[float]) -> tuple[Image, tuple[int, int]]:
        """The part of the frame that covers the box `xyxy`, as RGB uint8, and the (x, y) of its first pixel.

        The box is widened to whole pixels and clipped to the frame. Only this part is converted, except for
        pixel formats that have no eight-bit planes (the frame is then converted once and kept).

        Raises: ValueError where the box lies outside the frame.
        """
        rect = self._whole_pixels(xyxy)
        stored = self.orientation.stored_rect(rect, (self.width, self.height))
        views = planes(self.picture)
        part = views.rgb(stored) if views else self._whole[stored[1] : stored[3], stored[0] : stored[2]]
        return np.ascontiguousarray(self.orientation.upright(part)), rect[:2]

    def rgb(self) -> Image:
        """The whole frame as RGB uint8 (H, W, 3)."""
        return self.region((0, 0, self.width, self.height))[0]

    def _small(self, width_px: int) -> av.VideoFrame:
        """The picture as it lies, not turned yet, scaled to what is `width_px` wide when it is."""
        size = self.orientation.size(*self._jpeg_size(width_px))
        return self.scaler.scale(self.picture, size, self.picture.format.name if planes(self.picture) else "rgb24")

    @cached_property
    def _whole(self) -> Image:
        size = self.picture.width, self.picture.height
        return _rgb(self.scaler.scale(self.picture, size, "rgb24"))

    def _jpeg_size(self, width_px: int) -> tuple[int, int]:
        if self.width <= width_px:
            return self.width, self.height
        width = max(2, width_px // 2 * 2)  # even, so that chroma lines up
        return width, max(2, round(self.height * width / self.width / 2) * 2)

    def _whole_pixels(self, xyxy: Sequence[float]) -> Rect:
        x0, y0 = max(0, math.floor(xyxy[0])), max(0, math.floor(xyxy[1]))
        x1, y1 = min(self.width, math.ceil(xyxy[2])), min(self.height, math.ceil(xyxy[3]))
        if x0 >= x1 or y0 >= y1:
            raise ValueError(f"the box {tuple(xyxy)} lies outside the frame of {self.width} x {self.height}")
        return x0, y0, x1, y1


def _rgb(picture: av.VideoFrame) -> Image:
    views = planes(picture)
    return views.rgb() if views else np.asarray(picture.to_ndarray(), np.uint8)
