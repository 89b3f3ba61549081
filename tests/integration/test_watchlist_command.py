"""`watchline watchlist` as a person meets it: what it prints, what it writes, and its exit codes."""

import asyncio
import csv
import json
import os
import signal
import sys

import pytest

from tests.match_desk import picture, png
from tests.match_world import answering_peers, running_match

CREATE = {
    "--purpose": "arrest warrants of the county",
    "--owner": "custody unit",
    "--category": "wanted on warrant",
    "--response": "red",
    "--lawful-basis": "DPA 2018, part 3",
    "--profile": "uk-police",
    "--criteria": "a warrant for an indictable offence",
    "--expires": "30d",
}
ENTRY = {
    "--reason": "warrant 17/2023",
    "--requester": "Insp. 4711",
    "--source": "custody",
    "--lawful-basis": "PACE 1984, s. 64A",
    "--expires": "10d",
}
MANIFEST = "subject,image,reason,requester,source,lawful_basis,expires,name\n"


def options(named, **changes):
    merged = {**named, **{f"--{name.replace('_', '-')}": value for name, value in changes.items()}}
    return [part for pair in merged.items() for part in pair]


@pytest.fixture
async def peers(nats_server, log, crew, tmp_path, monkeypatch):
    """A running match and its peers."""
    for name, value in crew.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WATCHLINE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("WATCHLINE_NATS_URL", nats_server.url)
    async with answering_peers(nats_server, log) as answering, running_match(nats_server, log):
        yield answering


@pytest.fixture
def photos(tmp_path):
    """A folder of six pictures, two each of three subjects; and one file that is none."""
    for number in range(6):
        path = tmp_path / "photos" / f"S-{number // 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(picture(number)))
    return tmp_path / "photos"


def started(*arguments, officer="l-stone"):
    who = {"WATCHLINE_OFFICER": officer} if officer else {}
    environment = {**os.environ, **who, "COLUMNS": "200", "NO_COLOR": "1"}
    return asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", "watchlist", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )


async def run(*arguments, officer="l-stone"):
    """The exit code of the command, and what it printed on both streams."""
    process = await started(*arguments, officer=officer)
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def created(name="wanted"):
    code, out, err = await run("create", name, *options(CREATE))
    assert code == 0, err
    return out


async def test_a_list_is_made_filled_shown_and_destroyed(peers, photos):
    assert "wanted is ready, version 1: 0 people, 0 references" in await created()
    code, out, err = await run("import", "wanted", str(photos), *options(ENTRY))
    assert code == 0, err
    assert "6 images enrolled" in out
    assert "wanted has 3 people with 6 references now" in out
    code, out, _ = await run("list", officer="")
    assert code == 0
    assert "wanted" in out
    code, out, _ = await run("show", "wanted", "--entries", officer="")
    assert code == 0
    assert "purpose:      arrest warrants of the county" in out
    assert "l-stone: import" in out
    assert "warrant 17/2023" in out
    code, out, _ = await run("remove", "wanted", "S-0", "--reason", "withdrawn")
    assert (code, "2 people, 4 references" in out) == (0, True)
    code, out, _ = await run("destroy", "wanted", "--reason", "the deployment is over")
    assert code == 0
    assert "wanted is destroyed, version 6: 2 people, 4 references" in out
    code, _, err = await run("destroy", "wanted", "--reason", "again")
    assert code == 1
    assert "destroyed already" in err
    assert err.startswith("destroy wanted, version 6 (destroyed)\n")


async def test_what_is_refused_goes_into_a_table_and_a_file_with_reason_and_remedy(peers, photos, tmp_path):
    await created()
    (photos / "broken.png").write_bytes(b"no picture")
    rows = [f"S-{n // 2},S-{n // 2}/{n}.png,r,q,s,b,10d,Jane" for n in range(6)]
    rows += ["S-9,broken.png,r,q,s,b,10d,", "S-8,nothing.png,r,q,s,b,10d,", ",x.png,r,q,s,b,10d,"]
    manifest = tmp_path / "list.csv"
    manifest.write_text(MANIFEST + "\n".join(rows) + "\n")
    refusals = tmp_path / "refused.csv"
    code, out, err = await run("import", "wanted", str(manifest), "--images", str(photos), "--refusals", str(refusals))
    assert code == 1, err
    assert "6 images enrolled" in out
    assert "2 images were refused, and 1 row of the manifest" in out
    assert "not a JPEG, PNG, WebP or BMP image" in out
    with refusals.open() as file:
        rows = list(csv.DictReader(file))
    written = {(row["line"], row["subject"]): (row["reason"], row["remedy"]) for row in rows}
    images = {row["line"]: row["image"] for row in rows}
    assert written["8", "S-9"] == ("not a JPEG, PNG, WebP or BMP image", "save it anew as JPEG or PNG")
    assert "cannot be read" in written["9", "S-8"][0]
    assert images == {"8": "broken.png", "9": "nothing.png", "10": "x.png"}
    assert written["10", ""] == ("subject is empty", "fill in subject")
    code, out, _ = await run("show", "wanted", "--names", "--json", officer="")
    assert {entry["name"] for entry in json.loads(out)["entries"]} == {"Jane"}


async def test_where_every_row_of_a_manifest_is_bad_the_file_says_why_all_the_same(peers, tmp_path):
    await created()
    manifest, refusals = tmp_path / "wanted.csv", tmp_path / "refusals.csv"
    manifest.write_text(MANIFEST + ",a.png,r,q,s,l,10d,\nS-1,../b.png,r,q,s,l,10d,\n")
    code, _, err = await run("import", "wanted", str(manifest), "--refusals", str(refusals))
    assert (code, "has no row that can be imported (line 2" in err) == (2, True)
    with refusals.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["line"] for row in rows] == ["2", "3"]
    assert all(row["reason"] and row["remedy"] for row in rows)


async def test_where_every_image_is_refused_the_file_says_why_all_the_same(peers, tmp_path):
    await created()
    photos = tmp_path / "poor"
    photos.mkdir()
    (photos / "broken.png").write_bytes(b"no picture")
    manifest, refusals = tmp_path / "list.csv", tmp_path / "refused.csv"
    manifest.write_text(MANIFEST + "S-9,broken.png,r,q,s,b,10d,\nS-8,nothing.png,r,q,s,b,10d,\n")
    code, _, err = await run("import", "wanted", str(manifest), "--images", str(photos), "--refusals", str(refusals))
    assert (code, "no reference could be enrolled" in err) == (2, True)
    with refusals.open() as file:
        assert [(row["line"], row["subject"]) for row in csv.DictReader(file)] == [("2", "S-9"), ("3", "S-8")]


async def test_an_import_that_is_done_again_passes_over_what_is_there(peers, photos):
    await created()
    await run("import", "wanted", str(photos), *options(ENTRY))
    code, out, _ = await run("import", "wanted", str(photos), *options(ENTRY), "--json")
    told = json.loads(out)
    assert (code, told["enrolled"], told["already"], told["refused"]) == (0, 0, 6, [])


async def test_ctrl_c_leaves_an_import_that_can_go_on_and_says_how(peers, photos):
    await created()
    peers.held.clear()
    process = await started("import", "wanted", str(photos), *options(ENTRY))
    await asyncio.wait_for(peers.asked.wait(), 30)
    process.send_signal(signal.SIGINT)
    peers.held.set()
    _, err = await process.communicate()
    assert process.returncode == 130
    assert "is not complete" in err.decode()
    assert "Run the same command again" in err.decode()
    code, out, _ = await run("show", "wanted", officer="")
    assert "being imported" in out
    code, out, err = await run("import", "wanted", str(photos), *options(ENTRY))
    assert code == 0, err
    assert "3 people with 6 references" in out


async def test_an_import_can_be_taken_back(peers, photos):
    await created()
    peers.held.clear()
    process = await started("import", "wanted", str(photos), *options(ENTRY))
    await asyncio.wait_for(peers.asked.wait(), 30)
    process.send_signal(signal.SIGINT)
    peers.held.set()
    await process.communicate()
    code, out, err = await run("import", "wanted", "--abort")
    assert code == 0, err
    assert "wanted is ready, version 3: 0 people, 0 references" in out
    code, _, err = await run("import", "wanted", "--abort")
    assert (code, "no import of wanted is under way" in err) == (2, True)


async def test_one_person_is_enrolled_and_the_second_number_of_the_same_face_is_shown(peers, photos):
    await created()
    image = str(photos / "S-0" / "0.png")
    code, out, err = await run("enrol", "wanted", "S-0", image, *options(ENTRY))
    assert code == 0, err
    assert "S-0 is on wanted, quality" in out
    assert "already" in (await run("enrol", "wanted", "S-0", image, *options(ENTRY)))[1]
    await run("enrol", "wanted", "S-77", image, *options(ENTRY))
    code, out, _ = await run("duplicates", "wanted", "--from", "0.9")
    assert code == 0
    assert "S-77" in out
    assert "1.000" in out


async def test_a_face_that_will_not_do_is_refused_with_what_to_do(peers, photos, tmp_path):
    await created()
    (tmp_path / "grey.png").write_bytes(png(picture(1, shades=2)))
    code, _, err = await run("enrol", "wanted", "S-0", str(tmp_path / "grey.png"), *options(ENTRY))
    assert code == 1
    assert "use a sharper image" in err


BAD = {
    "an import into a list whose name is none": (
        ("import", "Wanted!", "{photos}", *options(ENTRY)),
        2,
        "the name of the list will not do",
    ),
    "an entry of a list whose name is none": (
        ("enrol", "Wanted!", "S-1", "{photos}/S-0/0.png", *options(ENTRY)),
        2,
        "the name of the list will not do",
    ),
    "duplicates of a list whose name is none": (("duplicates", "Wanted!"), 2, "the name of the list will not do"),
    "a list to show whose name is none": (("show", "Wanted!"), 1, "there is no watch list Wanted!"),
    "a list to show whose name is no text": (("show", "\udcff"), 2, "the name will not do: it must be text in UTF-8"),
    "a list to show whose name is long": (("show", "x" * 65), 2, "the name will not do: it is longer than 64"),
    "a list that is not there": (("show", "nowhere"), 1, "there is no watch list nowhere"),
    "a folder without particulars": (("import", "wanted", "{photos}"), 2, "give --reason, --requester, --source"),
    "nothing to import": (("import", "wanted"), 2, "nothing is named to import"),
    "a manifest that is not there": (("import", "wanted", "/nowhere.csv"), 2, "does not exist"),
    "a time that is none": (("expire", "wanted", "--at", "soon", "--reason", "r"), 2, "is no time"),
    "a name that is none": (("create", "Wanted!", *options(CREATE)), 2, "the name of the list will not do"),
    "a class that is none": (("create", "x", *options(CREATE, response="blue")), 2, "write red, amber or green"),
    "a list that was made before": (("create", "wanted", *options(CREATE)), 1, "choose another name"),
    "a person who is not on it": (("remove", "wanted", "S-9", "--reason", "r"), 1, "not on the list"),
    "an entry that expired": (("enrol", "wanted", "S-1", "x.png", *options(ENTRY, expires="2020-01-01")), 2, "is past"),
    "an image that is not there": (("enrol", "wanted", "S-1", "x.png", *options(ENTRY)), 1, "cannot be read"),
    "a minor without rationale": (
        ("enrol", "wanted", "S-1", "x.png", *options(ENTRY), "--under-18"),
        2,
        "give --under-18-rationale",
    ),
    "refusals that cannot be written": (
        ("import", "wanted", "{photos}", *options(ENTRY), "--refusals", "/nowhere/r.csv"),
        2,
        "cannot be written",
    ),
}


@pytest.mark.parametrize(("arguments", "exit_code", "words"), BAD.values(), ids=BAD)
async def test_it_is_said_in_a_line_what_is_wrong_with(peers, photos, arguments, exit_code, words):
    if "nowhere" not in arguments:
        await created()
    code, _, err = await run(*(argument.format(photos=photos) for argument in arguments))
    assert code == exit_code
    assert words in err
    assert "Traceback" not in err
    *announced, _ = err.strip().splitlines()
    assert announced in ([], ["create wanted, version 1 (ready)"], ["remove S-9 from wanted, version 1 (ready)"])


async def test_who_is_no_list_manager_or_nobody_is_refused(peers, photos):
    code, _, err = await run("create", "wanted", *options(CREATE), officer="d-green")
    assert (code, "not one of: list_manager" in err) == (1, True)
    code, _, err = await run("create", "wanted", *options(CREATE), officer="")
    assert (code, "give --as OFFICER" in err) == (2, True)
    code, _, err = await run("create", "wanted", *options(CREATE), "--as", "stranger", officer="")
    assert (code, "has no key here" in err) == (2, True)
