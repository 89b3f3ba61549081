"""How often an embedder takes two people for one: counts of comparisons on a named sample, and what follows from them.

The figures stand beside the model in the catalogue (`libs/assets.toml`), each with its source and the sample's limits.
A rate is never given without its count: `Rate.upper` is the upper end of its 95 % Clopper-Pearson interval.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

from pydantic import BaseModel, ConfigDict, Field, model_validator

from libs.errors import PermanentError

LEVEL = 0.95
"""Of the intervals, two-sided."""
SLACK = 1e-9
"""Two thresholds closer than this are the same: steps of a hundredth are not exact in binary."""


class CalibrationError(PermanentError):
    """The sample says nothing about what was asked."""


@dataclass(frozen=True)
class Rate:
    """`events` of `trials`, and the upper end of the 95 % Clopper-Pearson interval of their ratio."""

    events: int
    trials: int
    upper: float

    @property
    def value(self) -> float:
        """The ratio itself."""
        return self.events / self.trials


class Calibration(BaseModel):
    """The comparisons of one embedder on one sample, by threshold."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    lowest: float = Field(ge=-1, le=1)
    """The first threshold of the grid."""
    step: float = Field(gt=0)
    """From one threshold to the next."""
    non_mated: int = Field(gt=0)
    """Comparisons of two people."""
    false_matches: tuple[int, ...] = Field(min_length=1)
    """Of those, how many scored at or over each threshold."""
    mated: int = Field(gt=0)
    """Comparisons of a person with the same person."""
    false_non_matches: tuple[int, ...] = Field(min_length=1)
    """Of those, how many scored under each threshold."""
    source: str = Field(min_length=1)
    """How the counts were made, and on what."""
    population: str = Field(min_length=1)
    """Who is in the sample."""
    limits: str = Field(min_length=1)
    """What the sample cannot say."""

    @model_validator(mode="after")
    def _counts_fit(self) -> Calibration:
        matches, misses = self.false_matches, self.false_non_matches
        if len(matches) != len(misses):
            raise ValueError("each threshold has a count of false matches and one of false non-matches")
        if sorted(matches, reverse=True) != list(matches) or sorted(misses) != list(misses):
            raise ValueError("false matches fall and false non-matches rise with the threshold")
        if matches[0] > self.non_mated or misses[-1] > self.mated or min(matches[-1], misses[0]) < 0:
            raise ValueError("a count is at least 0 and at most the number of its comparisons")
        return self

    def fmr(self, threshold: float) -> Rate:
        """The false match rate of one comparison at the greatest calibrated threshold that is not over `threshold`.

        That is never lower than the rate at `threshold` itself.

        Raises:
            CalibrationError: the threshold is under all that were calibrated.
        """
        return _rate(self.false_matches[self._place(threshold)], self.non_mated)

    def fnmr(self, threshold: float) -> Rate:
        """The false non-match rate of one comparison at the least calibrated threshold that is not under `threshold`.

        That is never lower than the rate at `threshold` itself.

        Raises:
            CalibrationError: the threshold is over all that were calibrated.
        """
        place = max(0, ceil((threshold - self.lowest) / self.step - SLACK))
        if place >= len(self.false_non_matches):
            highest = self.lowest + (len(self.false_non_matches) - 1) * self.step
            raise CalibrationError(
                f"the threshold {threshold:g} is over {highest:g}, the highest that was calibrated: lower it"
            )
        return _rate(self.false_non_matches[place], self.mated)

    def threshold_for(self, fpir: float, references: int) -> float:
        """The lowest calibrated threshold at which `references` times the upper false match rate is at most `fpir`.

        Raises:
            CalibrationError: there is none: the list is too long, or the sample too small, to promise so low a rate.
        """
        for threshold, matches in self._grid():
            if references * _rate(matches, self.non_mated).upper <= fpir:
                return threshold
        least = references * _rate(self.false_matches[-1], self.non_mated).upper
        raise CalibrationError(
            f"the calibration of {self.non_mated} comparisons cannot promise a false alert rate of {fpir:.2g} a face "
            f"on {references} references; the least it supports is {least:.2g}: shorten the list or calibrate on more"
        )

    def _place(self, threshold: float) -> int:
        """Which threshold of the grid holds for `threshold`."""
        place = int((threshold - self.lowest) / self.step + SLACK)
        if threshold < self.lowest - SLACK:
            raise CalibrationError(
                f"the threshold {threshold:g} is under {self.lowest:g}, the lowest that was calibrated: raise it"
            )
        return min(place, len(self.false_matches) - 1)

    def _grid(self) -> Iterator[tuple[float, int]]:
        for place, matches in enumerate(self.false_matches):
            yield round(self.lowest + place * self.step, 6), matches


@lru_cache(maxsize=1024)
def _rate(events: int, trials: int) -> Rate:
    from scipy.stats import binomtest  # noqa: PLC0415  takes a second to load, which programs that never ask are spared

    interval = binomtest(events, trials).proportion_ci(LEVEL, method="exact")
    return Rate(events, trials, float(interval.high))
