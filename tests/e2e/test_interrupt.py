"""Ctrl-C at any moment: everything is over within five seconds, and nothing is left behind."""

from __future__ import annotations

import signal
import time

import pytest

END_S = 5.0


@pytest.mark.parametrize("after_s", [0.3, 1.0, 2.0, 3.0, 4.5])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_replay_that_is_interrupted_leaves_no_process(watchline, references, visits, after_s, number):
    process = watchline.start("replay", "--references", references, "--source", f"door={visits}", "--realtime")
    time.sleep(after_s)
    process.send_signal(number)
    began = time.monotonic()
    _, err = process.communicate(timeout=30)

    assert time.monotonic() - began < END_S
    assert watchline.processes() == []
    assert process.returncode in (130, -signal.SIGINT, -signal.SIGTERM), err
    assert "Traceback" not in err


def test_the_services_of_a_supervisor_that_was_killed_end_with_it(watchline, references, visits):
    process = watchline.start(
        "replay", "--references", references, "--source", f"door={visits}", "--realtime", "--data-dir", "data"
    )
    watchline.until('"event": "camera.taken"', watchline.folder / "data" / "logs" / "ingest.log", process)
    process.kill()
    process.communicate()

    deadline = time.monotonic() + END_S
    while watchline.processes() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert watchline.processes() == []
