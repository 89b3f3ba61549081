"""Charts: well-formed, described, true to scale, and harmless whatever a camera is called."""

import re
from xml.etree import ElementTree as ET

import pytest

from services.cli.deployments.report import charts
from services.cli.deployments.report.charts import Lane, Mark, TimeBins
from tests.deployment_figures import HOSTILE


def of(svg):
    return ET.fromstring(svg)  # noqa: S314  our own


def marks_of(svg, kind):
    return [node for node in of(svg).iter() if node.get("class") == kind]


HISTOGRAM = charts.histogram({20: 1000, 30: 10, 52: 1}, 2, 0.5, [Mark(0.6, "confirmed true")], "scores")
TIMELINE = charts.timeline(
    [Lane("gate", [4, 0, 2], [Mark(130.0, "rejected")]), Lane(HOSTILE, [1, 0, 0], [Mark(0.0, "unconfirmed")])],
    TimeBins(0.0, 60.0, 3, [(0.0, "00:00")]),
    "faces",
)
DELAYS = charts.delays([("to alert", [0.2, 0.4]), ("to decision", [])], "waits")


@pytest.mark.parametrize("svg", [HISTOGRAM, TIMELINE, DELAYS, charts.interval(0.5, 0.1, 0.9, "ratio")])
def test_every_chart_says_what_it_shows_and_loads_and_runs_nothing(svg):
    chart = of(svg)
    assert chart.get("role") == "img"
    assert chart.find("title").text
    assert not re.search(r"href|url\(|<script|on[a-z]+=|style=", svg)


@pytest.mark.parametrize("svg", [HISTOGRAM, TIMELINE, DELAYS])
def test_nothing_of_a_chart_lies_outside_of_it(svg):
    _, _, width, height = map(float, of(svg).get("viewBox").split())
    for node in of(svg).iter():
        for name, most in (("x", width), ("x1", width), ("cx", width), ("y", height), ("y2", height), ("cy", height)):
            assert 0 <= float(node.get(name, 0)) <= most


def test_the_threshold_parts_the_bars_under_it_from_those_over_it():
    (threshold,) = marks_of(HISTOGRAM, "threshold")
    at = float(threshold.get("x1"))
    assert all(float(bar.get("x")) + float(bar.get("width")) <= at for bar in marks_of(HISTOGRAM, "bar"))
    assert [float(bar.get("x")) >= at for bar in marks_of(HISTOGRAM, "over")] == [True]


def test_ten_times_as_many_searches_are_one_step_higher():
    tall, low = (float(bar.get("height")) for bar in marks_of(HISTOGRAM, "bar"))
    (one,) = (float(bar.get("height")) for bar in marks_of(HISTOGRAM, "over"))
    assert (tall - low) / (low - one) == pytest.approx(2, rel=0.02)  # 10 to 1,000 is two steps, 1 to 10 is one


def test_an_alert_lies_where_and_when_it_was_and_shows_what_came_of_it():
    assert len(marks_of(HISTOGRAM, "disc")) == 1
    assert len(marks_of(TIMELINE, "cross")) == 1
    assert len(marks_of(TIMELINE, "ring")) == 1


def test_a_camera_with_a_script_for_a_name_is_written_out():
    assert "<script" not in TIMELINE
    assert HOSTILE in [node.text for node in of(TIMELINE).iter() if node.text]


def test_the_median_is_marked_and_a_step_without_waits_says_so():
    assert len(marks_of(DELAYS, "threshold")) == 1
    assert charts.median([3.0, 1.0, 2.0]) == 2.0
    assert charts.median([4.0, 1.0]) == 2.5
    assert "to decision (none)" in DELAYS


@pytest.mark.parametrize("waits", [[1e-4], [0.0], [1e7], [0.2, 90_000.0]])
def test_waits_of_any_length_have_a_place(waits):
    svg = charts.delays([("to alert", waits)], "waits")
    assert len(marks_of(svg, "dot")) == len(waits)
    assert all(0 <= float(dot.get("cx")) <= charts.WIDTH for dot in marks_of(svg, "dot"))
