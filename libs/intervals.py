"""Ratios of counts with their exact 95 % intervals: no rate is published without its n and what chance alone allows."""

from __future__ import annotations

from dataclasses import dataclass

LEVEL = 0.95
"""Of the intervals, two-sided."""


@dataclass(frozen=True)
class Ratio:
    """`events` of `trials`, with the ends of the Clopper-Pearson interval."""

    events: int
    trials: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The ratio itself."""
        return self.events / self.trials


def clopper_pearson(events: int, trials: int, level: float = LEVEL) -> Ratio:
    """The ratio of `events` to `trials` with its exact two-sided interval.

    Every rate inside the interval would have given counts as far out as these with at least (1 - level) / 2 on either
    side. With no event the lower end is 0, with nothing else the upper is 1.

    Source: Clopper and Pearson, Biometrika 26 (1934), in the form of quantiles of the beta distribution.

    Raises:
        ValueError: there is no trial, or there are more events than trials.
    """
    if not 0 <= events <= trials or trials < 1:
        raise ValueError(f"{events} of {trials} is no ratio of counts")
    from scipy.stats import beta  # noqa: PLC0415  takes a second to load, which programs that never ask are spared

    tail = (1 - level) / 2
    low = float(beta.ppf(tail, events, trials - events + 1)) if events else 0.0
    high = float(beta.isf(tail, events + 1, trials - events)) if events < trials else 1.0
    return Ratio(events, trials, low, high)
