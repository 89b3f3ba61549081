"""One score a subject from the samples of a track."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import fsum


def fuse(samples: Sequence[Mapping[str, float]], subject: str, floor: float) -> float:
    """The mean score of `subject` over the samples of a track; one that did not list the subject counts `floor`.

    Each sample is its scores by subject. The floor is the most such a sample can have scored, unless its candidate list
    was full (`match` lists the best 16). Summed exactly, so that the order in which samples are handled cannot tip an
    alert. Source of the rule: measured, docs/decisions.md, "Fusion".
    """
    scores = [sample.get(subject, floor) for sample in samples]
    return fsum(scores) / len(scores)
