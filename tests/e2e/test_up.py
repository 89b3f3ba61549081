"""`watchline up` runs what its file says, and no more: no one else's list, no longer than its hours."""

from __future__ import annotations

import shutil
import signal

import nats

from proto import codec
from proto.records import DeploymentRecord
from tests.nats_server import NatsServer

CONFIG = """
data_dir = "data"
[nats]
port = 0
[[cameras]]
name = "door"
location = "{clip}"
realtime = false
[[watch_lists]]
name = "wanted"
references = "people"
[deployment]
name = "{name}"
purpose = "test"
threshold = 0.5
floor = 0.4
hours = {hours}
[services.health]
port = {port}
"""


def write(folder, assets, **changes):
    fields = {"clip": assets.path("single_face.mp4"), "name": "trial", "hours": 1, "port": 19_140}
    (folder / "watchline.toml").write_text(CONFIG.format(**(fields | changes)))


async def deployments(folder, server_folder):
    """The state of each deployment as recorded in the data directory of a stack that has ended."""
    server = NatsServer(server_folder)
    shutil.copytree(folder / "nats", server.store)
    server.start()
    client = await nats.connect(server.url)
    bucket = await client.jetstream().key_value("deployments")
    found = {key: codec.decode(DeploymentRecord, (await bucket.get(key)).value).state for key in await bucket.keys()}
    await client.close()
    server.kill()
    return found


async def test_who_is_taken_out_of_the_folder_is_off_the_list(watchline, assets, tmp_path_factory):
    people = watchline.folder / "people"
    people.mkdir()
    for name in ("subject-1", "subject-2"):
        shutil.copy(assets.path("single_face.jpg"), people / f"{name}.jpg")
    write(watchline.folder, assets)
    process = watchline.start("up")
    first = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "N = 2" in first
    assert await deployments(watchline.folder / "data", tmp_path_factory.mktemp("first")) == {"trial": "ended"}

    (people / "subject-1.jpg").unlink()
    write(watchline.folder, assets, name="renamed", hours=0.002)
    done = watchline.run("up", WATCHLINE_HEALTH_PORT="19140")

    assert done.returncode == 0, done.stderr
    assert "deployment renamed is over: its 0.002 hours have passed" in " ".join(done.stderr.split())
    assert "resembles subject-2" in done.stdout
    assert "N = 1" in done.stdout
    found = await deployments(watchline.folder / "data", tmp_path_factory.mktemp("second"))
    assert found == {"trial": "ended", "renamed": "ended"}
