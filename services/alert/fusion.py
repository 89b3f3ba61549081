"""One score a subject from the samples of a track."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum

from proto.records import SampleScores


def fuse(samples: Sequence[SampleScores], subject: str, floor: float) -> float:
    """The mean score of `subject` over the samples of a track; one that did not list the subject counts `floor`.

    The floor is the most such a sample can have scored, unless its candidate list was full (`match` lists the best 16).
    Summed exactly, so that the order in which samples are handled cannot tip an alert.
    Source of the rule: measured, docs/decisions.md, "Fusion".
    """
    scores = [sample.scores.get(subject, floor) for sample in samples]
    return fsum(scores) / len(scores)
