"""Who may be on a list twice under two ids, or on another list too: for a person to decide, never decided here."""

from __future__ import annotations

from proto.requests import DuplicatesReply, DuplicatesRequest, PossibleDuplicate
from services.match.registry import Registry
from services.match.watchlists import must_be_there

MOST_PAIRS = 1000
"""Of one answer, the most alike: more than a person looks at, and less than a message holds."""


class Duplicates:
    """Answers asks for possible duplicates."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def find(self, ask: DuplicatesRequest) -> DuplicatesReply:
        """The pairs of entries that are at least as alike as the threshold, the most alike first.

        Raises:
            MissingError: there is no such list.
            TransientError: the bus or the gallery is away.
        """
        registry, now = self._registry, self._registry.clock()
        must_be_there(await registry.read(ask.watch_list))
        held = set(await registry.gallery.watch_lists())
        others = [
            record.id
            for record in registry.book.lists.all().values()
            if record.id != ask.watch_list and record.id in held and registry.book.is_searchable(record.id, now)
        ]
        found = await registry.gallery.duplicates(ask.watch_list, sorted(others), ask.threshold, MOST_PAIRS)
        current = registry.book.is_current
        return DuplicatesReply(
            pairs=tuple(
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
        )
