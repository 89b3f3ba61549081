"""The audit on a real server: written by several, over restarts; and tampered with in every way."""

import asyncio
import base64
import contextlib
import csv
import io
import json
import random

import pytest
from typer.testing import CliRunner

from libs import chain
from libs.bus import Records, connect, flushed
from libs.errors import TransientError, UserError
from libs.seals import Signer
from libs.settings import NatsSettings
from proto import codec, subjects
from proto.audit import Deed
from proto.requests.audit import AuditRequest
from services.cli.audit.commands import app
from services.cli.audit.desk import Wanted, followed
from services.govern.audit.ledger import Chain
from tests.examples import changed
from tests.waiting import eventually, soon

GOVERN = Signer.generate("govern")
OTHER = Signer.generate("govern")
NOW = 1_700_000_000.0


def act(number, **fields):
    deed = Deed(who="b-smith", verb="arm", at=NOW + number, origin="desk-1", reason="as agreed", act="a1" * 32)
    named = {"id": f"deployment.north.{number}", "event": "deployment.armed", "deployment": "north"}
    return AuditRequest(deed=deed, record_version=number, details={"threshold": 0.5}, **named | fields)


@contextlib.asynccontextmanager
async def ledger_on(server, log, clock):
    async with (
        connect(NatsSettings(url=server.url), "tests", log) as bus,
        Chain.open(bus, GOVERN, log, clock) as ledger,
    ):
        yield ledger


async def verdict_on(bus, *heads):
    stored = [(one.sequence, one.data) async for one in bus.stored(subjects.AUDIT)]
    return chain.verify(stored, GOVERN.public, heads)


# -- writing


async def test_two_writers_on_two_connections_make_one_chain_and_no_act_comes_twice(bus, nats_server, log, clock):
    async with ledger_on(nats_server, log, clock) as one, ledger_on(nats_server, log, clock) as two:
        acts = [act(number) for number in range(40)]
        await asyncio.gather(*(ledger.append(request) for request in acts for ledger in (one, two)))
    verdict = await verdict_on(bus)
    assert (verdict.whole, verdict.entries) == (True, 40)


async def test_the_chain_goes_on_after_the_server_was_killed_and_started_again(bus, nats_server, log, clock):
    async with Chain.open(bus, GOVERN, log, clock) as ledger:
        first = await ledger.append(act(1))
        back = bus.reconnected
        nats_server.restart()
        await soon(back.wait())
        assert (await eventually(lambda: ledger.append(act(2)))).sequence == 2
        assert await ledger.append(act(1)) == first
    assert (await verdict_on(bus, ledger.head)).whole


async def test_an_act_while_the_server_is_away_is_refused_and_can_be_written_later(nats_server, log, clock):
    async with (
        connect(NatsSettings(url=nats_server.url, ask_timeout_s=0.2), "tests", log) as bus,
        Chain.open(bus, GOVERN, log, clock) as ledger,
    ):
        nats_server.kill()
        with pytest.raises(TransientError):
            await ledger.append(act(1))
        nats_server.start()
        assert (await eventually(lambda: ledger.append(act(1)))).sequence == 1
        assert (await verdict_on(bus)).whole


async def test_what_is_written_into_the_stream_past_govern_is_named_and_the_chain_goes_on(bus, log, clock):
    async with Chain.open(bus, GOVERN, log, clock) as ledger:
        await ledger.append(act(1))
        await bus.client.publish(subjects.audit("deployment.armed"), b"garbage")
        forged = OTHER.seal(chain.following(act(2), 3, ledger.head.sha256.encode()[:32], NOW))
        await bus.client.publish(subjects.audit("deployment.armed"), codec.encode(forged))
        await flushed(bus.client)
        entry = await ledger.append(act(2))
        assert entry.sequence == 4
    found = (
        await verdict_on(bus)
    ).breaks  # what the entry behind them follows from was there; of 2, that cannot be known
    assert [(one.kind, one.sequence) for one in found] == [("changed", 2), ("foreign", 3)]


async def test_a_stream_that_was_deleted_and_made_anew_is_noticed_at_start(bus, log, clock):
    async with Chain.open(bus, GOVERN, log, clock) as ledger:
        for number in range(5):
            await ledger.append(act(number))
        old = ledger.head
    await bus.jetstream.delete_stream("AUDIT")
    await bus.ensure()
    async with Chain.open(bus, GOVERN, log, clock) as ledger:
        await ledger.append(act(9))
    assert [one.kind for one in (await verdict_on(bus, old)).breaks] == ["cut"]
    assert "audit.broken" in [line["event"] for line in log.entries]


async def test_the_entries_of_an_event_in_a_deployment_are_found_and_nobody_elses(bus, log, clock):
    async with Chain.open(bus, GOVERN, log, clock) as ledger:
        for number, deployment in enumerate(("north", "south", "north"), 1):
            raised = {"id": f"alert.a{number}.raised", "event": "alert.raised", "alert": f"a{number}"}
            await ledger.append(act(number, deployment=deployment, **raised))
        await ledger.append(act(4))
        forged = AuditRequest(**{**dict(act(5)), "id": "alert.a5.raised", "event": "alert.raised", "alert": "a5"})
        sealed = OTHER.seal(chain.following(forged, 5, bytes(32), NOW))
        await bus.append(subjects.AUDIT, subjects.audit("alert.raised"), sealed, expected_last=4)
        assert [entry.alert for entry in await ledger.entries_of("alert.raised", "north")] == ["a1", "a3"]
        assert await ledger.entries_of("alert.decided", "north") == []


async def test_a_person_follows_the_audit_from_its_newest_entries_on(bus, nats_server, log, clock, monkeypatch):
    monkeypatch.setenv("WATCHLINE_NATS_URL", nats_server.url)
    record = GOVERN.seal(changed("deployment_record"))
    await Records(bus, subjects.DEPLOYMENTS, type(record)).put("north", record)
    async with Chain.open(bus, GOVERN, log, clock) as ledger:
        for number in range(1, 6):
            await ledger.append(act(number))
        following = followed(GOVERN.public, Wanted(deployment="north"), last=2)
        assert [(await soon(anext(following))).sequence for _ in range(2)] == [4, 5]
        await ledger.append(act(1, id="deployment.south.1", deployment="south"))
        await bus.append(subjects.AUDIT, subjects.audit("deployment.armed"), OTHER.seal(act(7)), expected_last=6)
        await ledger.append(act(8))
        assert await soon(anext(following)) is None
        assert (await soon(anext(following))).sequence == 8
        await following.aclose()


# -- the command line


@pytest.fixture
def audit(nats_server, monkeypatch, log, clock, wide):
    """Runs `watchline audit …` on a server whose chain has ten entries; gives exit code and what was printed."""
    monkeypatch.setenv("WATCHLINE_NATS_URL", nats_server.url)
    monkeypatch.setenv("WATCHLINE_TRUST_PUBLIC_KEY", str(GOVERN.public))

    async def fill():
        async with ledger_on(nats_server, log, clock) as ledger:
            for number in range(1, 11):
                clock.advance(60)
                await ledger.append(act(number))

    asyncio.run(fill())

    def run(*arguments):
        result = CliRunner().invoke(app, [str(one) for one in arguments])
        if isinstance(result.exception, UserError):
            raise result.exception
        return result.exit_code, result.output

    return run


@pytest.fixture
def exported(audit, tmp_path):
    """A JSON-lines export: the first line, and those of the ten entries."""
    path = tmp_path / "audit.jsonl"
    assert audit("export", "-o", path)[0] == 0
    return path


def lines_of(path):
    return path.read_text().splitlines()


def rewritten(path, lines):
    path.write_text("\n".join(lines) + "\n")
    return path


def without_readable(line):
    """A line as a forger who knows what is compared would write it."""
    return json.dumps({key: value for key, value in json.loads(line).items() if key in ("sequence", "sealed")})


def test_a_whole_audit_is_verified_and_its_head_printed(audit):
    code, said = audit("verify")
    assert code == 0
    assert "the audit is whole: 10 entries" in said
    head = said.partition("head: ")[2].split()[0]
    assert audit("verify", "--head", head)[0] == 0


def test_a_head_that_the_audit_contradicts_is_an_error_that_names_the_entry(audit):
    code, said = audit("verify", "--head", f"10:{'ab' * 32}")
    assert (code, "rewritten" in said, "entry 10" in said) == (1, True, True)
    code, said = audit("verify", "--head", f"12:{'ab' * 32}")
    assert (code, "entries 11 to 12 are missing at the end" in said) == (1, True)


def test_what_another_wrote_into_the_stream_is_found_by_the_command(audit, nats_server, log):
    async def intrude():
        async with connect(NatsSettings(url=nats_server.url), "intruder", log) as bus:
            await bus.client.publish(subjects.audit("deployment.armed"), b"garbage")
            await flushed(bus.client)

    asyncio.run(intrude())
    code, said = audit("verify")
    assert (code, "foreign" in said, "at place 11 of the stream" in said) == (1, True, True)
    code, said = audit("verify", "--json")
    assert code == 1
    assert [one["kind"] for one in json.loads(said)["breaks"]] == ["foreign"]
    assert "not govern's" in audit("show")[1]
    with pytest.raises(UserError, match="there is no deployment nope"):
        audit("show", "--deployment", "nope")


def test_the_key_of_another_verifies_nothing(audit):
    code, said = audit("verify", "--public-key", OTHER.public)
    assert code == 1
    assert said.count("is not what govern signed") + said.count("is not govern's") >= 10


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_an_export_proves_itself_without_a_server(audit, nats_server, tmp_path, form):
    path = tmp_path / f"audit.{form}"
    code, said = audit("export", "--format", form, "-o", path)
    assert (code, "10 entries" in said) == (0, True)
    assert path.stat().st_mode & 0o077 == 0
    nats_server.kill()
    code, said = audit("verify", "--file", path)
    assert (code, "the audit is whole: 10 entries" in said) == (0, True)


def change_a_byte(lines):
    said = json.loads(lines[4])
    data = bytearray(base64.b64decode(said["sealed"]))
    data[random.Random(1).randrange(len(data))] ^= 1
    return [*lines[:4], json.dumps({**said, "sealed": base64.b64encode(data).decode()}), *lines[5:]]


def drop_one(lines):
    return [*lines[:4], *lines[5:]]


def swap_two(lines):
    return [*lines[:4], lines[5], lines[4], *lines[6:]]


def cut_the_tail(lines):
    return lines[:8]


def insert_one_of_another_key(lines):
    forged = OTHER.seal(chain.following(act(99), 4, chain.digest(b""), NOW))
    line = json.dumps({"sequence": 4, "sealed": base64.b64encode(codec.encode(forged)).decode()})
    return [*lines[:5], line, *lines[5:]]


def play_one_again(lines):
    return [*lines, lines[4]]


def change_what_people_read(lines):
    return [*lines[:4], json.dumps({**json.loads(lines[4]), "who": "somebody else"}), *lines[5:]]


def make_a_line_unreadable(lines):
    return [*lines[:4], "garbage", *lines[5:]]


def empty_a_line(lines):
    return [*lines[:4], json.dumps({**json.loads(lines[4]), "sealed": "?"}), *lines[5:]]


@pytest.mark.parametrize(
    ("tamper", "says"),
    [
        (change_a_byte, "what is in the place of entry 4 is not what govern signed"),
        (drop_one, "entry 4 is missing"),
        (swap_two, "out of its order"),
        (cut_the_tail, "entries 8 to 10 are missing at the end"),
        (insert_one_of_another_key, "after entry 4, is not govern's"),
        (play_one_again, "entry 4 stands a second time"),
        (change_what_people_read, "the line of entry 4 says something else than its sealed entry"),
        (make_a_line_unreadable, "what is in the place of entry 4 is not what govern signed"),
        (empty_a_line, "what is in the place of entry 4 is not what govern signed"),
    ],
)
def test_whatever_is_done_to_an_export_is_found_and_its_entry_named(audit, exported, tamper, says):
    rewritten(exported, tamper(lines_of(exported)))
    code, said = audit("verify", "--file", exported)
    assert code == 1
    assert says in said
    assert "the audit is broken at 1 place;" in said


def test_a_tail_that_was_cut_off_with_the_heads_is_found_by_the_head_of_a_person(audit, exported):
    head = audit("verify")[1].partition("head: ")[2].split()[0]
    lines = lines_of(exported)[:8]
    lines[0] = json.dumps({**json.loads(lines[0]), "heads": []})
    rewritten(exported, lines)
    assert audit("verify", "--file", exported)[0] == 0
    code, said = audit("verify", "--file", exported, "--head", head)
    assert (code, "entries 8 to 10 are missing at the end" in said) == (1, True)


def test_a_cell_of_a_csv_export_is_never_a_formula_and_is_held_against_its_entry(
    audit, nats_server, tmp_path, log, clock
):
    async def add():
        async with ledger_on(nats_server, log, clock) as ledger:
            request = act(11)
            await ledger.append(
                request.model_copy(update={"deed": request.deed.model_copy(update={"reason": '=1+1, "so"\nthere'})})
            )

    asyncio.run(add())
    path = tmp_path / "audit.csv"
    audit("export", "--format", "csv", "-o", path)
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    assert rows[10]["reason"] == '\'=1+1, "so"\nthere'
    assert audit("verify", "--file", path)[0] == 0
    path.write_text(path.read_text().replace("b-smith", "somebody", 1))
    code, said = audit("verify", "--file", path)
    assert (code, "the line of entry 1 says something else" in said) == (1, True)


def test_a_selection_says_what_cannot_be_seen_in_it(audit, nats_server, tmp_path, log, clock):
    async def add():
        async with ledger_on(nats_server, log, clock) as ledger:
            await ledger.append(act(1, id="deployment.south.1", deployment="south"))
            await ledger.append(act(11))

    asyncio.run(add())
    path = tmp_path / "north.jsonl"
    audit("export", "--deployment", "north", "-o", path)
    assert len(lines_of(path)) == 12
    code, said = audit("verify", "--file", path)
    assert (code, "a selection of deployment north" in said) == (0, True)
    rewritten(path, change_a_byte(lines_of(path)))
    assert audit("verify", "--file", path)[0] == 1


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_an_export_since_a_moment_is_verified_from_its_first_entry_on(audit, tmp_path, form):
    path = tmp_path / f"late.{form}"
    audit("export", "--format", form, "--since", "2023-11-14T22:20:00", "-o", path)  # NOW is 22:13:20
    code, said = audit("verify", "--file", path)
    assert (code, "it begins with entry 7" in said, "whole: 4 entries" in said) == (0, True, True)
    rewritten(path, [*lines_of(path)[:2], *lines_of(path)[3:]])
    code, said = audit("verify", "--file", path)
    assert (code, "entry 8 is missing" in said) == (1, True)


def test_an_export_goes_to_standard_output_and_an_audit_without_entries_is_one_too(audit):
    code, said = audit("export", "--since", "2033-01-01")
    assert code == 0
    assert [line for line in said.splitlines() if line.startswith('{"watchline_audit": 1')]


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify", "--file", "nowhere.jsonl"),
        ("verify", "--file", __file__),
        ("verify", "--head", "12"),
        ("verify", "--head", "x:y"),
        ("verify", "--public-key", "ab"),
        ("export", "--format", "xml"),
        ("export", "--since", "yesterday"),
        ("export", "-o", "/nowhere/audit.jsonl"),
        ("export", "--out", "/nowhere/audit.jsonl"),
        ("show", "--deployment", "a b"),
        ("show", "99"),
    ],
)
def test_what_a_person_mistypes_is_one_line_with_a_remedy(audit, arguments):
    with pytest.raises(UserError) as refused:
        audit(*arguments)
    assert "\n" not in str(refused.value)
    assert refused.value.remedy


def test_numbers_that_no_audit_reaches_are_numbers_too(audit):
    with pytest.raises(UserError, match=f"there is no entry {10**30}: see `watchline audit show`"):
        audit("show", 10**30)
    code, said = audit("show", "--last", 10**30, "--json")
    assert (code, [entry["sequence"] for entry in json.loads(said)]) == (0, [*range(1, 11)])


def test_an_entry_of_another_deployment_or_time_is_not_shown(audit):
    for narrowed in (("--deployment", "nope"), ("--since", "2100-01-01")):
        with pytest.raises(UserError, match="there is no entry 1 of that time and deployment"):
            audit("show", 1, *narrowed)


@pytest.mark.parametrize("command", ["tail", "export"])
def test_a_deployment_that_there_is_not_is_followed_by_nobody_and_exported_to_nowhere(audit, tmp_path, command):
    to = ["-o", tmp_path / "none.jsonl"] if command == "export" else []
    with pytest.raises(UserError, match="there is no deployment nope: see `watchline deployment list`"):
        audit(command, "--deployment", "nope", *to)
    assert list(tmp_path.glob("*.jsonl*")) == []


def test_a_deployment_that_there_is_not_is_told_from_one_of_which_there_is_no_entry(audit, nats_server, log, crew):
    with pytest.raises(UserError, match="there is no deployment nope: see `watchline deployment list`") as refused:
        audit("show", "--deployment", "nope")
    assert refused.value.exit_code == 1

    async def put():
        async with connect(NatsSettings(url=nats_server.url), "tests", log) as bus:
            record = crew.govern.seal(changed("deployment_record"))
            await Records(bus, subjects.DEPLOYMENTS, type(record)).put(subjects.key("silent"), record)

    asyncio.run(put())
    assert audit("show", "--deployment", "silent")[0] == 0


def test_an_export_that_fails_leaves_the_file_before_it_as_it_was(audit, exported, nats_server, monkeypatch):
    before = exported.read_bytes()
    monkeypatch.setenv("WATCHLINE_NATS_WAIT_S", "0.2")
    nats_server.kill()
    with pytest.raises(UserError):
        audit("export", "-o", exported)
    assert exported.read_bytes() == before
    assert [path.name for path in exported.parent.iterdir()] == [exported.name]


def test_a_person_reads_who_did_what_on_which_version_from_where_and_why(audit):
    code, said = audit("show", "--last", 3)
    assert code == 0
    assert [f"v{number}" in said for number in (7, 8, 10)] == [False, True, True]
    for words in ("2023-11-14 22:23:20", "b-smith", "deployment.armed", "deployment north", "desk-1", "as agreed"):
        assert words in said


def test_a_person_reads_all_of_one_entry(audit):
    code, said = audit("show", 4)
    assert code == 0
    for words in ("entry 4", "threshold = 0.5", "deployment north v4", "deployment.north.4", "a1" * 32):
        assert words in said


def test_other_software_reads_the_entries_as_json(audit):
    code, said = audit("show", "--deployment", "north", "--last", 2, "--json")
    assert code == 0
    assert [entry["record_version"] for entry in json.loads(said)] == [9, 10]
    assert json.loads(audit("show", "--since", "2033-01-01", "--json")[1]) == []
