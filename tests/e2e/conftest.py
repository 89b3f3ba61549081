"""Runs the command line as a person would, and knows every process it started."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import psutil
import pytest

APT = "apt-get install -y --no-install-recommends chromium"
MARK = "WATCHLINE_TEST_MARK"
RUN_S = 100.0
"""The longest a run may take on a busy machine of two cores."""


@dataclass
class Watchline:
    """The command `watchline` in a folder of its own; `processes` finds all that it started, however deep."""

    folder: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *arguments: str | Path, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.cli", *map(str, arguments)],
            cwd=self.folder,
            env={**os.environ, MARK: self.mark, "COLUMNS": "200", "PYTHONPATH": str(Path.cwd()), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        self.started.append(process)
        return process

    def run(self, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, **environment)
        out, err = process.communicate(timeout=RUN_S)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def processes(self, name: str = "") -> list[psutil.Process]:
        """What is still running of what was started, with `name` in its command line."""
        found = []
        for process in psutil.process_iter():
            try:
                ours = process.environ().get(MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE
                if ours and name in " ".join(process.cmdline()):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def until(self, condition: str, path: Path, process: subprocess.Popen[str]) -> None:
        """Returns when `condition` stands in the file at `path`; fails if the process ends first."""
        deadline = time.monotonic() + RUN_S
        while not (path.exists() and condition in path.read_text(errors="replace")):
            assert process.poll() is None, f"ended with {process.returncode}: {process.communicate()}"
            assert time.monotonic() < deadline, f"no {condition!r} in {path}"
            time.sleep(0.01)

    def kill_leftovers(self) -> None:
        for process in self.processes():
            process.send_signal(signal.SIGKILL)
        for popen in self.started:
            popen.communicate()


@pytest.fixture
def watchline(tmp_path: Path) -> Iterator[Watchline]:
    command = Watchline(tmp_path)
    yield command
    left = [" ".join(process.cmdline()) for process in command.processes()]
    command.kill_leftovers()
    assert left == []


def figures(path: Path) -> dict[str, object]:
    """What two runs on the same footage must agree on: everything but the ids of tracks and how long it took."""
    outcome = json.loads(path.read_text())
    outcome.pop("seconds")
    for alert in outcome["alerts"]:
        alert.pop("track")
    return outcome


@pytest.fixture(scope="session")
def references(assets, tmp_path_factory) -> Path:
    """One reference: the man of `single_face.jpg`."""
    folder = tmp_path_factory.mktemp("references")
    (folder / "subject-1.jpg").write_bytes(assets.path("single_face.jpg").read_bytes())
    return folder


@pytest.fixture(scope="session")
def visits(assets, tmp_path_factory) -> Path:
    """A clip in which the listed man comes six times, with nobody there for two seconds in between."""
    path = tmp_path_factory.mktemp("clips") / "visits.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": "20", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for _ in range(6):
            for name, count in (("single_face.mp4", 40), ("no_face.mp4", 50)):
                for frame in _first_frames(assets.path(name), count):
                    out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def _first_frames(path: Path, count: int) -> Iterator[av.VideoFrame]:
    with av.open(str(path)) as clip:
        for index, frame in enumerate(clip.decode(video=0)):
            if index == count:
                return
            yield av.VideoFrame.from_ndarray(frame.reformat(640, 360, "rgb24").to_ndarray())


@pytest.fixture(scope="session")
def chromium():
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None and os.environ.get("CI") == "true":
        pytest.fail(f"no chromium: {APT}")
    return found or pytest.skip(f"no chromium: {APT}")


@pytest.fixture(scope="module")
def browse(chromium, tmp_path_factory):
    """Runs the browser on a page until it is drawn, and returns what it prints."""
    profile = tmp_path_factory.mktemp("profile")

    def run(page, scheme, *options):
        fixed = ["--headless", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run"]
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # chromium refuses to run as root with one
        given = [f"--user-data-dir={profile}", f"--blink-settings=preferredColorScheme={scheme}", *options]
        command = [chromium, *fixed, *sandbox, *given, page.as_uri()]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    return run
