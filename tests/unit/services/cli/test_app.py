"""The commands as `watchline --help` tells of them."""

import sys

import pytest
from typer.main import get_command

from libs.bus import AskError
from services.cli import app as program
from services.cli.app import STORY, app

COMMAND = get_command(app)


def test_the_commands_come_in_the_order_in_which_a_newcomer_needs_them():
    names = COMMAND.list_commands(None)
    assert tuple(names) == STORY
    assert names[:1] == ["demo"]
    assert names.index("watchlist") < names.index("deployment") < names.index("alerts") < names.index("audit")


def test_every_command_says_what_it_does_and_stands_under_a_heading():
    for name in STORY:
        command = COMMAND.get_command(None, name)
        assert command.help, name
        assert command.rich_help_panel in {"Try it on recordings", "Govern it", "Run it"}, name


def test_the_program_is_named_as_people_call_it_however_it_was_started(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["/somewhere/services/cli/__main__.py", "audit", "--nonsense"])
    assert program.run() == 2
    assert "Usage: watchline audit" in capsys.readouterr().err


@pytest.mark.parametrize("code", ["400", "403", "404", "409"])
def test_what_is_refused_or_not_there_is_told_in_one_way_by_every_command(monkeypatch, capsys, code):
    def refused(**_):
        raise AskError("watchline.v1.cases.show", code, "there is no alert a1; look again")

    monkeypatch.setattr(program, "app", refused)
    assert program.run() == 1
    assert capsys.readouterr().err == "refused: there is no alert a1; look again\n"
