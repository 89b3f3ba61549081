"""`watchline up`, `run` and `assets`: the platform on this machine, one of its programs, and what they load."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from libs.assets import load_catalogue
from libs.errors import UserError
from libs.service import main as serve
from services.cli import console
from services.cli.machine.config import load_config
from services.cli.machine.stack import MODELS, SERVICES
from services.cli.machine.up import run_up
from services.cli.signals import until_done

assets = typer.Typer(no_args_is_help=True, help="Models and demo media, fetched by hash.")


def up(
    config: Annotated[Path, typer.Option(help="The settings of this machine.")] = Path("watchline.toml"),
) -> None:
    """The platform on this machine, with the cameras and officers of a `watchline.toml`, until Ctrl-C.

    No camera runs before officers have drafted, authorised and armed a deployment: see `watchline deployment`. What is
    armed when it stops is armed when it starts again, until its own end.

    `docs/watchline.toml` is an example to start from.
    """
    settings = load_config(config)
    console.fetch_assets(MODELS)
    until_done(run_up(settings))


def run(
    service: Annotated[str, typer.Argument(help=f"One of {', '.join(SERVICES)}.")],
) -> None:
    """One service in the foreground: what a container runs. Settings come from the environment.

    `WATCHLINE_NATS_URL` says where the bus is, `WATCHLINE_TRUST_PUBLIC_KEY` which key of `govern` to trust,
    `WATCHLINE_TRUST_OFFICERS` where the roster of officers is, `WATCHLINE_GOVERN_KEY` where the private key is (for
    `govern` alone), `WATCHLINE_QDRANT_URL` where Qdrant is (for `match`), and `WATCHLINE_HEALTH_PORT` where to serve
    `/healthz`, `/readyz` and `/metrics`.
    """
    if service not in SERVICES:
        raise UserError(f"there is no service {service!r}", f"choose one of {', '.join(SERVICES)}")
    module = importlib.import_module(f"services.{service}.service")
    sys.exit(serve(service, getattr(module, service)))


@assets.command("fetch")
def fetch() -> None:
    """Fetches every model and demo file that is not here yet, and checks its hash."""
    names = list(load_catalogue().assets)
    store = console.fetch_assets(names)
    for name in names:
        console.print_written(name, store.path(name))
