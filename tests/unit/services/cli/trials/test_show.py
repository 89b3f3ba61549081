"""What a person reads of a replay."""

from io import StringIO

import pytest
from rich.console import Console

from services.cli.trials import show
from services.cli.trials.outcome import CameraCount, Outcome


@pytest.mark.parametrize(("interrupted", "told"), [(False, True), (True, False)])
def test_a_camera_that_was_cut_short_is_told_of_unless_a_person_wanted_that(monkeypatch, interrupted, told):
    out = StringIO()
    monkeypatch.setattr(show, "err", Console(file=out, width=300))
    monkeypatch.setattr(show, "out", Console(file=StringIO()))
    cameras = {"door": CameraCount(state="stopped")}
    show.print_outcome(Outcome(cameras, [], [], 0, 1.0, 1, 0.5, {}, interrupted=interrupted))
    assert ("camera door: its deployment ended before its source did" in out.getvalue()) is told
