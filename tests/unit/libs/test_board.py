"""A board: what is reported is written once it can be, the latest of each key, and nothing is lost at the end."""

import asyncio

import pytest

from libs.board import Board
from libs.errors import TransientError
from libs.waiting import end
from proto.records import CameraStatus
from tests.waiting import until


class Slow:
    """A bucket that writes when it may."""

    def __init__(self):
        self.may_write = asyncio.Event()
        self.written = []
        self.cut = False

    async def put(self, key, status):
        await self.may_write.wait()
        if self.cut:
            raise TransientError("the bus is away", delay_s=0)
        self.written.append(status.frames)
        return len(self.written)


def status(frames):
    return CameraStatus(deployment="d", camera="yard", state="running", frames=frames)


@pytest.fixture
async def board():
    board = Board(bucket := Slow(), lambda status: status.camera)
    writing = asyncio.create_task(board.run())
    yield board, bucket, writing
    await end(writing)


async def test_a_status_that_was_being_written_at_the_end_is_written_by_the_last_flush(board):
    board, bucket, writing = board
    board.report(status(7))
    await asyncio.sleep(0)
    await end(writing)
    bucket.may_write.set()
    await board.flush()
    assert bucket.written == [7]


async def test_a_status_that_comes_while_another_is_written_is_written_after_it(board):
    board, bucket, _ = board
    board.report(status(1))
    await asyncio.sleep(0)
    board.report(status(2))
    bucket.may_write.set()

    async def is_written():
        return bucket.written == [1, 2]

    await until(is_written)
    await board.flush()
    assert bucket.written == [1, 2]


async def test_a_status_that_could_not_be_written_is_tried_again(board):
    board, bucket, _ = board
    bucket.cut = True
    bucket.may_write.set()
    board.report(status(3))
    for _ in range(10):
        await asyncio.sleep(0)
    bucket.cut = False

    async def is_written():
        return bucket.written == [3]

    await until(is_written)
