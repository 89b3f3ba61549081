"""The demo's truth, and that it is the same every time."""

from __future__ import annotations

import csv
import json
import stat

from tests.e2e.conftest import figures


def test_three_demos_in_a_row_raise_the_same_one_alert(watchline):
    outcomes = []
    for number in range(3):
        done = watchline.run("demo", "--json", f"{number}.json", "--data-dir", "data")
        assert done.returncode == 0, done.stderr
        outcomes.append(figures(watchline.folder / f"{number}.json"))

    first = outcomes[0]
    assert {name: camera["alerts"] for name, camera in first["cameras"].items()} == {
        "entrance": 1,
        "plaza": 0,
        "corridor": 0,
    }
    assert [(alert["camera"], alert["subject"]) for alert in first["alerts"]] == [("entrance", "subject-1")]
    assert first["alerts"][0]["score"] >= first["alerts"][0]["threshold"]
    assert {name: camera["frames"] for name, camera in first["cameras"].items()} == {
        "entrance": 72,
        "plaza": 472,
        "corridor": 95,
    }
    assert all(camera["dropped"] == 0 for camera in first["cameras"].values())
    assert first["lost"] == 0
    assert outcomes[1:] == [first, first]


def test_the_demo_shows_its_alert_its_table_and_where_the_report_is(watchline):
    done = watchline.run("demo", "--data-dir", "data")

    assert "EVALUATION  ALERT camera entrance" in done.stderr
    assert "resembles subject-1" in done.stderr
    for word in ("camera", "frames", "entrance", "plaza", "corridor"):
        assert word in done.stdout
    report = watchline.folder / "data" / "report.html"
    assert str(report.name) in done.stdout
    assert "subject-1" in report.read_text()
    assert "EVALUATION" in report.read_text()
    assert stat.S_IMODE(report.stat().st_mode) == 0o600


def test_the_demo_reports_its_deployment_and_proves_that_it_is_purged_and_audited(watchline):
    done = watchline.run("demo", "--data-dir", "data")

    row = next(csv.DictReader((watchline.folder / "data" / "deployment" / "report.csv").read_text().splitlines()))
    assert (row["stamp"], row["profile"], row["state"]) == ("EVALUATION", "evaluation", "ended")
    assert (row["alerts"], row["faces_seen"], row["list_size"]) == ("1", "2", "1")
    assert f"{row['deployment']} has ended: its list is destroyed" in done.stdout
    assert "the audit verifies: " in done.stdout


def test_a_real_time_replay_is_paced_by_the_clip_and_counts_what_it_drops(watchline, references, assets):
    done = watchline.run(
        "replay", "--references", references, "--source", f"door={assets.path('single_face.mp4')}", "--realtime",
        "--json", "out.json",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    outcome = json.loads((watchline.folder / "out.json").read_text())
    camera = outcome["cameras"]["door"]
    assert outcome["seconds"] >= 2.3  # 72 frames at 29.97 frames a second
    assert camera["frames"] + camera["dropped"] == 72
    assert camera["alerts"] == 1
