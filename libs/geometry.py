"""Where a face is in an image, and how to cut it out upright.

Boxes are (n, 4) float xyxy in pixels; landmarks are (5, 2) float (x, y) in pixels, in the order right eye,
left eye, nose tip, right and left corner of the mouth, where right is the person's right (so the first eye
has the smaller x).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]

CHIP_SIDE_PX = 112
"""Side of the aligned face, in pixels. Source: ArcFace (Deng et al. 2019)."""

REFERENCE_POINTS_PX: Floats = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]],
    dtype=np.float32,
)
"""Where the five landmarks lie in a chip, in pixels. Source: ArcFace (Deng et al. 2019)."""


def similarity_transform(points: Floats, targets: Floats) -> NDArray[np.float64]:
    """Returns the 2 x 3 matrix that turns, scales and moves `points` (n, 2) nearest to `targets` (n, 2).

    Nearest in least squares, one scale for both axes. With points as complex numbers it is one division.
    Source: Umeyama 1991, "Least-squares estimation of transformation parameters between two point patterns".
    """
    given = points[:, 0].astype(np.float64) + 1j * points[:, 1]
    wanted = targets[:, 0].astype(np.float64) + 1j * targets[:, 1]
    offsets = given - given.mean()
    turn = np.vdot(offsets, wanted - wanted.mean()) / max(np.vdot(offsets, offsets).real, np.finfo(np.float64).tiny)
    move = wanted.mean() - turn * given.mean()
    return np.array([[turn.real, -turn.imag, move.real], [turn.imag, turn.real, move.imag]])


def align(image: Image, landmarks: Floats) -> Image:
    """Returns the (112, 112, 3) chip of the face with these `landmarks` in `image`.

    What lies outside of the image is black.     `image` may be a region of a frame: give `landmarks -
    (region.x, region.y)`.
    """
    matrix = similarity_transform(landmarks, REFERENCE_POINTS_PX)
    chip = cv2.warpAffine(image, matrix, (CHIP_SIDE_PX, CHIP_SIDE_PX), flags=cv2.INTER_LINEAR)
    return chip.astype(np.uint8, copy=False)


def chip_region(landmarks: Floats, width: int, height: int) -> tuple[int, int, int, int]:
    """Returns the part of a frame of `width` x `height` that `align` reads: xyxy, whole pixels, end excluded.

    Empty if the chip lies wholly outside.
    """
    matrix = cv2.invertAffineTransform(similarity_transform(landmarks, REFERENCE_POINTS_PX))
    corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.float64) * (CHIP_SIDE_PX - 1)
    reached = corners @ matrix[:, :2].T + matrix[:, 2]
    low, high = np.floor(reached.min(0)) - 1, np.ceil(reached.max(0)) + 2  # a pixel more for interpolation
    x0, y0, x1, y1 = (int(side) for side in np.clip([*low, *high], 0, [width, height] * 2))
    return x0, y0, x1, y1


def iou(boxes_a: Floats, boxes_b: Floats) -> Floats:
    """Returns the (n, m) intersection over union of n boxes with m boxes; 0 where both are empty."""
    low = np.maximum(boxes_a[:, None, :2], boxes_b[None, :, :2])
    high = np.minimum(boxes_a[:, None, 2:], boxes_b[None, :, 2:])
    shared: Floats = np.clip(high - low, 0, None).prod(axis=2)
    union = _areas(boxes_a)[:, None] + _areas(boxes_b)[None, :] - shared
    ratio: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return ratio


def _areas(boxes: Floats) -> Floats:
    areas: Floats = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1)
    return areas
