"""Takes people off lists so that nothing biometric and no name is left of them, in whatever order programs die.

What is taken off last is what says that the rest is still there: the entry of a person, the collection of a list.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from libs.gallery import ReferenceEntry, UnknownWatchListError
from proto import subjects
from proto.governance import EntryRecord
from services.match.provenance import live, stripped
from services.match.registry import Registry


async def erase_entry(registry: Registry, entry: EntryRecord) -> None:
    """Erases references, portrait and name of a person; ids and hashes stay. Raises `TransientError`."""
    with suppress(UnknownWatchListError):
        await registry.gallery.remove(entry.watch_list, entry.subject)
    await _erase_person(registry, entry.watch_list, entry.subject)
    await _strip(registry, entry)


async def erase_list(registry: Registry, watch_list: str, entries: Iterable[EntryRecord]) -> int:
    """How many people's portraits and names were erased with the list. Raises `TransientError`."""
    on_it = [entry for entry in entries if entry.form is not None]
    people = {entry.subject for entry in on_it}
    people |= {reference.subject for reference in await _references(registry, watch_list)}
    for subject in sorted(people):
        await _erase_person(registry, watch_list, subject)
    with suppress(UnknownWatchListError):
        await registry.gallery.drop(watch_list)
    for entry in on_it:
        await _strip(registry, entry)
    return len(people)


async def erase_orphans(registry: Registry, watch_list: str, entries: Iterable[EntryRecord]) -> int:
    """How many references no entry speaks for, and are gone now: enrolled by a program that died before it said so.

    Raises:
        TransientError: the bus or the gallery is away.
    """
    known = {entry.subject: entry for entry in entries}
    spoken_for = {(entry.subject, image.reference) for entry in known.values() for image in live(entry)}
    orphans = [
        reference
        for reference in await _references(registry, watch_list)
        if (reference.subject, reference.reference.removeprefix(f"{reference.subject}/")) not in spoken_for
    ]
    for subject in sorted({orphan.subject for orphan in orphans}):
        if subject not in known or known[subject].form is None:
            await _erase_person(registry, watch_list, subject)
    if orphans:
        await registry.gallery.discard(watch_list, [orphan.reference for orphan in orphans])
    return len(orphans)


async def _references(registry: Registry, watch_list: str) -> list[ReferenceEntry]:
    try:
        return await registry.gallery.references(watch_list)
    except UnknownWatchListError:
        return []


async def _erase_person(registry: Registry, watch_list: str, subject: str) -> None:
    await registry.portraits.drop(subjects.reference_portrait(watch_list, subject))
    await registry.names.erase(subjects.key(watch_list, subject))


async def _strip(registry: Registry, entry: EntryRecord) -> None:
    key = subjects.key(entry.watch_list, entry.subject)
    await registry.entries.put(key, stripped(entry, registry.clock()))
