"""The receiving end of a work queue on a real server: no more in hand than hands, nothing lost on any way out."""

import asyncio
from contextlib import asynccontextmanager

from libs.bus import Inbox, connect
from libs.settings import NatsSettings
from proto import subjects
from tests.examples import changed
from tests.waiting import eventually, soon, until


@asynccontextmanager
async def opened(bus, capacity=4, ack_wait_s=30.0):
    async with Inbox.open(bus, subjects.PROBES, "match", capacity=capacity, ack_wait_s=ack_wait_s) as inbox:
        yield inbox


async def send(bus, *samples):
    for sample in samples:
        await bus.publish(changed("probe", sample=sample), "")


async def waiting(bus):
    """Messages that the server has not given to anybody."""
    return (await bus.jetstream.consumer_info("PROBES", "match")).num_pending


async def out(bus):
    """Messages that somebody holds."""
    return (await bus.jetstream.consumer_info("PROBES", "match")).num_ack_pending


async def at_most(bus, messages):
    return await out(bus) <= messages


async def left(bus):
    return (await bus.jetstream.stream_info("PROBES")).state.messages


def number(delivery):
    return int(delivery.headers["Nats-Msg-Id"].rpartition(".")[2])


async def test_messages_come_in_order_and_are_gone_once_acknowledged(bus):
    await send(bus, *range(1, 21))
    async with opened(bus) as inbox:
        came = []
        for _ in range(20):
            delivery = await soon(inbox.next())
            came.append(number(delivery))
            assert delivery.deliveries == 1
            assert 0 <= delivery.waited_s < 60
            await delivery.ack()
        assert came == list(range(1, 21))
        await until(lambda: nothing_left(bus))


async def nothing_left(bus):
    return await left(bus) == 0


async def test_no_more_is_taken_than_there_are_hands(bus):
    await send(bus, *range(1, 31))
    async with opened(bus, capacity=4) as inbox:
        held = [await soon(inbox.next()) for _ in range(4)]
        assert (await out(bus), await waiting(bus)) == (4, 26)
        for delivery in held:
            await delivery.ack()
        for _ in range(26):
            delivery = await soon(inbox.next())
            assert len(inbox.unsettled()) <= 4
            await until(lambda: at_most(bus, 4))  # the server takes acknowledgements in its own time
            await delivery.ack()


async def test_a_single_hand_is_never_idle(bus):
    async with opened(bus, capacity=1) as inbox:
        for sample in range(1, 6):
            await send(bus, sample)
            delivery = await soon(inbox.next())
            assert number(delivery) == sample
            await delivery.ack()


async def test_what_is_handed_back_comes_again_after_its_delay(bus):
    async with opened(bus) as inbox:
        await send(bus, 1)
        first = await soon(inbox.next())
        begun = asyncio.get_running_loop().time()
        await first.nak(0.3)
        second = await soon(inbox.next())
        assert (number(second), second.deliveries) == (1, 2)
        assert asyncio.get_running_loop().time() - begun >= 0.25
        await second.ack()


async def test_what_is_terminated_never_comes_again(bus):
    async with opened(bus) as inbox:
        await send(bus, 1, 2)
        await (await soon(inbox.next())).term()
        second = await soon(inbox.next())
        assert number(second) == 2
        await second.ack()
        await until(lambda: nothing_left(bus))
        assert await out(bus) == 0


async def test_what_nobody_settles_comes_again_after_the_wait(bus):
    async with opened(bus, ack_wait_s=0.3) as inbox:
        await send(bus, 1)
        await soon(inbox.next())
        again = await soon(inbox.next())
        assert (number(again), again.deliveries) == (1, 2)


async def test_a_sign_of_life_keeps_a_message_in_hand(bus):
    async with opened(bus, ack_wait_s=0.5) as inbox:
        await send(bus, 1)
        delivery = await soon(inbox.next())
        for _ in range(8):
            await asyncio.sleep(0.1)
            await delivery.in_progress()
        info = await bus.jetstream.consumer_info("PROBES", "match")
        assert (info.num_redelivered, info.num_ack_pending) == (0, 1)
        await delivery.ack()


async def test_a_stopping_inbox_hands_unstarted_work_to_a_replica_at_once_and_only_once(bus, nats_server, log):
    """The acknowledgement wait is half a minute: what came to the replica sooner was handed to it."""
    await send(bus, *range(1, 9))
    async with opened(bus, capacity=8) as inbox, connect(NatsSettings(url=nats_server.url), "other", log) as other:
        started = await soon(inbox.next())
        await until(lambda: has_given_everything(bus))
        async with opened(other, capacity=8) as replica:
            await inbox.stop()
            taken_over = [await soon(replica.next()) for _ in range(7)]
            assert sorted(number(delivery) for delivery in taken_over) == list(range(2, 9))
            assert {delivery.deliveries for delivery in taken_over} == {2}
            await started.ack()
            for delivery in taken_over:
                await delivery.ack()
            await until(lambda: nothing_left(bus))


async def has_given_everything(bus):
    return await waiting(bus) == 0


async def test_a_stopped_inbox_takes_nothing_that_comes_later(bus):
    async with opened(bus) as inbox:
        await inbox.stop()
        await send(bus, 1, 2)
        assert await out(bus) == 0
        assert inbox.unsettled() == ()
    async with opened(bus) as replica:
        assert (await soon(replica.next())).deliveries == 1


async def test_an_inbox_stops_in_time_when_the_server_is_gone(bus, nats_server):
    async with asyncio.timeout(4):
        async with opened(bus) as inbox:
            nats_server.kill()
            await inbox.stop()


async def test_work_goes_on_when_the_server_was_killed_and_started_again(bus, nats_server):
    async with opened(bus) as inbox:
        await send(bus, 1)
        await (await soon(inbox.next())).ack()
        back = bus.reconnected
        nats_server.restart()
        await soon(back.wait())
        await eventually(lambda: send(bus, 2))
        again = await soon(inbox.next())
        assert (number(again), again.deliveries) == (2, 1)
        await again.ack()


async def test_work_goes_on_when_somebody_deleted_the_consumer(bus):
    async with opened(bus) as inbox:
        await send(bus, 1)
        await (await soon(inbox.next())).ack()
        await until(lambda: nothing_left(bus))
        await bus.jetstream.delete_consumer("PROBES", "match")
        await send(bus, 2)
        assert number(await soon(inbox.next())) == 2


async def test_settling_while_the_server_is_away_does_no_harm(bus, nats_server):
    async with opened(bus) as inbox:
        await send(bus, 1)
        delivery = await soon(inbox.next())
        nats_server.kill()
        await delivery.in_progress()
        await delivery.ack()
        assert inbox.unsettled() == ()
        nats_server.start()


async def test_a_consumer_that_cannot_be_made_is_said_so_and_made_when_it_can(bus, log):
    async def said_so():
        return any("the consumer match could not be made" in str(entry) for entry in log.entries)

    await bus.jetstream.delete_stream("PROBES")
    async with opened(bus) as inbox:
        await until(said_so)
        await bus.ensure()
        await send(bus, 7)
        delivery = await soon(inbox.next())
        assert number(delivery) == 7
        await delivery.ack()


async def test_a_message_that_looks_like_a_status_is_still_a_message(bus):
    """Anybody may publish an empty message with a header that the server uses for its own news."""
    async with opened(bus) as inbox:
        await bus.jetstream.publish("watchline.v1.probe.gate-1", b"", headers={"Status": "503"})
        delivery = await soon(inbox.next())
        assert delivery.data == b""
        await delivery.term()
