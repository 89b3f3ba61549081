"""The course of an evaluation: its watch list and its deployment of the same name, from the first act to the last.

Every step looks first how far things are. So it can be tried again when an answer was lost, and taken up where a killed
program has left it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeVar

from libs.bus import AskError
from libs.errors import MissingError
from libs.officers import Role
from proto import subjects
from proto.deployments import DeploymentDraft, DeploymentRecord, DeploymentState
from proto.requests.deployments import DeploymentReply, DeploymentRequest, DraftRequest, TransitionRequest, Verb
from proto.requests.listing import ListRequest
from proto.requests.watchlists import CreateListRequest, DestroyListRequest, ListReply
from proto.watchlists import WatchListForm, WatchListRecord
from services.cli.client import DESTROY_S, Client
from services.cli.patience import INSIST_S, insist

R = TypeVar("R")
Way = Mapping[DeploymentState, tuple[Verb, Role]]
"""What is done next to a deployment in each state, and by whom."""
TO_ARMED: Way = {"draft": ("authorise", "authoriser"), "authorised": ("arm", "commander")}
TO_ENDED: Way = {
    "draft": ("refuse", "authoriser"),
    "authorised": ("refuse", "authoriser"),
    "armed": ("end", "commander"),
    "suspended": ("end", "commander"),
}
TO_PURGED: Way = {**TO_ENDED, "ended": ("purge", "commander")}
REASON = "evaluation"
HEARSAY_S = 1.0
"""How long an act that is refused is tried again: `govern` may not have heard yet of what was recorded a moment ago."""
LOOK_S = 0.1
"""How often it is looked again."""


class Course:
    """One list and one deployment, both called `name`. `clients` gives the officer of a role, at the bus."""

    def __init__(self, name: str, clients: Callable[[Role], Client]) -> None:
        self.name = name
        self._clients = clients

    # -- the watch list

    async def make_list(self, form: WatchListForm) -> None:
        """Makes the watch list. Raises `TransientError`, `AskError`."""
        await insist(partial(self._make_list, form))

    async def destroy_list(self) -> None:
        """Destroys the watch list and every reference on it. Raises `TransientError`, `AskError`."""
        await insist(self._destroy_list)

    async def _make_list(self, form: WatchListForm) -> None:
        if await self._list() is None:
            ask = CreateListRequest(form=form)
            await self._clients("list_manager").act(f"{subjects.WATCHLIST}.create", ask, ListReply)

    async def _destroy_list(self) -> None:
        record = await self._list()
        if record is not None and record.state != "destroyed":
            ask = DestroyListRequest(watch_list=self.name, reason=REASON)
            await self._clients("list_manager").act(f"{subjects.WATCHLIST}.destroy", ask, ListReply, DESTROY_S)

    async def _list(self) -> WatchListRecord | None:
        ask = ListRequest(of=self.name)
        reply = await _found(self._clients("list_manager").ask(f"{subjects.WATCHLIST}.show", ask, ListReply))
        return reply.record if reply else None

    # -- the deployment

    async def draft(self, draft: DeploymentDraft) -> None:
        """Drafts the deployment. Raises `TransientError`, `AskError`."""
        await insist(partial(self._draft, draft))

    async def go(self, way: Way, patience_s: float = INSIST_S) -> DeploymentState | None:
        """Takes the deployment `way` to its end; the state it is in then, or `None` where there is no such deployment.

        Raises:
            TransientError: the bus or `govern` was away for `patience_s`.
            AskError: a step was refused.
        """
        until = time.monotonic() + HEARSAY_S
        while True:
            record = await insist(self._deployment, patience_s)
            if record is None or record.state not in way:
                return record.state if record else None
            if not record.deleting:
                await insist(partial(self._step, record, way, until), patience_s)
            else:
                await asyncio.sleep(LOOK_S)

    async def _draft(self, draft: DeploymentDraft) -> None:
        if await self._deployment() is None:
            await self._clients("drafter").act(
                f"{subjects.DEPLOYMENT}.draft", DraftRequest(draft=draft), DeploymentReply
            )

    async def _step(self, seen: DeploymentRecord, way: Way, until: float) -> None:
        """Does what comes next, unless somebody has changed the record since it was `seen`.

        A refusal that is not for that reason is raised after `until` (of the monotonic clock).
        """
        verb, role = way[seen.state]
        ask = TransitionRequest(verb=verb, deployment=self.name, record_version=seen.record_version, reason=REASON)
        try:
            await self._clients(role).act(f"{subjects.DEPLOYMENT}.transition", ask, DeploymentReply)
        except AskError:
            now = await self._deployment()
            if now is not None and now.record_version != seen.record_version:
                return
            if now is None or time.monotonic() > until:
                raise
            await asyncio.sleep(LOOK_S)

    async def _deployment(self) -> DeploymentRecord | None:
        ask = DeploymentRequest(deployment=self.name)
        reply = await _found(self._clients("drafter").ask(f"{subjects.DEPLOYMENT}.show", ask, DeploymentReply))
        return reply.record if reply else None


async def _found(asking: Awaitable[R]) -> R | None:
    """The answer, or `None` where there is no such thing. Raises as `Client.ask`."""
    try:
        return await asking
    except AskError as error:
        if error.code == MissingError.code:
            return None
        raise
