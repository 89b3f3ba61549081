"""Times in the future as people write them: ISO 8601, or how long from now."""

from __future__ import annotations

import re
from datetime import date, datetime

from libs.errors import UserError

SECONDS = {"min": 60.0, "h": 3600.0, "d": 86_400.0, "w": 7 * 86_400.0}
DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(min|h|d|w)")
LATEST = 253_402_300_799.0
"""The end of the year 9999, which is the last that can be shown."""
HOW = "write a length of time like 30d, 12h or 90min, or a time like 2026-03-14 or 2026-03-14T09:30:00+00:00"


def parse_deadline(text: str, now: float, what: str) -> float:
    """Unix seconds of `text`; a day without a time is over at its end, and where no zone is given it is this machine's.

    Raises:
        UserError: it is no time, or not after `now`.
    """
    try:
        at = _parsed(text.strip(), now)
    except (ValueError, OverflowError):
        raise UserError(f"{what} {text!r} is no time", HOW) from None
    if at > LATEST:
        raise UserError(f"{what} {text!r} is too far away", HOW)
    if at <= now:
        raise UserError(f"{what} {text!r} is past", "give a later time")
    return at


def _parsed(text: str, now: float) -> float:
    if duration := DURATION.fullmatch(text):
        return now + float(duration[1]) * SECONDS[duration[2]]
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        end = datetime.combine(date.fromisoformat(text), datetime.max.time()).astimezone()
        return float(round(end.timestamp()))
    return datetime.fromisoformat(text).astimezone().timestamp()
