"""The report says what a replay came to, shows what must be compared by eye, and keeps it to its owner."""

import base64
import re
from datetime import UTC, datetime
from html import unescape
from pathlib import Path

import cv2
import numpy as np
import pytest

from libs.errors import UserError
from proto.messages import Alert
from proto.quality import Quality
from services.cli.trials.replay import CameraCount, Outcome, Refusal
from services.cli.trials.report import clock, render, view, write_report

WRITTEN = datetime(2025, 3, 9, 14, 5, 7, tzinfo=UTC)
HOSTILE = "<script>alert('x')</script>"
QUALITY = Quality(
    unified=0.62,
    inter_eye_distance_px=58.2,
    sharpness=0.14,
    head_pose_yaw_deg=-4.2,
    head_pose_pitch_deg=2.2,
    head_pose_roll_deg=-0.3,
    under_exposure=0.013,
    over_exposure=0.0,
    dynamic_range=6.93,
    detect_score=0.91,
)
ALERT = Alert(
    id="a1",
    deployment="replay-1",
    record_version=1,
    camera="entrance",
    track="entrance-1a2b-7",
    watch_list="replay-1",
    subject="subject-1",
    score=0.6884,
    threshold=0.5,
    searched=204,
    samples=2,
    template_version="sface-2021dec",
    captured_at=0.0,
    source_time_s=3.24,
    raised_at=0.0,
    frame=81,
    box=(10.0, 20.0, 50.0, 70.0),
    quality=QUALITY,
    portrait="portrait-key",
    reference_portrait="reference-key",
)
ENTRANCE = CameraCount(72, 0, 70, 1, 3, 3, 1, 72, "ended")
PLAZA = CameraCount(1472, 9, 474, 2, 5, 0, 0, 1481, "ended")


def picture(seed):
    noise = np.random.default_rng(seed).integers(0, 256, (6, 5, 3), np.uint8)
    return cv2.imencode(".jpg", cv2.resize(noise, (96, 120)))[1].tobytes()


PICTURES = {"portrait-key": picture(1), "reference-key": picture(2)}


def alert(**changes):
    """An alert without the checks of its fields, as a program of another version might send it."""
    return ALERT.model_copy(update=changes)


def outcome(**changes):
    parts = {
        "cameras": {"entrance": ENTRANCE, "plaza": PLAZA},
        "alerts": [ALERT],
        "refused": [],
        "lost": 0,
        "seconds": 8.43,
        "references": 204,
        "threshold": 0.5,
        "portraits": PICTURES,
    }
    return Outcome(**(parts | changes))


def page(**changes):
    return render(view(outcome(**changes), WRITTEN))


def text(html):
    """What a reader sees: the body without tags, spaces of every kind as one."""
    body = html.partition("<body>")[2]
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", body)))


def pictures(html):
    return [base64.b64decode(data) for data in re.findall(r'<img src="data:image/jpeg;base64,([^"]+)"', html)]


def test_an_alert_shows_all_that_a_person_decides_by():
    seen = text(page())
    for expected in (
        "2025-03-09 14:05 UTC",
        "1 alert, still to be decided",
        "Replayed footage; every alert needs a person",
        "Resembles subject-1",
        "comparison score 0.688",
        "threshold 0.50",
        "camera entrance",
        "time in the source 0:03.24",
        "frame 81",
        "samples fused 2",
        "references searched N = 204",
        "track entrance-1a2b-7",
        "template version sface-2021dec",
    ):
        assert expected in seen


def test_every_component_of_quality_is_named_with_its_unit():
    seen = text(page())
    for expected in (
        "unified quality 0.62",
        "inter-eye distance 58 px",
        "sharpness 0.14",
        "yaw \N{MINUS SIGN}4°",
        "pitch 2°",
        "roll 0°",
        "under-exposed 1.3 %",
        "over-exposed 0.0 %",
        "dynamic range 6.9 bits",
        "detect score 0.91",
    ):
        assert expected in seen


def test_the_reference_stands_before_the_portrait_and_both_are_unchanged():
    assert pictures(page()) == [PICTURES["reference-key"], PICTURES["portrait-key"]]


def test_a_picture_that_was_not_kept_leaves_a_note_in_its_place():
    html = page(portraits={"portrait-key": PICTURES["portrait-key"], "reference-key": b""})
    assert pictures(html) == [PICTURES["portrait-key"]]
    assert text(html).count("no picture was kept") == 1
    assert text(page(portraits={})).count("no picture was kept") == 2


def test_no_picture_is_on_the_page_but_those_of_alerts():
    html = page(portraits={**PICTURES, "someone-else": picture(3)})
    assert len(pictures(html)) == 2
    assert pictures(page(alerts=[], cameras={"plaza": PLAZA}, portraits=PICTURES)) == []


def test_a_score_is_never_called_confidence_nor_an_alert_true_or_false():
    seen = text(page()).lower()
    assert "confidence" not in seen
    assert "match" not in seen
    assert "false" not in seen
    assert "true" not in seen
    assert "it is no probability" in seen


def test_both_ratios_are_given_with_their_denominators():
    seen = text(page())
    assert "1 alert from 3 tracks (33 %), or from 544 faces (0.18 %)" in seen
    assert "Neither is an error rate" in seen


def test_each_camera_has_its_counts_and_so_have_all_together():
    seen = text(page())
    assert "entrance 72 0 70 1 3 3 1 ended" in seen
    assert "plaza 1,472 9 474 2 5 0 0 ended" in seen
    assert "all 1,544 9 544 3 8 3 1" in seen


def test_without_an_alert_the_page_says_so_and_what_was_compared():
    seen = text(page(alerts=[], cameras={"plaza": PLAZA}))
    assert "No alert was raised" in seen
    assert "5 samples of 2 tracks were compared with 204 references" in seen
    assert "score reached the threshold of 0.50" in seen
    assert "Neither is an error rate" not in seen
    assert "holds no picture of anybody" in seen


def test_a_replay_that_saw_nothing_still_has_a_page():
    assert "No alert was raised" in text(page(alerts=[], cameras={"plaza": CameraCount()}))


def test_what_is_missing_is_said_before_the_figures():
    broken = CameraCount(10, 0, 4, 1, 2, 0, 0, None, "failed", "the file is truncated at 0.4 s")
    refusal = Refusal("subject-7", Path("people/back.jpg"), "no face was found")
    seen = text(page(cameras={"gate": broken}, lost=3, refused=[refusal]))
    before, _, after = seen.partition(" frames ")
    assert "1 camera failed before the end of the footage: gate" in before
    assert "3 samples lost" in before
    assert "1 reference refused" in before
    assert "failed: the file is truncated at 0.4 s" in after
    assert "subject-7 back.jpg no face was found" in after


def test_a_camera_whose_deployment_ended_before_its_source_did_not_come_to_its_end_unless_a_person_wanted_that():
    stopped = {"gate": CameraCount(10, 0, 4, 1, 2, 0, 0, None, "stopped")}
    assert "1 camera failed before the end of the footage: gate" in text(page(cameras=stopped))
    assert "failed" not in text(page(cameras=stopped, interrupted=True))


def test_an_evaluation_says_that_it_is_one_at_the_top_and_at_each_alert():
    seen = text(page(stamp="EVALUATION", alerts=[alert(stamp="EVALUATION")]))
    assert seen.strip().startswith("EVALUATION")
    assert "Resembles subject-1 EVALUATION" in seen
    assert "EVALUATION" not in text(page())


def test_what_became_of_the_deployment_is_told():
    assert "replay-7, ended and purged; its watch list is destroyed" in text(page(deployment="replay-7"))
    assert "not all of it could be cleaned up: the list is there" in text(
        page(deployment="replay-7", left_behind=["the list is there"])
    )


def test_an_alert_that_was_raised_and_never_arrived_is_not_hidden():
    seen = text(page(alerts=[]))
    assert "1 alert raised, none arrived" in seen
    assert "1 alert missing" in seen
    assert "No alert was raised" not in seen


def test_lost_samples_are_not_counted_as_compared():
    assert "3 samples of 2 tracks were compared" in text(page(alerts=[], cameras={"plaza": PLAZA}, lost=2))


def test_nothing_is_said_to_be_missing_when_nothing_is():
    assert 'class="notice"' not in page()
    assert 'class="notice"' not in page(lost=-1)  # a sample that was answered twice


@pytest.mark.parametrize("field", ["subject", "camera", "track", "template_version"])
def test_markup_in_an_alert_is_shown_and_not_obeyed(field):
    html = page(alerts=[alert(**{field: HOSTILE})])
    assert "<script" not in html
    assert HOSTILE in text(html)


def test_markup_in_cameras_and_refusals_is_shown_and_not_obeyed():
    hostile = CameraCount(state=HOSTILE, detail='"><img src=x onerror=alert(1)>')
    html = page(cameras={HOSTILE: hostile}, refused=[Refusal(HOSTILE, Path("<b>.jpg"), HOSTILE)])
    assert "<script" not in html
    assert "<img src=x" not in html
    assert "<b>.jpg" not in html


@pytest.mark.parametrize(
    ("score", "threshold", "score_percent", "threshold_percent"),
    [(0.7, 0.5, 50.0, 16.67), (0.5, 0.5, 16.67, 16.67), (1.000001, 0.5, 100.0, 16.67), (1.0, 1.0, 100.0, 100.0)],
)
def test_score_and_threshold_lie_between_the_floor_and_one(score, threshold, score_percent, threshold_percent):
    shown = view(outcome(alerts=[alert(score=score, threshold=threshold)]), WRITTEN).alerts[0]
    assert (shown.score_percent, shown.threshold_percent) == (score_percent, threshold_percent)


def test_a_threshold_at_the_lowest_score_has_no_floor_under_it():
    shown = view(outcome(alerts=[alert(score=0.0, threshold=-1.0)]), WRITTEN).alerts[0]
    assert (shown.floor, shown.threshold_percent, shown.score_percent) == (-1.0, 0.0, 50.0)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00.00"), (3.24, "0:03.24"), (59.999, "1:00.00"), (3723.5, "1:02:03.50")]
)
def test_times_are_written_as_players_show_them(seconds, shown):
    assert clock(seconds) == shown


def test_the_page_says_that_it_holds_portraits_and_until_when_it_may_be_kept():
    html = page()
    assert "This page holds portraits: keep it until 2025-03-10 14:05 UTC at the latest" in html
    assert 'by <time datetime="2025-03-10T14:05:07+00:00">' in html
    assert "holds portraits" not in page(alerts=[])


def test_the_page_refers_to_nothing_outside_itself():
    html = page()
    assert not re.findall(r"https?:|url\(|@import|<link|<script|<iframe", html)
    assert "default-src 'none'" in html


def test_the_file_is_readable_by_its_owner_alone_and_nothing_lies_beside_it(tmp_path):
    path = tmp_path / "new" / "report.html"
    assert write_report(outcome(), path) == path
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]


def test_a_report_that_was_readable_by_all_is_no_longer(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("an older one")
    path.chmod(0o644)
    write_report(outcome(), path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert "still to be decided" in path.read_text("utf-8")


def test_a_place_that_cannot_be_written_to_is_named_in_one_line(tmp_path):
    path = tmp_path / "report.html"
    path.mkdir()
    with pytest.raises(UserError, match=r"the report cannot be written to .*report\.html \(.*irectory\)"):
        write_report(outcome(), path)
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
