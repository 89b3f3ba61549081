import asyncio
import threading
from typing import ClassVar

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from onnxruntime.capi.onnxruntime_pybind11_state import EPFail

from libs.errors import UserError
from libs.inference import Batcher, Session, SessionSettings


@pytest.fixture
def doubling(tmp_path):
    """A model that doubles `x`, of any batch."""
    return saved_doubling(tmp_path, ["batch", 2])


@pytest.fixture
def doubling_of_any_width(tmp_path):
    return saved_doubling(tmp_path, ["batch", "width"])


def saved_doubling(tmp_path, shape):
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "doubling",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    path = tmp_path / "doubling.onnx"
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def test_a_session_runs_and_says_on_what(doubling):
    session = Session(doubling, SessionSettings(device="cpu"))
    (outcome,) = session.run({"x": np.ones((3, 2), np.float32)})
    np.testing.assert_array_equal(outcome, np.full((3, 2), 2))
    assert session.provider == "cpu"


def test_a_session_left_to_choose_always_finds_something_that_works(doubling):
    session = Session(doubling)
    assert session.provider in {"cpu", "cuda"}
    assert session.run({"x": np.ones((1, 2), np.float32)})[0].sum() == 4


def test_a_file_that_is_no_model_is_refused_in_one_line(tmp_path):
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(UserError, match=r"text\.onnx cannot be run"):
        Session(tmp_path / "text.onnx", SessionSettings(device="cpu"))


def test_asking_for_cuda_where_there_is_none_is_refused(doubling, monkeypatch):
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(UserError, match="CUDA does not work here"):
        Session(doubling, SessionSettings(device="cuda"))


class CudaThatLoadsButDoesNotRun(onnxruntime.InferenceSession):
    """What a machine with an old driver shows: the provider is listed and loads, and every run fails."""

    def __init__(self, path, options, providers):
        super().__init__(path, options, ["CPUExecutionProvider"])
        self._on_cuda = providers != ["CPUExecutionProvider"]

    def get_providers(self):
        return ["CUDAExecutionProvider"] if self._on_cuda else super().get_providers()

    def run(self, *arguments):
        if self._on_cuda:
            raise EPFail("no kernel image")
        return super().run(*arguments)


def test_cuda_that_loads_but_does_not_run_falls_back_to_the_cpu(doubling, monkeypatch):
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr("onnxruntime.preload_dlls", lambda: None)
    monkeypatch.setattr("onnxruntime.InferenceSession", CudaThatLoadsButDoesNotRun)
    session = Session(doubling)
    assert session.provider == "cpu"
    assert session.run({"x": np.ones((1, 2), np.float32)})[0].sum() == 4


class ClaimsCuda(onnxruntime.InferenceSession):
    """A session that says it is on CUDA and notes the shapes it is given: what is planned anew is seen from them."""

    opened: ClassVar[list[list[tuple[int, ...]]]] = []

    def __init__(self, path, options, providers):
        super().__init__(path, options, ["CPUExecutionProvider"])
        self.shapes = []
        self.opened.append(self.shapes)

    def get_providers(self):
        return ["CUDAExecutionProvider"]

    def run(self, names, feeds):
        self.shapes += [value.shape for value in feeds.values()]
        return super().run(names, feeds)


@pytest.fixture
def shapes_on_cuda(monkeypatch):
    """The shapes that each session on CUDA was given, in the order in which they were opened."""
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr("onnxruntime.preload_dlls", lambda: None)
    monkeypatch.setattr("onnxruntime.InferenceSession", ClaimsCuda)
    monkeypatch.setattr(ClaimsCuda, "opened", opened := [])
    return opened


@pytest.mark.parametrize("rows", [0, 1, 3, 4, 5, 9])
def test_on_cuda_every_run_is_a_whole_batch_and_the_answer_is_of_the_rows_asked(doubling, shapes_on_cuda, rows):
    session = Session(doubling, SessionSettings(cuda_batch=4))
    asked = np.arange(2 * rows, dtype=np.float32).reshape(rows, 2)
    (outcome,) = session.run({"x": asked})
    np.testing.assert_array_equal(outcome, 2 * asked)
    assert session.provider == "cuda"
    assert {shape for shapes in shapes_on_cuda for shape in shapes} == {(4, 2)}


def test_on_cuda_each_shape_keeps_a_session_and_the_longest_unused_gives_way(doubling_of_any_width, shapes_on_cuda):
    session = Session(doubling_of_any_width, SessionSettings(cuda_batch=2))
    for width in [1, 2, 1, 2, 3, 4, 5, 6, 7, 1, 8]:
        (outcome,) = session.run({"x": np.ones((1, width), np.float32)})
        np.testing.assert_array_equal(outcome, np.full((1, width), 2))
    widths = [[width for _, width in shapes] for shapes in shapes_on_cuda]
    assert widths == [[64, 8], [1, 1, 1], [2, 2], [3], [4], [5], [6], [7]]


class Gate:
    """Work that doubles its items once it is let through, and keeps what it was given."""

    def __init__(self):
        self.batches = []
        self.entered = threading.Semaphore(0)
        self.open = threading.Semaphore(0)

    def __call__(self, items):
        self.batches.append(list(items))
        self.entered.release()
        assert self.open.acquire(timeout=30)
        return [2 * item for item in items]

    async def wait_entered(self):
        assert await asyncio.to_thread(self.entered.acquire, timeout=30)

    def let_through(self, count):
        self.open.release(count)


def doubled(items):
    return [2 * item for item in items]


async def calls(batcher, items):
    """Starts one call an item and returns the tasks once all have queued up."""
    tasks = [asyncio.create_task(batcher(item)) for item in items]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_every_caller_gets_its_own_result():
    async with Batcher(doubled, max_batch=4, workers=2) as batcher:
        assert await asyncio.gather(*map(batcher, range(100))) == [2 * item for item in range(100)]


async def test_calls_that_wait_together_are_worked_on_together_up_to_the_limit():
    gate = Gate()
    async with Batcher(gate, max_batch=3) as batcher:
        first = await calls(batcher, [0])
        await gate.wait_entered()
        others = await calls(batcher, [1, 2, 3, 4])
        gate.let_through(3)
        await asyncio.gather(*first, *others)
    assert gate.batches == [[0], [1, 2, 3], [4]]


async def test_idle_workers_share_what_waits_evenly():
    gate = Gate()
    async with Batcher(gate, max_batch=8, workers=2) as batcher:
        tasks = await calls(batcher, range(8))
        await gate.wait_entered()
        await gate.wait_entered()
        gate.let_through(2)
        await asyncio.gather(*tasks)
    assert sorted(map(len, gate.batches)) == [4, 4]


async def test_what_the_work_raises_goes_to_every_caller_of_the_batch_and_to_no_other():
    def picky(items):
        if 1 in items:
            raise ValueError("one is not liked")
        return items

    async with Batcher(picky, max_batch=1) as batcher:
        answers = await asyncio.gather(*map(batcher, range(3)), return_exceptions=True)
    assert answers[0] == 0
    assert isinstance(answers[1], ValueError)
    assert answers[2] == 2


async def test_a_caller_that_gives_up_does_not_disturb_the_others():
    gate = Gate()
    async with Batcher(gate, max_batch=4) as batcher:
        busy = await calls(batcher, [0])
        await gate.wait_entered()
        gone, stays = await calls(batcher, [1, 2])
        gone.cancel()
        busy[0].cancel()
        gate.let_through(2)
        assert await stays == 4
    assert gate.batches == [[0], [2]]


async def test_no_more_than_the_bound_is_queued():
    gate = Gate()
    async with Batcher(gate, max_batch=8, max_calls=2) as batcher:
        tasks = await calls(batcher, range(5))
        await gate.wait_entered()
        gate.let_through(5)
        assert await asyncio.gather(*tasks) == [0, 2, 4, 6, 8]
    assert max(map(len, gate.batches)) <= 2


async def test_closing_answers_the_calls_that_are_in_and_refuses_later_ones():
    gate = Gate()
    async with Batcher(gate, max_batch=1) as batcher:
        tasks = await calls(batcher, range(3))
        gate.let_through(3)
    assert [await task for task in tasks] == [0, 2, 4]
    with pytest.raises(RuntimeError, match="not open"):
        await batcher(1)


async def test_closing_leaves_no_thread_behind():
    async with Batcher(doubled, max_batch=1, workers=2) as batcher:
        await batcher(1)
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("batcher")] == []


async def test_closing_refuses_the_calls_that_still_wait_outside():
    gate = Gate()
    async with Batcher(gate, max_batch=1, max_calls=1) as batcher:
        inside, outside = await calls(batcher, [1, 2])
        gate.let_through(1)
    assert await inside == 2
    with pytest.raises(RuntimeError, match="not open"):
        await outside
