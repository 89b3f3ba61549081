"""The command line as an officer's hand: asks of the bus, and acts signed with the officer's own key."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from libs import log
from libs.bus import Bus, connect
from libs.errors import UserError
from libs.officers import sign
from libs.seals import Signer
from libs.settings import LogSettings, NatsSettings, load
from proto.messages import Message
from proto.sealed import Sealed

R = TypeVar("R", bound=Message)

ACT_TIMEOUT_S = 30.0
"""How long an act may take."""
DESTROY_S = 300.0
"""How long it may where much is erased: destroying a list of 10,000 people overwrites each portrait, name and entry."""
OFFICER = "WATCHLINE_OFFICER"
KEYS = "WATCHLINE_KEYS"


@dataclass(frozen=True)
class Client:
    """A bus, and the officer who acts on it (or nobody, who can only look)."""

    bus: Bus
    signer: Signer | None = None

    async def act(self, subject: str, request: Message, expected: type[R], timeout_s: float = ACT_TIMEOUT_S) -> R:
        """The answer to `request` as an act of the officer.

        Raises:
            UserError: nobody is named who acts.
            TransientError, AskError, DecodeError: as `Bus.ask`.
        """
        return await self.bus.ask(subject, self.sign(request), expected, timeout_s)

    def sign(self, request: Message) -> Sealed:
        """`request` as an act of the officer, made here and now.

        Raises:
            UserError: nobody is named who acts.
        """
        if self.signer is None:
            raise _nobody()
        return sign(self.signer, request)

    async def ask(self, subject: str, request: Message, expected: type[R], timeout_s: float | None = None) -> R:
        """The answer to `request`, which changes nothing and needs no officer. Raises as `Bus.ask`."""
        return await self.bus.ask(subject, request, expected, timeout_s)


def keys_folder() -> Path:
    """Where the private keys of this person lie: `WATCHLINE_KEYS`, or `~/.config/watchline/keys`."""
    return Path(os.environ.get(KEYS) or Path.home() / ".config" / "watchline" / "keys")


def load_officer(name: str | None) -> Signer | None:
    """The officer of that name, or of `WATCHLINE_OFFICER`; `None` where there is none.

    Raises:
        UserError: the key is not there or will not do.
    """
    name = name or os.environ.get(OFFICER)
    if not name:
        return None
    key = keys_folder() / f"{name}.key"
    if not key.exists():
        raise UserError(f"{name} has no key here ({key})", f"run `watchline officer new {name}`, or set {KEYS}")
    return Signer.load(name, key)


def must_be_somebody(name: str) -> None:
    """Does nothing where somebody is named who acts. Raises `UserError`."""
    if not (name or os.environ.get(OFFICER)):
        raise _nobody()


def _nobody() -> UserError:
    return UserError("nobody is named who acts", f"give --as OFFICER, or set {OFFICER}")


@asynccontextmanager
async def open_client(officer: str | None = None) -> AsyncIterator[Client]:
    """A client on the bus of `WATCHLINE_NATS_URL` while the block runs.

    Raises:
        UserError: no server answers, or the officer's key is not there.
    """
    signer = load_officer(officer)
    async with connect(load(NatsSettings), "watchline", log.configure(LogSettings(level="error"), "watchline")) as bus:
        yield Client(bus, signer)
