"""The small picture of a face that a person sees when deciding about an alert."""

from __future__ import annotations

import cv2
import numpy as np

from libs.images import RgbImage, encode_jpeg

MARGIN = 0.35
"""Of the box's size, added on each side: hair, chin and ears help a person to compare (chosen by eye)."""
MAX_SIDE_PX = 192
"""Large enough to compare by eye, small enough (about 8 KB) to travel with each sample."""
JPEG_QUALITY = 88
"""Of 0..100; 8 to 12 KB a portrait, no visible loss."""


def portrait_box(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """The part of the frame a portrait shows: `box` (xyxy) and a margin around it. May reach out of the frame."""
    x0, y0, x1, y1 = box
    dx, dy = (x1 - x0) * MARGIN, (y1 - y0) * MARGIN
    return x0 - dx, y0 - dy, x1 + dx, y1 + dy


def encode_portrait(region: RgbImage) -> bytes:
    """The portrait as JPEG: `region` (H, W, 3) RGB, shrunk where over `MAX_SIDE_PX`; empty for no pixels."""
    if region.size == 0:
        return b""
    scale = MAX_SIDE_PX / max(region.shape[:2])
    if scale < 1:
        shrunk = cv2.resize(region, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        region = np.asarray(shrunk, np.uint8)
    return encode_jpeg(region, JPEG_QUALITY)
