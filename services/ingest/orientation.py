"""Which way up a picture is: the display matrix of a phone's video, applied."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Rect = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Orientation:
    """The way from the stored picture to the upright one: transpose, then flip along x, then along y."""

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    def size(self, width: int, height: int) -> tuple[int, int]:
        """The size after turning, of a picture `width` x `height` before it; the same call leads back."""
        return (height, width) if self.transpose else (width, height)

    def upright(self, image: Image) -> Image:
        """`image` turned upright; the same array when there is nothing to turn."""
        turned = cv2.transpose(image) if self.transpose else image
        if self.flip_x or self.flip_y:
            turned = cv2.flip(turned, -1 if self.flip_x and self.flip_y else int(self.flip_x))
        return turned.astype(np.uint8, copy=False)

    def stored_rect(self, rect: Rect, upright_size: tuple[int, int]) -> Rect:
        """Where the part `rect` (x0, y0, x1, y1 of the upright picture) lies in the stored picture."""
        x0, y0, x1, y1 = rect
        width, height = upright_size
        if self.flip_x:
            x0, x1 = width - x1, width - x0
        if self.flip_y:
            y0, y1 = height - y1, height - y0
        return (y0, x0, y1, x1) if self.transpose else (x0, y0, x1, y1)


UPRIGHT = Orientation()

_QUARTER_TURNS = {
    0: UPRIGHT,
    90: Orientation(transpose=True, flip_y=True),
    180: Orientation(flip_x=True, flip_y=True),
    270: Orientation(transpose=True, flip_x=True),
}


def from_rotation(degrees_ccw: int) -> Orientation:
    """The orientation for a counter-clockwise rotation, to the nearest quarter turn."""
    return _QUARTER_TURNS[round(degrees_ccw / 90) * 90 % 360]


def from_display_matrix(matrix: bytes) -> Orientation:
    """The orientation of a display matrix: nine int32 (a b u c d v x y w), x' = ax + cy, y' = bx + dy.

    Source: ISO/IEC 14496-12, track header; FFmpeg's libavutil/display.h.
    """
    a, b, _, c, d = struct.unpack_from("=5i", matrix)
    if abs(b) > abs(a):
        return Orientation(transpose=True, flip_x=c < 0, flip_y=b < 0)
    return Orientation(flip_x=a < 0, flip_y=d < 0)
