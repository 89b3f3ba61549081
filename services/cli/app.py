"""The command line: every command under its heading, and the exit code of each error."""

from __future__ import annotations

import asyncio
from typing import Any

import typer
from rich.markup import escape
from typer.core import TyperGroup
from typer.rich_utils import rich_format_error

from libs.bus import AskError
from libs.errors import PermanentError, TransientError, UserError
from proto import codec
from services.cli import INTERRUPTED, acting, console
from services.cli.alerts import commands as alerts
from services.cli.audit import commands as audit
from services.cli.deployments import commands as deployments
from services.cli.machine import commands as machine
from services.cli.officers import commands as officers
from services.cli.trials import commands as trials
from services.cli.watchlists import commands as watchlists

USAGE_ERROR: Any = typer.BadParameter.__mro__[1]
"""What Typer raises for arguments that do not fit: it exports the most special case alone."""

TRY, GOVERN, RUN = "Try it on recordings", "Govern it", "Run it"
"""The headings of the commands, in the order in which a newcomer needs them."""
STORY = (
    *("demo", "replay", "bench"),
    *("watchlist", "deployment", "alerts", "audit", "officer", "keys"),
    *("up", "run", "assets"),
)


class Story(TyperGroup):
    """The commands in the order of their story, not in that of their definition."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # Typer exports no other
        """The names of the commands."""
        return sorted(super().list_commands(ctx), key=STORY.index)


app = typer.Typer(
    cls=Story,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Live facial recognition against watch lists: cameras in, alerts out to the people who must decide.\n\n"
    "Start with `watchline demo`; then try `watchline replay` on recordings of your own. Live cameras run under a "
    "deployment alone, which one officer drafts, another authorises and a third arms: start `watchline up`, then see "
    "`watchline watchlist`, `watchline deployment` and `watchline alerts`.",
)
for trial in (trials.demo, trials.replay, trials.bench):
    app.command(rich_help_panel=TRY)(trial)
for name, group in (
    ("watchlist", watchlists.app),
    ("deployment", deployments.app),
    ("alerts", alerts.app),
    ("audit", audit.app),
    ("officer", officers.app),
):
    app.add_typer(group, name=name, rich_help_panel=GOVERN)
app.command("keys", rich_help_panel=GOVERN)(officers.keys)
app.command("up", rich_help_panel=RUN)(machine.up)
app.command("run", rich_help_panel=RUN)(machine.run)
app.add_typer(machine.assets, name="assets", rich_help_panel=RUN)


def run() -> int:
    """The exit code of the command line: no traceback ever reaches a person who made a mistake.

    0 done; 1 it ran, and something in it failed, was refused or is not there; 2 the arguments or files are wrong; 3 no
    NATS server; 4 a program did not start; 130 interrupted.
    """
    try:
        code = app(prog_name="watchline", standalone_mode=False)
    except USAGE_ERROR as error:
        rich_format_error(error)
        return 2
    except UserError as error:
        console.err.print(f"[red]watchline:[/] {escape(str(error))}", soft_wrap=True)
        return error.exit_code
    except AskError as error:
        acting.print_refusal(error.detail)
        return 1
    except (TransientError, PermanentError, OSError, codec.DecodeError) as error:
        console.err.print(f"[red]watchline:[/] {escape(_reason(error))}", soft_wrap=True)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError, typer.Abort):
        console.err.print("stopped")
        return INTERRUPTED
    return code if isinstance(code, int) else 0


def _reason(error: Exception) -> str:
    """Why something failed."""
    return error.reason if isinstance(error, (TransientError, PermanentError)) else str(error)
