"""The run loop of a stage on a real server: what becomes of a message, outcome by outcome."""

import asyncio
import sys
from contextlib import asynccontextmanager

import msgpack
import pytest

from libs.actor import Actor, Stage
from libs.bus import connect
from libs.errors import PermanentError, TransientError
from libs.settings import NatsSettings, ServiceSettings
from proto import codec, subjects
from proto.messages import Candidates, DeadLetter, Probe
from tests.examples import EXAMPLES, changed
from tests.waiting import SOON_S, soon, until

CONTENT = "nobody-may-read-this"
QUICK = {"ack_wait_s": 0.4, "max_deliver": 3, "grace_s": 2.0}


class Handler:
    """A handler that does as it is told, once for each delivery and then as for the last, and keeps count."""

    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)
        self.handled = []

    async def __call__(self, probe):
        outcome = self.outcomes[min(len(self.handled), len(self.outcomes) - 1)] if self.outcomes else None
        self.handled.append(probe.sample)
        if isinstance(outcome, BaseException):
            raise outcome
        if callable(outcome):
            return await outcome(probe)
        return [candidates(probe)]


def candidates(probe):
    return changed("candidates", sample=probe.sample)


@asynccontextmanager
async def running(bus, handler, **settings):
    """An actor on the probes; gives the event that stops it, and waits for its end."""
    stopping = asyncio.Event()
    stage = Stage("match", subjects.PROBES, Probe, handler)
    actor = Actor(stage, bus, ServiceSettings(**{**QUICK, **settings}), bus.log)
    task = asyncio.create_task(actor.run(stopping), name="actor under test")
    try:
        yield stopping
    finally:
        stopping.set()
        await soon(task)


async def die_of_a_message(server, max_deliver):
    """Runs a process of the same stage that dies of the first message it is given; says which it was."""
    command = [sys.executable, "-m", "tests.deadly_stage", server.url, str(max_deliver)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    said, _ = await soon(process.communicate())
    assert process.returncode == 9
    return int(said)


async def send(bus, *samples):
    for sample in samples:
        await bus.publish(changed("probe", sample=sample), "")


async def count(bus, stream):
    return (await bus.jetstream.stream_info(stream)).state.messages


async def published(bus):
    """The candidate lists that were published, in order."""
    last = (await bus.jetstream.stream_info("CANDIDATES")).state.last_seq
    messages = [await bus.jetstream.get_msg("CANDIDATES", seq) for seq in range(1, last + 1)]
    return [codec.decode(Candidates, message.data, message.headers).sample for message in messages]


async def letters(bus):
    """The dead letters, and their bytes as anybody can read them."""
    last = (await bus.jetstream.stream_info("DEADLETTERS")).state.last_seq
    messages = [await bus.jetstream.get_msg("DEADLETTERS", seq) for seq in range(1, last + 1)]
    return [codec.decode(DeadLetter, message.data) for message in messages], b"".join(
        message.data + repr(message.headers).encode() for message in messages
    )


def settled(bus):
    """Whether every probe is settled and gone."""

    async def check():
        return await count(bus, "PROBES") == 0

    return check


def outcomes(bus):
    return [entry["outcome"] for entry in bus.log.entries if entry["event"] == "message"]


# -- the outcomes


async def test_what_a_handler_returns_is_published_before_its_message_is_acknowledged(bus):
    async with running(bus, Handler()):
        await send(bus, 1, 2, 3)
        await until(settled(bus))
    assert sorted(await published(bus)) == [1, 2, 3]
    assert outcomes(bus) == ["done"] * 3


async def test_a_handler_that_returns_nothing_has_done_its_work(bus):
    async def nothing(_probe):
        return []

    async with running(bus, Handler(nothing)):
        await send(bus, 1)
        await until(settled(bus))
    assert await published(bus) == []


async def test_the_trace_goes_from_a_message_to_what_it_causes(bus):
    trace = codec.new_trace()
    async with running(bus, Handler()):
        await bus.publish(EXAMPLES["probe"], trace)
        await until(settled(bus))
    caused = await bus.jetstream.get_msg("CANDIDATES", 1)
    assert caused.headers["traceparent"].split("-")[1] == trace.split("-")[1]


async def test_a_transient_error_hands_the_message_back_and_it_comes_again_after_the_delay(bus):
    handler = Handler(TransientError("the gallery is away", delay_s=0.2), None)
    async with running(bus, handler):
        await send(bus, 1)
        begun = asyncio.get_running_loop().time()
        await until(settled(bus))
        assert asyncio.get_running_loop().time() - begun >= 0.15
    assert handler.handled == [1, 1]
    assert outcomes(bus) == ["retry", "done"]
    assert await published(bus) == [1]


async def test_a_message_may_be_handed_back_however_often_and_is_not_lost(bus):
    """A gallery that is away for a while, or a full stream, must not turn messages into dead letters."""
    handler = Handler(*[TransientError("the gallery is away", delay_s=0.01)] * 12, None)
    async with running(bus, handler, max_deliver=3):
        await send(bus, 1)
        await until(settled(bus))
    assert len(handler.handled) == 13
    assert await published(bus) == [1]
    assert await count(bus, "DEADLETTERS") == 0


async def test_a_full_stream_behind_a_stage_holds_its_messages_back_and_loses_none(bus):
    info = await bus.jetstream.stream_info("CANDIDATES")
    await bus.jetstream.update_stream(info.config.evolve(max_msgs=2))
    async with running(bus, Handler(), max_deliver=1):
        await send(bus, 1, 2, 3, 4, 5)

        async def three_were_refused():
            return outcomes(bus).count("retry") >= 3

        await until(three_were_refused)
        assert await count(bus, "PROBES") == 3
        await bus.jetstream.update_stream(info.config)
        await until(settled(bus))
    assert sorted(await published(bus)) == [1, 2, 3, 4, 5]
    assert await count(bus, "DEADLETTERS") == 0


async def test_a_permanent_error_is_a_dead_letter_with_ids_and_the_reason_and_none_of_the_content(bus):
    error = PermanentError("the template has no direction")
    handler = Handler(error)
    async with running(bus, handler):
        await bus.publish(changed("probe", portrait=CONTENT.encode()), "")
        await until(settled(bus))
    (letter,), raw = await letters(bus)
    assert handler.handled == [2]
    assert (letter.stage, letter.subject) == ("match", "watchline.v1.probe.gate-1")
    assert (letter.message_id, letter.message_kind) == ("probe.gate-1-0c8f-17.2", "probe")
    assert (letter.reason, letter.deliveries) == (error.reason, 1)
    assert CONTENT.encode() not in raw
    assert EXAMPLES["probe"].template.tobytes() not in raw
    assert await published(bus) == []


GARBAGE = {
    "nothing": b"",
    "text": CONTENT.encode(),
    "another map": msgpack.packb({"template": CONTENT}),
    "half a message": codec.encode(EXAMPLES["probe"])[:100],
    "an alert": codec.encode(EXAMPLES["alert"]),
    "a dtype that is a list": msgpack.packb({**EXAMPLES["probe"].model_dump(), "template": {"dtype": [CONTENT]}}),
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
async def test_garbage_is_dead_lettered_at_once_unquoted_and_the_stage_goes_on_after(bus, data):
    async with running(bus, Handler()):
        await bus.jetstream.publish("watchline.v1.probe.gate-1", data)
        await send(bus, 1)
        await until(settled(bus))
    (letter,), raw = await letters(bus)
    assert letter.reason.startswith("not a probe")
    assert letter.message_id == "1"  # without an id of its own it is known by its place in the stream
    assert CONTENT.encode() not in raw
    assert CONTENT not in str(bus.log.entries)
    assert await published(bus) == [1]


async def test_a_bug_is_logged_without_its_words_retried_and_dead_lettered_when_it_stays(bus):
    handler = Handler(ZeroDivisionError(CONTENT))
    async with running(bus, handler, max_deliver=3):
        await send(bus, 1)
        await until(settled(bus))
    (letter,), raw = await letters(bus)
    assert handler.handled == [1, 1, 1]
    assert (letter.reason, letter.deliveries) == ("a bug: ZeroDivisionError", 3)
    assert outcomes(bus) == ["bug", "bug", "dead"]
    bugs = [entry for entry in bus.log.entries if entry["event"] == "handler.bug"]
    assert len(bugs) == 3
    assert "in __call__" in bugs[0]["traceback"]
    assert CONTENT not in str(bus.log.entries)
    assert CONTENT.encode() not in raw


async def test_a_bug_that_goes_away_costs_nothing(bus):
    async with running(bus, Handler(RuntimeError("once"), None)):
        await send(bus, 1)
        await until(settled(bus))
    assert await published(bus) == [1]
    assert await count(bus, "DEADLETTERS") == 0


async def test_one_bad_message_does_not_hold_up_the_good_ones(bus):
    async def only_the_second_is_bad(probe):
        if probe.sample == 2:
            raise RuntimeError("each time")
        return [candidates(probe)]

    async with running(bus, Handler(only_the_second_is_bad)):
        await send(bus, 1, 2, 3, 4)
        await until(settled(bus))
    assert sorted(await published(bus)) == [1, 3, 4]
    assert await count(bus, "DEADLETTERS") == 1


# -- death


async def test_a_message_whose_process_died_is_handled_by_another(bus, nats_server):
    await send(bus, 1)
    assert await die_of_a_message(nats_server, max_deliver=3) == 1
    survivor = Handler()
    async with running(bus, survivor):
        await until(settled(bus))
    assert survivor.handled == [1]
    assert await published(bus) == [1]


async def test_a_message_that_kills_each_process_is_dead_lettered_in_the_end(bus, nats_server):
    await send(bus, 1)
    for _ in range(2):
        assert await die_of_a_message(nats_server, max_deliver=1) == 1
    survivor = Handler()
    async with running(bus, survivor, max_deliver=1):
        await until(settled(bus))
    (letter,), _ = await letters(bus)
    assert letter.reason == "its handler died each time"
    assert survivor.handled == []
    assert await published(bus) == []


async def test_a_message_that_was_published_and_not_acknowledged_causes_nothing_twice(bus):
    """The process died between the two."""
    await send(bus, 1)
    await bus.publish(changed("candidates", sample=1), "")
    async with running(bus, Handler()):
        await until(settled(bus))
    assert await published(bus) == [1]


async def test_a_long_handler_keeps_its_message(bus):
    go = asyncio.Event()

    async def takes_its_time(probe):
        await go.wait()
        return [candidates(probe)]

    handler = Handler(takes_its_time)
    async with running(bus, handler, ack_wait_s=1.0):
        await send(bus, 1)
        asyncio.get_running_loop().call_later(2.5, go.set)  # more than twice the wait
        await until(settled(bus))
    assert handler.handled == [1]


# -- load


async def test_no_more_is_in_hand_than_the_capacity(bus):
    in_hand, most = 0, 0

    async def measures(probe):
        nonlocal in_hand, most
        in_hand += 1
        most = max(most, in_hand)
        await asyncio.sleep(0.002)
        in_hand -= 1
        return [candidates(probe)]

    async with running(bus, Handler(measures), concurrency=3):
        await send(bus, *range(1, 61))
        await until(settled(bus))
    assert most == 3
    assert sorted(await published(bus)) == list(range(1, 61))


# -- the end


async def test_a_stopping_actor_finishes_what_it_began_and_hands_the_rest_to_a_replica_at_once(bus, nats_server, log):
    """With an acknowledgement wait of half a minute, whatever came to the replica was handed to it."""
    begun, go = asyncio.Event(), asyncio.Event()

    async def waits(probe):
        begun.set()
        await go.wait()
        return [candidates(probe)]

    first, second = Handler(waits), Handler()
    slow = {"ack_wait_s": 30.0, "grace_s": SOON_S}
    async with (
        connect(NatsSettings(url=nats_server.url), "replica", log) as other,
        running(bus, first, concurrency=2, **slow) as stopping,
    ):
        await send(bus, *range(1, 9))
        await begun.wait()
        stopping.set()
        async with running(other, second, **slow):
            await until(lambda: have_come(second, 6))
            go.set()
            await until(settled(bus))
    assert sorted(first.handled + second.handled) == list(range(1, 9))
    assert sorted(await published(bus)) == list(range(1, 9))
    assert await count(bus, "DEADLETTERS") == 0


async def have_come(handler, number):
    return len(handler.handled) >= number


async def test_what_takes_longer_than_the_grace_time_is_left_to_another(bus):
    begun = asyncio.Event()

    async def never_ends(_probe):
        begun.set()
        await asyncio.Event().wait()

    successor = Handler()
    async with running(bus, Handler(never_ends), grace_s=0.1):
        await send(bus, 1)
        await begun.wait()
    async with running(bus, successor):
        await until(settled(bus))
    assert successor.handled == [1]


async def test_an_idle_actor_stops_at_once(bus):
    async with asyncio.timeout(2):
        async with running(bus, Handler()) as stopping:
            stopping.set()


async def test_a_stage_goes_on_when_the_server_was_killed_in_the_middle_of_its_work(bus, nats_server):
    begun, go = asyncio.Event(), asyncio.Event()

    async def waits(probe):
        begun.set()
        await go.wait()
        return [candidates(probe)]

    async with running(bus, Handler(waits)):
        await send(bus, 1)
        await begun.wait()
        back = bus.reconnected
        nats_server.restart()
        await soon(back.wait())
        go.set()

        async def is_published():
            return await count(bus, "CANDIDATES") == 1

        await until(is_published)
        await send(bus, 2)
        await until(settled(bus))
    assert sorted(await published(bus)) == [1, 2]


async def test_a_log_line_tells_of_each_message_and_nothing_of_its_content(bus):
    async with running(bus, Handler()):
        await bus.publish(changed("probe", portrait=CONTENT.encode()), "")
        await until(settled(bus))
    (line,) = [entry for entry in bus.log.entries if entry["event"] == "message"]
    assert line["id"] == "probe.gate-1-0c8f-17.2"
    assert (line["stage"], line["outcome"], line["deliveries"]) == ("match", "done", 1)
    assert line["seconds"] >= 0
    assert line["waited_s"] >= 0
    assert all(isinstance(value, (str, int, float)) for value in line.values())
    assert CONTENT not in str(line)
