"""A look at all records goes on past one of them, and the log says what was wrong, never what was handled."""

import asyncio

import pytest

from libs.errors import PermanentError, TransientError
from libs.surviving import surviving


@pytest.mark.parametrize("error", [TransientError("the bus is away"), PermanentError("it is forged")], ids=str)
def test_what_cannot_be_done_is_logged_with_its_reason(log, error):
    with surviving(log, "look.waits", record="north"):
        raise error
    (entry,) = log.entries
    assert (entry["event"], entry["record"], entry["reason"]) == ("look.waits", "north", error.reason)
    assert entry["log_level"] == "warning"


def test_a_bug_is_logged_without_what_was_handled(log):
    quoting = RecursionError("Jane Doe")
    with surviving(log, "look.waits", record="north"):
        raise quoting
    (entry,) = log.entries
    assert (entry["log_level"], entry["error"]) == ("error", "RecursionError")
    assert "Jane Doe" not in repr(entry)


def test_the_end_of_the_program_ends_the_look(log):
    with pytest.raises(asyncio.CancelledError), surviving(log, "look.waits"):
        raise asyncio.CancelledError
    assert log.entries == []
