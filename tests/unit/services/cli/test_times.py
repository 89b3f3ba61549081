"""Times as people read them."""

import pytest

from services.cli import times


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (0.234, "0.23 s"), (9.4, "9.4 s"), (38.2, "38 s"), (60, "1 min"), (90, "1 min 30 s"), (3600, "1 h"),
        (19_800, "5 h 30 min"), (90_000, "1 d 1 h"),
    ],
)  # fmt: skip
def test_a_span_is_told_in_its_two_largest_units(seconds, text):
    assert times.span(seconds) == text


def test_moments_are_in_utc():
    at = 1_792_314_000.0
    assert times.iso(at) == "2026-10-18T09:00:00Z"
    assert (times.date(at), times.clock_time(at), times.hour(at)) == ("2026-10-18", "09:00:00", "09:00")
    assert times.moment(at) == "2026-10-18 09:00"
