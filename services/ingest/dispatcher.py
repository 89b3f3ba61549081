"""Which cameras this program runs: those of armed deployments, one lease each, one camera actor for every one.

What should run is worked out anew at every change of a warrant or of a camera's record, and every second: a camera
whose deployment is not armed, or whose lease another program holds, is let go; a free one is taken. Nothing in a round
waits for another camera: leases are renewed at once, and an actor that takes its time to end (its source is silent)
ends on the side.

While the bus is away nobody can tell whether another program has taken over, for that may be cut off alone. A stream
is let go after `CUT_OFF_S`, and joined again where it is then; until another program's lease is heard of, two may read
it for a moment, and the cool-down of `alert` holds their repeats back. A file is never let go for that: to start it
again would cost all it has done, and as long as the bus is away it waits anyway.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from libs.bus import Conflict
from libs.errors import TransientError
from libs.log import describe_bug
from libs.waiting import any_of
from proto import subjects
from proto.deployments import Warrant
from proto.messages import Message
from proto.records import CameraRecord, CameraStatus
from services.ingest.camera import ELSEWHERE, NOT_ARMED, CameraActor
from services.ingest.leases import Key, LeaseRecords, Leases
from services.ingest.reading import Tools

M_co = TypeVar("M_co", bound=Message, covariant=True)
Wanted = dict[Key, tuple[CameraRecord, Warrant]]

ROUND_S = 1.0
"""From the start of a round to that of the next; a lease lasts five of these."""
BACK_OFF_S = 2 * ROUND_S
"""How long a camera that was lost to another program is left to it before it is looked at again."""
FORGOTTEN_S = subjects.LEASES.ttl_s
"""After a reconnection free cameras are left alone for as long: the leases of a server that was restarted are gone,
and whoever held them is given the time in which they would have lapsed to take them again."""
CUT_OFF_S = 3 * subjects.LEASES.ttl_s
"""How long a live camera is read on without a renewed lease. A server that is restarted is back by then."""


class Book(Protocol[M_co]):
    """The part of `libs.bus.Mirror` that the dispatcher goes by."""

    def get(self, key: str) -> M_co | None:
        """The record under `key`."""

    def all(self) -> Mapping[str, M_co]:
        """Every record, by key."""

    async def changed(self) -> None:
        """Returns at the next change."""


@dataclass(frozen=True)
class Books:
    """The records an ingest program goes by."""

    warrants: Book[Warrant]
    cameras: Book[CameraRecord]
    statuses: Book[CameraStatus]
    leases: LeaseRecords


@dataclass
class _Post:
    """A camera this program holds: `lease` is the revision of its lease, `renewed_s` when that was last written."""

    warrant: Warrant
    actor: CameraActor
    task: asyncio.Task[None]
    lease: int
    renewed_s: float


class Dispatcher:
    """Holds the cameras of this program. `monotonic` tells how old leases are, in seconds."""

    def __init__(self, books: Books, tools: Tools, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._books = books
        self._tools = tools
        self._monotonic = monotonic
        self._leases = Leases(books.leases, f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}")
        self._posts: dict[Key, _Post] = {}
        self._leaving: dict[Key, asyncio.Task[None]] = {}
        self._not_before_s: dict[Key, float] = {}
        """When a camera that was lost may be looked at again."""
        self._over: set[tuple[str, str, float]] = set()
        """Cameras that came to their end here, by deployment, name and start; the bucket hears of it a little later."""
        self._elsewhere: set[tuple[str, int, str, str]] = set()
        """Of which it was told that their location is another, by deployment, version, name and location."""
        self._ended = asyncio.Event()
        self._back = tools.bus.reconnected
        self._takes_from_s = monotonic()

    async def run(self) -> None:
        """Works out what should run, again and again, until it is cancelled; then lets every camera go."""
        try:
            while True:
                self._ended.clear()
                began_s = self._monotonic()
                await self.run_round()
                news = (self._books.warrants.changed(), self._books.cameras.changed(), self._ended.wait())
                await any_of(*news, timeout_s=max(0.0, began_s + ROUND_S - self._monotonic()))
        finally:
            await self.close()

    async def close(self) -> None:
        """Lets every camera go, all at once, and returns when the last is gone."""
        for key in list(self._posts):
            self._let_go(key)
        await asyncio.gather(*self._leaving.values())

    async def run_round(self) -> None:
        """Lets go what is over, renews what is held and takes what is free."""
        self._note_departures()
        self._note_reconnection()
        wanted = dict(self._wanted())
        for key, post in list(self._posts.items()):
            if post.task.done():
                self._close_the_books(key, post)
                wanted.pop(key, None)
                self._let_go(key)
            elif key not in wanted:
                post.actor.disarm(self._reason(key))
                self._let_go(key)
            else:
                post.actor.amend(wanted[key][1])
        async with asyncio.TaskGroup() as at_once:
            for key, post in self._posts.items():
                at_once.create_task(self._renew(key, post), name=f"renew {key[1]}")
            at_once.create_task(self._take_the_free(wanted), name="take")

    # -- what should run

    def _wanted(self) -> Iterable[tuple[Key, tuple[CameraRecord, Warrant]]]:
        """The cameras that armed deployments name and that have not come to their end in it."""
        now = self._tools.clock()
        for warrant in self._books.warrants.all().values():
            for name in warrant.cameras if warrant.armed_at(now) else ():
                camera = self._books.cameras.get(subjects.key(name))
                if camera is None or self._is_over(warrant, name):
                    continue
                if not warrant.is_bound_to(name, camera.location):
                    self._tell_elsewhere(camera, warrant)
                else:
                    yield (warrant.deployment, name), (camera, warrant)

    def _tell_elsewhere(self, camera: CameraRecord, warrant: Warrant) -> None:
        """Tells, once, that a camera is not opened, for its frames would come from elsewhere than was armed."""
        told = (warrant.deployment, warrant.record_version, camera.camera, camera.location)
        if told in self._elsewhere:
            return
        self._elsewhere.add(told)
        if (warrant.deployment, camera.camera) in self._posts:  # the round lets it go, and tells that with its counts
            return
        self._tools.log.warning("camera.elsewhere", camera=camera.camera, deployment=warrant.deployment)
        status = CameraStatus(
            deployment=warrant.deployment,
            camera=camera.camera,
            state="ended",
            detail=ELSEWHERE,
            disarmed=True,
            updated_at=self._tools.clock(),
        )
        self._tools.report(status)

    def _is_over(self, warrant: Warrant, camera: str) -> bool:
        if (warrant.deployment, camera) in self._posts:
            return False
        if (warrant.deployment, camera, warrant.starts_at) in self._over:
            return True
        status = self._books.statuses.get(subjects.key(warrant.deployment, camera))
        if status is None or status.state not in ("ended", "failed") or status.disarmed:
            return False
        return status.updated_at >= warrant.starts_at

    def _close_the_books(self, key: Key, post: _Post) -> None:
        """Notes that a camera's task has ended; if by a bug, that is told, and the other cameras run on."""
        if not post.task.cancelled() and (error := post.task.exception()) is not None:
            self._tools.log.error("camera.bug", camera=key[1], **describe_bug(error))
            post.actor.fail(error)
        if not post.actor.status.disarmed:
            self._over.add((*key, post.warrant.starts_at))

    def _reason(self, key: Key) -> str:
        """Why a camera that was wanted is not any more."""
        camera, warrant = self._books.cameras.get(subjects.key(key[1])), self._books.warrants.get(subjects.key(key[0]))
        if camera is None:
            return "the record of the camera was removed"
        if warrant is None or not warrant.covers(key[1], self._tools.clock()):
            return NOT_ARMED
        return ELSEWHERE

    # -- taking, keeping, letting go

    def _note_reconnection(self) -> None:
        if self._back.is_set():
            self._back = self._tools.bus.reconnected
            self._takes_from_s = self._monotonic() + FORGOTTEN_S

    async def _take_the_free(self, wanted: Wanted) -> None:
        """Takes what nobody holds, as much as there is room for."""
        now_s = self._monotonic()
        if now_s < self._takes_from_s:
            return
        busy = self._posts.keys() | self._leaving.keys()
        free = [key for key in wanted if key not in busy and now_s >= self._not_before_s.get(key, now_s)]
        room = self._tools.settings.max_cameras - len(busy)
        if room > 0:
            open_to_us = await asyncio.gather(*(self._leases.may_take(key) for key in free))
            taken = [key for key, may_take in zip(free, open_to_us, strict=True) if may_take][:room]
            await asyncio.gather(*(self._take(key, *wanted[key]) for key in taken))

    async def _take(self, key: Key, camera: CameraRecord, warrant: Warrant) -> None:
        """Takes the camera's lease and starts its actor; does nothing if another program was first."""
        asked_s = self._monotonic()
        try:
            lease = await self._leases.take(key)
        except (Conflict, TransientError):
            return
        actor = CameraActor(camera, warrant, self._tools)
        task = asyncio.create_task(actor.run(), name=f"camera {camera.camera}")
        task.add_done_callback(lambda _: self._ended.set())
        self._posts[key] = _Post(warrant, actor, task, lease, asked_s)
        self._tools.log.info("camera.taken", camera=camera.camera, deployment=warrant.deployment)

    async def _renew(self, key: Key, post: _Post) -> None:
        """Renews the lease of a camera; one that is another's now, or cut off for too long, is let go."""
        asked_s = self._monotonic()
        try:
            post.lease = await self._leases.renew(key, post.lease)
            post.renewed_s = asked_s
        except Conflict:
            self._tools.log.warning("camera.lost", camera=key[1], deployment=key[0])
            self._not_before_s[key] = self._monotonic() + BACK_OFF_S
            self._let_go(key, lost=True)
        except TransientError:
            if post.actor.live and self._monotonic() - post.renewed_s > CUT_OFF_S:
                self._tools.log.warning("camera.cut_off", camera=key[1], deployment=key[0])
                self._let_go(key)

    def _let_go(self, key: Key, *, lost: bool = False) -> None:
        """Stops a camera; its end is waited for on the side. The lease is released unless it was `lost`."""
        post = self._posts.pop(key)
        post.task.cancel()
        self._leaving[key] = asyncio.create_task(self._see_off(key, post, lost), name=f"let go {key[1]}")

    async def _see_off(self, key: Key, post: _Post, lost: bool) -> None:
        await asyncio.wait({post.task})
        if not lost:
            await self._leases.release(key, post.lease)
        self._tools.log.info("camera.released", camera=key[1], deployment=key[0])

    def _note_departures(self) -> None:
        for key, task in list(self._leaving.items()):
            if task.done():
                task.result()
                del self._leaving[key]
