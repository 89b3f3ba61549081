"""Numbers in words: a count with its noun, and a share in per cent."""

from __future__ import annotations

SPACE = "\N{NO-BREAK SPACE}"
"""Between a number and its unit."""


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun: `1 alert`, `2,048 frames`; `many` where that is not `one` and an s: `2 people`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def percent_of(part: int, whole: int) -> str:
    """The share of `part` in `whole` as `percent` tells it."""
    return percent(part / whole)


def percent(share: float) -> str:
    """A share with two figures: `33 %`, `0.18 %`; `under 0.01 %` rather than a row of zeros."""
    hundredths = 100 * share
    if hundredths < 0.01:
        return f"under 0.01{SPACE}%"
    return f"{hundredths:.0f}{SPACE}%" if hundredths >= 9.95 else f"{hundredths:.2g}{SPACE}%"


def shown(text: str) -> str:
    """`text` with a question mark for what no output can hold: names of files may be no UTF-8."""
    return text.encode(errors="replace").decode()
