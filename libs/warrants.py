"""Warrants as the three locks see them: only those that `govern` has sealed, and never an older one than before.

In one version a deployment is armed or stopped: one that was seen stopped is armed again by a later version alone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.bus import Bus, Mirror
from libs.log import Log
from libs.seals import PublicKey, SealError
from libs.settings import TrustSettings
from proto import subjects
from proto.deployments import Warrant
from proto.sealed import Sealed


class Warrants:
    """The warrants in a mirror of the bucket. Who can write the bucket can stop a deployment, and never start one."""

    def __init__(self, mirror: Mirror[Sealed], key: PublicKey, log: Log) -> None:
        self._mirror = mirror
        self._key = key
        self._log = log
        self._opened: dict[str, tuple[bytes, Warrant | None]] = {}
        """By key of the bucket: the signature last looked at, and the warrant if it is a good one."""
        self._newest: dict[str, int] = {}
        self._stopped: dict[str, int] = {}
        """By key, the newest version in which a deployment was stopped: it is not armed again but in a later one."""

    def get(self, key: str) -> Warrant | None:
        """The warrant under `key` as last heard."""
        sealed = self._mirror.get(key)
        return self._open(key, sealed) if sealed is not None else None

    async def find(self, key: str) -> Warrant | None:
        """The warrant under `key`; one not heard of yet is looked up. Raises `TransientError`."""
        sealed = await self._mirror.find(key)
        return self._open(key, sealed) if sealed is not None else None

    def all(self) -> dict[str, Warrant]:
        """Every good warrant, by key."""
        opened = {key: self._open(key, sealed) for key, sealed in self._mirror.all().items()}
        return {key: warrant for key, warrant in opened.items() if warrant is not None}

    async def changed(self) -> None:
        """Returns at the next change, or at once if there was one since the last call."""
        await self._mirror.changed()

    def _open(self, key: str, sealed: Sealed) -> Warrant | None:
        """The warrant in `sealed`; `None`, and a line in the log, where it is not to be gone by."""
        known = self._opened.get(key)
        if known is None or known[0] != sealed.signature:
            known = self._opened[key] = (sealed.signature, self._checked(key, sealed))
        return known[1]

    def _checked(self, key: str, sealed: Sealed) -> Warrant | None:
        try:
            warrant = self._key.open(sealed, Warrant)
        except SealError as error:
            self._log.error("warrant.refused", deployment=key, reason=error.reason)
            return None
        if subjects.key(warrant.deployment) != key or warrant.record_version < self._newest.get(key, 0):
            self._log.error("warrant.refused", deployment=key, reason="it is another's, or was replaced before")
            return None
        if warrant.state == "armed" and warrant.record_version <= self._stopped.get(key, 0):
            self._log.error("warrant.refused", deployment=key, reason="it was stopped in the same version")
            return None
        self._newest[key] = warrant.record_version
        if warrant.state != "armed":
            self._stopped[key] = warrant.record_version
        return warrant


@asynccontextmanager
async def open_warrants(bus: Bus, settings: TrustSettings, log: Log) -> AsyncIterator[Warrants]:
    """The warrants there are now, followed while the block runs.

    Raises:
        UserError: `settings` name no key of `govern`.
    """
    key = settings.key()
    async with Mirror.open(bus, subjects.WARRANTS, Sealed) as mirror:
        yield Warrants(mirror, key, log)
