"""Services die in the middle of a lossless replay, and nothing is lost or doubled."""

from __future__ import annotations

import os
import signal

import pytest

from libs import log
from libs.settings import LogSettings
from services.cli.machine.stack import StackOptions
from services.cli.trials.evaluation import open_evaluation
from services.cli.trials.outcome import Progress
from services.cli.trials.replay import Replay, ReplayOptions
from tests.e2e.conftest import Watchline, figures


@pytest.fixture(scope="module")
def undisturbed(request, tmp_path_factory, references, visits):
    """The outcome of the clip of six visits when nothing dies."""

    command = Watchline(tmp_path_factory.mktemp("undisturbed"))
    done = command.run(*replay(references, visits))
    assert done.returncode == 0, done.stderr
    return figures(command.folder / "out.json")


def replay(references, visits):
    return ("replay", "--references", references, "--source", f"door={visits}", "--cooldown", "2", "--json", "out.json",
            "--data-dir", "data")  # fmt: skip


def test_each_of_six_visits_raises_one_alert(undisturbed):
    assert undisturbed["cameras"]["door"]["alerts"] == 6
    assert len(undisturbed["alerts"]) == 6


@pytest.mark.parametrize("service", ["embed", "match", "alert", "detect"])
def test_a_killed_service_changes_no_alert(watchline, references, visits, undisturbed, service):
    process = watchline.start(*replay(references, visits))
    watchline.until('"outcome": "done"', watchline.folder / "data" / "logs" / "alert.log", process)

    (victim,) = watchline.processes(f"services.{service}")
    victim.send_signal(signal.SIGKILL)
    _, err = process.communicate(timeout=100)

    assert f"{service} died with code -9; restarting" in err
    assert process.returncode == 0, err
    assert figures(watchline.folder / "out.json") == undisturbed


def test_an_evaluation_ends_with_the_program_that_armed_it_and_says_so(watchline, references, visits):
    process = watchline.start(*replay(references, visits))
    watchline.until('"outcome": "done"', watchline.folder / "data" / "logs" / "alert.log", process)

    (victim,) = watchline.processes("services.govern")
    victim.send_signal(signal.SIGKILL)
    _, err = process.communicate(timeout=100)

    assert process.returncode == 1, err
    assert "govern died with code -9; restarting" in err
    assert "camera door: its deployment ended before its source did" in " ".join(err.split())
    assert "not cleaned up" not in err
    assert figures(watchline.folder / "out.json")["cameras"]["door"]["state"] == "stopped"


def test_a_bus_that_goes_and_comes_back_is_joined_again(watchline, references, visits):
    process = watchline.start(*replay(references, visits))
    watchline.until('"outcome": "done"', watchline.folder / "data" / "logs" / "alert.log", process)

    (bus,) = watchline.processes("nats-server")
    bus.send_signal(signal.SIGKILL)
    _, err = process.communicate(timeout=100)

    outcome = figures(watchline.folder / "out.json")
    assert "nats-server died with code -9; restarting" in err
    assert outcome["cameras"]["door"]["state"] == "ended"
    assert outcome["cameras"]["door"]["frames"] == 540
    times = [alert["time_s"] for alert in outcome["alerts"]]
    assert max(times) > 15  # the last visits, long after the bus came back, were noticed
    assert len(set(times)) == len(times)


async def test_match_that_is_killed_after_the_last_answer_costs_no_result(tmp_path, references, assets):
    options = ReplayOptions(references, {"door": str(assets.path("single_face.mp4"))})
    quiet = log.configure(LogSettings(level="error"), "test")
    async with open_evaluation(StackOptions(tmp_path), quiet) as evaluation:
        match = evaluation.stack.programs["match"]

        def kill_match_at_the_end(progress: Progress) -> None:
            door = progress.cameras["door"]
            if door.state == "ended" and door.alerts and match.restarts == 0 and match.pid:
                os.kill(match.pid, signal.SIGKILL)

        outcome = await Replay(evaluation, options, kill_match_at_the_end).run()

        assert match.restarts == 1
        assert len(outcome.alerts) == 1
        assert outcome.left_behind == ()
        assert list((tmp_path / "gallery").glob("replay-*")) == []
