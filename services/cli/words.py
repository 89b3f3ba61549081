"""Numbers in words: a count with its noun, and a share in per cent."""

from __future__ import annotations

SPACE = "\N{NO-BREAK SPACE}"
"""Between a number and its unit."""


def counted(number: int, noun: str) -> str:
    """A number with its noun: `1 alert`, `2,048 frames`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def percent_of(part: int, whole: int) -> str:
    """The share of `part` in `whole` with two figures: `33 %`, `0.18 %`; `under 0.01 %` rather than a row of zeros."""
    percent = 100 * part / whole
    if percent < 0.01:
        return f"under 0.01{SPACE}%"
    return f"{percent:.0f}{SPACE}%" if percent >= 10 else f"{percent:.2g}{SPACE}%"
