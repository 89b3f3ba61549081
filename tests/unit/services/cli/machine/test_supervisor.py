"""Programs are started, restarted when they die, and ended in good time; their last words are told."""

import asyncio
import sys
import time

import pytest

from libs.errors import UserError
from services.cli.machine.supervisor import ProgramSpec, last_words, running

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: print("asked", flush=True))
print("deaf", flush=True)
while True:
    time.sleep(60)
"""


def spec(code, **changes):
    return ProgramSpec("program", (sys.executable, "-c", code), **changes)


async def said(path, words):
    async with asyncio.timeout(20):
        while not (path.exists() and words in path.read_text()):
            await asyncio.sleep(0.01)


def test_the_last_words_are_the_last_line_however_long_the_log(tmp_path):
    log = tmp_path / "program.log"
    log.write_bytes(b"line\n" * 100_000 + b"\xff the port is taken\n\n")
    assert last_words(log).endswith("the port is taken")


async def test_no_program_leaves_its_memory_on_the_disk_when_it_crashes(tmp_path):
    code = "import resource, time; print(resource.getrlimit(resource.RLIMIT_CORE), flush=True); time.sleep(60)"
    async with running([spec(code)], tmp_path, lambda *_: None):
        await said(tmp_path / "program.log", "(0, 0)")


def test_a_program_that_said_nothing_is_looked_up_in_its_log(tmp_path):
    log = tmp_path / "program.log"
    log.write_text("")
    assert str(log) in last_words(log)


async def test_a_program_that_does_not_listen_is_killed(tmp_path):
    async with running([spec(STUBBORN, stop_s=0.05)], tmp_path, lambda *_: None) as programs:
        await said(tmp_path / "program.log", "deaf")
        began = time.monotonic()
    assert programs["program"].pid is None
    assert time.monotonic() - began < 20


async def test_a_program_that_does_not_listen_is_killed_at_once_when_its_end_is_cut_short(tmp_path):
    started = {}

    async def run():
        async with running([spec(STUBBORN, stop_s=60.0)], tmp_path, lambda *_: None) as programs:
            started.update(programs)
            await said(tmp_path / "program.log", "deaf")

    task = asyncio.create_task(run())
    await said(tmp_path / "program.log", "asked")
    task.cancel()
    async with asyncio.timeout(20):
        await asyncio.wait({task})
    assert task.cancelled()
    assert started["program"].pid is None


async def test_a_program_that_is_stopped_inside_the_block_is_not_started_again(tmp_path):
    events = []
    async with running(
        [spec("import time; time.sleep(60)")], tmp_path, lambda *event: events.append(event)
    ) as programs:
        await programs["program"].stop()
        await asyncio.sleep(0)
    assert events == []
    assert programs["program"].restarts == 0


async def test_a_program_whose_settings_are_wrong_ends_the_block_with_what_it_said(tmp_path):
    with pytest.raises(UserError, match="ended with code 2: the port is taken"):
        async with running([spec("print('the port is taken'); exit(2)")], tmp_path, lambda *_: None):
            await asyncio.Event().wait()
