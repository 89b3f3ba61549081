"""Many enrol at once; who changes the list is alone with it, and does not wait for ever."""

import asyncio

from services.match.turns import Turns


async def settle():
    for _ in range(10):
        await asyncio.sleep(0)


class Visits:
    """Who is with the list now, and in which order they came."""

    def __init__(self, turns):
        self.turns = turns
        self.here = []
        self.came = []
        self.leave = {}

    async def stay(self, name, kind, watch_list="wanted"):
        self.leave[name] = asyncio.Event()
        async with getattr(self.turns, kind)(watch_list):
            self.here.append(name)
            self.came.append(name)
            await self.leave[name].wait()
            self.here.remove(name)

    def start(self, *visits):
        return [asyncio.create_task(self.stay(*visit)) for visit in visits]


async def test_those_who_share_are_there_together_and_who_is_alone_waits_for_them():
    visits = Visits(Turns())
    tasks = visits.start(("a", "shared"), ("b", "shared"), ("c", "alone"))
    await settle()
    assert visits.here == ["a", "b"]
    visits.leave["a"].set()
    await settle()
    assert visits.here == ["b"]
    visits.leave["b"].set()
    await settle()
    assert visits.here == ["c"]
    visits.leave["c"].set()
    await asyncio.gather(*tasks)


async def test_who_waits_to_be_alone_comes_before_those_who_come_later_to_share():
    visits = Visits(Turns())
    tasks = visits.start(("a", "shared"), ("b", "alone"), ("c", "shared"))
    await settle()
    assert visits.here == ["a"]
    for event in visits.leave.values():
        event.set()
    await asyncio.gather(*tasks)
    assert visits.came == ["a", "b", "c"]


async def test_two_lists_have_nothing_to_do_with_each_other():
    visits = Visits(Turns())
    tasks = visits.start(("a", "alone", "wanted"), ("b", "alone", "missing"))
    await settle()
    assert visits.here == ["a", "b"]
    for event in visits.leave.values():
        event.set()
    await asyncio.gather(*tasks)


async def test_who_gives_up_waiting_keeps_nobody_else_from_coming():
    visits = Visits(Turns())
    first, waiting = visits.start(("a", "shared"), ("b", "alone"))
    await settle()
    (late,) = visits.start(("c", "shared"))
    await settle()
    assert visits.here == ["a"]
    waiting.cancel()
    await settle()
    assert visits.here == ["a", "c"]
    for event in visits.leave.values():
        event.set()
    await asyncio.gather(first, late)
    assert waiting.cancelled()
