"""How `alert` waits for the samples of a track."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings

from libs.settings import group


class AlertSettings(BaseSettings):
    """Order."""

    model_config = group("ALERT")
    hold_s: float = Field(default=6.0, ge=0)
    """How long a sample waits for the earlier ones of its track, which are only late when a service has died.

    Longer than the acknowledgement wait (2 s) and the restart of a service (about 2 s) together.
    """
    look_again_s: float = Field(default=0.1, gt=0)
    """How often a waiting sample looks whether they have come."""
