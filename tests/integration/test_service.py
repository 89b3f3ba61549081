"""A service as a process: what it says when it cannot start, that it is ready, and that it ends when it is told to."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
import urllib.error
import urllib.request
from contextlib import asynccontextmanager

from libs.seals import Signer
from proto import codec
from tests.examples import changed
from tests.waiting import SOON_S, soon, until

GOVERN = Signer.generate("govern")
WARRANT = codec.encode(GOVERN.seal(changed("warrant", ends_at=4_000_000_000.0)))
QUIET = {
    **{name: value for name, value in os.environ.items() if not name.startswith("WATCHLINE_")},
    "WATCHLINE_TRUST_PUBLIC_KEY": str(GOVERN.public),
}


@asynccontextmanager
async def started(**settings):
    """The service `alert` (it needs no model) as a process."""
    environment = {**QUIET, "WATCHLINE_LOG_FORMAT": "json", **settings}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.alert"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def last_words(**settings):
    """The exit code of a service that cannot start, and what it said."""
    async with started(**settings) as process:
        said, complained = await soon(process.communicate())
        return process.returncode, said.decode(), complained.decode()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def event(process, name):
    """The log line of an event."""
    async with asyncio.timeout(SOON_S):
        async for line in process.stderr:
            if (entry := json.loads(line))["event"] == name:
                return entry
    raise AssertionError(f"the service ended without {name}")


def one_line(text):
    assert "Traceback" not in text
    lines = [line for line in text.splitlines() if not line.startswith("{")]
    assert len(lines) == 1, text
    return lines[0]


async def test_no_nats_at_the_address_is_one_line_and_exit_code_three():
    url = f"nats://127.0.0.1:{free_port()}"
    code, said, complained = await last_words(WATCHLINE_NATS_URL=url, WATCHLINE_NATS_WAIT_S="0.5")
    assert (code, said) == (3, "")
    assert re.fullmatch(
        rf"alert: no NATS server with JetStream answers at {url}.*WATCHLINE_NATS_URL.*", one_line(complained)
    )


async def test_a_bad_setting_is_one_line_and_exit_code_two():
    code, _, complained = await last_words(WATCHLINE_SERVICE_CONCURRENCY="lots")
    assert code == 2
    assert one_line(complained).startswith("alert: WATCHLINE_SERVICE_CONCURRENCY='lots' will not do")


async def test_a_bad_setting_of_the_service_itself_is_one_line_and_exit_code_two(nats_server):
    code, _, complained = await last_words(WATCHLINE_NATS_URL=nats_server.url, WATCHLINE_ALERT_HOLD_S="-1")
    assert code == 2
    assert one_line(complained).startswith("alert: WATCHLINE_ALERT_HOLD_S='-1' will not do")


async def test_a_taken_health_port_is_one_line_and_exit_code_two(nats_server):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, _, complained = await last_words(WATCHLINE_NATS_URL=nats_server.url, WATCHLINE_HEALTH_PORT=port)
    assert code == 2
    assert "set WATCHLINE_HEALTH_PORT" in one_line(complained)


async def test_a_service_that_is_not_told_whom_to_trust_does_not_start(nats_server):
    code, _, complained = await last_words(WATCHLINE_NATS_URL=nats_server.url, WATCHLINE_TRUST_PUBLIC_KEY="")
    assert code == 2
    assert "WATCHLINE_TRUST_PUBLIC_KEY does not name the key of govern" in one_line(complained)


async def test_nothing_is_raised_on_a_warrant_that_somebody_else_has_sealed(bus, nats_server):
    forged = Signer.generate("govern").seal(changed("warrant", ends_at=4_000_000_000.0))
    await (await bus.jetstream.key_value("warrants")).put("station-north", codec.encode(forged))
    async with started(WATCHLINE_NATS_URL=nats_server.url) as service:
        await event(service, "ready")
        await bus.publish(changed("candidates", sample=1), "")
        assert (await event(service, "message"))["outcome"] == "dead"
    assert (await bus.jetstream.stream_info("ALERTS")).state.messages == 0


async def test_a_seed_is_raised_where_no_operator_looks(bus, nats_server):
    warrant = GOVERN.seal(changed("warrant", ends_at=4_000_000_000.0, seed_lists=("wanted",), watch_lists=("missing",)))
    await (await bus.jetstream.key_value("warrants")).put("station-north", codec.encode(warrant))
    async with started(WATCHLINE_NATS_URL=nats_server.url) as service:
        await event(service, "ready")
        await bus.publish(changed("candidates", sample=1), "")
        assert (await event(service, "message"))["outcome"] == "done"
    streams = [(await bus.jetstream.stream_info(name)).state.messages for name in ("ALERTS", "SEEDS")]
    assert streams == [0, 1]


def readiness(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=SOON_S) as answer:
            return answer.status
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code


async def test_a_service_becomes_ready_works_and_ends_with_zero_when_told_to(bus, nats_server):
    await (await bus.jetstream.key_value("warrants")).put("station-north", WARRANT)
    settings = {"WATCHLINE_NATS_URL": nats_server.url, "WATCHLINE_HEALTH_PORT": "0"}
    async with started(**settings) as service:
        port = (await event(service, "health"))["port"]
        await event(service, "ready")
        await soon(bus.until_present(["alert"]))
        assert await asyncio.to_thread(readiness, port) == 200
        await bus.publish(changed("candidates", sample=1), "")
        line = await event(service, "message")
        assert (line["stage"], line["outcome"], line["service"]) == ("alert", "done", "alert")
        service.send_signal(signal.SIGTERM)
        await event(service, "stopping")
        await event(service, "stopped")
        assert await soon(service.wait()) == 0
    info = await bus.jetstream.stream_info("ALERTS")
    assert info.state.messages == 1


async def test_ctrl_c_ends_a_service_as_well(nats_server):
    async with started(WATCHLINE_NATS_URL=nats_server.url) as service:
        await event(service, "ready")
        service.send_signal(signal.SIGINT)
        assert await soon(service.wait()) == 0


async def test_a_service_that_still_waits_for_nats_ends_at_once(nats_server):
    nats_server.kill()
    async with started(WATCHLINE_NATS_URL=nats_server.url, WATCHLINE_HEALTH_PORT="0") as service:
        port = (await event(service, "health"))["port"]
        assert await asyncio.to_thread(readiness, port) == 503
        service.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(service.wait(), 5) == 0
        assert "Traceback" not in (await service.stderr.read()).decode()


async def test_a_service_ends_in_time_while_nats_is_gone(nats_server):
    async with started(WATCHLINE_NATS_URL=nats_server.url) as service:
        await event(service, "ready")
        nats_server.kill()
        service.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(service.wait(), 5) == 0
        assert "Traceback" not in (await service.stderr.read()).decode()


async def test_a_service_goes_on_when_nats_was_killed_and_started_again(bus, nats_server):
    await (await bus.jetstream.key_value("warrants")).put("station-north", WARRANT)
    async with started(WATCHLINE_NATS_URL=nats_server.url) as service:
        await event(service, "ready")
        back = bus.reconnected
        nats_server.restart()
        await soon(back.wait())
        await event(service, "bus.reconnected")
        await bus.publish(changed("candidates", sample=1), "")
        assert (await event(service, "message"))["outcome"] == "done"


GARBAGE = {
    "watchline.v1.candidates.gate-1": b"\xc1 nobody-may-read-this",
    "watchline.v1.candidates.gate-2": b"",
}


async def test_a_service_that_is_sent_garbage_stays_alive_and_quotes_nothing(bus, nats_server):
    await (await bus.jetstream.key_value("warrants")).put("garbage", b"\xc1 nobody-may-read-this")
    await (await bus.jetstream.key_value("warrants")).put("station-north", WARRANT)
    async with started(WATCHLINE_NATS_URL=nats_server.url) as service:
        await event(service, "ready")
        for subject, data in GARBAGE.items():
            await bus.jetstream.publish(subject, data)
            line = await event(service, "message")
            assert line["outcome"] == "dead"
            assert "nobody-may-read-this" not in json.dumps(line)
        await bus.publish(changed("candidates", sample=1), "")
        assert (await event(service, "message"))["outcome"] == "done"

    async def all_are_dead_lettered():
        return (await bus.jetstream.stream_info("DEADLETTERS")).state.messages == 3

    await until(all_are_dead_lettered)
