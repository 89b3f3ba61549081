"""How the best scores of a deployment's searches are spread: a histogram by camera, and no score by itself.

What a search under the floor found is forgotten at once; that there was one, and in which bin its best score lay, is
all that is left of it. The counts of one program are kept in it and written by it alone, whole each time: after its
death another counts on under a name of its own, and the sum over all is what was searched. What was counted within
`WRITE_EVERY_S` of a sudden death is lost, and a probe that is delivered twice is two searches.
"""

from __future__ import annotations

import math
import secrets
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from libs.board import Board, BoardRecords
from libs.bus import Records
from libs.service import Host
from libs.waiting import end
from proto import subjects
from proto.counts import SearchCount

BIN_HUNDREDTHS = 2
"""Width of a bin: 0.02, twenty bins between an unlike pair (0.1) and a usual threshold (0.5)."""
WRITE_EVERY_S = 1.0
"""The shortest time between two writes of the counts."""
NOBODY = -1.0
"""The best score of a search that compared with nobody, because nobody is on the lists: the lowest there is."""


class Counts(Protocol):
    """Where a matcher counts its searches."""

    def add(self, deployment: str, camera: str, best: float, searched: int) -> None:
        """Counts a search of N = `searched` references whose best score was `best`."""


@dataclass
class _Searches:
    """Of one camera of one deployment."""

    histogram: Counter[str] = field(default_factory=Counter)
    least: int = sys.maxsize
    most: int = 0

    def add(self, best: float, searched: int) -> None:
        self.histogram[bin_of(best)] += 1
        self.least, self.most = min(self.least, searched), max(self.most, searched)


class SearchBoard:
    """Counts searches in this program, and writes the counts while `run` runs and at the last `flush`."""

    def __init__(
        self, records: BoardRecords[SearchCount], counter: str, clock: Callable[[], float] = time.time
    ) -> None:
        """`counter` names this program: no other that counts may have the same."""
        self._counter = counter
        self._clock = clock
        self._searches: dict[tuple[str, str], _Searches] = {}
        self._board = Board(records, _key_of, WRITE_EVERY_S)
        self.run = self._board.run
        self.flush = self._board.flush

    def add(self, deployment: str, camera: str, best: float, searched: int) -> None:
        """Counts a search of N = `searched` references whose best score was `best`."""
        searches = self._searches.setdefault((deployment, camera), _Searches())
        searches.add(best, searched)
        self._board.report(
            SearchCount(
                deployment=deployment,
                camera=camera,
                counter=self._counter,
                least_searched=searches.least,
                most_searched=searches.most,
                histogram=dict(searches.histogram),
                updated_at=self._clock(),
            )
        )


@asynccontextmanager
async def search_board(host: Host) -> AsyncIterator[SearchBoard]:
    """Counts of this program, written while the block runs and at its end."""
    board = SearchBoard(Records(host.bus, subjects.SEARCHES, SearchCount), f"match-{secrets.token_hex(4)}")
    writer = host.tasks.create_task(board.run(), name="board of searches")
    try:
        yield board
    finally:
        await end(writer)
        await board.flush()


def bin_of(score: float) -> str:
    """The lower edge of the bin that holds `score`, in hundredths: 0.3999 is in bin `38`, 0.40 in bin `40`."""
    return f"{math.floor(round(score * 100, 6) / BIN_HUNDREDTHS) * BIN_HUNDREDTHS}"


def _key_of(count: SearchCount) -> str:
    return subjects.key(count.deployment, count.camera, count.counter)
