"""The bus on a real server: streams, publications, asks and answers, portraits, and a server that comes and goes."""

import asyncio
import json
import re
import shutil
import socket
import time
from contextlib import asynccontextmanager

import nats
import pytest

from libs.bus import AskError, Conflict, Endpoint, connect, flushed
from libs.errors import PermanentError, TransientError, UserError
from libs.settings import NatsSettings
from proto import codec, subjects
from proto.messages import Alert, Detections, DetectRequest, EmbedRequest
from proto.requests.watchlists import EntriesReply, EntriesRequest
from proto.sealed import Sealed
from tests.examples import EXAMPLES, changed
from tests.nats_server import MAX_PAYLOAD_BYTES
from tests.waiting import SOON_S, eventually, soon, until

QUESTION = EXAMPLES["detect_request"]
ANSWER = EXAMPLES["detections"]


@asynccontextmanager
async def another_bus(server, log, **settings):
    async with connect(NatsSettings(url=server.url, **settings), "another", log) as other:
        yield other


async def stored(bus, stream):
    info = await bus.jetstream.stream_info(stream.name)
    return info.state.messages


async def first_of(messages, count):
    """The first `count` messages of an endless iterator."""
    found = []
    async with asyncio.timeout(SOON_S):
        async for message in messages:
            found.append(message)
            if len(found) == count:
                break
    await messages.aclose()
    return found


async def detects(ask):
    return changed("detections", camera=ask.camera, frame=ask.frame)


async def lists(_ask):
    return EntriesReply(record=EXAMPLES["watch_list_record"], entries=())


# -- connecting


async def test_every_stream_and_bucket_is_there_with_its_storage(bus):
    for stream in subjects.STREAMS:
        config = (await bus.jetstream.stream_info(stream.name)).config
        assert config.storage == stream.storage
        assert config.retention == stream.retention
        assert config.max_age == stream.max_age_s
    for bucket in subjects.BUCKETS:
        config = (await bus.jetstream.stream_info(f"KV_{bucket.name}")).config
        assert (config.storage, config.max_age or 0) == (bucket.storage, bucket.ttl_s)


async def test_no_server_at_the_address_is_one_line_that_says_what_to_do(log):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"nats://127.0.0.1:{nobody.getsockname()[1]}"
    with pytest.raises(UserError) as refused:
        async with connect(NatsSettings(url=url, wait_s=0.5), "tests", log):
            pytest.fail("connected to nobody")
    assert refused.value.exit_code == 3
    assert url in str(refused.value)
    assert "WATCHLINE_NATS_URL" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("url", ["nats://127.0.0.1:port", "nats://[::1", "a b c", "://", ""])
async def test_an_address_that_is_none_is_one_line(log, url):
    with pytest.raises(UserError) as refused:
        async with connect(NatsSettings(url=url, wait_s=0.3), "tests", log):
            pytest.fail("connected to nothing")
    assert "no NATS server with JetStream answers at" in str(refused.value)
    assert "\n" not in str(refused.value)


async def test_a_password_in_the_address_is_never_shown(log):
    with pytest.raises(UserError) as refused:
        async with connect(NatsSettings(url="nats://me:hush@127.0.0.1:1", wait_s=0.3), "tests", log):
            pytest.fail("connected to nobody")
    assert "nats://127.0.0.1:1" in str(refused.value)
    assert "hush" not in str(refused.value)


async def test_an_address_of_something_else_than_nats_is_refused_in_time(log):
    async def hang_up(_reader, writer):
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(UserError, match="no NATS server with JetStream"):
        async with connect(NatsSettings(url=f"nats://127.0.0.1:{port}", wait_s=0.5), "tests", log):
            pytest.fail("connected to something else")
    server.close()
    await server.wait_closed()


async def test_missing_credentials_are_one_line(nats_server, log, tmp_path):
    settings = NatsSettings(url=nats_server.url, credentials=tmp_path / "none.creds")
    with pytest.raises(UserError, match=r"none\.creds"):
        async with connect(settings, "tests", log):
            pytest.fail("connected without credentials")


async def test_a_stream_of_an_earlier_version_is_brought_up_to_date_and_keeps_its_messages(bus, nats_server, log):
    await bus.publish(EXAMPLES["alert"], "")
    info = await bus.jetstream.stream_info("ALERTS")
    await bus.jetstream.update_stream(info.config.evolve(max_age=60, duplicate_window=30))
    async with another_bus(nats_server, log) as newer:
        info = await newer.jetstream.stream_info("ALERTS")
        assert info.config.max_age == subjects.ALERTS.max_age_s
        assert info.config.duplicate_window == subjects.ALERTS.duplicate_window_s
        assert info.state.messages == 1


# -- publishing


@pytest.mark.parametrize("kind", ["sample", "probe", "candidates", "alert", "dead_letter"])
async def test_a_message_sent_twice_is_stored_once(bus, kind):
    stream = {
        "sample": subjects.SAMPLES,
        "probe": subjects.PROBES,
        "candidates": subjects.CANDIDATES,
        "alert": subjects.ALERTS,
        "dead_letter": subjects.DEADLETTERS,
    }[kind]
    await bus.publish(EXAMPLES[kind], "")
    await bus.publish(EXAMPLES[kind], "")
    assert await stored(bus, stream) == 1


async def test_a_full_work_queue_refuses_and_loses_nothing(bus):
    info = await bus.jetstream.stream_info("PROBES")
    await bus.jetstream.update_stream(info.config.evolve(max_msgs=3))
    for sample in (1, 2, 3):
        await bus.publish(changed("probe", sample=sample), "")
    with pytest.raises(TransientError, match="maximum messages exceeded"):
        await bus.publish(changed("probe", sample=4), "")
    assert await stored(bus, subjects.PROBES) == 3
    await bus.jetstream.purge_stream("PROBES", keep=2)
    await bus.publish(changed("probe", sample=4), "")
    assert await stored(bus, subjects.PROBES) == 3


async def test_a_message_larger_than_the_server_takes_is_refused_for_good(bus):
    with pytest.raises(PermanentError, match="larger than the server takes"):
        await bus.publish(changed("sample", portrait=b"\0" * (MAX_PAYLOAD_BYTES + 1)), "")


def of_bytes(size):
    """A sealed message of that many bytes without its headers."""
    spare = size - len(codec.encode(changed("sealed", body=bytes(size // 2)))) + size // 2
    return changed("sealed", body=bytes(spare))


@pytest.mark.parametrize("way", ["publish_as", "append"])
async def test_a_message_counts_with_its_headers_and_one_too_large_leaves_the_connection_whole(bus, way):
    async def send(size):
        message = of_bytes(size)
        if way == "append":
            return await bus.append(subjects.AUDIT, subject, message, await bus.last_sequence(subjects.AUDIT))
        return await bus.publish_as(subject, f"{size}", message)

    subject, most = subjects.audit("list.made"), bus.client.max_payload
    with pytest.raises(PermanentError, match="larger than the server takes") as refused:
        await send(most)
    size = int(re.search(r"([0-9,]+) bytes with its headers", refused.value.reason)[1].replace(",", ""))
    assert size > most
    assert f"{subject} is larger" in refused.value.reason
    assert f"over {most:,}" in refused.value.reason
    await send(most - (size - most))
    assert await stored(bus, subjects.AUDIT) == 1


async def test_what_the_server_just_takes_is_sent(bus):
    """The server's own word on where a message is too large: one byte more is refused here, not by hanging up."""
    subject, most = "watchline.v1.audit.list.made", bus.client.max_payload
    headers = {"A": "b", " C ": " d\n ", "E": "ü"}
    size = len(b"NATS/1.0\r\nA: b\r\nC: d\r\nE: \xc3\xbc\r\n\r\n")
    await bus.jetstream.publish(subject, bytes(most - size), headers=headers)
    with pytest.raises(nats.errors.MaxPayloadError):
        await bus.jetstream.publish(subject, bytes(most - size + 1), headers=headers)
    assert await stored(bus, subjects.AUDIT) == 1


async def test_the_trace_goes_on_from_one_message_to_the_next(bus):
    trace = codec.new_trace()
    await bus.publish(EXAMPLES["alert"], trace)
    message = await bus.jetstream.get_last_msg("ALERTS", "watchline.v1.alert.station-north.gate-1")
    assert message.headers["traceparent"].split("-")[1] == trace.split("-")[1]
    assert message.headers["Watchline-Type"] == "alert"


# -- following


async def test_a_follower_hears_what_was_there_and_what_comes_in_order(bus):
    for number in range(3):
        await bus.publish(changed("alert", id=f"a{number}"), "")
    following = bus.follow(subjects.ALERTS, subjects.alerts_of("station-north"), Alert)
    heard = [(await anext(following)).id for _ in range(3)]
    for number in range(3, 300):
        await bus.publish(changed("alert", id=f"a{number}"), "")
    heard += [alert.id for alert in await first_of(following, 297)]
    assert heard == [f"a{number}" for number in range(300)]


async def test_a_follower_passes_over_garbage_and_other_deployments(bus):
    await bus.publish(changed("alert", id="other", deployment="elsewhere"), "")
    await bus.jetstream.publish("watchline.v1.alert.station-north.gate-1", b"\xc1 garbage")
    await bus.publish(changed("alert", id="wanted"), "")
    found = await first_of(bus.follow(subjects.ALERTS, subjects.alerts_of("station-north"), Alert), 1)
    assert [alert.id for alert in found] == ["wanted"]


# -- asking


async def test_an_ask_is_answered(bus):
    async with bus.answering(subjects.DETECT, DetectRequest, detects, concurrency=2):
        answer = await bus.ask(subjects.DETECT, changed("detect_request", frame=77), Detections)
    assert answer.frame == 77


async def test_an_ask_that_nobody_can_answer_fails_at_once(bus):
    with pytest.raises(TransientError, match=r"^detect does not run$") as caught:
        async with asyncio.timeout(1.5):  # sooner than the time-out of an ask
            await bus.ask(subjects.DETECT, QUESTION, Detections)
    assert caught.value.subject == subjects.DETECT


async def test_an_ask_that_is_not_answered_in_time_may_be_asked_again(bus):
    never = asyncio.Event()

    async def sleeps(_ask):
        await never.wait()
        return ANSWER

    async with bus.answering(subjects.DETECT, DetectRequest, sleeps, concurrency=1):
        with pytest.raises(TransientError, match=r"^detect has not answered in 0\.2 s$"):
            await bus.ask(subjects.DETECT, QUESTION, Detections, timeout_s=0.2)
        never.set()


async def test_an_act_that_is_not_answered_in_time_may_be_done(bus):
    never = asyncio.Event()

    async def sleeps(_ask):
        await never.wait()
        return ANSWER

    subject = f"{subjects.WATCHLIST}.create"
    async with bus.answering(subject, Sealed, sleeps, concurrency=1):
        with pytest.raises(
            TransientError, match=r"^match has not answered in 0\.2 s; the act may be done: look first$"
        ):
            await bus.ask(subject, changed("sealed"), Detections, timeout_s=0.2)
        never.set()


@pytest.mark.parametrize(
    ("error", "raised", "words"),
    [
        (PermanentError("the picture is damaged"), AskError, "the picture is damaged"),
        (UserError("no such list", "create it"), AskError, "no such list: create it"),
        (TransientError("the engine is away"), TransientError, "the engine is away"),
        (RuntimeError("quoting a template"), AskError, "RuntimeError"),
    ],
    ids=["permanent", "user", "transient", "bug"],
)
async def test_what_the_answering_side_raises_reaches_the_asking_side(bus, error, raised, words):
    async def refuses(_ask):
        raise error

    async with bus.answering(subjects.DETECT, DetectRequest, refuses, concurrency=1):
        with pytest.raises(raised, match=words) as caught:
            await bus.ask(subjects.DETECT, QUESTION, Detections)
    assert "quoting a template" not in str(caught.value)
    if isinstance(error, RuntimeError):
        assert caught.value.code == "500"
        assert [entry["event"] for entry in bus.log.entries if entry["log_level"] == "error"] == ["ask.bug"]
        assert "quoting a template" not in str(bus.log.entries)


async def test_a_refusal_with_many_reasons_arrives_whole(bus):
    reasons = "; ".join(f"the list list-{number} is older than the profile allows" for number in range(60))

    async def refuses(_ask):
        raise PermanentError(reasons)

    async with bus.answering(subjects.DETECT, DetectRequest, refuses, concurrency=1):
        with pytest.raises(AskError) as caught:
            await bus.ask(subjects.DETECT, QUESTION, Detections)
    assert caught.value.detail == reasons


async def test_a_refusal_of_several_lines_arrives_as_one(bus):
    async def refuses(_ask):
        raise PermanentError("one\r\ntwo\nthree")

    async with bus.answering(subjects.DETECT, DetectRequest, refuses, concurrency=1):
        with pytest.raises(AskError, match=r"one  ?two three"):
            await bus.ask(subjects.DETECT, QUESTION, Detections)


async def test_a_garbage_ask_is_refused_and_dead_lettered_and_the_desk_goes_on(bus):
    async with bus.answering(subjects.DETECT, DetectRequest, detects, concurrency=1):
        reply = await bus.client.request(subjects.DETECT, b"\xc1 do not quote me", timeout=SOON_S)
        assert reply.headers["Nats-Service-Error-Code"] == "400"
        assert (await bus.ask(subjects.DETECT, QUESTION, Detections)).camera == QUESTION.camera
    letter = await bus.jetstream.get_last_msg("DEADLETTERS", "watchline.v1.deadletter.detect")
    assert b"not MessagePack" in letter.data
    assert b"do not quote me" not in letter.data


async def test_an_ask_of_another_kind_is_refused(bus):
    async with bus.answering(subjects.DETECT, DetectRequest, detects, concurrency=1):
        with pytest.raises(AskError, match="headed 'embed_request'"):
            await bus.ask(subjects.DETECT, EmbedRequest(chips=EXAMPLES["embed_request"].chips), Detections)


async def test_an_answer_of_another_kind_is_no_answer(bus):
    async def confused(_ask):
        return EXAMPLES["embed_reply"]

    async with bus.answering(subjects.DETECT, DetectRequest, confused, concurrency=1):
        with pytest.raises(codec.DecodeError, match="headed 'embed_reply'"):
            await bus.ask(subjects.DETECT, QUESTION, Detections)


async def test_replicas_share_the_asks_and_each_is_answered_once(bus, nats_server, log):
    answered = []

    def replica(name):
        async def answers(ask):
            answered.append((ask.frame, name))
            return await detects(ask)

        return answers

    async with (
        another_bus(nats_server, log) as other,
        bus.answering(subjects.DETECT, DetectRequest, replica("first"), concurrency=4),
        other.answering(subjects.DETECT, DetectRequest, replica("second"), concurrency=4),
    ):
        asks = [bus.ask(subjects.DETECT, changed("detect_request", frame=frame), Detections) for frame in range(60)]
        await asyncio.gather(*asks)
    assert sorted(frame for frame, _ in answered) == list(range(60))
    assert {name for _, name in answered} == {"first", "second"}


async def test_no_more_asks_are_in_hand_than_there_are_hands(bus):
    in_hand, most, go = 0, 0, asyncio.Event()
    full = asyncio.Event()

    async def answers(ask):
        nonlocal in_hand, most
        in_hand += 1
        most = max(most, in_hand)
        if in_hand == 3:
            full.set()
        await go.wait()
        in_hand -= 1
        return await detects(ask)

    async with bus.answering(subjects.DETECT, DetectRequest, answers, concurrency=3):
        asks = asyncio.gather(
            *(bus.ask(subjects.DETECT, changed("detect_request", frame=n), Detections, SOON_S) for n in range(20))
        )
        await full.wait()
        go.set()
        assert len(await asks) == 20
    assert most == 3


async def test_a_desk_that_closes_finishes_what_it_has_in_hand(bus):
    begun, go = asyncio.Event(), asyncio.Event()

    async def answers(ask):
        begun.set()
        await go.wait()
        return await detects(ask)

    async with bus.answering(subjects.DETECT, DetectRequest, answers, concurrency=1):
        asked = asyncio.create_task(bus.ask(subjects.DETECT, QUESTION, Detections, SOON_S))
        await begun.wait()
        asyncio.get_running_loop().call_later(0.05, go.set)
    assert (await asked).camera == QUESTION.camera


# -- micro services


async def test_a_micro_service_is_found_and_described_by_the_usual_tools(bus):
    endpoints = {"entries": Endpoint(EntriesRequest, lists), "create": Endpoint(EntriesRequest, lists)}
    async with bus.micro_service("watchlist", subjects.WATCHLIST, endpoints):
        ping = json.loads((await bus.client.request("$SRV.PING.watchlist", timeout=SOON_S)).data)
        info = json.loads((await bus.client.request("$SRV.INFO.watchlist", timeout=SOON_S)).data)
        reply = await bus.ask(f"{subjects.WATCHLIST}.entries", EntriesRequest(watch_list="wanted"), EntriesReply)
    assert ping["type"] == "io.nats.micro.v1.ping_response"
    assert {endpoint["subject"] for endpoint in info["endpoints"]} == {
        "watchline.v1.watchlist.entries",
        "watchline.v1.watchlist.create",
    }
    assert reply.record == EXAMPLES["watch_list_record"]


async def test_a_micro_service_refuses_garbage_and_goes_on(bus):
    subject = f"{subjects.WATCHLIST}.entries"
    async with bus.micro_service("watchlist", subjects.WATCHLIST, {"entries": Endpoint(EntriesRequest, lists)}):
        reply = await bus.client.request(subject, b"garbage", timeout=SOON_S)
        assert reply.headers["Nats-Service-Error-Code"] == "400"
        assert (await bus.ask(subject, EntriesRequest(watch_list="wanted"), EntriesReply)).entries == ()


async def test_a_micro_service_that_stopped_is_gone(bus):
    async with bus.micro_service("watchlist", subjects.WATCHLIST, {}):
        pass
    with pytest.raises(nats.errors.NoRespondersError):
        await bus.client.request("$SRV.PING.watchlist", timeout=SOON_S)


async def test_a_program_is_present_once_it_says_so(bus, nats_server, log):
    async with another_bus(nats_server, log) as program:
        waiting = asyncio.create_task(bus.until_present(["another"]))
        async with program.present():
            await soon(waiting)


async def test_a_micro_service_ends_in_time_when_the_server_is_gone(bus, nats_server):
    async with asyncio.timeout(4):  # five seconds are allowed for everything
        async with bus.micro_service("watchlist", subjects.WATCHLIST, {}):
            nats_server.kill()


# -- streams as they lie there


async def append(bus, number, expected_last):
    sealed = changed("sealed", body=f"entry {number}".encode())
    return await bus.append(subjects.AUDIT, subjects.audit("deployment.armed"), sealed, expected_last)


async def fill(bus, count):
    for number in range(count):
        await bus.client.publish(subjects.audit("deployment.armed"), b"%d" % number)

    async def are_there():
        return await stored(bus, subjects.AUDIT) == count

    await until(are_there)


async def test_what_is_appended_lies_in_order_as_it_was_written(bus):
    assert await bus.last_sequence(subjects.AUDIT) == 0
    assert [await append(bus, number, number) for number in range(3)] == [1, 2, 3]
    found = [stored async for stored in bus.stored(subjects.AUDIT)]
    assert [stored.sequence for stored in found] == [1, 2, 3]
    assert found[1].data == codec.encode(changed("sealed", body=b"entry 1"))
    assert {stored.subject for stored in found} == {"watchline.v1.audit.deployment.armed"}
    assert [stored.sequence async for stored in bus.stored(subjects.AUDIT, first=3)] == [3]
    assert await bus.last_sequence(subjects.AUDIT) == 3


async def test_of_many_who_append_at_one_place_one_does(bus):
    await append(bus, 1, 0)
    outcomes = await asyncio.gather(*(append(bus, number, 1) for number in range(2, 12)), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict"] * 9 + ["int"]
    with pytest.raises(Conflict):
        await append(bus, 12, 5)  # nor beyond the end
    assert await stored(bus, subjects.AUDIT) == 2


async def test_what_lies_in_a_stream_without_anything_is_nothing(bus):
    assert [stored async for stored in bus.stored(subjects.AUDIT)] == []
    await append(bus, 1, 0)
    assert [stored async for stored in bus.stored(subjects.AUDIT, first=2)] == []
    assert [stored async for stored in bus.stored(subjects.AUDIT, subjects.audit("list.created"))] == []


async def test_more_is_read_than_is_taken_ahead_and_a_reader_may_stop_in_the_midst(bus):
    await fill(bus, 5000)
    assert [int(stored.data) async for stored in bus.stored(subjects.AUDIT)] == list(range(5000))
    reading = bus.stored(subjects.AUDIT)
    assert (await anext(reading)).data == b"0"
    await reading.aclose()


async def test_a_reader_says_when_the_server_goes_in_the_midst(nats_server, log):
    async with another_bus(nats_server, log, ask_timeout_s=0.3) as bus:
        await fill(bus, 20_000)
        reading = bus.stored(subjects.AUDIT)
        await anext(reading)
        nats_server.kill()
        with pytest.raises(TransientError, match="AUDIT could not be read"):
            async for _ in reading:
                pass


async def test_the_server_refuses_to_delete_or_purge_what_is_in_the_audit(bus):
    await append(bus, 1, 0)
    with pytest.raises(TransientError):
        await bus.erase(subjects.AUDIT, await anext(bus.stored(subjects.AUDIT)))
    with pytest.raises(nats.js.errors.APIError):
        await bus.jetstream.purge_stream("AUDIT")
    assert await stored(bus, subjects.AUDIT) == 1


async def test_an_erased_message_is_on_the_disk_no_longer_and_its_neighbours_stay(bus, nats_server):
    for number in range(10):
        await bus.publish(changed("alert", id=f"alert-{number}", subject=f"nominal number {number:04}"), "")
    async for alert in bus.stored(subjects.ALERTS, subjects.alerts_of("station-north")):
        if alert.sequence != 5:
            assert await bus.erase(subjects.ALERTS, alert)
            assert not await bus.erase(subjects.ALERTS, alert)
    assert [alert.sequence async for alert in bus.stored(subjects.ALERTS)] == [5]
    nats_server.kill()
    files = [path.read_bytes() for path in nats_server.store.rglob("*") if path.is_file()]
    assert [number for number in range(10) if any(b"nominal number %04d" % number in data for data in files)] == [4]


# -- portraits


async def test_a_portrait_is_kept_replaced_and_dropped(bus):
    key = subjects.reference_portrait("wanted", "S/0001 *")
    assert await bus.portraits.get(key) is None
    await bus.portraits.put(key, b"first" * 60_000)
    await bus.portraits.put(key, b"second")
    assert await bus.portraits.get(key) == b"second"
    await bus.portraits.drop(key)
    assert await bus.portraits.get(key) is None
    await bus.portraits.drop(key)


PIXELS = b"\x00pixels of a face\xff" * 20_000
REFERENCE = "reference.wanted.S-1"


def with_pixels_on_disk(nats_server):
    """The files of the killed server that hold pixels."""
    nats_server.kill()
    files = [path for path in nats_server.store.rglob("*") if path.is_file()]
    assert files
    return [path for path in files if PIXELS[:40] in path.read_bytes()]


async def test_a_kept_portrait_is_found_on_the_disk(bus, nats_server):
    await bus.portraits.put(REFERENCE, PIXELS)
    assert with_pixels_on_disk(nats_server)


async def test_a_dropped_portrait_is_on_the_disk_no_longer(bus, nats_server):
    await bus.portraits.put(REFERENCE, PIXELS)
    await bus.portraits.drop(REFERENCE)
    assert await bus.portraits.get(REFERENCE) is None
    await bus.portraits.drop(REFERENCE)
    assert with_pixels_on_disk(nats_server) == []


async def test_a_replaced_portrait_is_on_the_disk_no_longer(bus, nats_server):
    await bus.portraits.put(REFERENCE, PIXELS)
    await bus.portraits.put(REFERENCE, b"another")
    assert await bus.portraits.get(REFERENCE) == b"another"
    assert with_pixels_on_disk(nats_server) == []


async def test_the_same_portrait_again_changes_nothing(bus):
    await bus.portraits.put(REFERENCE, PIXELS)
    before = await bus.jetstream.stream_info("OBJ_reference-portraits")
    await bus.portraits.put(REFERENCE, PIXELS)
    after = await bus.jetstream.stream_info("OBJ_reference-portraits")
    assert after.state.last_seq == before.state.last_seq
    assert await bus.portraits.get(REFERENCE) == PIXELS


async def test_the_usual_tools_can_read_a_portrait(bus):
    await bus.portraits.put(REFERENCE, PIXELS)
    store = await bus.jetstream.object_store("reference-portraits")
    assert (await store.get(REFERENCE)).data == PIXELS
    assert [info.name for info in await store.list()] == [REFERENCE]


async def test_portraits_are_listed_with_when_they_came(bus):
    await bus.portraits.put(REFERENCE, PIXELS)
    await bus.portraits.put("reference.wanted.S-2", PIXELS)
    await bus.portraits.put("alert.a1", PIXELS)
    await bus.portraits.drop("reference.wanted.S-2")
    assert list(await bus.portraits.all(subjects.REFERENCE_PORTRAITS)) == [REFERENCE]
    ((key, at),) = (await bus.portraits.all(subjects.ALERT_PORTRAITS)).items()
    assert key == "alert.a1"
    assert abs(at - time.time()) < SOON_S


async def test_the_parts_of_a_portrait_that_was_never_completed_are_overwritten(bus, nats_server):
    await bus.jetstream.publish("$O.reference-portraits.C.half", PIXELS[:1000])  # and then its program died
    await bus.portraits.put(REFERENCE, b"whole")
    assert await bus.portraits.drop_parts(subjects.REFERENCE_PORTRAITS, time.time() - 3600) == 0
    assert await bus.portraits.drop_parts(subjects.REFERENCE_PORTRAITS, time.time() + 1) == 1
    assert await bus.portraits.get(REFERENCE) == b"whole"
    assert with_pixels_on_disk(nats_server) == []


async def test_a_portrait_whose_writing_fails_half_way_is_not_on_the_disk(bus, nats_server, monkeypatch):
    async def fail(_info):
        raise nats.errors.TimeoutError

    monkeypatch.setattr(bus.portraits, "_publish", fail)
    with pytest.raises(TransientError):
        await bus.portraits.put(REFERENCE, PIXELS)
    assert with_pixels_on_disk(nats_server) == []


# -- a server that goes and comes


async def test_everything_goes_on_when_the_server_was_killed_and_started_again(bus, nats_server):
    following = bus.follow(subjects.ALERTS, subjects.alerts_of("station-north"), Alert)
    await bus.publish(changed("alert", id="before"), "")
    assert (await anext(following)).id == "before"
    async with bus.answering(subjects.DETECT, DetectRequest, detects, concurrency=2):
        back = bus.reconnected
        nats_server.restart()
        await soon(back.wait())
        await eventually(lambda: bus.publish(changed("alert", id="after"), ""))
        await eventually(lambda: bus.publish(EXAMPLES["sample"], ""))
        answer = await eventually(lambda: bus.ask(subjects.DETECT, QUESTION, Detections))
    assert (await first_of(following, 1))[0].id == "after"
    assert answer.camera == QUESTION.camera
    assert await stored(bus, subjects.SAMPLES) == 1
    said = [entry["event"] for entry in bus.log.entries if entry["log_level"] != "debug"]
    assert said == ["bus.disconnected", "bus.reconnected"]


async def test_a_publication_while_the_server_is_away_is_refused_not_forgotten(nats_server, log):
    async with another_bus(nats_server, log, ask_timeout_s=0.3) as bus:
        nats_server.kill()
        with pytest.raises(TransientError):
            await bus.publish(EXAMPLES["alert"], "")
        nats_server.start()
        await eventually(lambda: bus.publish(EXAMPLES["alert"], ""))
        assert await stored(bus, subjects.ALERTS) == 1


async def test_a_follower_of_a_stream_that_was_wiped_starts_again_with_the_new_one(bus, nats_server):
    following = bus.follow(subjects.ALERTS, subjects.alerts_of("station-north"), Alert)
    for number in range(3):
        await bus.publish(changed("alert", id=f"old{number}"), "")
        assert (await anext(following)).id == f"old{number}"
    back = bus.reconnected
    nats_server.kill()
    shutil.rmtree(nats_server.store)
    nats_server.start()
    await soon(back.wait())
    await eventually(lambda: bus.publish(changed("alert", id="new"), ""))
    assert [alert.id for alert in await first_of(following, 1)] == ["new"]


async def test_a_bus_closes_in_time_when_the_server_is_gone(nats_server, log):
    async with asyncio.timeout(4):
        async with another_bus(nats_server, log):
            nats_server.kill()


async def test_what_was_sent_before_is_with_the_server_once_it_is_flushed(nats_server, log, monkeypatch):
    async with connect(NatsSettings(url=nats_server.url), "tests", log) as bus:
        transport, sent = bus.client._transport, []
        write, writelines = transport.write, transport.writelines
        monkeypatch.setattr(transport, "write", lambda data: (sent.append(data), write(data)))
        monkeypatch.setattr(transport, "writelines", lambda lines: (sent.extend(lines), writelines(lines)))
        await bus.client.subscribe("watchline.v1.tests")
        await flushed(bus.client)
        subscribed = next(number for number, data in enumerate(sent) if data.startswith(b"SUB watchline.v1.tests"))
        assert any(data.startswith(b"PING") for data in sent[subscribed:])
