"""The story of one deployment, told by the commands that people run: what `docs/walkthrough.md` shows, and a test runs.

python -m pytest tests/e2e/test_story.py --write-walkthrough      writes the page anew, with what came out
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import shlex
import shutil
import subprocess
import tempfile
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import av
import cv2
import msgpack
import numpy as np

from libs.assets import AssetStore
from libs.gallery import GallerySettings
from libs.gallery.edge import EdgeGallery
from services.match.settings import MatchSettings
from tests.e2e.conftest import RUN_S, Watchline

OFFICERS = {
    "a-jones": ("drafter --role authoriser", "superintendent"),
    "b-smith": ("authoriser", "superintendent"),
    "c-brown": ("commander", "inspector"),
    "l-stone": ("list_manager", "sergeant"),
    "d-green": ("operator", "constable"),
    "e-white": ("operator", "constable"),
}
CAMERAS = {"entrance": "single_face.mp4", "plaza": "WolfgangLanger_Pexels.mp4", "corridor": "no_face.mp4"}
NAME_ON_THE_LIST = "Nobody In-Particular"
"""Kept apart from the template, and gone with the entry."""
LOOK_S = 0.2
WIDTH = 130


@dataclass
class Story:
    """Runs commands in a folder and writes down what a reader of the page sees."""

    watchline: Watchline
    environment: dict[str, str]
    page: list[str] = field(default_factory=list)
    templates: list[np.ndarray] = field(default_factory=list)
    """Of those who are on a list, float32 (d,): what must be nowhere at the end."""

    def tell(self, *lines: str) -> None:
        self.page += [*(textwrap.fill(line, 120) for line in lines), ""]

    def run(self, command: str, expect: int = 0, shown: str = "") -> str:
        """What a `watchline` command printed, after it ended with the code that was expected."""
        done = self.watchline.run(*shlex.split(command), **self.environment)
        out = done.stderr + done.stdout
        assert done.returncode == expect, f"{command}: {done.returncode}\n{out}"
        assert "Traceback" not in out
        self.show(f"watchline {shown or command}", out)
        return out

    def quietly(self, command: str) -> str:
        """The same, not on the page: a reader would not look every second."""
        done = self.watchline.run(*shlex.split(command), **self.environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def show_file(self, path: Path, lines: int = 40) -> None:
        self.show(f"cat {path.relative_to(self.watchline.folder)}", "\n".join(path.read_text().splitlines()[:lines]))

    def show(self, command: str, output: str) -> None:
        text = "\n".join(line.rstrip() for line in output.strip().splitlines())
        self.page += ["```console", f"$ {command}", *([text] if text else []), "```", ""]

    def commands(self) -> list[str]:
        return commands_of("\n".join(self.page))


def commands_of(page: str) -> list[str]:
    """The commands that a page shows, with what is another each time as one letter: ids and times."""
    found = re.findall(r"^\$ (.*)$", page, re.MULTILINE)
    return [re.sub(r"\b[0-9a-f]{24}\b", "ID", re.sub(r"\d{4}-\d\d-\d\dT[\d:]+Z", "TIME", command)) for command in found]


def lay_out(folder: Path, store: AssetStore, port: int) -> None:
    """Puts what the story begins with into the folder: cameras, photographs, the draft."""
    for clip in CAMERAS.values():
        shutil.copy(store.path(clip), folder / clip)
    photographs = folder / "photographs"
    photographs.mkdir()
    shutil.copy(store.path("single_face.jpg"), photographs / "custody-7.jpg")
    shutil.copy(store.path("multi_face.jpg"), photographs / "custody-8.jpg")
    (photographs / "custody-9.jpg").write_bytes(store.path("single_face.jpg").read_bytes()[:2000])
    (folder / "wanted.csv").write_text(
        "subject,image,reason,requester,source,lawful_basis,expires,name\n"
        f'S-0001,custody-7.jpg,warrant 17,Inspector 4711,custody,"PACE 1984, s. 64A",2d,{NAME_ON_THE_LIST}\n'
        'S-0002,custody-8.jpg,warrant 18,Inspector 4711,custody,"PACE 1984, s. 64A",2d,\n'
        'S-0003,custody-9.jpg,warrant 19,Inspector 4711,custody,"PACE 1984, s. 64A",2d,\n'
    )
    seeds = folder / "volunteers"
    seeds.mkdir()
    _still(store.path(CAMERAS["plaza"]), 120, seeds / "blue-1.png")
    cameras = "".join(
        f'[[cameras]]\nname = "{name}"\nlocation = "{clip}"\nrealtime = false\n\n' for name, clip in CAMERAS.items()
    )
    (folder / "watchline.toml").write_text(
        f'data_dir = "data"\nofficers = "officers.toml"\n\n[nats]\nport = {port}\n\n{cameras}'.rstrip() + "\n"
    )
    (folder / "station.toml").write_text(draft(datetime.now(UTC).replace(microsecond=0)))


def draft(now: datetime) -> str:
    """The draft of the story: two hours from a moment ago on."""
    begin, end, later = (
        f"{at:%Y-%m-%dT%H:%M:%SZ}"
        for at in (now - timedelta(minutes=1), now + timedelta(hours=2), now + timedelta(days=90))
    )
    return f"""deployment = "station-north"
profile = "eu-ai-act"
purpose = "finding one person wanted on warrant"
legal_basis = "AI Act, art. 5(1)(h)(iii), and the national law that implements it"
strict_necessity = "the person is known to change at this station, and was missed by officers twice"
alternatives = "plain-clothes officers with the photograph: tried on two days without result"
location = "Station North"
starts_at = {begin}
ends_at = {end}
watch_lists = ["wanted"]
seed_lists = ["blue"]
threshold = 0.5
signage_confirmed = true
complaints_contact = "complaints@police.example"
fria = "FRIA-2026-3"
judicial_authorisation = "Court 12, 4 Gs 117/26"

[dpia]
id = "DPIA-2026-7"
expires_at = {later}

[policy]
id = "APD-2.0"
expires_at = {later}

[cameras.entrance]
[cameras.plaza]
polygon = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]
min_face_px = 40
[cameras.corridor]
"""


def _still(clip: Path, number: int, path: Path) -> None:
    with av.open(str(clip)) as source:
        for index, frame in enumerate(source.decode(video=0)):
            if index == number:
                cv2.imwrite(str(path), frame.to_ndarray(format="bgr24"))
                return


def the_story(story: Story) -> None:
    """From the keys of the officers to a deployment that is purged."""
    folder = story.watchline.folder
    _officers(story)
    with Platform(story, folder):
        _lists(story, folder)
        _arming(story)
        _people(story, folder)
        _end(story, folder)
    _nothing_is_left(story, folder)


def _officers(story: Story) -> None:
    story.tell(
        "## Who may do what",
        "",
        "Every officer makes a key, which stays with them; whoever keeps the roster adds the public one. Here one "
        "person plays all six, so that you can follow along on one machine.",
    )
    for name, (role, rank) in OFFICERS.items():
        story.run(f"officer new {name} --role {role} --rank {rank} --roster officers.toml")
    story.run("officer list --roster officers.toml")


class Platform:
    """`watchline up` while the block runs."""

    def __init__(self, story: Story, folder: Path) -> None:
        self._story, self._folder = story, folder

    def __enter__(self) -> None:
        self._story.tell(
            "## The platform",
            "",
            "`watchline.toml` names the cameras. Nothing runs yet: no camera is opened without an armed deployment.",
        )
        self._story.show_file(self._folder / "watchline.toml")
        self._process = self._story.watchline.start("up", **self._story.environment)
        greeting = []
        while not greeting or "nothing is armed" not in greeting[-1]:
            greeting.append(self._process.stderr.readline())
            assert greeting[-1], f"up ended: {greeting} {self._process.communicate()}"
        self._story.tell("In a terminal of its own, until the end of this page:")
        self._story.show("watchline up", "".join(greeting))
        key = next(line for line in greeting if "WATCHLINE_TRUST_PUBLIC_KEY" in line).strip().rpartition("=")[2]
        self._story.environment["WATCHLINE_TRUST_PUBLIC_KEY"] = key

    def __exit__(self, *failure: object) -> None:
        self._process.terminate()
        self._process.communicate(timeout=30)


def _lists(story: Story, folder: Path) -> None:
    story.tell(
        "## The watch list",
        "",
        "A list says what it is for, on which law it rests and who belongs on it. Of three photographs two cannot be "
        "used, and the import says why and what to do.",
    )
    story.run(
        "watchlist create wanted --profile eu-ai-act "
        '--purpose "arrest warrants of the county" --owner "custody unit" --category "wanted '
        'on warrant" --response red --lawful-basis "DPA 2018, part 3" --criteria "a warrant for an indictable offence" '
        "--expires 2d --as l-stone"
    )
    story.run("watchlist import wanted wanted.csv --images photographs --refusals refused.csv --as l-stone", expect=1)
    story.show_file(folder / "refused.csv")
    story.tell("A second list is of volunteers who will walk past on purpose, to measure how many are recognised.")
    story.run(
        "watchlist create blue --profile eu-ai-act --seed "
        '--purpose "measuring TPIR" --owner "the trial" --category volunteers --response '
        'green --lawful-basis consent --criteria "volunteers of this shift" --expires 2d --as l-stone'
    )
    story.run(
        'watchlist import blue volunteers --reason seed --requester "Sgt 12" --source "taken today" --lawful-basis '
        "consent --expires 1d --as l-stone"
    )
    story.run("watchlist show wanted")
    story.templates = [*templates_in(folder / "data" / "gallery", "wanted", "blue")]
    assert len(story.templates) == 2
    for template in story.templates:
        assert any(files_with(folder / "data", needle) for needle in written(template)), "the search finds no template"


def _arming(story: Story) -> None:
    story.tell(
        "## Drafted by one, authorised by another, armed by a third",
        "",
        "`watchline deployment template` prints a draft to fill in; this one is `station.toml`.",
    )
    story.run("deployment draft station.toml --as a-jones")
    story.tell("Who drafted it cannot authorise it, whatever the roster says.")
    refused = story.run("deployment authorise station-north --as a-jones", expect=1)
    assert "another officer must authorise it" in refused
    story.run("deployment authorise station-north --reason 'proportionate for one platform' --as b-smith")
    story.tell("Arming finds what is missing, and says what to do about it.")
    missing = story.run("deployment arm station-north --as c-brown", expect=1)
    assert "registration" in missing
    story.run("deployment register station-north EU-DB-2026-114 --as b-smith")
    story.tell("An operator cannot arm; a commander can.")
    refused = story.run("deployment arm station-north --as d-green", expect=1)
    assert "commander" in refused
    story.run("deployment arm station-north --as c-brown")


def _people(story: Story, folder: Path) -> None:
    story.tell("## An alert is a question to people", "", "The cameras have run. One alert is open.")
    alert = _until_one_alert(story)
    story.run("alerts list")
    story.run(f"alerts show {alert} --portraits compare")
    assert len(list((folder / "compare").glob("*.jpg"))) == 2
    story.tell(
        "The profile `eu-ai-act` asks for two people. The first confirmation suggests nothing to anybody; nobody "
        "confirms twice; the second makes it an intervention."
    )
    story.run(f"alerts adjudicate {alert} confirmed --reason 'same scar, same ears' --as d-green")
    again = story.run(f"alerts adjudicate {alert} confirmed --reason 'still sure' --as d-green", expect=1)
    assert "another person must" in again
    story.run(f"alerts adjudicate {alert} confirmed --reason 'compared both pictures' --as e-white")
    story.run(f"alerts outcome {alert} confirmed-true --reason 'identified by papers' --as e-white")
    story.tell("The volunteer walked past the plaza. Her alert never reached an operator; it counts for TPIR alone.")
    seed = json.loads(story.quietly("alerts list --seeds --json"))
    at = next(case["captured_at"] for case in seed if case["seed"])
    when = f"{datetime.fromtimestamp(at + 1, UTC):%Y-%m-%dT%H:%M:%SZ}"
    story.run(f"alerts passage station-north plaza blue-1 --at {when} --as d-green")


def _until_one_alert(story: Story) -> str:
    """The id of the alert that is open, once the seed's is there too."""
    deadline = time.monotonic() + RUN_S
    while time.monotonic() < deadline:
        cases = json.loads(story.quietly("alerts list --seeds --json"))
        real = [case["alert"] for case in cases if not case["seed"]]
        if real and len(cases) > len(real):
            assert len(real) == 1
            return real[0]
        time.sleep(LOOK_S)
    raise AssertionError("no alert came")


def _end(story: Story, folder: Path) -> None:
    story.tell("## The end, the report, and what is left", "")
    story.run("deployment end station-north --as c-brown")
    story.run("deployment report station-north --out report")
    story.show_file(folder / "report" / "report.csv")
    story.run("deployment purge station-north --as c-brown")
    story.run("watchlist show wanted")
    story.run("deployment show station-north")
    story.tell("Everything that was done, by whom, when and from where, is in the audit, and the audit is whole.")
    story.run("audit verify")
    story.run("audit show")


def _nothing_is_left(story: Story, folder: Path) -> None:
    story.tell(
        "The platform is stopped with Ctrl-C. The name that stood beside S-0001 is in no file of it any more, and nor "
        "is anything of a photograph, a portrait or a template: the test that writes this page looks for parts of "
        "each, and found the templates while the lists were there."
    )
    found = grep(folder / "data", NAME_ON_THE_LIST.encode())
    assert found == []
    story.show(f"grep -rlaF '{NAME_ON_THE_LIST}' data", "\n".join(found) or "(nothing)")


def templates_in(gallery: Path, *watch_lists: str) -> Iterator[np.ndarray]:
    """The templates of lists, out of a copy of a gallery that a program is using."""
    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copytree(gallery, Path(folder) / "gallery")
        settings = MatchSettings()
        opened = EdgeGallery(GallerySettings(settings.template_version, settings.dimension, copy))
        for name in watch_lists:
            yield from opened._templates(name, None)[1]
        asyncio.run(opened.close())


def written(template: np.ndarray) -> list[bytes]:
    """The beginning and the middle of a template in every way in which a program might write them down."""
    return [way for at in (0, len(template) // 2) for way in _written(template[at : at + 12])]


def _written(part: np.ndarray) -> list[bytes]:
    raw = [part.astype(kind).tobytes() for kind in ("<f2", "<f4", ">f4", "<f8", ">f8")]
    listed = [msgpack.packb([float(one) for one in part], use_single_float=single)[1:] for single in (True, False)]
    return [*raw, *listed, *(in_base64(data, before) for data in raw[:3] for before in range(3))]


def in_base64(data: bytes, before: int) -> bytes:
    """What base64 makes of `data` where so many other bytes stand before it, without what those change."""
    return base64.b64encode(bytes(before) + data)[4:-4]


def files_with(folder: Path, needle: bytes) -> list[Path]:
    """The files under `folder` that hold `needle`, which may be any bytes."""
    return [path for path in folder.rglob("*") if path.is_file() and needle in path.read_bytes()]


def grep(folder: Path, needle: bytes) -> list[str]:
    """The files under `folder` that hold `needle`."""
    found = subprocess.run(
        ["/bin/grep", "-rlaF", "--", needle.decode("latin-1"), str(folder)],
        capture_output=True,
        text=True,
        encoding="latin-1",
        check=False,
        env={"LC_ALL": "C"},
    )
    return found.stdout.split()
