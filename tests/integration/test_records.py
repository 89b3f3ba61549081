"""Records in real buckets, and mirrors that follow them."""

import asyncio
import dataclasses

import pytest
from nats.js.client import JetStreamContext

from libs.bus import Conflict, Mirror, Records, connect
from libs.errors import PermanentError, TransientError
from libs.settings import NatsSettings
from proto import codec, subjects
from proto.deployments import DeploymentRecord
from proto.records import CameraRecord, TrackState
from proto.sealed import Sealed
from proto.watchlists import NameRecord
from tests.examples import EXAMPLES, changed
from tests.waiting import eventually, soon, until

KEY = "station-north"


@pytest.fixture
def deployments(bus):
    return Records(bus, subjects.DEPLOYMENTS, DeploymentRecord)


def deployment(version):
    return changed("deployment_record", record_version=version)


async def store_garbage(bus, key, data=b"\xc1 garbage"):
    await (await bus.jetstream.key_value("deployments")).put(key, data)


# -- records


async def test_a_record_is_found_as_it_was_put(deployments):
    assert await deployments.get(KEY) is None
    revision = await deployments.put(KEY, deployment(1))
    assert await deployments.get(KEY) == (deployment(1), revision)


async def test_a_record_that_is_too_large_with_its_headers_is_refused_and_the_connection_stays(bus):
    """A compare-and-set says in a header what it compares with."""
    cases, most = Records(bus, subjects.CASE_RECORDS, Sealed), bus.client.max_payload
    empty = len(codec.encode(changed("sealed", body=bytes(100_000)))) - 100_000
    record = changed("sealed", body=bytes(most - empty))
    revision = await cases.put(KEY, changed("sealed"))
    with pytest.raises(PermanentError, match=r"cases could not be written: \$KV\.cases\.\S+ is larger than"):
        await cases.replace(KEY, record, revision)
    assert await cases.put(KEY, record) == revision + 1


async def test_a_deleted_record_is_gone_and_may_come_anew(deployments):
    await deployments.put(KEY, deployment(1))
    await deployments.delete(KEY)
    assert await deployments.get(KEY) is None
    revision = await deployments.replace(KEY, deployment(2), revision=0)
    assert await deployments.get(KEY) == (deployment(2), revision)


async def test_deleting_what_is_not_there_does_nothing(deployments):
    await deployments.delete("nowhere")
    assert await deployments.get("nowhere") is None


async def test_a_record_is_deleted_only_at_the_revision_that_was_named(deployments):
    first = await deployments.put(KEY, deployment(1))
    second = await deployments.put(KEY, deployment(2))
    with pytest.raises(Conflict):
        await deployments.delete(KEY, first)
    assert await deployments.get(KEY) == (deployment(2), second)
    await deployments.delete(KEY, second)
    assert await deployments.get(KEY) is None
    with pytest.raises(Conflict):
        await deployments.delete(KEY, second)
    assert await deployments.replace(KEY, deployment(3), revision=0) > second


async def test_of_two_who_replace_the_same_record_one_wins_and_the_other_is_told(deployments):
    revision = await deployments.put(KEY, deployment(1))
    newer = await deployments.replace(KEY, deployment(2), revision)
    with pytest.raises(Conflict):
        await deployments.replace(KEY, deployment(3), revision)
    assert await deployments.get(KEY) == (deployment(2), newer)


async def test_of_many_who_create_the_same_record_one_wins(deployments):
    tries = [deployments.replace(KEY, deployment(version), revision=0) for version in range(1, 21)]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict"] * 19 + ["int"]


async def test_a_record_of_garbage_is_refused_without_being_quoted(bus, deployments):
    await store_garbage(bus, KEY, b"\xc1 do not quote me")
    with pytest.raises(codec.DecodeError) as refused:
        await deployments.get(KEY)
    assert "do not quote me" not in str(refused.value)


async def test_records_that_are_read_no_further_leave_nothing_that_goes_on_reading(deployments, monkeypatch):
    """Who gives up while the reading is being opened; what then still runs, every test looks for at its end."""
    await deployments.put(KEY, deployment(1))
    asked = asyncio.Event()

    async def never(_reader):
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(JetStreamContext.PushSubscription, "consumer_info", never)
    reading = asyncio.create_task(deployments.all())
    await soon(asked.wait())
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_records_say_when_the_server_is_away(nats_server, log):
    async with connect(NatsSettings(url=nats_server.url, ask_timeout_s=0.2), "tests", log) as bus:
        records = Records(bus, subjects.DEPLOYMENTS, DeploymentRecord)
        nats_server.kill()
        for attempt in (
            records.get(KEY),
            records.put(KEY, deployment(1)),
            records.replace(KEY, deployment(1), 1),
            records.delete(KEY),
            records.delete(KEY, 1),
        ):
            with pytest.raises(TransientError):
                await attempt


# -- erasing

WHO = "Rumpelstilzchen von und zu Hohenfels"


@pytest.fixture
def names(bus):
    return Records(bus, subjects.NAMES, NameRecord)


def name(number):
    return NameRecord(name=f"{WHO} {number:04}")


def found_on_disk(nats_server, text=WHO):
    """The files of the killed server that hold the text."""
    nats_server.kill()
    files = [path for path in nats_server.store.rglob("*") if path.is_file()]
    assert files
    return [path for path in files if text.encode() in path.read_bytes()]


async def test_an_erased_record_is_gone_and_may_come_anew(names):
    await names.put("wanted.S-1", name(1))
    await names.erase("wanted.S-1")
    assert await names.get("wanted.S-1") is None
    revision = await names.replace("wanted.S-1", name(2), revision=0)
    assert await names.get("wanted.S-1") == (name(2), revision)


async def test_a_record_that_is_not_erased_is_found_on_the_disk(names, nats_server):
    await names.put("wanted.S-1", name(1))
    assert found_on_disk(nats_server)


async def test_an_erased_record_is_on_the_disk_no_longer(names, nats_server):
    for number in range(20):
        await names.put(f"wanted.S-{number}", name(number))
    for number in range(20):
        await names.erase(f"wanted.S-{number}")
    assert found_on_disk(nats_server) == []


async def test_of_a_record_whose_erasure_died_half_way_nothing_is_left_once_another_comes(names, bus, nats_server):
    await names.put("wanted.S-1", name(1))
    await bus.jetstream.publish(f"$KV.{subjects.NAMES.name}.wanted.S-1", headers={"KV-Operation": "DEL"})
    await names.replace("wanted.S-1", NameRecord(name="another"), revision=0)
    assert found_on_disk(nats_server) == []


async def test_no_earlier_revision_of_a_record_is_on_the_disk(names, nats_server):
    revision = await names.put("wanted.S-1", name(1))
    revision = await names.replace("wanted.S-1", name(2), revision)
    for number in range(3, 100):
        await names.put("wanted.S-1", name(number))
    await names.put("wanted.S-1", NameRecord(name="another"))
    assert found_on_disk(nats_server) == []


@pytest.mark.parametrize("by_revision", [True, False])
async def test_a_deleted_record_of_an_erasable_bucket_is_on_the_disk_no_longer(names, nats_server, by_revision):
    revision = await names.put("wanted.S-1", name(1))
    await names.delete("wanted.S-1", revision if by_revision else None)
    assert await names.get("wanted.S-1") is None
    assert found_on_disk(nats_server) == []


async def test_what_a_crash_left_of_earlier_revisions_goes_with_the_next_write(bus, names, nats_server):
    store = await bus.jetstream.key_value("names")
    await store.put("wanted.S-1", codec.encode(name(1)))  # a writer that died before it could clear up
    await store.put("wanted.S-1", codec.encode(name(2)))
    await names.put("wanted.S-1", NameRecord(name="another"))
    assert found_on_disk(nats_server) == []


async def test_erasing_again_or_what_was_never_there_does_nothing(names):
    await names.put("wanted.S-1", name(1))
    for key in ("wanted.S-1", "wanted.S-1", "wanted.S-2"):
        await names.erase(key)
        assert await names.get(key) is None


async def test_a_neighbour_is_not_erased(names):
    await names.put("wanted.S-1", name(1))
    await names.put("wanted.S-10", name(10))
    await names.erase("wanted.S-1")
    assert (await names.get("wanted.S-10"))[0] == name(10)


async def test_a_mirror_hears_of_an_erasure(bus, names):
    await names.put("wanted.S-1", name(1))
    async with Mirror.open(bus, subjects.NAMES, NameRecord) as mirror:
        assert mirror.get("wanted.S-1") == name(1)
        await names.erase("wanted.S-1")

        async def is_gone():
            return mirror.get("wanted.S-1") is None

        await until(is_gone)


async def test_a_bucket_that_cannot_overwrite_does_not_pretend_to(deployments):
    with pytest.raises(ValueError, match="stays in the server's files"):
        await deployments.erase(KEY)


# -- mirrors


async def test_a_mirror_holds_what_was_there_before_it_opened(bus, deployments):
    for number in range(1, 6):
        await deployments.put(f"d{number}", deployment(number))
    async with Mirror.open(bus, subjects.DEPLOYMENTS, DeploymentRecord) as mirror:
        assert {key: record.record_version for key, record in mirror.all().items()} == {
            f"d{number}": number for number in range(1, 6)
        }


async def test_a_mirror_of_an_empty_bucket_opens_empty(bus):
    async with Mirror.open(bus, subjects.DEPLOYMENTS, DeploymentRecord) as mirror:
        assert mirror.all() == {}


async def test_a_mirror_of_more_records_than_its_queue_holds_opens_whole(bus, deployments):
    await asyncio.gather(*(deployments.put(f"d{number}", deployment(1)) for number in range(400)))
    async with Mirror.open(bus, subjects.DEPLOYMENTS, DeploymentRecord) as mirror:
        assert len(mirror.all()) == 400


async def test_a_mirror_is_not_open_while_what_the_server_has_sent_is_on_its_way(bus, deployments, monkeypatch):
    """The server has sent all and nothing has arrived: that is how it looks when a busy program asks."""
    await deployments.put(KEY, deployment(1))
    subscription = JetStreamContext.PushSubscription
    asked = subscription.consumer_info
    monkeypatch.setattr(subscription, "delivered", 0)

    async def nothing_pending(self):
        return dataclasses.replace(await asked(self), num_pending=0)

    monkeypatch.setattr(subscription, "consumer_info", nothing_pending)
    async with Mirror.open(bus, subjects.DEPLOYMENTS, DeploymentRecord) as mirror:
        assert list(mirror.all()) == [KEY]


async def test_a_mirror_follows_changes_and_deletions(bus, deployments):
    async with Mirror.open(bus, subjects.DEPLOYMENTS, DeploymentRecord) as mirror:

        async def shows(version):
            known = mirror.get(KEY)
            return (known.record_version if known else None) == version

        await deployments.put(KEY, deployment(1))
        await until(lambda: shows(1))
        await deployments.put(KEY, deployment(2))
        await until(lambda: shows(2))
        await deployments.delete(KEY)
        await until(lambda: shows(None))


async def test_a_change_between_two_looks_is_not_missed(bus, deployments):
    async with Mirror.open(bus, subjects.DEPLOYMENTS, DeploymentRecord) as mirror:
        await soon(mirror.changed())  # the filling itself
        await deployments.put(KEY, deployment(1))
        await until(lambda: knows(mirror, KEY))
        await soon(mirror.changed())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(mirror.changed(), 0.1)


async def knows(mirror, key):
    return mirror.get(key) is not None


async def test_a_record_the_mirror_has_not_heard_of_is_looked_up(bus, deployments):
    async with Mirror.open(bus, subjects.CAMERAS, CameraRecord) as mirror:
        await Records(bus, subjects.CAMERAS, CameraRecord).put("gate-1", EXAMPLES["camera_record"])
        assert await mirror.find("gate-1") == EXAMPLES["camera_record"]
        assert await mirror.find("gate-2") is None


async def test_a_garbage_record_is_passed_over_dead_lettered_and_does_not_stop_the_mirror(bus, deployments):
    async with Mirror.open(bus, subjects.DEPLOYMENTS, DeploymentRecord) as mirror:
        await deployments.put("good", deployment(1))
        await store_garbage(bus, "bad", b"\xc1 do not quote me")
        await deployments.put("good", deployment(2))

        async def shows_the_second():
            return mirror.get("good") is not None and mirror.get("good").record_version == 2

        await until(shows_the_second)
        assert mirror.get("bad") is None
        assert await mirror.find("bad") is None
    letter = await bus.jetstream.get_last_msg("DEADLETTERS", "watchline.v1.deadletter.deployments")
    assert b"bad" in letter.data
    assert b"do not quote me" not in letter.data


async def test_garbage_over_a_good_record_takes_it_away(bus, deployments):
    await deployments.put(KEY, deployment(1))
    async with Mirror.open(bus, subjects.DEPLOYMENTS, DeploymentRecord) as mirror:

        async def is_gone():
            return mirror.get(KEY) is None

        assert not await is_gone()
        await store_garbage(bus, KEY)
        await until(is_gone)


async def test_mirrors_go_on_when_the_server_was_killed_and_started_again(bus, nats_server, deployments):
    tracks = Records(bus, subjects.TRACKS, TrackState)
    await deployments.put(KEY, deployment(1))
    await tracks.put("a-track", EXAMPLES["track_state"])
    async with (
        Mirror.open(bus, subjects.DEPLOYMENTS, DeploymentRecord) as on_disk,
        Mirror.open(bus, subjects.TRACKS, TrackState) as in_memory,
    ):
        assert in_memory.get("a-track") is not None
        back = bus.reconnected
        nats_server.restart()
        await soon(back.wait())
        await eventually(lambda: deployments.put(KEY, deployment(2)))
        await eventually(lambda: tracks.put("another-track", EXAMPLES["track_state"]))

        async def are_current():
            return on_disk.get(KEY).record_version == 2 and set(in_memory.all()) == {"another-track"}

        await until(are_current)


async def test_a_mirror_cannot_open_while_the_server_is_away_and_can_be_given_up(nats_server, log):
    async with connect(NatsSettings(url=nats_server.url, ask_timeout_s=0.2), "tests", log) as bus:
        nats_server.kill()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.8), Mirror.open(bus, subjects.DEPLOYMENTS, DeploymentRecord):
                pytest.fail("opened on no server")
