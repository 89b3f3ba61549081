"""How usable a face is for comparison, from what can be measured of it; components named as in ISO/IEC 29794-5.

Each component score is a smooth function, 1 for an ideal face, fitted so that it is the share of the mated comparison
score that is left when this one component is bad (SFace, 160 mated pairs of public photos degraded step by step;
docs/quality.md has the table). Their product is the unified quality. The part that needs no pixels is computed for
every detection of every frame, and is an upper bound of the whole: a chip need be cut only where it could win.

Head pose is estimated from five landmarks by weak perspective: the nose tip stands `_NOSE_DEPTH` eye distances before
the plane of eyes and mouth, so turning the head moves it sideways between the eyes (yaw) and up or down between eyes
and mouth (pitch). Repeatable to about 1 degree; the scale is known to 15 % (what anatomy lets noses vary), pitch is
centred on the average face: good for choosing between shots of one person, not for measuring heads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from proto.quality import Quality

Floats = NDArray[np.float64]

_NOSE_DEPTH: Final = 0.5
"""Eye distances from the nose tip to the plane of eyes and mouth; 0.52 in OpenFace's mean face."""
_MOUTH_DROP: Final = 0.98
"""Eye distances from the eyes to the mouth of a face seen from the front; measured: 0.97 to 1.00, 2,022 photos."""
_NOSE_SHARE: Final = 0.564
"""Where the nose tip stands on the way from eyes to mouth when the head is level; measured: median, 2,022 photos."""

_SIZE_PX: Final = 7.3
"""Inter-eye distance at which 1 - 1/e of the score is left; measured: 0.63 at 7.3 px, 0.85 at 11, 0.99 at 22."""
_YAW_DEG: Final = 75.0
"""Yaw at which half is left; measured: 0.98 at 35 degrees, 0.89 at 45, 0.82 at 57."""
_PITCH_DEG: Final = 21.0
"""Pitch at which half is left; measured: 0.98 at 7.5 degrees, 0.90 at 12.5."""
_ROLL_DEG: Final = 24.0
"""Roll at which half is left. Alignment takes roll out, but YuNet's landmarks under-read it: measured on a clip turned
by 20, 30, 45 and 60 degrees, seen as 19, 17, 22 and 26 with 0.98, 0.90, 0.53 and 0.11 left."""
_DETECT_SCORE: Final = 0.6
"""Detect score at which half is left; measured on a street clip, what the other components leave unexplained: 1 at a
score of 0.92, 0.9 at 0.87, 0.86 at 0.83, 0.72 at 0.75 (the detector sees what covers a face, nothing else does)."""
_SHARPNESS: Final = 0.003
"""Sharpness at which half is left; measured: 0.58 at 0.004, 0.74 at 0.009, 0.89 at 0.023 (Gaussian blur)."""
_DYNAMIC_RANGE_BITS: Final = 3.4
_DYNAMIC_RANGE_SLOPE_BITS: Final = 0.7
"""Half is left at 3.4 bits, logistic; measured: 0.57 at 3.5 bits, 0.81 at 4.3, 0.94 at 5.2, 0.98 at 6.2 (darkened)."""
_OVER_EXPOSURE: Final = 0.75
"""Share of white pixels at which half is left; measured: 0.84 at 0.36, 0.55 at 0.69, 0.41 at 0.83."""

_DARK: Final = 20
_WHITE: Final = 250
"""Luminance, 0..255, below and above which nothing can be told apart."""
_FACE: Final = (slice(24, 104), slice(16, 96))
"""The rows and columns of an aligned chip that show the face of everybody, without hair and background."""
_LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)
"""ITU-R BT.601."""


@dataclass(frozen=True, slots=True)
class GeometryQuality:
    """What boxes and landmarks say of n faces; `quality` is an upper bound of each face's unified quality."""

    inter_eye_distance_px: Floats
    head_pose_yaw_deg: Floats
    head_pose_pitch_deg: Floats
    head_pose_roll_deg: Floats
    detect_score: Floats
    quality: Floats


@dataclass(frozen=True, slots=True)
class ChipQuality:
    """What the pixels of one aligned chip say; `quality` is the factor by which they lower the geometry's."""

    sharpness: float
    under_exposure: float
    over_exposure: float
    dynamic_range: float
    quality: float


def geometry_quality(landmarks: NDArray[np.float32], detect_scores: NDArray[np.float32]) -> GeometryQuality:
    """The quality of n faces as far as it needs no pixels.

    `landmarks` (n, 5, 2) in px of the full frame: right eye, left eye, nose tip, right and left mouth corner;
    `detect_scores` (n,). Landmarks that are no face (eyes in one point, mouth above the eyes, not finite) have
    quality 0 and pose 0.
    """
    points = landmarks.astype(np.float64)
    eyes, mouth = points[:, 1] - points[:, 0], points[:, 3:].mean(axis=1)
    middle = points[:, :2].mean(axis=1)
    distance = np.hypot(eyes[:, 0], eyes[:, 1])
    with np.errstate(divide="ignore", invalid="ignore"):
        across = eyes / (distance * distance)[:, None]
        nose_x, nose_y = _along(points[:, 2] - middle, across)
        _, mouth_y = _along(mouth - middle, across)
        yaw = np.degrees(np.arctan(nose_x / _NOSE_DEPTH))
        pitch = np.degrees(np.arctan((_NOSE_SHARE - nose_y / mouth_y) * _MOUTH_DROP / _NOSE_DEPTH))
    roll = np.degrees(np.arctan2(eyes[:, 1], eyes[:, 0]))
    face = np.isfinite(points).all(axis=(1, 2)) & (distance > 0) & (mouth_y > 0)
    distance, yaw, pitch, roll, scores = (np.where(face, v, 0.0) for v in (distance, yaw, pitch, roll, detect_scores))
    return GeometryQuality(distance, yaw, pitch, roll, scores, _geometry_score(distance, yaw, pitch, roll, scores))


def _along(offset: Floats, across: Floats) -> tuple[Floats, Floats]:
    """The offsets (n, 2) in eye distances, along the line of the eyes and at right angles to it, downwards."""
    x = offset[:, 0] * across[:, 0] + offset[:, 1] * across[:, 1]
    y = offset[:, 1] * across[:, 0] - offset[:, 0] * across[:, 1]
    return x, y


def _geometry_score(distance: Floats, yaw: Floats, pitch: Floats, roll: Floats, score: Floats) -> Floats:
    """The product of the component scores that need no pixels."""
    pose = _falling(yaw, _YAW_DEG) * _falling(pitch, _PITCH_DEG) * _falling(roll, _ROLL_DEG, 8)
    detect = 1 / (1 + (_DETECT_SCORE / np.maximum(score, 1e-3)) ** 6)
    return (1 - np.exp(-distance / _SIZE_PX)) * pose * detect


def _falling(value: Floats, half: float, steepness: int = 4) -> Floats:
    """1 at 0, flat at first, 1/2 at `half`, towards 0 beyond; an even `steepness` treats both signs alike."""
    return 1 / (1 + (value / half) ** steepness)


def chip_quality(chip: NDArray[np.uint8]) -> ChipQuality:
    """Sharpness and exposure of an aligned chip (112, 112, 3) RGB.

    Raises:
        ValueError: another shape.
    """
    if chip.shape != (112, 112, 3):
        raise ValueError(f"expected a chip of (112, 112, 3), found {chip.shape}")
    luma = chip[_FACE].astype(np.float32) @ _LUMA
    sharpness = _sharpness(luma)
    counts = np.bincount(luma.astype(np.uint8).ravel(), minlength=256)
    # counted before they are divided: the sum of shares can come out a little over 1, which no share is
    under, over = float(counts[: _DARK + 1].sum() / luma.size), float(counts[_WHITE:].sum() / luma.size)
    histogram = counts / luma.size
    present = histogram[histogram > 0]
    bits = float(-(present * np.log2(present)).sum())
    light = 1 / (1 + np.exp((_DYNAMIC_RANGE_BITS - bits) / _DYNAMIC_RANGE_SLOPE_BITS))
    clipped = 1 / (1 + (over / _OVER_EXPOSURE) ** 2)
    quality = sharpness / (sharpness + _SHARPNESS) * min(light, clipped)
    return ChipQuality(sharpness, under, over, bits, float(quality))


def _sharpness(luma: NDArray[np.float32]) -> float:
    """Energy of the second derivative over the variance, across or along, whichever is less.

    Half the resolution first, so that noise does not pass for detail; over the variance, so that contrast does not;
    the lesser direction, because a face that moved is sharp in the other one.
    """
    half = (luma[::2, ::2] + luma[1::2, ::2] + luma[::2, 1::2] + luma[1::2, 1::2]) / 4
    across = half[:, :-2] + half[:, 2:] - 2 * half[:, 1:-1]
    along = half[:-2] + half[2:] - 2 * half[1:-1]
    return float(min(across.var(), along.var()) / (half.var() + 1))


def unify(geometry: GeometryQuality, index: int, chip: ChipQuality) -> Quality:
    """The quality of face `index`, now that its chip was cut."""
    return Quality(
        unified=float(geometry.quality[index]) * chip.quality,
        inter_eye_distance_px=float(geometry.inter_eye_distance_px[index]),
        sharpness=chip.sharpness,
        head_pose_yaw_deg=float(geometry.head_pose_yaw_deg[index]),
        head_pose_pitch_deg=float(geometry.head_pose_pitch_deg[index]),
        head_pose_roll_deg=float(geometry.head_pose_roll_deg[index]),
        under_exposure=chip.under_exposure,
        over_exposure=chip.over_exposure,
        dynamic_range=chip.dynamic_range,
        detect_score=float(geometry.detect_score[index]),
    )
