"""The commands as `watchline --help` tells of them."""

from typer.main import get_command

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
