"""The report of a deployment in a real browser: legible in both colour schemes, on a phone and on paper."""

import json
import re
from functools import cache
from html import escape, unescape

import cv2
import numpy as np
import pytest

from services.cli.deployments.report.page import render
from services.cli.deployments.report.summary import summarise
from tests.deployment_figures import END, HOSTILE, figures, record, watch_list

PHONE_PX, DESK_PX = 390, 1200
LIGHT, DARK = 1, 0
"""Blink's `preferredColorScheme`."""
LEAST_CONTRAST = 4.5
"""Source: WCAG 2.2, success criterion 1.4.3, text of ordinary size."""
LEAST_CONTRAST_OF_MARKS = 3.0
"""Source: WCAG 2.2, success criterion 1.4.11, parts of a picture."""
ACCENT_RGB, MARK_RGB = (166, 58, 18), (53, 97, 142)

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
function contrast(node, of) {
  const [a, b] = [colour(of), backdrop(node)].map((c) => luminance(c.slice(0, 3)));
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}
const isDrawn = (node) => node.closest("svg") !== null;
const words = [...page.body.querySelectorAll("*")].filter((node) =>
  [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim()) && node.getClientRects().length);
const box = (node) => node.getBoundingClientRect().toJSON();
const isOutside = (node) => box(node).left < -1 || box(node).right > view.innerWidth + 1;
const inkOf = (node) => view.getComputedStyle(node)[isDrawn(node) ? "fill" : "color"];
const marks = [...page.querySelectorAll("rect.bar, rect.over, circle.disc")];
document.querySelector("pre").textContent = JSON.stringify({
  title: page.title,
  scripts: page.scripts.length,
  width: page.documentElement.scrollWidth,
  paper: colour(view.getComputedStyle(page.body).backgroundColor),
  contrast: Math.min(...words.map((node) => contrast(node, inkOf(node)))),
  contrastOfMarks: Math.min(...marks.map((node) => contrast(node, view.getComputedStyle(node).fill))),
  outside: words.filter((node) => !node.closest(".scroll")).filter(isOutside).map((node) => node.textContent),
  charts: [...page.querySelectorAll("figure svg[role=img]")].map((node) => ({
    name: node.querySelector("title").textContent, text: parseFloat(view.getComputedStyle(node).fontSize)
      * box(node).width / node.viewBox.baseVal.width, ...box(node)})),
  cutOff: [...page.querySelectorAll("figure svg[role=img]")].flatMap((svg) => [...svg.querySelectorAll("text")]
    .filter((text) => box(text).left < box(svg).left - 1 || box(text).right > box(svg).right + 1)
    .map((text) => text.textContent)),
  headings: [...page.querySelectorAll("h1")].map((node) => node.textContent),
  stamp: view.getComputedStyle(page.body, "::before").content,
});
"""


def with_everything(**changes):
    """A report with everything on it that can be: all kinds of alerts, missing counts, long and hostile names."""
    draft = record().draft.model_copy(update={"location": HOSTILE, "purpose": "to find " + "x" * 120})
    fields = {"record": record(draft=draft), "lists": (watch_list("wanted", 7_000), watch_list("blue", 3))}
    return render(summarise(figures(**(fields | changes)), END), ("list_age_hours: its source is weak",), END)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(with_everything(stamp="EVALUATION"), "utf-8")
    return path


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
def test_every_word_and_every_bar_is_legible_in_both_colour_schemes(measure, scheme, is_dark):
    seen = measure(DESK_PX, scheme)
    assert (max(seen["paper"]) < 60) == is_dark
    assert seen["contrast"] >= LEAST_CONTRAST
    assert seen["contrastOfMarks"] >= LEAST_CONTRAST_OF_MARKS


@pytest.mark.parametrize("width_px", [PHONE_PX, DESK_PX])
def test_the_labels_of_the_charts_are_large_enough_to_read_and_none_is_cut_off(measure, width_px):
    seen = measure(width_px, LIGHT)
    assert len(seen["charts"]) == 3
    assert min(chart["text"] for chart in seen["charts"]) >= 10
    assert seen["cutOff"] == []


def test_a_script_for_a_place_is_read_and_not_run(measure):
    seen = measure(DESK_PX, LIGHT)
    assert seen["scripts"] == 0
    assert seen["title"].startswith("EVALUATION: Deployment station-north")


def test_an_evaluation_is_stamped_across_the_page(measure):
    assert measure(DESK_PX, LIGHT)["stamp"] == '"EVALUATION"'


def picture(browse, page, path):
    browse(page, LIGHT, f"--screenshot={path}", f"--window-size={DESK_PX},2000")
    return cv2.imread(str(path), cv2.IMREAD_COLOR_RGB).astype(int)


def test_the_bars_the_threshold_and_the_stamp_are_seen_on_a_screenshot_of_the_file_itself(browse, report, tmp_path):
    stamped = picture(browse, report, tmp_path / "stamped.png")
    plain_page = tmp_path / "plain.html"
    plain_page.write_text(with_everything(), "utf-8")
    plain = picture(browse, plain_page, tmp_path / "plain.png")
    for rgb, least in ((MARK_RGB, 20_000), (ACCENT_RGB, 1_000)):
        assert (np.abs(plain - rgb).max(axis=2) <= 8).sum() > least
    middle = slice(400, 1600)
    assert (stamped[middle] < 250).any(axis=2).sum() > (plain[middle] < 250).any(axis=2).sum() + 50_000


def test_it_prints_on_white_paper(browse, report, tmp_path):
    sheet = tmp_path / "report.pdf"
    browse(report, DARK, f"--print-to-pdf={sheet}", "--no-pdf-header-footer")
    assert sheet.read_bytes().startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", sheet.read_bytes())) >= 2
