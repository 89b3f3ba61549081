"""Which faces of a frame are in its camera's zone of recognition: only these are counted, cut and searched."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from proto.deployments import Zone

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


def in_zone(zone: Zone, boxes: NDArray[np.float32], width: int, height: int) -> Bools:
    """(n,) whether each of `boxes`, (n, 4) xyxy px in a frame of `width` x `height`, counts.

    A face counts where the centre of its box lies in the polygon or on its border, and its box is wide enough. Where
    a polygon crosses itself, what it encloses twice is outside (the even-odd rule).
    """
    corners = np.array(zone.polygon, np.float64) * (width, height)
    sides = boxes.astype(np.float64)
    centres = (sides[:, :2] + sides[:, 2:]) / 2
    wide_enough = sides[:, 2] - sides[:, 0] >= zone.min_face_px
    inside: Bools = wide_enough & (_encloses(corners, centres) | _borders(corners, centres))
    return inside


def _encloses(corners: Floats, points: Floats) -> Bools:
    """Whether a ray from each point to the right crosses an odd number of edges.

    Source: Shimrat, Algorithm 112, Communications of the ACM 5 (1962).
    """
    (x0, y0), (x1, y1) = _edges(corners)
    x, y = points[:, :1], points[:, 1:]
    spans = (y0 > y) != (y1 > y)
    level = np.where(y1 == y0, 1.0, y1 - y0)  # a level edge spans no point, so its crossing is not asked for
    crossings = spans & (x < x0 + (y - y0) / level * (x1 - x0))
    odd: Bools = crossings.sum(axis=1) % 2 == 1
    return odd


def _borders(corners: Floats, points: Floats, within_px: float = 1e-6) -> Bools:
    """Whether each point lies on an edge, within what rounding does."""
    (x0, y0), (x1, y1) = _edges(corners)
    along_x, along_y = x1 - x0, y1 - y0
    length = np.maximum(along_x**2 + along_y**2, 1e-18)
    x, y = points[:, :1], points[:, 1:]
    share = np.clip(((x - x0) * along_x + (y - y0) * along_y) / length, 0, 1)
    near: Bools = (np.hypot(x - x0 - share * along_x, y - y0 - share * along_y) <= within_px).any(axis=1)
    return near


def _edges(corners: Floats) -> tuple[Floats, Floats]:
    """The starts and ends of the edges, each as (2, edges): rows x and y."""
    return corners.T, np.roll(corners, -1, axis=0).T
