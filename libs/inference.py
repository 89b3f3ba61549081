"""Runs models: a session on the best provider that works, and a batcher that lets many callers share it.

The only module that imports onnxruntime.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeAlias, TypeVar

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as engine

from libs.errors import UserError

Array = NDArray[Any]
EngineSession: TypeAlias = Any  # onnxruntime ships no types
_Shape: TypeAlias = tuple[tuple[int, ...], ...]
Item = TypeVar("Item")
Result = TypeVar("Result")

_ENGINE_ERRORS = (
    engine.EPFail,
    engine.Fail,
    engine.InvalidArgument,
    engine.InvalidGraph,
    engine.InvalidProtobuf,
    engine.NoSuchFile,
    engine.NotImplemented,
    engine.RuntimeException,
    RuntimeError,
)
_TRIAL_SIDE_PX = 64  # free sides of the trial run: small, and a multiple of 32 as the detectors need
_CPU = ["CPUExecutionProvider"]
_CUDA = "CUDAExecutionProvider"
_CUDA_OPTIONS = {
    # the default search, and the exhaustive one, take seconds for every new shape
    "cudnn_conv_algo_search": "HEURISTIC",
    # TF32 rounds to ten bits: comparison scores off by up to 6e-4, where thresholds are calibrated with float32
    "use_tf32": "0",
}
_ON_CUDA: list[str | tuple[str, dict[str, str]]] = [(_CUDA, _CUDA_OPTIONS), *_CPU]
_CUDA_SHAPES = 8  # shapes of a model's input that have a session of their own
_NUMPY_TYPES = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}


@dataclass(frozen=True)
class SessionSettings:
    """How a session runs.

    `threads`: cores one run may use on the CPU (1: runs do not disturb each other, callers run in parallel).
    `device`: "auto" takes CUDA if a run on it works, "cpu" never tries, "cuda" refuses anything else.
    `cuda_batch`: rows of every run on CUDA; fewer are filled up, more are run one after the other.
    """

    threads: int = 1
    device: Literal["auto", "cpu", "cuda"] = "auto"
    cuda_batch: int = 1


class Session:
    """A loaded model. `run` may be called from several threads at once."""

    def __init__(self, model: Path, settings: SessionSettings | None = None) -> None:
        """Loads `model`.

        Raises: UserError if the file is no model, or if `device` is "cuda" and CUDA does not work.
        """
        self._settings = settings or SessionSettings()
        cuda = self._on_cuda(model) if self._settings.device != "cpu" else None
        if cuda is None and self._settings.device == "cuda":
            raise UserError("CUDA does not work here", "install the gpu extra and a driver, or choose the device cpu")
        self.provider: Literal["cuda", "cpu"] = "cuda" if cuda else "cpu"
        """What the model runs on."""
        try:
            self._run = cuda.run if cuda else partial(self._open(model, _CPU).run, None)
        except _ENGINE_ERRORS as error:
            raise UserError(f"{model} cannot be run ({error})", "use a model of the catalogue") from error

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        """Returns the model's outputs, in its order, for the inputs by name; the first axis of all is the batch."""
        outputs: list[Array] = self._run(dict(feeds))
        return outputs

    def _open(self, model: Path, providers: Sequence[str | tuple[str, dict[str, str]]]) -> EngineSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._settings.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors only: a provider that does not load is a fact we handle, not news
        session = onnxruntime.InferenceSession(str(model), options, providers=providers)
        session.disable_fallback()  # a run that fails on CUDA is no reason to go on without it and say nothing
        return session

    def _on_cuda(self, model: Path) -> _CudaSessions | None:
        """Returns the model on CUDA after a run that worked, or None: what loads does not always run."""
        if _CUDA not in onnxruntime.get_available_providers():
            return None
        try:
            onnxruntime.preload_dlls()
            sessions = _CudaSessions(partial(self._open, model, _ON_CUDA), self._settings.cuda_batch)
            return sessions if sessions.try_out() else None
        except _ENGINE_ERRORS:
            return None


class _CudaSessions:
    """A model on CUDA: full batches only, and a session of its own for each shape of its input.

    onnxruntime plans the convolutions of a session for one shape, and all of them anew whenever the shape
    changes, also back to one it had: on an H200 40 ms for YuNet (1,500 for a batch), 160 to 630 for SFace,
    where a run takes one to three. Opening a session takes 15.
    Of more than `_CUDA_SHAPES` shapes, the one that waited longest gives its session away.
    """

    def __init__(self, open_session: Callable[[], EngineSession], batch: int) -> None:
        self._open = open_session
        self._batch = batch
        self._sessions: OrderedDict[_Shape, EngineSession] = OrderedDict()
        self._lock = threading.Lock()

    def try_out(self) -> bool:
        """Runs zeros. False if a session that asked for CUDA is not on it; raises what the engine raises."""
        first = self._open()
        feeds = _trial_feeds(first)
        self._sessions[_shape(feeds)] = first
        self.run(feeds)
        return _is_on_cuda(first)

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        """As `Session.run`."""
        rows = len(next(iter(feeds.values())))
        session = self._session(_shape(feeds))
        runs = [
            session.run(None, {name: self._filled(value[start : start + self._batch]) for name, value in feeds.items()})
            for start in range(0, max(rows, 1), self._batch)
        ]
        return [np.concatenate(outputs)[:rows] for outputs in zip(*runs, strict=True)]

    def _session(self, shape: _Shape) -> EngineSession:
        """The session of this shape, which is now the one used last. Raises `RuntimeError`: CUDA has none to give."""
        with self._lock:
            session = self._sessions.pop(shape, None)
            if session is None and len(self._sessions) >= _CUDA_SHAPES:
                _, session = self._sessions.popitem(last=False)
            if session is None:
                session = self._open()
                if not _is_on_cuda(session):
                    raise RuntimeError("the card has no room for another session: start fewer programs on it")
            self._sessions[shape] = session
            return session

    def _filled(self, rows: Array) -> Array:
        """The rows, and zeros up to a whole batch."""
        if len(rows) == self._batch:
            return rows
        filled = np.zeros((self._batch, *rows.shape[1:]), rows.dtype)
        filled[: len(rows)] = rows
        return filled


def _is_on_cuda(session: EngineSession) -> bool:
    return bool(session.get_providers()[0] == _CUDA)


def _shape(feeds: Mapping[str, Array]) -> _Shape:
    """Returns the shape of a row of each input."""
    return tuple(value.shape[1:] for value in feeds.values())


def _trial_feeds(session: EngineSession) -> dict[str, Array]:
    """Returns zeros for every input; a free axis is 1 if it is the batch, else `_TRIAL_SIDE_PX`."""
    feeds = {}
    for item in session.get_inputs():
        first, *rest = item.shape
        sides = [side if isinstance(side, int) else _TRIAL_SIDE_PX for side in rest]
        feeds[item.name] = np.zeros([first if isinstance(first, int) else 1, *sides], _NUMPY_TYPES[item.type])
    return feeds


class Batcher(Generic[Item, Result]):
    """Answers `await batcher(item)` with the item's own result, working on the items that wait together.

    No timer: while all workers are busy, calls wait; a worker that becomes free takes its share of them at
    once, so an idle service answers immediately and a busy one batches. Use it as an async context manager:
    leaving it answers the calls that are in and refuses later ones.
    """

    def __init__(
        self,
        work: Callable[[list[Item]], Sequence[Result]],
        max_batch: int,
        workers: int = 1,
        max_calls: int = 256,
    ) -> None:
        """Keeps the parts.

        `work` runs in one of `workers` threads and returns one result an item; what it raises goes to every
        caller of its batch. More than `max_calls` unanswered calls wait outside, in the order they came.
        """
        self._work = work
        self._max_batch = max_batch
        self._slots = asyncio.Semaphore(max_calls)
        self._waiting: asyncio.Queue[tuple[Item, asyncio.Future[Result]] | None] = asyncio.Queue()
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="batcher")
        self._workers = workers
        self._tasks: list[asyncio.Task[None]] = []
        self._idle = 0
        self._closed = True

    async def __aenter__(self) -> Self:
        self._closed = False
        self._tasks = [asyncio.create_task(self._serve(), name=f"batcher-{n}") for n in range(self._workers)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        for _ in self._tasks:
            self._waiting.put_nowait(None)
        await asyncio.gather(*self._tasks)
        self._executor.shutdown()

    async def __call__(self, item: Item) -> Result:
        """Returns the result of `item`.

        Raises: RuntimeError if the batcher is not open; and whatever `work` raises.
        """
        async with self._slots:
            if self._closed:
                raise RuntimeError("the batcher is not open")
            answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
            self._waiting.put_nowait((item, answer))
            return await answer

    async def _serve(self) -> None:
        """Takes and answers batches until it meets the None that is put in for every worker at closing."""
        going_on = True
        while going_on:
            self._idle += 1
            calls = [await self._waiting.get()]
            share = min(self._max_batch, math.ceil((1 + self._waiting.qsize()) / self._idle))
            self._idle -= 1
            while calls[-1] is not None and len(calls) < share:
                calls.append(self._waiting.get_nowait())
            going_on = calls[-1] is not None
            await self._answer([call for call in calls if call is not None and not call[1].done()])

    async def _answer(self, calls: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        if not calls:
            return
        items = [item for item, _ in calls]
        running = asyncio.get_running_loop().run_in_executor(self._executor, self._work, items)
        await asyncio.wait([running])
        error = running.exception()
        for row, answer in enumerate(answer for _, answer in calls):
            if answer.done():  # its caller has gone
                continue
            if error:
                answer.set_exception(error)
            else:
                answer.set_result(running.result()[row])
