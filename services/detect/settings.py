"""How `detect` finds faces."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings

from libs.settings import group


class DetectSettings(BaseSettings):
    """What counts as a face."""

    model_config = group("DETECT")
    model: str = "yunet-2023mar"
    """A detector of the catalogue."""
    min_score: float = Field(default=0.6, ge=0, le=1)
    """Detections under this `detect_score` are dropped. OpenCV Zoo's demo uses 0.9, its evaluation 0.3."""
    nms_iou: float = Field(default=0.3, gt=0, lt=1)
    """Of two boxes that overlap more than this the surer one stays. OpenCV's default."""
