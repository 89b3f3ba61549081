"""Times as people write them: one grammar for every option."""

import time
from datetime import UTC, datetime

import pytest

from libs.errors import UserError
from services.cli.given_times import parse_deadline, parse_past

NOW = datetime(2026, 3, 14, 12, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90min", 5400),
        ("30m", 1800),
        ("45s", 45),
        ("12h", 43_200),
        ("30d", 2_592_000),
        ("2w", 1_209_600),
        ("1.5h", 5400),
        (" 1 d ", 86_400),
    ],
)
def test_a_length_of_time_counts_from_now(text, seconds):
    assert parse_deadline(text, NOW, "--expires") == NOW + seconds


def test_a_time_with_a_zone_is_that_moment():
    at = parse_deadline("2026-03-15T09:30:00+01:00", NOW, "--expires")
    assert datetime.fromtimestamp(at, UTC) == datetime(2026, 3, 15, 8, 30, tzinfo=UTC)


def test_a_time_without_a_zone_is_in_utc_whatever_the_machine(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        for parse in (parse_deadline, parse_past):
            assert parse("2026-03-15T09:30", NOW, "--at") == datetime(2026, 3, 15, 9, 30, tzinfo=UTC).timestamp()
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_day_is_over_at_its_end_and_begins_at_its_start():
    assert parse_deadline("2026-03-15", NOW, "--expires") == datetime(2026, 3, 16, tzinfo=UTC).timestamp()
    assert parse_past("2026-03-15", NOW, "--since") == datetime(2026, 3, 15, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(("text", "ago"), [("90min", 5400), ("30m", 1800), ("12h", 43_200), ("30d", 2_592_000)])
def test_a_length_of_time_counts_back_where_the_past_is_meant(text, ago):
    assert parse_past(text, NOW, "--since") == NOW - ago


@pytest.mark.parametrize("text", ["14:05:30", "2026-03-14T14:05:30Z", "2026-03-14T16:05:30+02:00"])
def test_a_time_of_day_is_one_of_today(text):
    assert parse_past(text, NOW, "--at") == datetime(2026, 3, 14, 14, 5, 30, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("text", ["soon", "25:00", "2026-13-01T00:00:00Z", "0000-00", "9:5"])
def test_what_is_no_time_is_refused_in_the_past_too(text):
    with pytest.raises(UserError, match=r"is no time: write a length of time from now .* like 30m"):
        parse_past(text, NOW, "--since")


@pytest.mark.parametrize("text", ["", "soon", "30", "30x", "-3d", "2026-13-01", "2026-03-15T99:00"])
def test_what_is_no_time_is_refused_with_how_to_write_one(text):
    with pytest.raises(UserError, match=r"is no time: write a length of time from now .* like 30m"):
        parse_deadline(text, NOW, "--expires")


@pytest.mark.parametrize("text", ["2026-03-14T11:59:59+00:00", "2020-01-01", "0d"])
def test_what_is_past_is_refused(text):
    with pytest.raises(UserError, match="is past"):
        parse_deadline(text, NOW, "--expires")


@pytest.mark.parametrize("text", ["9" * 400 + "d", "4000000d"])
def test_what_is_after_all_calendars_is_refused(text):
    with pytest.raises(UserError, match="too far away"):
        parse_deadline(text, NOW, "--expires")


@pytest.mark.parametrize("text", ["9:30:15", "09:30:15"])
def test_a_time_of_day_is_of_today_with_or_without_a_nought_and_seconds(text):
    assert parse_past(text, NOW, "--since") == datetime(2026, 3, 14, 9, 30, 15, tzinfo=UTC).timestamp()


def test_a_time_of_day_that_is_none_is_named_as_it_was_written():
    with pytest.raises(UserError, match="--since '25:00' is no time"):
        parse_past("25:00", NOW, "--since")
