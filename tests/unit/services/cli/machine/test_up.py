"""What `watchline up` says of deployments."""

import time

from proto.deployments import Warrant
from services.cli.machine.up import _described, described


def warrant(**changes):
    now = time.time()
    parts = {
        "deployment": "station", "state": "armed", "purpose": "test", "cameras": ("door", "yard"),
        "watch_lists": ("wanted",), "threshold": 0.5, "floor": 0.4, "cooldown_s": 60, "starts_at": now - 1,
        "ends_at": now + 600,
    }  # fmt: skip
    return Warrant.model_validate({**parts, **changes})


def plain(text):
    return text.replace("[bold]", "").replace("[/]", "").replace("[reverse]", "")


def test_an_armed_deployment_is_told_with_its_end_and_its_cameras():
    armed = warrant()
    assert plain(described(armed)) == f"deployment station is armed until {time.ctime(armed.ends_at)}: door, yard"


def test_one_that_starts_later_is_told_with_its_start():
    later = warrant(starts_at=time.time() + 300)
    assert f"is armed from {time.ctime(later.starts_at)} until" in plain(described(later))


def test_an_ended_one_is_told_without_times():
    assert plain(described(warrant(state="ended"))) == "deployment station is ended"


def test_an_evaluation_is_stamped():
    assert plain(described(warrant(stamp="EVALUATION"))).strip().startswith("EVALUATION")


def test_a_warrant_that_is_written_anew_and_says_the_same_is_no_news():
    ended = warrant(state="ended", record_version=7)
    assert _described([ended]) == _described([warrant(state="ended", record_version=8)])
    assert _described([ended]) != _described([warrant()])
