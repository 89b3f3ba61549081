"""Takes the cameras of armed deployments, one lease each, and runs a camera actor for every one.

What should run is worked out anew at every change of a record, and every second: a camera whose deployment is not
armed, or whose lease another program holds, is let go; a free one is taken.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from libs.bus import Conflict, Mirror, Records
from libs.errors import TransientError
from libs.log import describe_bug
from libs.service import Host
from libs.settings import load
from libs.waiting import any_of
from proto import subjects
from proto.records import CameraRecord, CameraStatus, DeploymentRecord, Lease
from services.ingest.camera import CameraActor
from services.ingest.reading import Tools
from services.ingest.settings import IngestSettings

ROUND_S = 1.0
"""How often leases are renewed and free cameras looked for; a lease lasts five of these."""


@dataclass
class _Post:
    """A camera this program holds."""

    deployment: DeploymentRecord
    actor: CameraActor
    task: asyncio.Task[None]
    lease: int


class StatusBoard:
    """Writes what cameras say of themselves to the bucket `status`, the latest of each, as fast as the bus takes it."""

    def __init__(self, records: Records[CameraStatus]) -> None:
        self._records = records
        self._latest: dict[str, CameraStatus] = {}
        self._news = asyncio.Event()

    def report(self, status: CameraStatus) -> None:
        """Takes a status; one that was not written yet is replaced."""
        self._latest[subjects.key(status.deployment, status.camera)] = status
        self._news.set()

    async def run(self) -> None:
        """Writes until it is cancelled; what could not be written is tried again."""
        while True:
            await self._news.wait()
            self._news.clear()
            await self.flush()

    async def flush(self) -> None:
        """Writes what was not written yet."""
        for key in list(self._latest):
            status = self._latest.pop(key)
            try:
                await self._records.put(key, status)
            except TransientError as error:
                self._latest.setdefault(key, status)
                self._news.set()
                await asyncio.sleep(error.delay_s)


@dataclass(frozen=True)
class Books:
    """The records an ingest program goes by."""

    deployments: Mirror[DeploymentRecord]
    cameras: Mirror[CameraRecord]
    statuses: Mirror[CameraStatus]
    leases: Records[Lease]


class Dispatcher:
    """Holds the cameras of this program."""

    def __init__(self, books: Books, tools: Tools, host: Host) -> None:
        self._books = books
        self._tools = tools
        self._host = host
        self._me = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._posts: dict[tuple[str, str], _Post] = {}
        self._ended = asyncio.Event()
        self._over: set[tuple[str, str, float]] = set()
        """Cameras that came to their end here, by deployment, name and start; the bucket hears of it a little later."""

    async def run(self) -> None:
        """Works out what should run, again and again, until it is cancelled; then lets every camera go."""
        try:
            while True:
                self._ended.clear()
                await self._round()
                news = (self._books.deployments.changed(), self._books.cameras.changed(), self._ended.wait())
                await any_of(*news, timeout_s=ROUND_S)
        finally:
            for key in list(self._posts):
                await self._let_go(key)

    async def _round(self) -> None:
        wanted = dict(self._wanted())
        for key, post in list(self._posts.items()):
            if key in wanted and not post.task.done() and await self._renew(key, post):
                post.actor.amend(wanted[key][1])
                continue
            if post.task.done():
                self._close_the_books(key, post)
                wanted.pop(key, None)
            await self._let_go(key)
        for key, (camera, deployment) in wanted.items():
            if key not in self._posts and len(self._posts) < self._tools.settings.max_cameras:
                await self._take(key, camera, deployment)

    def _wanted(self) -> Iterable[tuple[tuple[str, str], tuple[CameraRecord, DeploymentRecord]]]:
        """The cameras that armed deployments name and that have not come to their end in it."""
        now = self._tools.clock()
        for deployment in self._books.deployments.all().values():
            for name in deployment.cameras if deployment.armed_at(now) else ():
                camera = self._books.cameras.get(subjects.key(name))
                if camera is not None and not self._is_over(deployment, name):
                    yield (deployment.deployment, name), (camera, deployment)

    def _is_over(self, deployment: DeploymentRecord, camera: str) -> bool:
        if (deployment.deployment, camera) in self._posts:
            return False
        if (deployment.deployment, camera, deployment.starts_at) in self._over:
            return True
        status = self._books.statuses.get(subjects.key(deployment.deployment, camera))
        return status is not None and status.state in ("ended", "failed") and status.updated_at >= deployment.starts_at

    def _close_the_books(self, key: tuple[str, str], post: _Post) -> None:
        """Notes that a camera's task has ended; if by a bug, that is told, and its other cameras run on."""
        self._over.add((*key, post.deployment.starts_at))
        if not post.task.cancelled() and (error := post.task.exception()) is not None:
            self._host.log.error("camera.bug", camera=key[1], **describe_bug(error))
            detail = f"a bug ({type(error).__name__}); the log of ingest says where"
            self._tools.report(
                CameraStatus(
                    deployment=key[0], camera=key[1], state="failed", detail=detail, updated_at=self._tools.clock()
                )
            )

    async def _take(self, key: tuple[str, str], camera: CameraRecord, deployment: DeploymentRecord) -> None:
        """Takes the camera's lease and starts its actor; does nothing if another program was first."""
        try:
            lease = await self._books.leases.replace(subjects.key(*key), self._lease(key), 0)
        except (Conflict, TransientError):
            return
        actor = CameraActor(camera, deployment, self._tools)
        task = asyncio.create_task(actor.run(), name=f"camera {camera.camera}")
        task.add_done_callback(lambda _: self._ended.set())
        self._posts[key] = _Post(deployment, actor, task, lease)
        self._host.log.info("camera.taken", camera=camera.camera, deployment=deployment.deployment)

    async def _renew(self, key: tuple[str, str], post: _Post) -> bool:
        """Whether the lease is still ours. While the bus is away it is: nobody else can take it either."""
        try:
            post.lease = await self._books.leases.replace(subjects.key(*key), self._lease(key), post.lease)
        except TransientError:
            return True
        except Conflict:
            return await self._retake(key, post)
        return True

    async def _retake(self, key: tuple[str, str], post: _Post) -> bool:
        """Takes a lease anew that lapsed or that a restarted server forgot."""
        try:
            post.lease = await self._books.leases.replace(subjects.key(*key), self._lease(key), 0)
        except (Conflict, TransientError):
            self._host.log.warning("camera.lost", camera=key[1])
            return False
        return True

    async def _let_go(self, key: tuple[str, str]) -> None:
        post = self._posts.pop(key)
        post.task.cancel()
        await asyncio.wait({post.task})
        with suppress(TransientError):
            await self._books.leases.delete(subjects.key(*key))
        self._host.log.info("camera.released", camera=key[1], deployment=key[0])

    def _lease(self, key: tuple[str, str]) -> Lease:
        return Lease(holder=self._me, camera=key[1])


@asynccontextmanager
async def ingest(host: Host) -> AsyncIterator[None]:
    """The program: a dispatcher of camera actors, and the board on which they tell how far they are."""
    settings = load(IngestSettings)
    threads = ThreadPoolExecutor(settings.threads or os.cpu_count() or 1, thread_name_prefix="pixels")
    board = StatusBoard(Records(host.bus, subjects.STATUS, CameraStatus))
    async with (
        Mirror.open(host.bus, subjects.DEPLOYMENTS, DeploymentRecord) as deployments,
        Mirror.open(host.bus, subjects.CAMERAS, CameraRecord) as cameras,
        Mirror.open(host.bus, subjects.STATUS, CameraStatus) as statuses,
    ):
        books = Books(deployments, cameras, statuses, Records(host.bus, subjects.LEASES, Lease))
        tools = Tools(host.bus, threads, settings, host.log, board.report, time.time)
        writer = host.tasks.create_task(board.run(), name="status board")
        dispatcher = host.tasks.create_task(Dispatcher(books, tools, host).run(), name="dispatcher")
        try:
            yield
        finally:
            dispatcher.cancel()
            await asyncio.wait({dispatcher})
            writer.cancel()
            await board.flush()
            threads.shutdown(cancel_futures=True)
