"""What the commands of the trials refuse before they load anything."""

import sys

import pytest

from services.cli import app as program


@pytest.mark.parametrize("option", ["--seconds", "--realtime-seconds"])
@pytest.mark.parametrize("text", ["inf", "nan", "1e300", "0"])
def test_a_bench_lasts_a_day_at_most(monkeypatch, capsys, option, text):
    monkeypatch.setattr(sys, "argv", ["watchline", "bench", "--source", "nowhere.mp4", option, text])
    assert program.run() == 2
    assert f"Invalid value for '{option}'" in capsys.readouterr().err
