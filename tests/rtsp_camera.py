"""A camera that speaks RTSP: GStreamer's server in a process of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SYSTEM_PYTHON = "/usr/bin/python3"
PACKAGES = (
    "apt-get install gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-base gstreamer1.0-plugins-good "
    "gstreamer1.0-plugins-bad"
)


class RtspCamera:
    """A real RTSP server that shows one clip from its start to each who connects.

    Without GStreamer the test is skipped on a laptop and fails in CI, where it has to be.
    """

    def __init__(self, clip: str | Path, port: str = "0") -> None:
        if not Path(SYSTEM_PYTHON).exists():
            _do_without(f"there is no {SYSTEM_PYTHON}")
        self.process = subprocess.Popen(
            [SYSTEM_PYTHON, str(Path(__file__).with_name("rtsp_server.py")), str(clip), port],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.port = self.process.stdout.readline().strip()
        if not self.port:
            _do_without(self.stop().strip().rpartition("\n")[2])
        self.url = f"rtsp://127.0.0.1:{self.port}/camera"

    def stop(self) -> str:
        """Pulls the plug; gives what the server said on its error stream."""
        self.process.kill()
        return self.process.communicate(timeout=10)[1]


def _do_without(reason: str) -> None:
    outcome = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
    outcome(f"the RTSP server does not start ({reason}): {PACKAGES}")
