"""Leases in the real bucket: taken once, renewed, released, and never taken from another."""

import pytest

from libs.bus import Conflict, Records
from proto import subjects
from proto.records import Lease
from services.ingest.leases import Leases

KEY = ("watch", "yard")


@pytest.fixture
def records(bus):
    return Records(bus, subjects.LEASES, Lease)


@pytest.fixture
def one(records):
    return Leases(records, "one")


@pytest.fixture
def other(records):
    return Leases(records, "other")


async def test_a_lease_is_one_programs_until_it_releases_it(one, other):
    assert await other.may_take(KEY)
    revision = await one.renew(KEY, await one.take(KEY))
    assert not await other.may_take(KEY)
    with pytest.raises(Conflict):
        await other.take(KEY)

    await one.release(KEY, revision)
    assert await other.may_take(KEY)
    await other.take(KEY)
    with pytest.raises(Conflict):
        await one.renew(KEY, revision)


async def test_a_program_that_lost_its_lease_cannot_release_the_others(one, other, records):
    lost = await one.take(KEY)
    await records.delete(subjects.key(*KEY))
    held = await other.take(KEY)
    await one.release(KEY, lost)
    assert await records.get(subjects.key(*KEY)) == (Lease(holder="other", camera="yard"), held)


async def test_a_lease_that_is_ours_by_an_answer_we_never_got_is_renewed_and_released(one, other):
    unheard = await one.take(KEY)
    known = await one.renew(KEY, unheard)
    assert await one.renew(KEY, unheard) > known
    await one.release(KEY, unheard)
    assert await other.may_take(KEY)


async def test_a_lease_that_a_restarted_server_forgot_is_taken_anew(one, other, records):
    revision = await one.take(KEY)
    await records.delete(subjects.key(*KEY))
    await one.renew(KEY, revision)
    assert not await other.may_take(KEY)


async def test_a_lease_that_nobody_can_read_is_left_to_lapse(one, bus):
    await (await bus.jetstream.key_value("leases")).put(subjects.key(*KEY), b"\xc1 garbage")
    assert not await one.may_take(KEY)
    with pytest.raises(Conflict):
        await one.take(KEY)
