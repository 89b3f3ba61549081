"""What a log line may hold: ids, counts and times. Never pixels, templates or what a bug had to say."""

import asyncio
import json
import subprocess
import sys

import numpy as np
import pytest
import structlog

from libs import log as logging
from libs.log import LONGEST_LIST, describe_bug, orphans_to, withhold_biometrics
from libs.settings import LogSettings
from tests.examples import EXAMPLES


def logged(**event):
    return withhold_biometrics(None, "info", event)


@pytest.mark.parametrize("value", ["gate-1", 3, 0.5, None, True, ["a", 1], {"frames": 3}])
def test_plain_values_are_logged_as_they_are(value):
    assert logged(field=value) == {"field": value}


PRIVATE = {
    "an array": np.array([7, 7, 7]),
    "bytes": b"777",
    "a byte array": bytearray(b"777"),
    "a view of bytes": memoryview(b"777"),
    "an array in a list": [np.array([7, 7, 7])],
    "bytes deep down": {"a": [{"b": (b"777",)}]},
    "a template as a list": [0.777] * 128,
    "a template as a tuple": (0.777,) * 128,
    "a sample": EXAMPLES["sample"],
    "an alert in a list": [EXAMPLES["alert"]],
    "an error that quotes": ValueError("777"),
}


@pytest.mark.parametrize("value", PRIVATE.values(), ids=PRIVATE)
def test_nothing_but_its_type_is_logged_of(value):
    line = json.dumps(logged(field=value))
    assert "withheld>" in line
    for secret in ("777", "7, 7", "S-0001", "48.5"):
        assert secret not in line


def test_a_list_of_a_few_numbers_is_no_template():
    assert logged(field=[0.5] * LONGEST_LIST) == {"field": [0.5] * LONGEST_LIST}


def test_a_bug_is_described_by_its_type_and_its_place_and_not_by_its_words():
    def handler():
        raise ValueError("the template is [0.1, 0.2]")

    try:
        handler()
    except ValueError as error:
        described = describe_bug(error)
    assert described["error"] == "ValueError"
    assert "in handler" in described["traceback"]
    assert "[0.1, 0.2]" not in described["traceback"].replace('raise ValueError("the template is [0.1, 0.2]")', "")


@pytest.fixture
def configured(capsys):
    """Sets logging up as a program does; gives what it wrote."""

    def configure(**settings):
        logger = logging.configure(LogSettings(**settings), "tests")
        return logger, lambda: capsys.readouterr().err

    yield configure
    structlog.reset_defaults()


def test_a_line_is_json_with_the_service_the_level_and_the_time(configured):
    logger, written = configured(format="json")
    logger.info("ready", camera="gate-1", chip=np.zeros(3))
    line = json.loads(written())
    assert (line["service"], line["event"], line["level"]) == ("tests", "ready", "info")
    assert (line["camera"], line["chip"]) == ("gate-1", "<ndarray withheld>")
    assert line["timestamp"].endswith("Z")


def test_off_a_terminal_lines_are_json_by_default(configured):
    logger, written = configured()
    logger.info("ready")
    assert json.loads(written())["event"] == "ready"


def test_for_a_person_lines_are_not_json(configured):
    logger, written = configured(format="console")
    logger.info("ready")
    assert not written().startswith("{")


def test_what_is_under_the_level_is_not_written(configured):
    logger, written = configured(level="warning", format="json")
    logger.info("quiet")
    logger.warning("loud")
    assert [json.loads(line)["event"] for line in written().splitlines()] == ["loud"]


def test_a_bug_that_ends_a_process_is_a_line_of_the_log_without_its_message():
    script = (
        "from libs import log; from libs.settings import LogSettings\n"
        "log.bugs_to(log.configure(LogSettings(format='json'), 'test'))\n"
        "raise ExceptionGroup('g', [ValueError('secret of a stranger')])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert json.loads(done.stderr)["error"] == "ValueError"
    assert "secret" not in done.stderr


async def test_a_bug_in_a_task_that_nobody_awaits_is_a_line_of_the_log(log):
    loop = asyncio.get_running_loop()
    orphans_to(log, loop)
    loop.call_soon(lambda: 1 / 0)
    await asyncio.sleep(0.01)
    assert [entry["error"] for entry in log.entries] == ["ZeroDivisionError"]
