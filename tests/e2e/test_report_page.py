"""The report in a real browser: legible in both colour schemes and on a phone, its pictures side by side."""

import json
import re
from functools import cache
from html import escape, unescape
from pathlib import Path

import cv2
import numpy as np
import pytest

from proto.messages import Alert
from proto.quality import Quality
from services.cli.trials.replay import CameraCount, Outcome, Refusal
from services.cli.trials.report import write_report

HOSTILE = "<script>document.title='obeyed'</script>"
PHONE_PX, DESK_PX = 390, 1200
LIGHT, DARK = 1, 0
"""Blink's `preferredColorScheme`."""
REFERENCE_RGB, PORTRAIT_RGB = (0, 160, 40), (30, 60, 220)
LEAST_CONTRAST = 4.5
"""Source: WCAG 2.2, success criterion 1.4.3, text of ordinary size."""

MEASURE = """
const page = document.querySelector("iframe").contentDocument;
const view = page.defaultView;
const colour = (text) => text.match(/[\\d.]+/g).map(Number);
function luminance(rgb) {
  const [r, g, b] = rgb.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function backdrop(node) {
  for (; node; node = node.parentElement) {
    const rgba = colour(view.getComputedStyle(node).backgroundColor);
    if (rgba.length === 3) return rgba;
  }
}
function contrast(node) {
  const [a, b] = [colour(view.getComputedStyle(node).color), backdrop(node)].map((c) => luminance(c.slice(0, 3)));
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}
const words = [...page.body.querySelectorAll("*")].filter((node) =>
  [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim()) && node.getClientRects().length);
const box = (node) => node.getBoundingClientRect().toJSON();
const isOutside = (node) => box(node).left < 0 || box(node).right > view.innerWidth;
document.querySelector("pre").textContent = JSON.stringify({
  title: page.title,
  scripts: page.scripts.length,
  width: page.documentElement.scrollWidth,
  paper: colour(view.getComputedStyle(page.body).backgroundColor),
  contrast: Math.min(...words.map(contrast)),
  outside: words.filter(isOutside).map((node) => node.textContent),
  pictures: [...page.images].map((image) => ({ ...box(image), loaded: image.naturalWidth > 0 })),
  tick: box(page.querySelector(".tick")),
  dot: box(page.querySelector(".dot")),
  rail: box(page.querySelector(".rail")),
  headings: [...page.querySelectorAll("h1, h3")].map((node) => node.textContent),
});
"""


def jpeg(rgb):
    """A picture of one colour with a dark ellipse in it, where a face would be."""
    image = np.full((120, 96, 3), rgb, np.uint8)
    cv2.ellipse(image, (48, 60), (24, 34), 0, 0, 360, (20, 20, 20), -1)
    return cv2.imencode(".jpg", image[:, :, ::-1])[1].tobytes()


def alert(**changes):
    quality = Quality(
        unified=0.6,
        inter_eye_distance_px=58,
        sharpness=0.1,
        head_pose_yaw_deg=-4,
        head_pose_pitch_deg=2,
        head_pose_roll_deg=0,
        under_exposure=0,
        over_exposure=0,
        dynamic_range=7,
        detect_score=0.9,
    )
    fields = {
        "id": "a1",
        "deployment": "replay-1",
        "record_version": 1,
        "camera": "entrance",
        "track": "entrance-" + "7" * 80,
        "watch_list": "replay-1",
        "subject": "subject-1",
        "score": 0.75,
        "threshold": 0.5,
        "searched": 204,
        "samples": 2,
        "template_version": "sface-2021dec",
        "captured_at": 0.0,
        "source_time_s": 3.24,
        "raised_at": 0.0,
        "frame": 81,
        "box": (10, 20, 50, 70),
        "quality": quality,
        "portrait": "portrait",
        "reference_portrait": "reference",
    }
    return Alert(**(fields | changes))


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report with everything on it that can be: two alerts, missing pictures, failures, long and hostile names."""
    outcome = Outcome(
        cameras={
            "entrance": CameraCount(72_000, 0, 540_000, 1_500, 3_000, 40, 2, 72_000, "ended"),
            "gate" + "-west" * 12: CameraCount(10, 3, 4, 1, 2, 0, 0, None, "failed", "the file is truncated at 0.4 s"),
        },
        alerts=[alert(), alert(subject=HOSTILE + "x" * 80, portrait="gone", reference_portrait="")],
        refused=[Refusal("subject-7", Path("back" * 30 + ".jpg"), "no face was found")],
        lost=3,
        seconds=8.4,
        references=204,
        threshold=0.5,
        portraits={"reference": jpeg(REFERENCE_RGB), "portrait": jpeg(PORTRAIT_RGB), "gone": b""},
    )
    return write_report(outcome, tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture(scope="module")
def measure(browse, report):
    """Lays the report out in a frame of the given width and returns what `MEASURE` finds in it."""

    @cache
    def run(width_px, scheme):
        style = f"width: {width_px}px; height: 900px; border: 0"
        frame = f'<iframe style="{style}" srcdoc="{escape(report.read_text("utf-8"))}"></iframe>'
        wrapper = report.with_name("wrapper.html")
        wrapper.write_text(
            f"<!doctype html><meta charset=utf-8><pre></pre>{frame}"
            f"<script>addEventListener('load', () => {{{MEASURE}}})</script>",
            "utf-8",
        )
        dom = browse(wrapper, scheme, "--dump-dom")
        return json.loads(unescape(re.search(r"<pre>(.*?)</pre>", dom, re.DOTALL)[1]))

    return run


@pytest.mark.parametrize("width_px", [PHONE_PX, 641, 833, DESK_PX])
def test_nothing_reaches_over_the_edge_of_a_phone_a_tablet_or_a_desk(measure, width_px):
    seen = measure(width_px, LIGHT)
    assert seen["outside"] == []
    assert seen["width"] == width_px


@pytest.mark.parametrize(("scheme", "is_dark"), [(LIGHT, False), (DARK, True)])
def test_every_word_is_legible_in_both_colour_schemes(measure, scheme, is_dark):
    seen = measure(DESK_PX, scheme)
    assert (max(seen["paper"]) < 60) == is_dark
    assert seen["contrast"] >= LEAST_CONTRAST


@pytest.mark.parametrize("width_px", [PHONE_PX, DESK_PX])
def test_the_reference_stands_beside_the_portrait_at_the_same_size(measure, width_px):
    reference, portrait = measure(width_px, LIGHT)["pictures"][:2]
    assert reference["loaded"]
    assert portrait["loaded"]
    assert reference["right"] < portrait["left"]
    assert (reference["top"], reference["bottom"]) == (portrait["top"], portrait["bottom"])
    assert portrait["right"] - portrait["left"] == pytest.approx(reference["right"] - reference["left"], abs=1)


def test_the_score_stands_right_of_the_threshold_in_true_proportion(measure):
    seen = measure(DESK_PX, LIGHT)
    middle = {name: (seen[name]["left"] + seen[name]["right"]) / 2 for name in ("tick", "dot")}
    floor, one = seen["rail"]["left"], seen["rail"]["right"]
    assert (middle["tick"] - floor) / (one - floor) == pytest.approx((0.5 - 0.4) / 0.6, abs=0.01)
    assert (middle["dot"] - floor) / (one - floor) == pytest.approx((0.75 - 0.4) / 0.6, abs=0.01)


def test_a_script_for_a_name_is_read_and_not_run(measure):
    seen = measure(DESK_PX, LIGHT)
    assert seen["scripts"] == 0
    assert "Watchline replay" in seen["title"]
    assert "Resembles " + HOSTILE + "x" * 80 in seen["headings"]


def test_both_pictures_are_seen_on_a_screenshot_of_the_file_itself(browse, report, tmp_path):
    shot = tmp_path / "report.png"
    browse(report, LIGHT, f"--screenshot={shot}", f"--window-size={DESK_PX},1400")
    image = cv2.imread(str(shot), cv2.IMREAD_COLOR_RGB).astype(int)
    for rgb in (REFERENCE_RGB, PORTRAIT_RGB):
        assert (np.abs(image - rgb).max(axis=2) <= 8).sum() > 5_000
