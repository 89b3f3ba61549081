"""The story of one deployment, as `docs/walkthrough.md` tells it; and nothing biometric is left at its end."""

from __future__ import annotations

import base64
from pathlib import Path

import msgpack
import numpy as np
import pytest

from libs.seals import Signer
from services.cli.machine.stack import free_port
from tests.e2e import story as told

PAGE = Path(__file__).parents[2] / "docs" / "walkthrough.md"
HEAD = """# Walkthrough: one deployment, from the keys to the proof that nothing is left

Everything below was run as it stands, on the recorded cameras of the demo; `tests/e2e/test_story.py` runs it again at
every change and writes this page (`--write-walkthrough`).
"""


@pytest.fixture
def story(watchline, assets):
    port = free_port()
    told.lay_out(watchline.folder, assets, port)
    environment = {
        "WATCHLINE_NATS_URL": f"nats://127.0.0.1:{port}",
        "WATCHLINE_KEYS": str(watchline.folder / "keys"),
        "COLUMNS": str(told.WIDTH),
    }
    return told.Story(watchline, environment)


@pytest.mark.timeout(400)  # forty commands, one after the other
def test_a_deployment_from_the_keys_to_the_proof_that_nothing_is_left(story, assets, request):
    told.the_story(story)

    data = story.watchline.folder / "data"
    for needle in secrets_of(assets, story.watchline.folder):
        assert told.grep(data, needle) == []
    for template in story.templates:
        assert [path for needle in told.written(template) for path in told.files_with(data, needle)] == []
    page = HEAD + "\n" + "\n".join(story.page).replace(str(story.watchline.folder), "~/watchline")
    if request.config.getoption("--write-walkthrough"):
        PAGE.write_text(page.rstrip() + "\n")
    assert told.commands_of(PAGE.read_text()) == story.commands(), "write the page anew with --write-walkthrough"


def secrets_of(assets, folder):
    """Parts of the photographs, the portraits of the alert and the name on the list: what must be nowhere."""
    yield told.NAME_ON_THE_LIST.encode()
    images = [assets.path("single_face.jpg"), folder / "volunteers" / "blue-1.png", *folder.glob("compare/*.jpg")]
    assert len(images) == 4
    for image in images:
        data = np.frombuffer(image.read_bytes(), np.uint8)
        for at in (len(data) // 2, len(data) // 3):
            yield needle_in(data[at:].tobytes())


def needle_in(data):
    """A run of bytes that `grep` can search for: without line ends and NULs."""
    for part in data.replace(b"\0", b"\n").splitlines():
        if len(part) >= 12:
            return part[:24]
    raise AssertionError("no bytes to search for")


def test_the_search_would_find_what_is_left(tmp_path):
    Signer.generate("a-jones").save(tmp_path / "deep" / "a-jones.key")
    line = (tmp_path / "deep" / "a-jones.key").read_bytes().strip()
    assert told.grep(tmp_path, line) == [str(tmp_path / "deep" / "a-jones.key")]


@pytest.mark.parametrize("before", range(3))
def test_the_search_would_find_a_template_however_it_was_written_down(tmp_path, before):
    template = np.random.default_rng(1).standard_normal(512).astype("<f4")
    raw = template.tobytes()
    ways = [raw, template.astype(">f4").tobytes(), msgpack.packb(template.tolist())]
    for number, way in enumerate([*ways, base64.b64encode(bytes(before) + raw)]):
        (tmp_path / f"way-{number}").write_bytes(b"\n" * before + way)
    found = {path.name for needle in told.written(template) for path in told.files_with(tmp_path, needle)}
    assert found == {"way-0", "way-1", "way-2", "way-3"}
