"""Times as people write them in options: ISO 8601 (UTC without a zone), or how long from now, or how long ago."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time

from libs.errors import UserError
from proto.values import LATEST
from services.cli.times import HOW_TO_WRITE

SECONDS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0, "w": 7 * 86_400.0}
DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|d|w)")
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
TIME_OF_DAY = re.compile(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?")
HOW = f"write {HOW_TO_WRITE}"


def parse_deadline(text: str, now: float, what: str) -> float:
    """Unix seconds of `text`, which is after `now`; a day without a time is over at its end.

    Raises:
        UserError: it is no time, or not after `now`.
    """
    at = _moment(text, now, what, 1, time.max)
    if at <= now:
        raise UserError(f"{what} {text!r} is past", "give a later time")
    return float(round(at)) if DAY.fullmatch(text.strip()) else at


def parse_past(text: str, now: float, what: str) -> float:
    """Unix seconds of `text`: so long before `now`, or that moment; a time of day is of today, a day from its start.

    Raises:
        UserError: it is no time.
    """
    return _moment(text, now, what, -1, time.min)


def _moment(text: str, now: float, what: str, direction: int, of_day: time) -> float:
    try:
        at = _parsed(text.strip(), now, direction, of_day)
    except (ValueError, OverflowError):
        raise UserError(f"{what} {text!r} is no time", HOW) from None
    if not -LATEST < at <= LATEST:
        raise UserError(f"{what} {text!r} is too far away", HOW)
    return at


def _parsed(text: str, now: float, direction: int, of_day: time) -> float:
    if duration := DURATION.fullmatch(text):
        return now + direction * float(duration[1]) * SECONDS[duration[2]]
    if direction < 0 and TIME_OF_DAY.fullmatch(text):
        text = f"{datetime.fromtimestamp(now, UTC).date()}T{'0' if text[1] == ':' else ''}{text}"
    if DAY.fullmatch(text):
        return datetime.combine(date.fromisoformat(text), of_day, UTC).timestamp()
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
