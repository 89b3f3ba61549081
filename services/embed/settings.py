"""Which embedder `embed` runs."""

from __future__ import annotations

from pydantic_settings import BaseSettings

from libs.settings import group


class EmbedSettings(BaseSettings):
    """The model. Another one means another template version, and so another collection for every list."""

    model_config = group("EMBED")
    model: str = "sface-2021dec"
    """An embedder of the catalogue."""
