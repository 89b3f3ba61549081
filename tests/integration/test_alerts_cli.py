"""`watchline alerts` as an operator uses it: real commands, a real server, and keys in files."""

import asyncio
import json
import os
import stat
import sys
import time
from contextlib import asynccontextmanager

import pytest

from libs.bus import Records
from proto import subjects
from tests.control_room import case_vault, casework, opened_room
from tests.examples import ALERT, changed
from tests.waiting import SOON_S, soon

BEGINS = ALERT[:4]
"""As much of an id as people write."""
PROGRAM = """
import sys
from services.cli import app
from services.cli.alerts import commands
app.app.registered_groups = [group for group in app.app.registered_groups if group.name != "alerts"]
app.app.add_typer(commands.app, name="alerts")
sys.exit(app.run())
"""
SEEN, REFERENCE = b"\xff\xd8 seen", b"\xff\xd8 reference"


class WallClock:
    """The clock of this machine, which commands sign by; `lead` sets it before that."""

    def __init__(self):
        self.lead = 0.0

    @property
    def now(self):
        return time.time() + self.lead

    def __call__(self):
        return self.now


@pytest.fixture
def environment(nats_server, crew):
    officers = {"WATCHLINE_NATS_URL": nats_server.url, **crew.environment()}
    return {**os.environ, **officers, "COLUMNS": "200", "NO_COLOR": "1"}


@pytest.fixture
def watchline(environment):
    """Runs `watchline alerts …`: its exit code, what it said, and what it complained."""

    async def run(*arguments):
        async with started(environment, *arguments) as program:
            said, complained = await soon(program.communicate())
            return program.returncode, said.decode(), complained.decode()

    return run


@asynccontextmanager
async def started(environment, *arguments):
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, "alerts", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    try:
        yield program
    finally:
        if program.returncode is None:
            program.terminate()
            await asyncio.wait_for(program.communicate(), SOON_S)


@pytest.fixture
async def room(bus, crew, log):
    """A control room where two people confirm, with one alert and its two pictures."""
    clock = WallClock()
    async with opened_room(bus, crew, clock) as room, casework(bus, crew, clock, log) as room.cases:
        await bus.portraits.put(subjects.alert_portrait(ALERT), SEEN)
        await bus.portraits.put(subjects.reference_portrait("wanted", "S-0001"), REFERENCE)
        await room.raise_alert()
        yield room


async def test_two_operators_compare_decide_and_note_the_outcome(room, watchline, tmp_path):
    _, said, complained = await watchline("show", BEGINS, "--portraits", str(tmp_path / "compare"))
    assert "resembles    S-0001 of list wanted" in said
    assert "delete them by" in complained
    pictures = sorted((tmp_path / "compare").iterdir())
    assert [path.read_bytes() for path in pictures] == [REFERENCE, SEEN]
    assert {stat.S_IMODE(path.stat().st_mode) for path in pictures} == {0o600}

    code, said, _ = await watchline("adjudicate", BEGINS, "confirmed", "--reason", "same scar", "--as", "d-green")
    assert (code, "open, 1 of 2 confirmed" in said) == (0, True)
    code, _, complained = await watchline("adjudicate", BEGINS, "confirmed", "--reason", "sure", "--as", "d-green")
    assert (code, complained.splitlines()) == (
        1,
        [
            f"adjudicate alert {ALERT}, which is open",
            "refused: d-green has decided already (confirmed): another person must",
        ],
    )
    code, said, _ = await watchline("adjudicate", BEGINS, "confirmed", "--reason", "the ear", "--as", "e-white")
    assert (code, f"{ALERT} is confirmed" in said) == (0, True)
    code, said, _ = await watchline("outcome", BEGINS, "confirmed-true", "--reason", "identified", "--as", "d-green")
    assert (code, "confirmed true" in said) == (0, True)
    case = await room.case()
    assert [decision.officer for decision in case.decisions] == ["d-green", "e-white"]
    assert case.outcome.engagement == "confirmed_true"


async def test_alerts_are_listed_for_people_and_for_software(room, watchline, bus, crew):
    seed = await room.raise_alert(seed=True, watch_list="blue", subject="blue-1")
    _, said, _ = await watchline("list")
    assert "S-0001" in said
    assert "blue-1" not in said
    _, said, _ = await watchline("list", "--seeds", "--json")
    assert [case["alert"] for case in json.loads(said)] == [ALERT, seed]
    record = crew.govern.seal(changed("deployment_record"))
    await Records(bus, subjects.DEPLOYMENTS, type(record)).put("elsewhere", record)
    code, said, told = await watchline("list", "--open", "--deployment", "elsewhere")
    assert (code, said, told) == (0, "", "there is no alert yet: see `watchline alerts tail`\n")


async def test_an_alert_that_is_deleted_is_listed_as_that_and_not_as_open(room, watchline, bus, crew):
    assert "S-0001" in (await watchline("list", "--open"))[1]
    deleted = (await room.case()).model_copy(update={"deleted_at": room.clock.now})
    await case_vault(bus, crew).put(subjects.key(deleted.deployment, deleted.alert), deleted)
    assert "S-0001" not in (await watchline("list", "--open"))[1]
    assert "not decided, 0 of 2 confirmed, data deleted" in (await watchline("list"))[1]
    assert "next         nothing: its data is deleted" in (await watchline("show", BEGINS))[1]


async def test_a_tail_shows_what_happens_as_it_happens_and_no_seeds(room, environment):
    async with started(environment, "tail") as program:
        first = (await soon(program.stdout.readline())).decode()
        assert f"alert {ALERT} station-north, camera gate-1: resembles S-0001" in first
        await room.raise_alert(seed=True, watch_list="blue", subject="blue-1")
        await room.decide("d-green")
        assert b"d-green has decided: now open" in await soon(program.stdout.readline())
        room.clock.lead = 400
        await room.cases.escalate_due()
        assert b"nobody has decided in time" in await soon(program.stdout.readline())
        await room.decide("e-white")
        lines = {await soon(program.stdout.readline()) for _ in range(2)}
        assert any(b"confirmed by d-green, e-white; response red" in line for line in lines)


async def test_a_tail_shows_seeds_to_who_asks_for_them(room, environment):
    async with started(environment, "tail", "--seeds") as program:
        await soon(program.stdout.readline())
        seed = await room.raise_alert(seed=True, watch_list="blue", subject="blue-1", stamp="EVALUATION")
        assert f"EVALUATION seed  {seed}".encode() in await soon(program.stdout.readline())


async def test_a_tail_shows_an_intervention_that_govern_did_not_seal_as_what_it_is(room, environment, crew):
    forged = changed("intervention", alert="a1b2c3")
    async with started(environment, "tail") as program:
        await soon(program.stdout.readline())
        await room.bus.publish_as(subjects.address(forged)[0], "forged", crew["e-white"].seal(forged))
        line = await soon(program.stdout.readline())
        assert line.startswith(b"NOT GOVERN'S: an intervention that is none, do not act")
        assert b"red" not in line
        await room.bus.publish(forged, "")
        assert (await soon(program.stdout.readline())).startswith(b"NOT GOVERN'S")


@pytest.mark.usefixtures("room")
async def test_a_passage_of_a_seed_is_noted_now_or_at_a_time(watchline):
    code, said, _ = await watchline("passage", "station-north", "gate-1", "blue-1", "--as", "d-green")
    assert (code, said.startswith("noted: camera gate-1 at ")) == (0, True)
    code, _, complained = await watchline("passage", "station-north", "gate-1", "S-0001", "--as", "d-green")
    assert (code, "on no seed list" in complained) == (1, True)


@pytest.mark.usefixtures("room")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("adjudicate", BEGINS, "maybe", "--reason", "x"), 2, "maybe is not a verdict: write confirmed, rejected"),
        (
            ("adjudicate", BEGINS, "confirmed", "--reason", " ", "--as", "d-green"),
            2,
            "--reason will not do: it is empty",
        ),
        (("adjudicate", BEGINS, "confirmed"), 2, "--reason"),
        (("adjudicate", "zz", "confirmed", "--reason", "x", "--as", "d-green"), 1, "no alert whose id begins with"),
        (("adjudicate", BEGINS, "confirmed", "--reason", "x"), 2, "give --as OFFICER"),
        (("adjudicate", BEGINS, "confirmed", "--reason", "x", "--as", "nobody"), 2, "nobody has no key here"),
        (("adjudicate", BEGINS, "confirmed", "--reason", "x", "--as", "c-brown"), 1, "not one of: operator"),
        (("outcome", BEGINS, "arrested", "--reason", "x"), 2, "arrested is not an outcome"),
        (("outcome", BEGINS, "confirmed-true", "--reason", "x", "--as", "d-green"), 1, "before it is confirmed"),
        (("passage", "station north", "gate-1", "blue-1", "--as", "d-green"), 2, "the deployment will not do"),
        (("passage", "station-north", "gate-1", "blue-1", "--at", "soon", "--as", "d-green"), 2, "'soon' is no time"),
        (("show", "zz"), 1, "see `watchline alerts list`"),
        (("tail", "--deployment", "a b"), 2, "the deployment will not do"),
        (("tail", "--deployment", "nope"), 1, "there is no deployment nope: see `watchline deployment list`"),
        (("list", "--deployment", "\udcff"), 2, "the deployment will not do: it must be text in UTF-8"),
        (("list", "--deployment", "nope"), 1, "there is no deployment nope: see `watchline deployment list`"),
    ],
    ids=lambda value: ascii(" ".join(value)) if isinstance(value, tuple) else "",
)
async def test_a_mistake_is_one_line(watchline, arguments, code, said):
    answer, _, complained = await watchline(*arguments)
    assert (answer, said in complained.replace("\n", " ")) == (code, True), complained
    assert "Traceback" not in complained
