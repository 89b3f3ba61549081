"""Nobody who is not on a list leaves a trace: no template, chip or portrait of theirs reaches a disk or a log."""

from __future__ import annotations

import base64
from pathlib import Path

import msgpack
import nats
import pytest

from libs import log
from libs.bus import flushed
from libs.settings import LogSettings
from proto import subjects
from services.cli.machine.stack import StackOptions
from services.cli.trials.evaluation import open_evaluation
from services.cli.trials.replay import OnEnded, Replay, ReplayOptions

SLICE_BYTES = 32
"""Long enough that it does not occur by chance, short enough to find a part."""


async def replay_and_overhear(
    folder: Path, options: ReplayOptions, on_ended: OnEnded | None = None
) -> tuple[object, list[dict], list[dict]]:
    """The outcome of a replay, and the samples and probes as a listener on the bus saw them."""
    samples, probes = [], []
    quiet = log.configure(LogSettings(level="error"), "test")
    async with open_evaluation(StackOptions(folder), quiet) as evaluation:
        client = await nats.connect(evaluation.stack.url)
        for kind, heard in (("sample", samples), ("probe", probes)):

            async def hear(message, heard=heard):
                heard.append(msgpack.unpackb(message.data))

            await client.subscribe(f"{subjects.ROOT}.{kind}.*", cb=hear)
        await flushed(client)
        outcome = await Replay(evaluation, options, lambda _: None, on_ended=on_ended).run()
        await client.close()
    return outcome, samples, probes


def secrets(samples: list[dict], probes: list[dict]) -> list[bytes]:
    """Parts of every chip, portrait and template, from their middles, where headers do not reach."""
    whole = [sample["chip"]["data"] for sample in samples] + [probe["template"]["data"] for probe in probes]
    whole += [sample["portrait"] for sample in samples]
    return [data[at : at + SLICE_BYTES] for data in whole for at in (len(data) // 2, len(data) // 3)]


def places_of(secret: bytes, folder: Path) -> list[Path]:
    """The files that hold the secret, as it is or in base64."""
    forms = [secret, base64.b64encode(secret)[4:-4]]
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files for form in forms if form in path.read_bytes()]


async def test_after_a_replay_in_which_nobody_matches_no_template_or_portrait_is_anywhere(tmp_path, references, assets):
    options = ReplayOptions(references, {"plaza": str(assets.path("WolfgangLanger_Pexels.mp4"))})
    outcome, samples, probes = await replay_and_overhear(tmp_path, options)

    assert outcome.cameras["plaza"].samples == len(samples) > 0
    assert len(probes) == len(samples)
    assert outcome.cameras["plaza"].candidates == 0
    for secret in secrets(samples, probes):
        assert places_of(secret, tmp_path) == []


async def test_the_portrait_of_an_alert_is_there_until_the_replay_is_purged_and_nowhere_after_it(
    tmp_path, references, assets
):
    options = ReplayOptions(references, {"door": str(assets.path("single_face.mp4"))})
    files_at_the_end: dict[Path, bytes] = {}

    async def take_down(_evaluation, _name):
        files_at_the_end.update({path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()})

    outcome, samples, probes = await replay_and_overhear(tmp_path, options, take_down)

    assert len(outcome.alerts) == 1
    assert outcome.left_behind == ()
    middle = samples[0]["portrait"][len(samples[0]["portrait"]) // 2 :][:SLICE_BYTES]
    assert [path for path, held in files_at_the_end.items() if middle in held] != []  # the search would find it
    for secret in secrets(samples, probes):
        assert places_of(secret, tmp_path) == []


@pytest.mark.parametrize("clip", ["single_face.mp4", "multi_face.jpg"])
async def test_the_list_of_a_replay_is_gone_after_it(tmp_path, references, assets, clip):
    options = ReplayOptions(references, {"door": str(assets.path(clip))})
    _, _, _ = await replay_and_overhear(tmp_path, options)

    reference = references / "subject-1.jpg"
    middle = reference.read_bytes()[40_000:40_032]
    assert places_of(middle, tmp_path) == []
    gallery = [path for path in (tmp_path / "gallery").rglob("*") if path.is_file() and "replay-" in str(path)]
    assert gallery == []
