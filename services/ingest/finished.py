"""Recordings that were finished before a deployment was armed: a file that is still being written is a live camera."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from libs.images import IMAGE_SUFFIXES
from services.ingest.frame import Frame
from services.ingest.source import SourceError

TOLERANCE_S = 2.0
"""What clocks and file systems may differ by; FAT counts in steps of two seconds."""
LOOK_S = 1.0
"""How often it is looked whether a file grows while it is read."""


class UnfinishedError(SourceError):
    """A recording that was changed after its deployment was armed. Trying again cannot help."""

    def __init__(self) -> None:
        problem = "the source was written to after the deployment was armed, as if it were live"
        super().__init__(problem, "this deployment may read recordings alone: arm it when the recording is finished")


def changed_at(location: str) -> float:
    """When a file, or the newest image of a folder, was last written (Unix seconds); 0 where there is none.

    Nothing is known of what lies on a web server.
    """
    if "://" in location:
        return 0.0
    path = Path(location)
    try:
        images = path.iterdir() if path.is_dir() else [path]
        wanted = [image for image in images if image == path or image.suffix.lower() in IMAGE_SUFFIXES]
        return max((image.stat().st_mtime for image in wanted), default=0.0)
    except OSError:  # whoever opens it says what is wrong
        return 0.0


def must_be_finished(location: str, armed_at: float) -> None:
    """Does nothing where the recording is as it was at `armed_at` (Unix seconds). Raises `UnfinishedError`."""
    if changed_at(location) > armed_at + TOLERANCE_S:
        raise UnfinishedError


def while_finished(
    frames: Iterator[Frame], location: str, armed_at: float, monotonic: Callable[[], float] = time.monotonic
) -> Iterator[Frame]:
    """The frames of a recording for as long as nobody writes to it: looked at every second, and at its end."""
    looked_at = monotonic()
    for frame in frames:
        if monotonic() - looked_at >= LOOK_S:
            must_be_finished(location, armed_at)
            looked_at = monotonic()
        yield frame
    must_be_finished(location, armed_at)
