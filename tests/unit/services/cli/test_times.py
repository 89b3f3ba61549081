"""Times as people read them."""

import pytest
from typer.main import get_command

from services.cli import times
from services.cli.app import app
from services.cli.given_times import parse_deadline


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


def options_of(command, name=""):
    """Every option of a command and of those under it, with the name of its command."""
    for option in command.params:
        yield name, option
    for below in getattr(command, "commands", {}).values():
        yield from options_of(below, f"{name} {below.name}".strip())


def test_every_option_that_takes_a_time_says_in_which_zone_and_forms_with_the_same_sentence():
    timed = {name: option.help for name, option in options_of(get_command(app)) if option.metavar == "TIME"}
    assert timed.keys() >= {"watchlist create", "watchlist expire", "watchlist import", "watchlist enrol"}
    assert timed.keys() >= {"alerts passage", "audit export", "audit show"}
    assert [name for name, said in timed.items() if times.TIME_HELP not in said] == []
    for words in ("UTC", "12h", "2026-11-25T18:00", "+01:00"):
        assert words in times.TIME_HELP


def test_what_the_help_says_of_times_is_what_is_taken():
    now = 1_792_314_000.0
    for text in ("30m", "12h", "30d", "2026-11-25", "2026-11-25T18:00", "2026-11-25T19:00+01:00"):
        assert text in times.HOW_TO_WRITE
        assert parse_deadline(text, now, "--expires") > now
    utc, offset = (parse_deadline(f"2026-11-25T{text}", now, "--at") for text in ("18:00", "19:00+01:00"))
    assert utc == offset
