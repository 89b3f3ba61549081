"""Asks about watch lists."""

from proto.messages import RemoveRequest, WatchListRequest
from services.match.service import WatchLists
from tests.fakes import Portraits


class Listed:
    """A gallery with one reference of one subject."""

    def __init__(self):
        self.subjects = {"wanted": ["S/1"]}

    async def create(self, watch_list):
        self.subjects.setdefault(watch_list, [])

    async def count(self, watch_list):
        return len(self.subjects[watch_list])

    async def remove(self, watch_list, subject):
        removed = self.subjects[watch_list].count(subject)
        self.subjects[watch_list] = [name for name in self.subjects[watch_list] if name != subject]
        return removed

    async def references(self, watch_list):
        return [type("Entry", (), {"subject": name}) for name in self.subjects[watch_list]]

    async def drop(self, watch_list):
        del self.subjects[watch_list]


async def test_creating_a_list_twice_keeps_it():
    lists = WatchLists(Listed(), Portraits())
    assert (await lists.create(WatchListRequest(watch_list="wanted"))).references == 1
    assert (await lists.create(WatchListRequest(watch_list="new"))).references == 0


async def test_a_subject_who_is_taken_off_a_list_leaves_no_portrait_behind():
    gallery, portraits = Listed(), Portraits()
    portraits.kept = {"reference.wanted.S-2": b"another"}
    reply = await WatchLists(gallery, portraits).remove(RemoveRequest(watch_list="wanted", subject="S/1"))
    assert reply.removed == 1
    assert portraits.dropped == ["reference.wanted.h_" + portraits.dropped[0][-32:]]
    assert list(portraits.kept) == ["reference.wanted.S-2"]


async def test_a_list_that_is_dropped_leaves_no_portraits_behind():
    gallery, portraits = Listed(), Portraits()
    gallery.subjects["wanted"] = ["S-1", "S-2"]
    reply = await WatchLists(gallery, portraits).drop(WatchListRequest(watch_list="wanted"))
    assert reply.references == 0
    assert portraits.dropped == ["reference.wanted.S-1", "reference.wanted.S-2"]
    assert gallery.subjects == {}
