"""Times as reports write them: UTC, and spans in the largest units that tell something; and how people write them."""

from __future__ import annotations

from datetime import UTC, datetime

HOW_TO_WRITE = (
    "a length of time from now (or ago, for what is past) like 30m, 12h or 30d; or a time in UTC like 2026-11-25 or "
    "2026-11-25T18:00, with its offset in another zone: 2026-11-25T19:00+01:00"
)
"""Every form in which an option takes a time."""
TIME_HELP = f"TIME is {HOW_TO_WRITE}."
"""What the help of every option that takes a time says of it."""
UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def date(at: float) -> str:
    """The day of `at` (Unix seconds) in UTC: `2026-03-14`."""
    return _utc(at).strftime("%Y-%m-%d")


def clock_time(at: float) -> str:
    """The time of day of `at` (Unix seconds) in UTC: `09:30:00`."""
    return _utc(at).strftime("%H:%M:%S")


def hour(at: float) -> str:
    """Hour and minute of `at` (Unix seconds) in UTC: `09:30`."""
    return _utc(at).strftime("%H:%M")


def moment(at: float) -> str:
    """Day and minute of `at` (Unix seconds) in UTC: `2026-03-14 09:30`."""
    return _utc(at).strftime("%Y-%m-%d %H:%M")


def iso(at: float) -> str:
    """ISO 8601 with seconds: `2026-03-14T09:30:00Z`."""
    return _utc(at).strftime("%Y-%m-%dT%H:%M:%SZ")


def span(seconds: float) -> str:
    """A length of time: `0.42 s`, `38 s`, `12 min`, `5 h 30 min`, `10 d`; the largest unit, and the one under it."""
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    whole = round(seconds)
    numbers: list[tuple[int, str]] = []
    for size, unit in UNITS:
        number, whole = divmod(whole, size)
        if number or numbers:
            numbers.append((number, unit))
    return " ".join(f"{number} {unit}" for number, unit in numbers[:2] if number)


def _utc(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
