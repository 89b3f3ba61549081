"""How `detect` finds faces."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings

from libs.settings import group


class DetectSettings(BaseSettings):
    """What counts as a face."""

    model_config = group("DETECT")
    model: Literal["yunet-2023mar"] = "yunet-2023mar"
    """A detector of the catalogue that has an adapter here."""
    min_score: float = Field(default=0.3, ge=0, le=1)
    """Detections under this `detect_score` are dropped. A tracker starts tracks at 0.6, and keeps them with less: that
    is what keeps a track whole (docs/tracking.md). Source: OpenCV Zoo evaluates YuNet from 0.3 on."""
    nms_iou: float = Field(default=0.3, gt=0, lt=1)
    """Of two boxes that overlap more than this the surer one stays. OpenCV's default."""
