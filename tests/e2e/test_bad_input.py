"""Bad input: one clear line that names the input and the remedy, and a useful exit code. Never a traceback."""

from __future__ import annotations

import io
import json
import os
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import av
import cv2
import nats
import numpy as np
import pytest

from libs import log
from libs.settings import LogSettings
from proto import codec, subjects
from proto.messages import DeadLetter, DetectImagesReply, DetectImagesRequest, Detections, DetectRequest
from services.cli.machine.stack import StackOptions, open_stack


def said(done) -> str:
    """What a person reads on the error stream, on one line however the terminal wrapped it."""
    assert "Traceback" not in done.stderr + done.stdout
    return " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["--source", "yard=rtsp://192.0.2.7/live"],
            "yard is a live camera, and a replay is an evaluation of recordings",
        ),
        (["--source", "door=nowhere.mp4"], "nowhere.mp4 does not exist: check the path of the source"),
        (["--source", "nowhere.mp4"], "--source nowhere.mp4 has no name: write NAME=LOCATION"),
        (["--source", "a b=x.mp4"], "'a b' cannot name a camera"),
        (["--source", "door=pyproject.toml", "--source", "door=Makefile"], "two sources are named door"),
    ],
)
def test_a_wrong_source_argument_is_told_at_once(watchline, references, arguments, line):
    for name in ("pyproject.toml", "Makefile"):
        (watchline.folder / name).write_text("")
    done = watchline.run("replay", "--references", references, *arguments)

    assert done.returncode == 2
    assert line in said(done)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--json", "nodir/x.json"], "nodir is not a folder: make it, or choose another file"),
        (["--json", "people"], "--json people cannot be written"),
        (["--data-dir", "notes.txt"], "notes.txt cannot hold the data"),
        (["--data-dir", "notes.txt/deeper"], "notes.txt/deeper cannot hold the data"),
    ],
)
def test_a_place_for_the_results_that_is_none_is_told_before_anything_starts(watchline, arguments, line):
    (watchline.folder / "people").mkdir()
    (watchline.folder / "notes.txt").write_text("")
    done = watchline.run("replay", "--references", "people", "--source", "a=notes.txt", *arguments)

    assert done.returncode == 2
    assert line in said(done)
    assert not list(watchline.folder.rglob("*.log"))


def test_an_option_that_is_not_a_number_is_told_with_its_name(watchline, references):
    done = watchline.run("replay", "--references", references, "--source", "a=b", "--threshold", "high")

    assert done.returncode == 2
    assert "--threshold" in said(done)


@pytest.fixture
def mixed_sources(watchline, assets) -> dict[str, Path]:
    """A text file as video, a video cut in half, and a whole one."""
    whole = assets.path("single_face.mp4").read_bytes()
    files = {"text": watchline.folder / "notes.mp4", "cut": watchline.folder / "cut.mp4"}
    files["text"].write_text("these are the notes of a meeting\n" * 100)
    moov_first = _moov_first(whole, watchline.folder)
    files["cut"].write_bytes(moov_first[: len(moov_first) * 6 // 10])
    return files | {"good": assets.path("single_face.mp4")}


def test_sources_that_are_no_video_or_cut_short_do_not_disturb_a_good_one(watchline, references, mixed_sources):
    sources = [part for name, path in mixed_sources.items() for part in ("--source", f"{name}={path}")]
    done = watchline.run("replay", "--references", references, *sources, "--json", "out.json")

    assert done.returncode == 1
    line = said(done)
    assert "camera text:" in line
    assert "notes.mp4" in line
    cameras = json.loads((watchline.folder / "out.json").read_text())["cameras"]
    assert cameras["text"]["state"] == "failed"
    assert cameras["good"]["frames"] == 72
    assert cameras["good"]["alerts"] == 1
    assert 0 < cameras["cut"]["frames"] < 72
    assert "cut.mp4" in cameras["cut"]["detail"]


def test_a_source_that_cannot_be_reached_is_given_up(watchline, references):
    url = "http://user:s3cret@127.0.0.1:1/stream"
    done = watchline.run("replay", "--references", references, "--source", f"yard={url}", "--data-dir", "data")

    assert done.returncode == 1
    assert "camera yard:" in said(done)
    assert "s3cret" not in done.stdout + done.stderr
    written = [path for path in (watchline.folder / "data").rglob("*") if path.is_file()]
    assert [path for path in written if b"s3cret" in path.read_bytes()] == []


def test_references_without_a_face_are_refused_with_the_reason(watchline, assets):
    folder = watchline.folder / "people"
    folder.mkdir()
    cv2.imwrite(str(folder / "wall.png"), np.full((300, 300, 3), 180, np.uint8))
    done = watchline.run("replay", "--references", folder, "--source", f"a={assets.path('no_face.mp4')}")

    assert done.returncode == 2
    assert "no reference could be enrolled" in said(done)
    assert "wall.png: no face was found in the image" in said(done)


def test_a_bad_reference_is_reported_and_the_good_one_is_enrolled(watchline, assets):
    folder = watchline.folder / "people"
    (folder / "subject-1").mkdir(parents=True)
    (folder / "subject-1" / "a.jpg").write_bytes(assets.path("single_face.jpg").read_bytes())
    (folder / "group.jpg").write_bytes(assets.path("multi_face.jpg").read_bytes())
    (folder / f"{'x' * 129}.jpg").write_bytes(assets.path("single_face.jpg").read_bytes())
    (folder / "broken.jpg").write_bytes(assets.path("single_face.jpg").read_bytes()[:40_000])
    source = f"door={assets.path('single_face.mp4')}"
    done = watchline.run("replay", "--references", folder, "--source", source, "--json", "out.json")

    assert done.returncode == 0, done.stderr
    outcome = json.loads((watchline.folder / "out.json").read_text())
    assert outcome["references"] == 1
    too_long = outcome["refused"].pop()
    assert too_long["image"].startswith("xxx")
    assert "the subject id or the name of the file will not do: at most 128 letters" in too_long["reason"]
    assert {refused["image"]: refused["reason"] for refused in outcome["refused"]} == {
        "broken.jpg": "the image is damaged: its end is missing",
        "group.jpg": "5 faces were found in the image; a reference shows exactly one",
    }
    assert [alert["subject"] for alert in outcome["alerts"]] == ["subject-1"]


def test_a_folder_without_references_is_refused(watchline, assets):
    (watchline.folder / "people").mkdir()
    rest = ("--source", f"a={assets.path('no_face.mp4')}", "--data-dir", "data")
    empty = watchline.run("replay", "--references", "people", *rest)
    missing = watchline.run("replay", "--references", "folk", *rest)

    assert list((watchline.folder / "data").rglob("*.log")) == []  # nothing was started
    assert (empty.returncode, missing.returncode) == (2, 2)
    assert "people holds no image" in said(empty)
    assert "folk is not a folder" in said(missing)


def test_a_model_with_another_hash_is_refused(watchline, references, assets, tmp_path):
    offline = tmp_path / "assets"
    offline.mkdir()
    for name in assets.catalogue.assets:
        path = assets.path(name)
        (offline / path.name).write_bytes(path.read_bytes())
    model = offline / assets.path("sface-2021dec").name
    sound = model.read_bytes()
    model.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    done = watchline.run("demo", WATCHLINE_ASSETS=str(offline), WATCHLINE_CACHE=str(tmp_path / "cache"))

    assert done.returncode == 2
    assert model.name in said(done)
    assert "sha256" in said(done)


@pytest.mark.parametrize("service", ["govern", "ingest", "detect", "embed", "match", "alert"])
def test_a_service_without_a_bus_says_so_and_ends_with_3(watchline, service, assets):
    done = watchline.run("run", service, WATCHLINE_NATS_URL="nats://127.0.0.1:1", WATCHLINE_NATS_WAIT_S="0.5")

    assert done.returncode == 3
    assert "no NATS server with JetStream answers at nats://127.0.0.1:1" in said(done)
    assert "WATCHLINE_NATS_URL" in said(done)


def test_a_bad_setting_is_named_and_ends_with_2(watchline):
    done = watchline.run("run", "detect", WATCHLINE_NATS_WAIT_S="soon")

    assert done.returncode == 2
    assert "WATCHLINE_NATS_WAIT_S='soon' will not do" in said(done)


def test_an_unknown_service_is_refused(watchline):
    done = watchline.run("run", "recognise")

    assert done.returncode == 2
    assert "there is no service 'recognise': choose one of" in said(done)


@asynccontextmanager
async def stack(folder: Path) -> AsyncIterator:
    options = StackOptions(folder, environment={"WATCHLINE_SERVICE_MAX_DELIVER": "2"})
    async with open_stack(options, log.configure(LogSettings(level="error"), "test")) as running:
        yield running


GARBAGE = (b"", b"\xc1", b"not msgpack at all", os.urandom(200), b"\x81\xa6camera\xa1x", b"\x93\x01\x02\x03")


async def test_garbage_on_every_subject_is_dead_lettered_and_the_services_live_on(tmp_path, assets):
    async with stack(tmp_path) as running:
        client = await nats.connect(running.url)
        queues = ("sample.door", "probe.door", "candidates.door")
        lists = [f"watchlist.{verb}" for verb in ("create", "import", "enrol", "remove", "destroy", "entries")]
        acts = ("deployment.draft", "deployment.transition", "deployment.amend", "cases.adjudicate", "cases.engage")
        asks = ("detect", "embed", "auditing.append", *lists, *acts)
        for data in GARBAGE:
            for queue in queues:
                await client.jetstream().publish(f"{subjects.ROOT}.{queue}", data)
            for ask in asks:
                reply = await client.request(f"{subjects.ROOT}.{ask}", data, timeout=5)
                assert reply.headers["Nats-Service-Error-Code"] == "400"
        for bucket in ("deployments", "cameras", "warrants"):
            await (await client.jetstream().key_value(bucket)).put("garbage", GARBAGE[3])

        expected = len(GARBAGE) * (len(queues) + len(asks)) + 3
        letters = await _dead_letters(client, at_least=expected)

        stages = {letter.stage for letter in letters}
        assert {"embed", "match", "alert", "detect", "create", "enrol", "cameras", "deployments", "warrants"} <= stages
        assert {"draft", "transition", "adjudicate", "append"} <= stages
        assert all(GARBAGE[3] not in msg for msg in [codec.encode(letter) for letter in letters])
        assert all(program.restarts == 0 for program in running.programs.values())
        await _still_detects(running.bus, assets)
        await client.close()


async def test_a_frame_of_absurd_dimensions_is_refused_and_detect_lives_on(tmp_path, assets):
    jpeg = assets.path("single_face.jpg").read_bytes()
    at = jpeg.index(b"\xff\xc0") + 5
    bomb = jpeg[:at] + struct.pack(">HH", 60_000, 60_000) + jpeg[at + 4 :]
    async with stack(tmp_path) as running:
        ask = DetectRequest(camera="door", frame=0, width=640, height=360, jpeg=bomb)
        client = await nats.connect(running.url)
        reply = await client.request(subjects.DETECT, codec.encode(ask), timeout=5)
        assert reply.headers["Nats-Service-Error-Code"] == "400"
        assert "60000 x 60000 px is out of bounds" in reply.headers["Nats-Service-Error"]

        huge = codec.encode(ask).replace(b"\xa5width\xcd\x02\x80", b"\xa5width\xce\x00\xff\xff\xff")
        reply = await client.request(subjects.DETECT, huge, timeout=5)
        assert reply.headers["Nats-Service-Error-Code"] == "400"
        assert "width" in reply.headers["Nats-Service-Error"]

        good = ask.model_copy(update={"jpeg": jpeg})
        several = DetectImagesRequest(images=(good, ask, good))
        found = await running.bus.ask(subjects.DETECT_IMAGES, several, DetectImagesReply)
        assert [len(one.boxes) if one else 0 for one in found.found] == [1, 0, 1]
        assert found.reasons[::2] == ("", "")
        assert "out of bounds" in found.reasons[1]
        assert running.programs["detect"].restarts == 0
        await _still_detects(running.bus, assets)
        await client.close()


async def _still_detects(bus, assets) -> None:
    ask = DetectRequest(camera="door", frame=1, width=640, height=360, jpeg=assets.path("single_face.jpg").read_bytes())
    found = await bus.ask(subjects.DETECT, ask, Detections)
    assert len(found.boxes) == 1


async def _dead_letters(client, at_least: int) -> list:
    """The dead letters, once there are as many as expected."""
    letters: list[DeadLetter] = []
    reader = await client.jetstream().subscribe(subjects.DEADLETTERS.subjects[0], ordered_consumer=True)
    deadline = time.monotonic() + 30
    while len(letters) < at_least and time.monotonic() < deadline:
        try:
            message = await reader.next_msg(timeout=1)
        except TimeoutError:
            continue
        letters.append(codec.decode(DeadLetter, message.data))
    await reader.unsubscribe()
    assert len(letters) >= at_least
    return letters


def _moov_first(mp4: bytes, folder: Path) -> bytes:
    """The same MP4 with its index before its pictures, so that it can be read when it is cut off."""
    path = folder / "faststart.mp4"
    with av.open(io.BytesIO(mp4)) as clip, av.open(str(path), "w", options={"movflags": "faststart"}) as copy:
        stream = copy.add_stream_from_template(clip.streams.video[0])
        for packet in clip.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                copy.mux(packet)
    return path.read_bytes()
