"""`watchline up`: nothing runs before officers arm it; what they armed outlives the machine, and no password does."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from services.cli.machine.stack import free_port
from tests.e2e.governed import Officers, officers_at, states_on_disk

CONFIG = """
data_dir = "data"
officers = "{roster}"
[nats]
port = {port}
[[cameras]]
name = "door"
location = "{clip}"
[[cameras]]
name = "yard"
location = "http://user:s3cret@127.0.0.1:1/stream"
[services.log]
level = "debug"
"""


class Machine:
    """The machine of a test: `watchline up` with the crew as its officers."""

    def __init__(self, watchline, crew, clip):
        self.watchline, self.crew, self.port = watchline, crew, free_port()
        text = CONFIG.format(roster=crew.roster_path, port=self.port, clip=clip)
        (watchline.folder / "watchline.toml").write_text(text)

    @property
    def data(self) -> Path:
        return self.watchline.folder / "data"

    def start(self) -> subprocess.Popen[str]:
        """The running command, once it has said what is armed."""
        process = self.watchline.start("up")
        self.said = []
        while not (self.said and " is armed" in self.said[-1]):
            line = process.stderr.readline()
            assert line, self.said
            self.said.append(line)
        return process

    def officers(self):
        return officers_at(f"nats://127.0.0.1:{self.port}", self.crew)

    def stop(self, process: subprocess.Popen[str]) -> str:
        """What it said last."""
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        _, err = process.communicate(timeout=30)
        assert time.monotonic() - began < 5
        assert process.returncode == 130, err
        assert "Traceback" not in err
        return " ".join(err.split())


@pytest.fixture
def machine(watchline, crew, visits):
    return Machine(watchline, crew, visits)


async def arm(officers: Officers, references: Path, **changes) -> None:
    await officers.list_of("wanted", references)
    await officers.armed("trial", ("door",), "wanted", cooldown_s=2.0, **changes)


async def test_no_camera_runs_before_officers_have_armed_a_deployment_and_then_it_does(machine, references):
    process = machine.start()
    assert "nothing is armed" in machine.said[-1]
    assert f"export WATCHLINE_NATS_URL=nats://127.0.0.1:{machine.port}\n" in machine.said
    async with machine.officers() as officers:
        await officers.list_of("wanted", references)
        drafted = await officers.drafted("trial", ("door",), "wanted", cooldown_s=2.0)
        await officers.do(drafted, "authorise")
        assert "camera.taken" not in (machine.data / "logs" / "ingest.log").read_text()
        await officers.do(await officers.show("trial"), "arm")
        seen = [process.stdout.readline() for _ in range(2)]
        await officers.do(await officers.show("trial"), "end")
    said = machine.stop(process)

    assert all("ALERT camera door" in line and "subject-1" in line for line in seen)
    assert '"event": "detected"' in (machine.data / "logs" / "detect.log").read_text()
    assert "deployment trial is armed until" in said
    assert "deployment trial is ended" in said
    assert "stays armed" not in said


async def test_what_is_armed_when_the_machine_stops_runs_when_it_is_back_until_officers_end_it(
    machine, references, tmp_path_factory
):
    process = machine.start()
    async with machine.officers() as officers:
        await arm(officers, references)
    process.stdout.readline()
    said = machine.stop(process)
    assert "deployment trial stays armed until" in said
    assert "to end it, run `watchline deployment end trial`" in said
    assert machine.watchline.processes() == []

    process = machine.start()
    assert "deployment trial is armed until" in machine.said[-1]
    again = process.stdout.readline()
    async with machine.officers() as officers:
        await officers.do(await officers.show("trial"), "end")
    machine.stop(process)

    assert "ALERT camera door" in again
    assert await states_on_disk(machine.data, tmp_path_factory.mktemp("records")) == {"trial": "ended"}


async def test_its_end_time_stops_the_cameras_though_nobody_ends_it(machine, references):
    process = machine.start()
    async with machine.officers() as officers:
        await arm(officers, references, ends_at=float(int(time.time()) + 6))
        while (await officers.show("trial")).state != "ended":
            time.sleep(0.2)
    heard = [process.stderr.readline()]
    while heard[-1] and "deployment trial is ended" not in heard[-1]:
        heard.append(process.stderr.readline())
    said = machine.stop(process)

    assert "deployment trial is ended" in heard[-1]
    assert "stays armed" not in said


async def test_the_password_of_a_camera_is_nowhere_once_the_machine_is_down(machine, references):
    process = machine.start()
    async with machine.officers() as officers:
        await officers.list_of("wanted", references)
        await officers.armed("trial", ("door", "yard"), "wanted")
        process.stdout.readline()
    said = machine.stop(process)

    assert "s3cret" not in said
    files = [path for path in machine.data.rglob("*") if path.is_file()]
    assert [path for path in files if b"s3cret" in path.read_bytes()] == []


def test_who_may_act_is_asked_for_before_anything_starts(machine):
    machine.crew.roster_path.unlink()
    missing = machine.watchline.run("up")
    machine.crew.roster_path.write_text('[officers.a-jones]\npublic_key = "short"\nroles = ["drafter"]\n')
    wrong = machine.watchline.run("up")

    assert (missing.returncode, wrong.returncode) == (2, 2)
    assert "there is no roster of officers" in " ".join(missing.stderr.split())
    assert "`watchline officer new`" in " ".join(missing.stderr.split())
    assert "officers.a-jones.public_key" in " ".join(wrong.stderr.split())
    assert not (machine.data / "logs").exists()


def test_up_names_the_setting_that_will_not_do(watchline):
    (watchline.folder / "watchline.toml").write_text("[nats]\nport = 'low'\n")
    wrong = watchline.run("up")
    missing = watchline.run("up", "--config", "other.toml")

    assert (wrong.returncode, missing.returncode) == (2, 2)
    assert "watchline.toml: nats.port" in " ".join(wrong.stderr.split())
    assert "docs/watchline.toml is an example" in " ".join(missing.stderr.split())
