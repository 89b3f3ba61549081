"""Adapter of YuNet (libs/rewrites.py: `rewrite_yunet`): images in, boxes, landmarks and detect_scores out.

It holds no threshold of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from libs.geometry import Floats, Image, iou
from libs.inference import Session

STRIDES_PX = (8, 16, 32)
"""Pixels from one anchor to the next, for each of the three levels. Source: Wu et al. 2023, "YuNet"."""

MAX_CANDIDATES = 1000
"""Most anchors of one image that go on to the search for overlaps, which takes their square in numbers."""

_SIDE_MULTIPLE_PX = 32  # the coarsest stride: the network halves an image five times


class Faces(NamedTuple):
    """The faces of an image, best first: boxes (n, 4), landmarks (n, 5, 2), detect_scores (n,) in 0-1."""

    boxes: Floats
    landmarks: Floats
    detect_scores: Floats


class YuNet:
    """The detector on a session of the prepared model."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def detect(self, images: Sequence[Image], min_score: float, max_iou: float) -> list[Faces]:
        """Returns the faces of each RGB image (any sizes), in its own pixels.

        A face has a detect_score of at least `min_score` and overlaps no better one by more than `max_iou`.
        Images whose sides round up to the same multiples of 32 run as one batch; a batch answers as singles
        do.
        """
        groups: dict[tuple[int, int], list[int]] = {}
        for index, image in enumerate(images):
            groups.setdefault(_padded_sides(image), []).append(index)
        found: dict[int, Faces] = {}
        for (height, width), members in groups.items():
            pixels = _padded([images[index] for index in members], height, width)
            scores, regression = self._session.run({"pixels": pixels})
            for row, index in enumerate(members):
                found[index] = _faces(scores[row], regression[row], _anchors(height, width), (min_score, max_iou))
        return [found[index] for index in range(len(images))]


def _padded_sides(image: Image) -> tuple[int, int]:
    height, width = (-(-side // _SIDE_MULTIPLE_PX) * _SIDE_MULTIPLE_PX for side in image.shape[:2])
    return height, width


def _padded(images: list[Image], height: int, width: int) -> Image:
    """Returns the images as one batch (n, height, width, 3), black to the right and below."""
    if len(images) == 1 and images[0].shape == (height, width, 3):
        return images[0][None]
    pixels = np.zeros((len(images), height, width, 3), np.uint8)
    for row, image in zip(pixels, images, strict=True):
        row[: image.shape[0], : image.shape[1]] = image
    return pixels


@lru_cache(maxsize=64)
def _anchors(height: int, width: int) -> Floats:
    """Returns (3, anchors): column, row and stride of every anchor, in the order of the model's outputs."""
    levels = []
    for stride in STRIDES_PX:
        rows, columns = np.indices((height // stride, width // stride), np.float32)
        levels.append(np.stack([columns.ravel(), rows.ravel(), np.full(rows.size, stride, np.float32)]))
    return np.concatenate(levels, axis=1)


def _faces(scores: Floats, regression: Floats, anchors: Floats, limits: tuple[float, float]) -> Faces:
    min_score, max_iou = limits
    kept = np.flatnonzero(scores >= min_score)
    kept = kept[np.argsort(-scores[kept], kind="stable")][:MAX_CANDIDATES]
    columns, rows, strides = anchors[:, kept]
    values = regression[:, kept]
    centre_x, centre_y = columns + values[0], rows + values[1]
    half_width, half_height = np.exp(values[2]) / 2, np.exp(values[3]) / 2
    corners = [centre_x - half_width, centre_y - half_height, centre_x + half_width, centre_y + half_height]
    boxes = (np.stack(corners) * strides).T
    landmarks = np.stack([(values[4::2] + columns) * strides, (values[5::2] + rows) * strides], axis=-1)
    chosen = _without_overlaps(boxes, max_iou)
    return Faces(boxes[chosen], landmarks.swapaxes(0, 1)[chosen], scores[kept][chosen])


def _without_overlaps(boxes: Floats, max_iou: float) -> NDArray[np.intp]:
    """Returns the rows of `boxes` (best first) that overlap no better chosen one by more than `max_iou`."""
    overlaps = iou(boxes, boxes) > max_iou
    chosen: list[int] = []
    open_rows = np.ones(len(boxes), bool)
    for row in range(len(boxes)):
        if open_rows[row]:
            chosen.append(row)
            open_rows &= ~overlaps[row]
    return np.array(chosen, np.intp)
