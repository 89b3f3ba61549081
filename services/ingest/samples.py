"""From a detection to a sample: the pixels are cut once, from the full frame, and only for faces worth it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from libs.geometry import Image, align, chip_region
from libs.portrait import encode_portrait, portrait_box
from libs.quality import GeometryQuality, chip_quality, unify
from proto.messages import Box, Detections, Sample
from proto.quality import Quality
from services.ingest.frame import Frame


@dataclass(frozen=True)
class Shot:
    """A face cut from a frame: what a sample is made of once it is chosen."""

    frame: int
    captured_at: float
    source_time_s: float
    box: Box
    detect_score: float
    quality: Quality
    chip: Image
    picture: Image
    """The face and its surroundings, RGB; encoded only if the shot is sent."""


@dataclass(frozen=True)
class Place:
    """Where a sample belongs: the deployment and its version, the camera, the track, and its number in the track."""

    deployment: str
    record_version: int
    camera: str
    track: str
    number: int


def cut_shots(frame: Frame, found: Detections, geometry: GeometryQuality, rows: Sequence[int]) -> dict[int, Shot]:
    """The shots of the detections `rows` of a frame, by row; what lies wholly outside of the frame has none."""
    return {row: _cut(frame, found, geometry, row) for row in rows if _is_in(frame, found, row)}


def to_sample(shot: Shot, place: Place) -> Sample:
    """The message for a shot."""
    return Sample(
        deployment=place.deployment,
        record_version=place.record_version,
        camera=place.camera,
        track=place.track,
        sample=place.number,
        frame=shot.frame,
        captured_at=shot.captured_at,
        source_time_s=shot.source_time_s,
        box=shot.box,
        detect_score=shot.detect_score,
        quality=shot.quality,
        chip=shot.chip,
        portrait=encode_portrait(shot.picture),
    )


def _is_in(frame: Frame, found: Detections, row: int) -> bool:
    x0, y0, x1, y1 = found.boxes[row]
    return bool(x0 < frame.width and y0 < frame.height and x1 > 0 and y1 > 0)


def _cut(frame: Frame, found: Detections, geometry: GeometryQuality, row: int) -> Shot:
    x0, y0, x1, y1 = (float(side) for side in found.boxes[row])
    around = portrait_box((x0, y0, x1, y1))
    chip_part = chip_region(found.landmarks[row], frame.width, frame.height)
    both = (*np.minimum(around[:2], chip_part[:2]), *np.maximum(around[2:], chip_part[2:]))
    pixels, (left, top) = frame.region(both)
    chip = align(pixels, found.landmarks[row] - np.array([left, top], np.float32))
    portrait = pixels[
        max(round(around[1]) - top, 0) : max(round(around[3]) - top, 0),
        max(round(around[0]) - left, 0) : max(round(around[2]) - left, 0),
    ]
    return Shot(
        frame=frame.index,
        captured_at=frame.captured_at,
        source_time_s=frame.source_time_s,
        box=(x0, y0, x1, y1),
        detect_score=float(found.detect_scores[row]),
        quality=unify(geometry, row, chip_quality(chip)),
        chip=chip,
        picture=np.ascontiguousarray(portrait),
    )
