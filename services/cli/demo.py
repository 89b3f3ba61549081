"""The demo: what it shows, and what it must come to."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from libs.assets import AssetStore
from services.cli.outcome import Outcome
from services.cli.replay import ReplayOptions

REFERENCE = "single_face.jpg"
SUBJECT = "subject-1"
CAMERAS = {"entrance": "single_face.mp4", "plaza": "WolfgangLanger_Pexels.mp4", "corridor": "no_face.mp4"}
"""The person of the reference; a person on no list; nobody."""
ALERTS = {"entrance": 1, "plaza": 0, "corridor": 0}
"""How many alerts each camera must raise."""
ASSETS = (REFERENCE, *CAMERAS.values())


@contextmanager
def demo_options(store: AssetStore) -> Iterator[ReplayOptions]:
    """The demo as a replay; the folder of references lives as long as the block."""
    with tempfile.TemporaryDirectory(prefix="watchline-demo-") as folder:
        shutil.copy(store.path(REFERENCE), Path(folder) / f"{SUBJECT}.jpg")
        sources = {camera: str(store.path(clip)) for camera, clip in CAMERAS.items()}
        yield ReplayOptions(references=Path(folder), sources=sources)


def is_as_expected(outcome: Outcome) -> bool:
    """Whether the right camera raised its one alert for the right subject, and the others none."""
    raised = {name: camera.alerts for name, camera in outcome.cameras.items()}
    return raised == ALERTS and [alert.subject for alert in outcome.alerts] == [SUBJECT]
