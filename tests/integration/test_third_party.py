"""A third party reads alerts and their portraits with nats and msgpack alone, and nothing of ours."""

import asyncio
import json
import sys

from proto import subjects
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


async def test_a_control_room_needs_nats_and_msgpack_and_nothing_of_ours(bus, nats_server, tmp_path):
    alert, portrait = EXAMPLES["alert"], b"\xff\xd8 a portrait \xff\xd9"
    await bus.publish(changed("alert", id="earlier"), "")
    await bus.portraits.put(alert.portrait, portrait)
    room = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-c", CONTROL_ROOM, nats_server.url), stdout=asyncio.subprocess.PIPE, cwd=tmp_path
    )
    try:
        assert await soon(room.stdout.readline()) == b"listening\n"
        await bus.publish(alert, "")
        said, _ = await soon(room.communicate())
    finally:
        if room.returncode is None:
            room.kill()
            await asyncio.wait_for(room.wait(), SOON_S)
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
