"""The program: a dispatcher of camera actors, and the boards on which they tell how far they are."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from libs.board import Board
from libs.bus import Mirror, Records
from libs.images import use_one_thread
from libs.service import Host
from libs.settings import TrustSettings, load
from libs.waiting import end
from libs.warrants import open_warrants
from proto import subjects
from proto.counts import FaceCount
from proto.records import CameraRecord, CameraStatus, Lease
from services.ingest.dispatcher import Books, Dispatcher
from services.ingest.reading import Tools
from services.ingest.settings import IngestSettings


@asynccontextmanager
async def ingest(host: Host) -> AsyncIterator[None]:
    """Takes and runs cameras while the block runs."""
    use_one_thread()
    settings = load(IngestSettings)
    threads = ThreadPoolExecutor(settings.threads or os.cpu_count() or 1, thread_name_prefix="pixels")
    board = Board(
        Records(host.bus, subjects.STATUS, CameraStatus), lambda status: subjects.key(status.deployment, status.camera)
    )
    faces = Board(
        Records(host.bus, subjects.FACES, FaceCount),
        lambda count: subjects.key(count.deployment, count.camera, count.reading),
    )
    async with (
        open_warrants(host.bus, load(TrustSettings), host.log) as warrants,
        Mirror.open(host.bus, subjects.CAMERAS, CameraRecord) as cameras,
        Mirror.open(host.bus, subjects.STATUS, CameraStatus) as statuses,
    ):
        books = Books(warrants, cameras, statuses, Records(host.bus, subjects.LEASES, Lease))
        tools = Tools(host.bus, threads, settings, host.log, board.report, faces.report, time.time)
        writers = [
            host.tasks.create_task(board.run(), name="status board"),
            host.tasks.create_task(faces.run(), name="board of faces seen"),
        ]
        dispatcher = host.tasks.create_task(Dispatcher(books, tools).run(), name="dispatcher")
        try:
            yield
        finally:
            await end(dispatcher)
            await end(*writers)
            await board.flush()
            await faces.flush()
            threads.shutdown(cancel_futures=True)
