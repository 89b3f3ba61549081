"""The demo's truth, and that it is the same every time."""

from __future__ import annotations

import csv
import json
import stat

from tests.e2e.conftest import figures


def test_two_demos_in_a_row_raise_the_same_one_alert_and_show_report_and_purge_it(watchline):
    demos = [watchline.run("demo", "--json", f"{number}.json", "--data-dir", "data") for number in range(2)]

    assert [demo.returncode for demo in demos] == [0, 0], demos[0].stderr + demos[1].stderr
    first, second = (figures(watchline.folder / f"{number}.json") for number in range(2))
    must_be_the_truth(first)
    assert second == first
    must_be_shown(demos[0], watchline.folder / "data")
    must_be_reported(demos[0], watchline.folder / "data")


def must_be_the_truth(outcome):
    """One alert, for the right camera and subject, of every frame of all clips."""
    cameras = outcome["cameras"]
    assert {name: camera["alerts"] for name, camera in cameras.items()} == {"entrance": 1, "plaza": 0, "corridor": 0}
    assert {name: camera["frames"] for name, camera in cameras.items()} == {
        "entrance": 72,
        "plaza": 472,
        "corridor": 95,
    }
    assert all(camera["dropped"] == 0 for camera in cameras.values())
    assert [(alert["camera"], alert["subject"]) for alert in outcome["alerts"]] == [("entrance", "subject-1")]
    assert outcome["alerts"][0]["score"] >= outcome["alerts"][0]["threshold"]
    assert outcome["lost"] == 0


def must_be_shown(demo, data):
    """The alert as it happens, a table, and a report that its owner alone may read."""
    assert "EVALUATION  ALERT camera entrance" in demo.stderr
    assert "resembles subject-1" in demo.stderr
    for word in ("camera", "frames", "entrance", "plaza", "corridor", "report.html"):
        assert word in demo.stdout
    report = data / "report.html"
    for word in ("subject-1", "EVALUATION"):
        assert word in report.read_text()
    assert stat.S_IMODE(report.stat().st_mode) == 0o600


def must_be_reported(demo, data):
    """The deployment's report, that it is purged, and that the audit holds all of it."""
    row = next(csv.DictReader((data / "deployment" / "report.csv").read_text().splitlines()))
    assert (row["stamp"], row["profile"], row["state"]) == ("EVALUATION", "evaluation", "ended")
    assert (row["alerts"], row["faces_seen"], row["list_size"]) == ("1", "2", "1")
    assert "has ended: its list is destroyed" in demo.stdout
    assert "the audit verifies: " in demo.stdout


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
