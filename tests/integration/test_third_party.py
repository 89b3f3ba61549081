"""A third party reads alerts and decides about them with nats, msgpack and a signature, and nothing of ours."""

import asyncio
import json
import sys
import time
from contextlib import asynccontextmanager

from proto import subjects
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


SIGN = """
def sign(officer, key, kind, request):
    act = msgpack.packb({
        "officer": officer, "at": time.time(), "nonce": secrets.token_bytes(16), "origin": "control-room-2",
        "holds": kind, "request": msgpack.packb(request),
    })
    signature = key.sign(b"watchline seal 1\\0act\\0" + officer.encode() + b"\\0" + act).signature
    return msgpack.packb({"holds": "act", "signer": officer, "body": act, "signature": signature})
"""
"""All that it takes to act as an officer from other software."""
OPERATOR = (
    """
import asyncio, json, pathlib, secrets, sys, time
import msgpack, nats
from nacl.signing import SigningKey
"""
    + SIGN
    + """
async def main(url, officer, key_file):
    key = SigningKey(bytes.fromhex(pathlib.Path(key_file).read_text()))
    client = await nats.connect(url)
    alerts = await client.subscribe("watchline.v1.alert.station-north.*")
    adjudications = await client.subscribe("watchline.v1.adjudication.station-north.*")
    interventions = await client.subscribe("watchline.v1.intervention.station-north.*")
    await client.flush()
    print("listening", flush=True)
    alert = msgpack.unpackb((await alerts.next_msg(timeout=20)).data)
    request = {"deployment": alert["deployment"], "alert": alert["id"], "verdict": "confirmed", "reason": "same scar"}
    said = []
    for attempt in (request, {**request, "alert": "another"}, {**request, "reason": " "}):
        act = sign(officer, key, "adjudicate_request", attempt)
        while True:  # until the alert is in the hands of people, which takes a moment
            answer = await client.request("watchline.v1.cases.adjudicate", act, timeout=20)
            code = (answer.headers or {}).get("Nats-Service-Error-Code", "")
            if code != "404" or attempt["alert"] == "another":
                break
            act = sign(officer, key, "adjudicate_request", attempt)
        said.append(code or msgpack.unpackb(answer.data)["case"]["status"])
    print(json.dumps({
        "said": said,
        "decision": msgpack.unpackb((await adjudications.next_msg(timeout=20)).data),
        "intervention": msgpack.unpackb((await interventions.next_msg(timeout=20)).data),
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


def test_what_other_software_signs_is_what_we_check():
    assert signed_bytes("act", "d-green", b"body") == b"watchline seal 1\0act\0d-green\0body"
    assert len(SIGN.strip().splitlines()) <= 8
    assert f'"{subjects.CASES}.adjudicate"' in OPERATOR
    for subject in (subjects.adjudications_of("station-north"), subjects.interventions_of("station-north")):
        assert f'"{subject}"' in OPERATOR
