"""What a person reads of an alert and of a replay."""

from io import StringIO

import pytest
from rich.console import Console

from services.cli import console
from services.cli.outcome import CameraCount, Outcome
from tests.examples import EXAMPLES

ALERT = EXAMPLES["alert"]


def plain(markup):
    out = StringIO()
    Console(file=out, width=300).print(markup)
    return out.getvalue().strip()


def test_an_alert_of_an_evaluation_is_stamped_and_another_is_not():
    assert plain(console.alert_line(ALERT.model_copy(update={"stamp": "EVALUATION"}))).startswith("EVALUATION  ALERT")
    assert plain(console.alert_line(ALERT.model_copy(update={"stamp": ""}))).startswith("ALERT")


@pytest.mark.parametrize(("interrupted", "told"), [(False, True), (True, False)])
def test_a_camera_that_was_cut_short_is_told_of_unless_a_person_wanted_that(monkeypatch, interrupted, told):
    out = StringIO()
    monkeypatch.setattr(console, "err", Console(file=out, width=300))
    monkeypatch.setattr(console, "out", Console(file=StringIO()))
    cameras = {"door": CameraCount(state="stopped")}
    console.print_outcome(Outcome(cameras, [], [], 0, 1.0, 1, 0.5, {}, interrupted=interrupted))
    assert ("camera door: its deployment ended before its source did" in out.getvalue()) is told
