"""`watchline deployment` as officers use it: real commands, keys in files, and the program govern on a real server."""

import asyncio
import json
import os
import sys
import time

import pytest

from libs.bus import Endpoint, Records, flushed
from libs.service import Host
from libs.settings import ServiceSettings
from proto import subjects
from proto.records import CameraRecord
from proto.requests.listing import ListRequest
from proto.requests.watchlists import EntriesReply, EntriesRequest, ListsReply
from proto.watchlists import WatchListRecord
from services.cli.deployments.draft import template
from services.govern.service import govern
from tests.examples import EXAMPLES, changed
from tests.waiting import soon

PROGRAM = """
import sys
from services.cli import app
from services.cli.deployments import commands
app.app.registered_groups = [group for group in app.app.registered_groups if group.name != "deployment"]
app.app.add_typer(commands.app, name="deployment")
sys.exit(app.run())
"""


@pytest.fixture
async def site(bus, crew, log, monkeypatch):
    """The program govern, with a camera and a list of an evaluation."""
    for name, value in crew.environment().items():
        monkeypatch.setenv(name, value)
    now = time.time()
    example = changed("watch_list_record", created_at=now - 60, built_at=now - 30)
    form = example.form.model_copy(update={"expires_at": now + 86_400, "profile": "evaluation"})
    await Records(bus, subjects.WATCHLISTS, WatchListRecord).put("wanted", example.model_copy(update={"form": form}))
    camera = CameraRecord(camera="gate-1", location="gate.mp4")
    await Records(bus, subjects.CAMERAS, CameraRecord).put("gate-1", camera)
    async with asyncio.TaskGroup() as tasks, govern(Host("govern", bus, log, ServiceSettings(), tasks)):
        yield


@pytest.fixture
def draft_file(tmp_path):
    path = tmp_path / "north.toml"
    text = template(time.time() - 3600).replace('profile = "uk-police"', 'profile = "evaluation"')
    path.write_text(text)
    return path


@pytest.fixture
def watchline(nats_server, crew, tmp_path):
    """Runs `watchline deployment …`: its exit code, what it said, and what it complained."""
    environment = {**os.environ, **crew.environment(), "COLUMNS": "200", "NO_COLOR": "1"}
    environment["WATCHLINE_NATS_URL"] = nats_server.url
    environment["WATCHLINE_NATS_WAIT_S"] = "5"

    async def run(*arguments):
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROGRAM, "deployment", *map(str, arguments)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
            cwd=tmp_path,
        )
        said, complained = await soon(program.communicate())
        assert b"Traceback" not in complained
        return program.returncode, said.decode(), complained.decode()

    return run


@pytest.mark.usefixtures("site")
async def test_a_deployment_is_drafted_authorised_armed_amended_suspended_resumed_and_ended(watchline, draft_file):
    code, said, told = await watchline("draft", draft_file, "--as", "a-jones")
    assert code == 0
    assert "draft station-north, which is new" in told
    assert said.startswith("station-north is draft, version 1\n")
    assert "• it is not authorised" in said
    assert "unless" not in said

    code, said, told = await watchline("arm", "station-north", "--as", "c-brown")
    assert (code, said) == (1, "")
    assert "refused: station-north cannot be armed" in told
    assert "• it is not authorised: an authorising officer who did not draft it" in told

    code, said, told = await watchline("authorise", "station-north", "--as", "b-smith", "--reason", "as agreed")
    assert (code, said) == (0, "station-north is authorised, version 2\n")
    assert "authorise station-north, version 1 (draft)" in told

    steps = [
        (("arm",), "c-brown", "armed, version 3"),
        (("amend", "--threshold", "0.62", "--reason", "fewer"), "b-smith", "armed, version 4"),
        (("suspend",), "d-green", "suspended, version 5"),
        (("resume",), "c-brown", "armed, version 6"),
        (("end",), "c-brown", "ended, version 7"),
        (("purge",), "c-brown", "purged, version 9"),
    ]
    for (command, *options), who, state in steps:
        code, said, told = await watchline(command, "station-north", *options, "--as", who)
        assert (code, said) == (0, f"station-north is {state}\n"), told

    _, said, _ = await watchline("show", "station-north")
    assert "station-north, version 9: purged" in said
    assert "armed with threshold  0.62" in said
    assert [line.split()[2] for line in said.partition("What was done\n")[2].splitlines()[:9]] == [
        *("draft", "authorise", "arm", "amend", "suspend", "arm", "end", "purge", "erase"),
    ]
    _, listed, _ = await watchline("list", "--json")
    assert [record["state"] for record in json.loads(listed)["records"]] == ["purged"]


@pytest.fixture
async def lists(bus, site):
    """What `match` tells of the list of the deployment: one entry, of ten days ago."""
    now = time.time()
    record = (await Records(bus, subjects.WATCHLISTS, WatchListRecord).get("wanted"))[0]
    old = {"enrolled_at": now - 864_000, "reviewed_at": 0.0}
    entry = changed("entry_record", images=(EXAMPLES["entry_record"].images[0].model_copy(update=old),))

    async def known(_: ListRequest) -> ListsReply:
        return ListsReply(records=(record.model_copy(update={"template_version": "sface-2021dec"}),))

    async def entries(_: EntriesRequest) -> EntriesReply:
        return EntriesReply(record=record, entries=(entry,))

    asks = {"list": Endpoint(ListRequest, known), "entries": Endpoint(EntriesRequest, entries)}
    async with bus.micro_service("watchlists", subjects.WATCHLIST, asks):
        await flushed(bus.client)
        yield


@pytest.mark.usefixtures("lists")
async def test_who_authorises_or_arms_is_shown_before_it_what_they_sign_for(watchline, draft_file):
    await watchline("draft", draft_file, "--as", "a-jones")
    for verb, who in (("authorise", "b-smith"), ("arm", "c-brown"), ("suspend", "d-green")):
        code, said, told = await watchline(verb, "station-north", "--as", who)
        assert (code, said.startswith("station-north is")) == (0, True)
        shows = verb != "suspend"
        for words in (
            "watch list wanted",
            "who belongs on it: ",
            "10 d ago",
            "is taken for somebody on a list in ",
        ):
            assert (words in told) is shows, (verb, words, told)
    _, shown, _ = await watchline("show", "station-north", "--json")
    signed_for = json.loads(shown)["signed_for"]
    assert [one["watch_list"] for one in signed_for["lists"]] == ["wanted"]
    (model,) = signed_for["error_rates"]["models"]
    assert model["false_match_rate"]["comparisons"] == 8_530_762


@pytest.mark.usefixtures("site")
async def test_for_software_an_act_prints_its_record_and_what_is_announced_stands_beside_it(watchline, draft_file):
    await watchline("draft", draft_file, "--as", "a-jones")
    code, said, told = await watchline("authorise", "station-north", "--as", "b-smith", "--json")
    reply = json.loads(said)
    assert (code, reply["record"]["state"], reply["record"]["record_version"]) == (0, "authorised", 2)
    assert told.startswith("authorise station-north, version 1 (draft)")


@pytest.mark.usefixtures("site")
async def test_what_is_refused_is_a_line_a_reason_and_exit_code_one(watchline, draft_file):
    await watchline("draft", draft_file, "--as", "a-jones")
    refusals = [
        (("authorise", "station-north", "--as", "a-jones"), "refused: a-jones is not one of: authoriser"),
        (
            ("suspend", "station-north", "--as", "d-green"),
            "refused: station-north is draft: suspend is for one that is",
        ),
        (("show", "station-south"), "refused: there is no deployment station-south"),
        (("amend", "station-north", "--reason", "x", "--as", "b-smith"), "station-north is draft: amend is for one"),
    ]
    for arguments, words in refusals:
        code, said, told = await watchline(*arguments)
        assert (code, said) == (1, ""), arguments
        assert words in " ".join(told.split()), arguments


@pytest.mark.usefixtures("site")
async def test_what_is_wrong_before_anything_is_asked_is_exit_code_two(watchline, draft_file):
    wrong = [
        (("draft", "nothing.toml", "--as", "a-jones"), "nothing.toml cannot be read"),
        (("draft", draft_file), "nobody is named who acts"),
        (("draft", draft_file, "--as", "z-nobody"), "z-nobody has no key here"),
        (("judicial", "station-north", "maybe", "J-1", "--as", "b-smith"), "write granted or refused"),
    ]
    for arguments, words in wrong:
        code, said, told = await watchline(*arguments)
        assert (code, said) == (2, ""), arguments
        assert words in " ".join(told.split()), arguments


async def test_without_a_server_it_is_one_line(watchline, nats_server):
    code, said, _ = await watchline("template")
    assert code == 0
    assert said.startswith("# The draft of a deployment")
    nats_server.kill()
    code, said, told = await watchline("list")
    assert (code, said) == (3, "")
    assert "no NATS server with JetStream answers" in " ".join(told.split())
