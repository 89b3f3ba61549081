"""Takes people off lists so that nothing biometric and no name is left of them, in whatever order programs die.

What is taken off last is what says that the rest is still there: the entry of a person, the collection of a list.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import suppress
from typing import TypeVar

from libs.gallery import ReferenceEntry, UnknownWatchListError
from libs.waiting import settled
from proto import subjects
from proto.watchlists import EntryRecord
from services.match.provenance import live, reference_id, stripped
from services.match.registry import Registry

T = TypeVar("T")

AT_ONCE = 32
"""People who are erased at a time: each takes about ten answers of the bus, one after the other."""


async def erase_entries(registry: Registry, watch_list: str, entries: Collection[EntryRecord]) -> None:
    """Erases references, portraits and names of people on a list; ids and hashes stay. Raises `TransientError`."""
    people = {entry.subject for entry in entries}
    theirs = [one.reference for one in await _references(registry, watch_list) if one.subject in people]
    if theirs:
        await registry.gallery.discard(watch_list, theirs)
    await erase_people(registry, watch_list, people)
    await _each(entries, lambda entry: _strip(registry, entry))


async def erase_list(registry: Registry, watch_list: str, entries: Iterable[EntryRecord]) -> int:
    """How many people's portraits and names were erased with the list. Raises `TransientError`."""
    on_it = [entry for entry in entries if entry.form is not None]
    people = {entry.subject for entry in on_it}
    people |= {reference.subject for reference in await _references(registry, watch_list)}
    await erase_people(registry, watch_list, people)
    with suppress(UnknownWatchListError):
        await registry.gallery.drop(watch_list)
    await _each(on_it, lambda entry: _strip(registry, entry))
    return len(people)


async def erase_orphans(registry: Registry, watch_list: str, entries: Iterable[EntryRecord]) -> int:
    """How many references no entry speaks for, and are gone now: enrolled by a program that died before it said so.

    Raises:
        TransientError: the bus or the gallery is away.
    """
    known = {entry.subject: entry for entry in entries}
    spoken_for = {reference_id(entry.subject, image.sha256) for entry in known.values() for image in live(entry)}
    orphans = [one for one in await _references(registry, watch_list) if one.reference not in spoken_for]
    on_it = {entry.subject for entry in known.values() if entry.form is not None}
    await erase_people(registry, watch_list, {orphan.subject for orphan in orphans} - on_it)
    if orphans:
        await registry.gallery.discard(watch_list, [orphan.reference for orphan in orphans])
    return len(orphans)


async def erase_people(registry: Registry, watch_list: str, people: Iterable[str]) -> None:
    """Erases portraits and names, also of people of whom it was begun before. Raises `TransientError`."""

    async def erase(subject: str) -> None:
        await registry.portraits.drop(subjects.reference_portrait(watch_list, subject))
        await registry.names.erase(subjects.key(watch_list, subject))

    await _each(sorted(people), erase)


async def _references(registry: Registry, watch_list: str) -> list[ReferenceEntry]:
    try:
        return await registry.gallery.references(watch_list)
    except UnknownWatchListError:
        return []


async def _strip(registry: Registry, entry: EntryRecord) -> None:
    key = subjects.key(entry.watch_list, entry.subject)
    await registry.entries.put(key, stripped(entry, registry.clock()))


async def _each(items: Iterable[T], work: Callable[[T], Awaitable[None]]) -> None:
    """Does the work for each item, `AT_ONCE` at a time; one that fails does not keep those beside it from their end."""
    waiting = iter(items)

    async def in_turn() -> None:
        for item in waiting:  # which all of these share
            await work(item)

    await settled(in_turn() for _ in range(AT_ONCE))
