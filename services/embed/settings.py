"""Which embedder `embed` runs."""

from __future__ import annotations

from typing import Literal

from pydantic_settings import BaseSettings

from libs.settings import group


class EmbedSettings(BaseSettings):
    """The model. Another one means another template version, and so another collection for every list."""

    model_config = group("EMBED")
    model: Literal["sface-2021dec"] = "sface-2021dec"
    """An embedder of the catalogue that has an adapter here."""
