"""Who may be on a list twice under two ids, or on another list too: for a person to decide, never decided here.

It is a search of lists by faces that no deployment covers. So it is an act of an officer that the audit hears of, over
lists under whose profile that officer may act, and it shows nobody who only faintly resembles another.
"""

from __future__ import annotations

from libs.errors import PermanentError
from libs.officers import Signed
from proto.audit import Details
from proto.requests.watchlists import DuplicatesReply, DuplicatesRequest, PossibleDuplicate
from proto.sealed import Sealed
from proto.watchlists import WatchListRecord
from services.match.admission import must_take
from services.match.registry import Registry, owing, with_deed

MOST_PAIRS = 1000
"""Of one answer, the most alike: more than a person looks at, and less than a message holds."""


class Duplicates:
    """Answers the act `duplicates`; `floor` is the least threshold."""

    def __init__(self, registry: Registry, floor: float) -> None:
        self._registry = registry
        self._floor = floor

    async def find(self, sealed: Sealed) -> DuplicatesReply:
        """The pairs of entries that are at least as alike as the threshold, the most alike first.

        Raises:
            ForbiddenError: the officer may not.
            MissingError: there is no such list.
            PermanentError: the threshold is too low.
            TransientError: the bus or the gallery is away.
        """
        registry = self._registry
        signed = registry.signed(sealed, DuplicatesRequest)
        name, threshold = signed.request.watch_list, signed.request.threshold
        must_take(signed, await registry.read(name))
        if threshold < self._floor:
            raise PermanentError(
                f"under a score of {self._floor:g} strangers resemble each other: ask for pairs from there on"
            )
        others = await self._others(signed)
        pairs = await self._pairs(name, others, threshold)
        details: Details = {"threshold": threshold, "other_lists": len(others), "pairs": len(pairs)}

        def sought(record: WatchListRecord) -> WatchListRecord:
            deed = signed.deed("seek_duplicates")
            return owing(with_deed(record, deed), "watchlist.duplicates_sought", details, signed.sealed)

        async with registry.turns.alone(name):
            await registry.change(name, sought)
            await registry.report(name)
        return DuplicatesReply(pairs=pairs)

    async def _others(self, signed: Signed[DuplicatesRequest]) -> list[str]:
        """The other lists that may be searched, under whose profile the officer may act."""
        registry, now = self._registry, self._registry.clock()
        held = set(await registry.gallery.watch_lists())
        return sorted(
            record.id
            for record in registry.book.lists.all().values()
            if record.id != signed.request.watch_list
            and record.id in held
            and (signed.officer is None or signed.officer.may_act_under(record.form.profile))
            and registry.book.is_searchable(record.id, now)
        )

    async def _pairs(self, name: str, others: list[str], threshold: float) -> tuple[PossibleDuplicate, ...]:
        registry, now = self._registry, self._registry.clock()
        found = await registry.gallery.duplicates(name, others, threshold, MOST_PAIRS)
        current = registry.book.is_current
        return tuple(
            PossibleDuplicate(
                watch_list=pair.watch_list,
                subject=pair.subject,
                other_list=pair.other_list,
                other_subject=pair.other_subject,
                score=pair.score,
            )
            for pair in found
            if current(pair.watch_list, pair.subject, now) and current(pair.other_list, pair.other_subject, now)
        )
