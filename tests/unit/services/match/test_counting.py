"""The histogram of best scores: no score by itself, and no search that is not counted."""

import asyncio

import pytest

from libs.errors import TransientError
from libs.waiting import end
from services.match import counting
from services.match.counting import SearchBoard, bin_of
from tests.fakes import Shelf
from tests.waiting import until


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (0.3999, "38"),
        (0.4, "40"),
        (0.58, "58"),  # 58.0 only after rounding: 0.58 * 100 is 57.99999999999999
        (0.0, "0"),
        (-0.001, "-2"),
        (-0.02, "-2"),
        (-1.0, "-100"),
        (1.0, "100"),
    ],
)
def test_a_bin_holds_its_lower_edge_and_not_its_upper(score, expected):
    assert bin_of(score) == expected


@pytest.fixture
def shelf():
    return Shelf()


@pytest.fixture
def board(shelf, clock):
    return SearchBoard(shelf, "match-1", clock)


def written(shelf):
    return {key: record.histogram for key, (record, _) in shelf.records.items()}


async def test_searches_are_counted_by_deployment_and_camera(board, shelf, clock):
    for score in (0.21, 0.205, 0.5):
        board.add("d", "gate-1", score, 2000)
    board.add("d", "gate-2", 0.1, 2000)
    board.add("e", "gate-1", 0.1, 5)
    await board.flush()

    assert written(shelf) == {
        "d.gate-1.match-1": {"20": 2, "50": 1},
        "d.gate-2.match-1": {"10": 1},
        "e.gate-1.match-1": {"10": 1},
    }
    record, _ = shelf.records["d.gate-1.match-1"]
    assert (record.most_searched, record.updated_at) == (2000, clock.now)


async def test_a_count_goes_on_from_what_was_written_before(board, shelf):
    board.add("d", "gate-1", 0.3, 10)
    await board.flush()
    board.add("d", "gate-1", 0.3, 12)
    await board.flush()
    assert written(shelf) == {"d.gate-1.match-1": {"30": 2}}


@pytest.mark.parametrize("sizes", [(10, 12, 11), (12, 10), (12, 11, 10, 11)])
async def test_a_list_that_is_shortened_leaves_the_largest_and_the_smallest_size(board, shelf, sizes):
    for size in sizes:
        board.add("d", "gate-1", 0.3, size)
    await board.flush()
    record, _ = shelf.records["d.gate-1.match-1"]
    assert (record.least_searched, record.most_searched) == (10, 12)


async def test_another_program_counts_beside_it_and_over_nothing(board, shelf, clock):
    other = SearchBoard(shelf, "match-2", clock)
    for counts in (board, other):
        counts.add("d", "gate-1", 0.3, 10)
        await counts.flush()
    assert written(shelf) == {"d.gate-1.match-1": {"30": 1}, "d.gate-1.match-2": {"30": 1}}


async def test_counts_are_written_while_it_runs_and_however_many_come_not_once_for_each(
    board, shelf, clock, monkeypatch
):
    monkeypatch.setattr(counting, "WRITE_EVERY_S", 0.001)
    board = SearchBoard(shelf, "match-1", clock)
    writing = asyncio.create_task(board.run())
    for _ in range(500):
        board.add("d", "gate-1", 0.3, 10)

    async def are_written():
        return written(shelf) == {"d.gate-1.match-1": {"30": 500}}

    await until(are_written)
    await end(writing)
    assert shelf.records["d.gate-1.match-1"][1] < 5


async def test_what_could_not_be_written_is_written_at_the_end(board, shelf, monkeypatch):
    async def refuse(key, record):
        raise TransientError("the bus is away")

    put = shelf.put
    monkeypatch.setattr(shelf, "put", refuse)
    board.add("d", "gate-1", 0.3, 10)
    assert await board.flush() != []
    monkeypatch.setattr(shelf, "put", put)
    await board.flush()
    assert written(shelf) == {"d.gate-1.match-1": {"30": 1}}
