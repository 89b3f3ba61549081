"""Seeds: known people who walk past on purpose. They are scored, raised and counted apart from everybody else.

Who resembles a subject of a real list is never that subject's seed, should one person stand on both kinds of list
(arming refuses that already): an alert that operators must see is never hidden as a test.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from proto.messages import Candidate, Candidates
from proto.records import SampleScores, TrackState


def scores_by_kind(seen: Candidates, seed_lists: Collection[str]) -> SampleScores:
    """The scores of a sample by subject, seeds apart; of a subject on two lists of a kind the better one."""
    scores: dict[str, float] = {}
    seed_scores: dict[str, float] = {}
    for candidate in seen.candidates:
        best = seed_scores if candidate.watch_list in seed_lists else scores
        best[candidate.subject] = max(candidate.score, best.get(candidate.subject, -1.0))
    return SampleScores(sample=seen.sample, scores=scores, seed_scores=seed_scores)


def by_kind(
    seen: Candidates, state: TrackState, seed_lists: Collection[str]
) -> Iterator[tuple[Candidate, bool, Sequence[Mapping[str, float]]]]:
    """Each candidate, whether it is a seed, and the scores of the track's samples that count for its kind."""
    real = {subject for sample in state.samples for subject in sample.scores}
    for candidate in seen.candidates:
        if candidate.watch_list not in seed_lists:
            yield candidate, False, [sample.scores for sample in state.samples]
        elif candidate.subject not in real:
            yield candidate, True, [sample.seed_scores for sample in state.samples]
