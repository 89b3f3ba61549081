"""Times in the future as people write them."""

from datetime import UTC, datetime

import pytest

from libs.errors import UserError
from services.cli.deadline import parse_deadline

NOW = datetime(2026, 3, 14, 12, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90min", 5400), ("12h", 43_200), ("30d", 2_592_000), ("2w", 1_209_600), ("1.5h", 5400), (" 1 d ", 86_400)],
)
def test_a_length_of_time_counts_from_now(text, seconds):
    assert parse_deadline(text, NOW, "--expires") == NOW + seconds


def test_a_time_with_a_zone_is_that_moment():
    at = parse_deadline("2026-03-15T09:30:00+01:00", NOW, "--expires")
    assert datetime.fromtimestamp(at, UTC) == datetime(2026, 3, 15, 8, 30, tzinfo=UTC)


def test_a_day_is_over_at_its_end():
    at = datetime.fromtimestamp(parse_deadline("2026-03-15", NOW, "--expires")).astimezone()
    assert (at.year, at.month, at.day, at.hour) == (2026, 3, 16, 0)


@pytest.mark.parametrize("text", ["", "soon", "30", "30x", "-3d", "2026-13-01", "2026-03-15T99:00"])
def test_what_is_no_time_is_refused_with_how_to_write_one(text):
    with pytest.raises(UserError, match="is no time: write a length of time like 30d"):
        parse_deadline(text, NOW, "--expires")


@pytest.mark.parametrize("text", ["2026-03-14T11:59:59+00:00", "2020-01-01", "0d"])
def test_what_is_past_is_refused(text):
    with pytest.raises(UserError, match="is past"):
        parse_deadline(text, NOW, "--expires")


@pytest.mark.parametrize("text", ["9" * 400 + "d", "4000000d"])
def test_what_is_after_all_calendars_is_refused(text):
    with pytest.raises(UserError, match="too far away"):
        parse_deadline(text, NOW, "--expires")
