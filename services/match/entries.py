"""Which lists may be searched now, and who is on them: what the search asks before it says that it found somebody."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

from libs.bus import Bus, Mirror
from proto import subjects
from proto.messages import Message
from proto.watchlists import EntryRecord, WatchListRecord

M_co = TypeVar("M_co", bound=Message, covariant=True)


class Book(Protocol[M_co]):
    """Records to look up, as `libs.bus.Mirror`."""

    def get(self, key: str) -> M_co | None:
        """The record under `key`."""

    def all(self) -> Mapping[str, M_co]:
        """Every record, by key."""


class Entries:
    """The lists and their entries as last heard. What is not known to be current is not: the search fails closed."""

    def __init__(self, lists: Book[WatchListRecord], entries: Book[EntryRecord]) -> None:
        self.lists = lists
        self.entries = entries

    def is_searchable(self, watch_list: str, now: float) -> bool:
        """Whether the list may be searched at `now` (Unix seconds): complete, not destroyed and not expired."""
        record = self.lists.get(subjects.key(watch_list))
        return record is not None and record.state == "ready" and now < record.form.expires_at

    def was_created_at(self, watch_list: str, created_at: float | None) -> bool:
        """Whether the list of that name is the one that was created then; another of the same name is another list."""
        record = self.lists.get(subjects.key(watch_list))
        return record is not None and record.created_at == created_at

    def is_current(self, watch_list: str, subject: str, now: float) -> bool:
        """Whether the subject is on the list at `now` (Unix seconds): neither removed, nor being so, nor expired."""
        listed = self.lists.get(subjects.key(watch_list))
        entry = self.entries.get(subjects.key(watch_list, subject))
        if listed is None or subject in listed.removing:
            return False
        return entry is not None and entry.form is not None and now < entry.form.expires_at

    def of(self, watch_list: str) -> dict[str, EntryRecord]:
        """The entries of a list, by subject: also those whose person is no longer on it."""
        return entries_of(watch_list, self.entries.all())


def entries_of(watch_list: str, records: Mapping[str, EntryRecord]) -> dict[str, EntryRecord]:
    """The entries of a list among records by key, by subject; what lies under another key than its own is none."""
    found = ((key, record) for key, record in records.items() if record.watch_list == watch_list)
    return {record.subject: record for key, record in found if key == subjects.key(watch_list, record.subject)}


@asynccontextmanager
async def open_entries(bus: Bus) -> AsyncIterator[Entries]:
    """The lists and entries there are now, followed while the block runs. Raises `TransientError`."""
    async with (
        Mirror.open(bus, subjects.WATCHLISTS, WatchListRecord) as lists,
        Mirror.open(bus, subjects.ENTRIES, EntryRecord) as entries,
    ):
        yield Entries(lists, entries)
