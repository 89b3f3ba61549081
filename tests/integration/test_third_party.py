"""A third party reads alerts and decides about them with nats, msgpack and a signature, and nothing of ours."""

import asyncio
import itertools
import json
import re
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import msgpack
import pytest
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from proto import codec, subjects
from proto.sealed import signed_bytes
from tests.control_room import casework, opened_room
from tests.examples import EXAMPLES, changed
from tests.waiting import SOON_S, soon

CONTROL_ROOM = """
import asyncio, json, sys
import msgpack, nats

async def main(url):
    client = await nats.connect(url)
    alerts = await client.subscribe("watchline.v1.alert.station-north.*")
    for _ in range(2):  # the first ping overtakes what is still to be written
        await client.flush()
    print("listening", flush=True)
    message = await alerts.next_msg(timeout=20)
    alert = msgpack.unpackb(message.data)
    portraits = await client.jetstream().object_store("alert-portraits")
    picture = await portraits.get(alert["portrait"])
    missed = await client.jetstream().subscribe("watchline.v1.alert.*.*", ordered_consumer=True)
    earlier = msgpack.unpackb((await missed.next_msg(timeout=20)).data)
    ours = sorted(name for name in sys.modules if name.split(".")[0] in {"proto", "libs", "services", "watchline"})
    print(json.dumps({
        "alert": alert,
        "headers": dict(message.headers),
        "portrait": picture.data.hex(),
        "earlier": earlier["id"],
        "ours": ours,
        "theirs": sorted({"msgpack", "nats"} & set(sys.modules)),
    }), flush=True)
    await client.close()

asyncio.run(main(sys.argv[1]))
"""
"""Isolated (-I): without our directory, our environment, or anything of ours loaded."""


README = (Path(__file__).parents[2] / "README.md").read_text()
EXAMPLES_SHOWN = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
READ = next(shown for shown in EXAMPLES_SHOWN if "alert[" in shown and "subscribe" in shown)
DECIDE = next(shown for shown in EXAMPLES_SHOWN if "def sign(" in shown)
CHECK = next(shown for shown in EXAMPLES_SHOWN if "def intervention(" in shown)
"""What the README shows of other software: how alerts are read and decided, and how an intervention is checked."""
OPERATOR = (
    """
import asyncio, json, pathlib, secrets, sys, time
import msgpack, nats
from nacl.signing import SigningKey, VerifyKey
"""
    + DECIDE
    + CHECK
    + """
async def main(url, officer, key_file):
    key = SigningKey(bytes.fromhex(pathlib.Path(key_file).read_text()))
    client = await nats.connect(url)
    alerts = await client.subscribe("watchline.v1.alert.station-north.*")
    adjudications = await client.subscribe("watchline.v1.adjudication.station-north.*")
    interventions = await client.subscribe("watchline.v1.intervention.station-north.*")
    for _ in range(2):  # the first ping overtakes what is still to be written
        await client.flush()
    print("listening", flush=True)
    alert = msgpack.unpackb((await alerts.next_msg(timeout=20)).data)
    said = []
    for changes, reason in (({}, "same scar"), ({"id": "another"}, "same scar"), ({}, " ")):
        code = "404"
        while code == "404":  # until the alert is in the hands of people, which takes a moment
            answer = await confirm(client, officer, key, {**alert, **changes}, reason)
            code = (answer.headers or {}).get("Nats-Service-Error-Code", "")
            if changes:
                break
        said.append(code or msgpack.unpackb(answer.data)["case"]["status"])
    print(json.dumps({
        "said": said,
        "decision": msgpack.unpackb((await adjudications.next_msg(timeout=20)).data),
        "intervention": intervention(pathlib.Path("govern.pub").read_text(), await interventions.next_msg(timeout=20)),
        "ours": [name for name in sys.modules if name.split(".")[0] in {"proto", "libs", "services", "watchline"}],
    }), flush=True)
    await client.close()

asyncio.run(main(*sys.argv[1:]))
"""
)


class WallClock:
    """The clock of this machine, which other software goes by too."""

    @property
    def now(self):
        return time.time()

    def __call__(self):
        return self.now


@asynccontextmanager
async def third_party(script, *arguments, cwd):
    """The script as a program in isolation, when it says that it listens."""
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-c", script, *arguments), stdout=asyncio.subprocess.PIPE, cwd=cwd
    )
    try:
        assert await soon(program.stdout.readline()) == b"listening\n"
        yield program
    finally:
        if program.returncode is None:
            program.kill()
            await asyncio.wait_for(program.wait(), SOON_S)


async def test_a_control_room_needs_nats_and_msgpack_and_nothing_of_ours(bus, nats_server, tmp_path):
    alert, portrait = EXAMPLES["alert"], b"\xff\xd8 a portrait \xff\xd9"
    await bus.publish(changed("alert", id="earlier"), "")
    await bus.portraits.put(alert.portrait, portrait)
    async with third_party(CONTROL_ROOM, nats_server.url, cwd=tmp_path) as room:
        await bus.publish(alert, "")
        said, _ = await soon(room.communicate())
    heard = json.loads(said)
    assert heard["ours"] == []
    assert heard["theirs"] == ["msgpack", "nats"]
    assert heard["alert"] == json.loads(alert.model_dump_json())
    assert heard["headers"]["Watchline-Type"] == "alert"
    assert heard["headers"]["Watchline-Version"] == "1"
    assert bytes.fromhex(heard["portrait"]) == portrait
    assert heard["earlier"] == "earlier"


def test_the_control_room_knows_where_to_listen():
    """What the script above spells is what we publish."""
    assert subjects.address(EXAMPLES["alert"])[0] == "watchline.v1.alert.station-north.gate-1"
    assert subjects.alerts_of("station-north") in CONTROL_ROOM
    assert f'"{subjects.ALERT_PORTRAITS.name}"' in CONTROL_ROOM


async def test_an_officer_decides_from_other_software_by_signing_an_act(bus, nats_server, crew, log, tmp_path):
    arguments = nats_server.url, "d-green", str(crew.keys / "d-green.key")
    (tmp_path / "govern.pub").write_text(str(crew.govern.public))
    async with (
        opened_room(bus, crew, WallClock()) as room,
        casework(bus, crew, WallClock(), log, confirmations=1),
        third_party(OPERATOR, *arguments, cwd=tmp_path) as operator,
    ):
        await room.raise_alert()
        said, _ = await soon(operator.communicate())
        decision = (await room.case()).decisions[0]
    heard = json.loads(said)
    assert heard["ours"] == []
    assert heard["said"] == ["confirmed", "404", "400"]
    assert (heard["decision"]["event"], heard["decision"]["officer"]) == ("decision", "d-green")
    assert heard["intervention"]["confirmed_by"] == ["d-green"]
    assert (decision.officer, decision.reason, decision.origin) == ("d-green", "same scar", "control-room-2")


def test_other_software_takes_no_intervention_that_govern_did_not_seal(crew):
    """By the example of the README as it stands there."""
    known = {"msgpack": msgpack, "VerifyKey": VerifyKey}
    exec(CHECK, known)  # noqa: S102  it is ours
    for signer, fits in ((crew.govern, True), (crew["e-white"], False)):
        sealed = signer.seal(EXAMPLES["intervention"])
        message = SimpleNamespace(data=codec.encode(sealed.model_copy(update={"signer": "govern"})))
        if fits:
            assert known["intervention"](str(crew.govern.public), message)["alert"] == "a1b2c3"
        else:
            with pytest.raises(BadSignatureError):
                known["intervention"](str(crew.govern.public), message)


def test_what_other_software_signs_is_what_we_check():
    assert signed_bytes("act", "d-green", b"body") == b"watchline seal 1\0act\0d-green\0body"
    assert f'"{subjects.CASES}.adjudicate"' in DECIDE
    assert len(DECIDE.strip().splitlines()) <= 12


async def test_the_readme_shows_how_alerts_are_read(bus, nats_server, tmp_path):
    """Its example as it stands there, but for the address."""
    script = READ.replace("nats://127.0.0.1:4222", nats_server.url)
    reader = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-u", "-c", script), stdout=asyncio.subprocess.PIPE, cwd=tmp_path
    )
    reading = asyncio.create_task(reader.stdout.readline())
    try:
        async with asyncio.timeout(SOON_S):
            for number in itertools.count():  # it does not say when it listens
                await bus.publish(changed("alert", id=f"alert-{number}"), "")
                if (await asyncio.wait({reading}, timeout=0.05))[0]:
                    break
        assert await reading == b"gate-1 S-0001 0.5625 over 0.5\n"
    finally:
        reader.kill()
        await reader.wait()
        await reading


def test_the_operator_listens_where_we_tell():
    for subject in (subjects.adjudications_of("station-north"), subjects.interventions_of("station-north")):
        assert f'"{subject}"' in OPERATOR
