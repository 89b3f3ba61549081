"""How `match` keeps lists, searches them, and judges reference images."""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from libs.settings import group


class MatchSettings(BaseSettings):
    """Search."""

    model_config = group("MATCH")
    template_version: str = "sface-2021dec"
    """The embedder whose templates the lists hold. Another one is another collection for every list."""
    dimension: int = Field(default=128, ge=1, le=4096)
    """Length of its templates."""
    candidates: int = Field(default=16, ge=1, le=100)
    """Most subjects on a candidate list. At the usual floor (0.40) a stranger resembles 0.2 of a list of 1,000, so 16
    is hardly ever full."""
    exact_up_to: int = Field(default=100_000, ge=1)
    """References of a list up to which search is exact; over it an HNSW index is built."""
    duplicates_floor: float = Field(default=0.45, ge=-1, le=1)
    """Score under which two entries are never shown as possibly one person, so that the search for duplicates does not
    become a search for strangers. Measured: at 0.45, 2.0e-5 of the pairs of different people (docs/decisions.md)."""
    sweep_s: float = Field(default=5.0, gt=0)
    """How often it looks which lists and entries have expired, and what the audit is still owed, in seconds."""


class QdrantSettings(BaseSettings):
    """Which vector engine holds the watch lists."""

    model_config = group("QDRANT")
    url: str | None = None
    """A Qdrant server or cluster; without one the engine runs inside `match`, in the data directory."""
    api_key: SecretStr | None = None


class EnrolmentSettings(BaseSettings):
    """What a reference image must be. A poor reference spoils every search, so the bar is higher than a sample's."""

    model_config = group("ENROL")
    detect_width_px: int = Field(default=640, ge=160, le=2048)
    """The image is searched for faces at this width or its own, whichever is smaller."""
    threads: int = Field(default=2, ge=1, le=64)
    """Images that are opened and cut at a time."""
    min_inter_eye_distance_px: float = Field(default=24.0, ge=0)
    """Between the eye centres; under it the chip is mostly invented by magnification (112 px chips have 35 px)."""
    min_score: float = Field(default=0.6, ge=0, le=1)
    """Detections under this `detect_score` are not counted as faces of a reference image."""
    min_quality: float = Field(default=0.6, ge=0, le=1)
    """The unified quality. Measured: from 0.6 on the false non-match rate is a sixth of that below (docs/quality.md);
    0.7 % of the pairs of press photographs hold an image under it."""
