"""Pairs of subjects who may be one person: every template against every other, exactly, a block at a time.

An engine gives the k nearest of each, and a person who is on a list k times would hide the k + 1st. Here nobody is
hidden. It takes time in the square of the references.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from libs.gallery.contract import PossiblePair, Templates

ROWS = 512
"""Templates compared with all others at a time: 200 MB of scores at 100,000."""
Pairs = dict[tuple[str, str, str], float]
"""The best score of a subject with a subject of a list."""


@dataclass(frozen=True)
class Listed:
    """All templates of a list, float32 (n, d), and the subject of each row."""

    watch_list: str
    subjects: Sequence[str]
    templates: Templates


def likely_pairs(of: Listed, others: Sequence[Listed], threshold: float, most: int) -> list[PossiblePair]:
    """The pairs with a score of at least `threshold`, best first, at most `most`.

    One is a subject of the list `of`; the other is another subject of that list, or any subject of `others`. A pair
    comes once, with its best score.
    """
    best: Pairs = {}
    for other in (of, *others):
        for first, second, score in _alike(of, other, threshold):
            key = (first, other.watch_list, second)
            best[key] = max(score, best.get(key, -2.0))
            if len(best) > 8 * most + 1024:
                best = _best(best, most)
                threshold = max(threshold, min(best.values()))
    return [PossiblePair(of.watch_list, *key, score) for key, score in _best(best, most).items()]


def _alike(of: Listed, other: Listed, threshold: float) -> Iterator[tuple[str, str, float]]:
    """Subjects of both lists whose templates are alike; within one list the lesser id comes first."""
    if not len(of.subjects) or not len(other.subjects):
        return
    ours, theirs = _unit(of.templates), _unit(other.templates)
    within = of is other
    for start in range(0, len(ours), ROWS):
        scores = ours[start : start + ROWS] @ (theirs[start:] if within else theirs).T
        offset = start if within else 0
        rows, columns = np.nonzero(scores >= threshold)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            first, second = of.subjects[start + row], other.subjects[offset + column]
            if not within:
                yield first, second, float(scores[row, column])
            elif first != second:
                yield min(first, second), max(first, second), float(scores[row, column])


def _unit(templates: Templates) -> Templates:
    unit: Templates = (templates / np.linalg.norm(templates, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _best(pairs: Pairs, most: int) -> Pairs:
    ordered = sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))
    return dict(ordered[:most])
