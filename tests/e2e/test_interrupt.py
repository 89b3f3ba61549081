"""Ctrl-C at any moment: everything is over within five seconds, and nothing is left behind."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.e2e.governed import states_on_disk

pytestmark = pytest.mark.alone
END_S = 5.0
INTERRUPTED = 130
MOMENTS = {
    "nats up": ("nats-server.log", "Server is ready"),
    "first service ready": ("detect.log", '"event": "ready"'),
    "camera taken": ("ingest.log", '"event": "camera.taken"'),
    "first alert": ("alert.log", '"outcome": "done"'),
}
"""Where each moment of a replay shows."""


@pytest.fixture
def start(watchline, references, visits):
    """Starts a replay in real time and returns it at a moment of its life."""

    def run(moment: str) -> subprocess.Popen[str]:
        process = watchline.start(
            "replay", "--references", references, "--source", f"door={visits}", "--realtime", "--data-dir", "data",
            "--json", "out.json",
        )  # fmt: skip
        if moment == "at once":
            until_it_loads_its_modules(process)
        else:
            log, line = MOMENTS[moment]
            watchline.until(line, watchline.folder / "data" / "logs" / log, process)
        return process

    return run


def until_it_loads_its_modules(process: subprocess.Popen[str]) -> None:
    """Before that the interpreter starts, and Ctrl-C is its own affair."""
    deadline = time.monotonic() + 60
    while not any("pydantic_core" in region.path for region in psutil.Process(process.pid).memory_maps()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ended(process: subprocess.Popen[str], number: int) -> tuple[float, str, str]:
    """Seconds from the signal to the end, and what was said."""
    began = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert "Traceback" not in err + out
    return time.monotonic() - began, out, err


def left_of_replays(folder: Path) -> list[Path]:
    gallery = list((folder / "gallery").glob("replay-*"))
    return gallery + list((folder / "nats").rglob("KV_cameras"))


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("at once", signal.SIGINT),
        ("nats up", signal.SIGINT),
        ("first service ready", signal.SIGTERM),
        ("camera taken", signal.SIGINT),
        ("first alert", signal.SIGHUP),
    ],
)
def test_a_replay_that_is_interrupted_leaves_nothing(watchline, start, moment, number):
    seconds, _, err = ended(process := start(moment), number)

    assert seconds < END_S
    assert watchline.processes() == []
    assert process.returncode == INTERRUPTED, err
    assert left_of_replays(watchline.folder / "data") == []


def test_a_replay_that_is_interrupted_says_what_it_came_to(watchline, start):
    _, out, err = ended(process := start("first alert"), signal.SIGINT)

    assert process.returncode == INTERRUPTED
    assert "ALERT camera door" in err
    assert "stopped before the end" in err
    assert "not cleaned up" not in err
    assert "door" in out
    assert (watchline.folder / "data" / "report.html").exists()
    outcome = json.loads((watchline.folder / "out.json").read_text())
    assert outcome["interrupted"] is True
    assert outcome["cameras"]["door"]["state"] == "stopped"
    assert len(outcome["alerts"]) == 1


@pytest.mark.parametrize("program", ["nats-server", "services.match", "services.govern"])
def test_a_program_that_hangs_does_not_hold_up_the_end(watchline, start, program):
    process = start("first alert")
    (hung,) = watchline.processes(program)
    hung.send_signal(signal.SIGSTOP)
    seconds, _, err = ended(process, signal.SIGINT)

    assert seconds < END_S
    assert watchline.processes() == []
    assert process.returncode == INTERRUPTED, err
    assert "not cleaned up: the watch list replay-" in err
    assert left_of_replays(watchline.folder / "data") == []
    assert list((watchline.folder / "data" / "nats").rglob("OBJ_reference-portraits")) == []


async def test_after_a_replay_that_was_killed_the_next_one_runs_its_own_camera_alone_and_purges_the_other(
    watchline, start, references, assets, tmp_path_factory
):
    process = start("camera taken")
    busy = watchline.run("replay", "--references", references, "--source", "a=data", "--data-dir", "data")
    process.kill()
    process.communicate()
    deadline = time.monotonic() + END_S
    while watchline.processes() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert watchline.processes() == []  # the services end with their supervisor
    assert left_of_replays(watchline.folder / "data") != []

    log = watchline.folder / "data" / "logs" / "ingest.log"
    before = len(log.read_text().splitlines())
    source = f"door={assets.path('no_face.mp4')}"
    done = watchline.run(
        "replay", "--references", references, "--source", source, "--data-dir", "data", "--json", "out.json"
    )

    assert done.returncode == 0, done.stderr
    entries = [json.loads(line) for line in log.read_text().splitlines()[before:]]
    taken = {entry["deployment"] for entry in entries if entry["event"] == "camera.taken"}
    assert len(taken) == 1
    assert json.loads((watchline.folder / "out.json").read_text())["cameras"]["door"]["frames"] == 95
    assert left_of_replays(watchline.folder / "data") == []
    states = await states_on_disk(watchline.folder / "data", tmp_path_factory.mktemp("records"))
    assert list(states.values()) == ["purged", "purged"]
    assert busy.returncode == 2
    assert f"is in use by process {process.pid}: choose another --data-dir" in " ".join(busy.stderr.split())
