"""How `ingest` reads cameras and what it sends on."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings

from libs.settings import group


class IngestSettings(BaseSettings):
    """One group: a camera actor is one flow."""

    model_config = group("INGEST")
    detect_width_px: int = Field(default=640, ge=160, le=4096)
    """Width of the JPEG that is asked about. Measured on a 1080p street: 640 finds 6.2 faces a frame, 1280 finds 7.4
    at ten times the cost."""
    asks_in_flight: int = Field(default=2, ge=1, le=16)
    """Frames of one live camera that may be with `detect` at a time: more would only make the answers older."""
    asks_in_flight_lossless: int = Field(default=4, ge=1, le=16)
    """The same for a file, which waits. Measured on two cores, 12 paired rounds: 4 give 20 % more frames a second than
    2, because no core waits for the next frame; the answers are taken in order either way."""
    max_fps: float | None = Field(default=None, gt=0)
    """Frames a second of a camera, by the time of its source, that are looked at; without a number all of them."""
    image_fps: float = Field(default=5.0, ge=1, le=25)
    """The rate at which the images of a folder follow each other, in images a second."""
    threads: int = Field(default=0, ge=0, le=64)
    """Threads that scale, encode and cut for all cameras; 0 is one a core."""
    decode_threads: int = Field(default=2, ge=1, le=16)
    """Threads of one decoder where frames may wait (a live camera's decoder has one, for the sake of latency)."""
    max_cameras: int = Field(default=32, ge=1)
    """Cameras one replica takes; the others are left for the next one."""
    retry_max_s: float = Field(default=10.0, gt=0)
    """The longest pause before a camera that died is tried again. The first is half a second."""
    give_up_s: float = Field(default=2.0, gt=0)
    """How long a live camera tries to be rid of one sample; a file tries for ever."""
    status_every_s: float = Field(default=0.5, gt=0)
    """How often a camera says how far it is."""
