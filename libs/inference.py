"""Runs models: a session on the best provider that works, and a batcher that lets many callers share it.

The only module that imports onnxruntime.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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
_NUMPY_TYPES = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}


@dataclass(frozen=True)
class SessionSettings:
    """How a session runs.

    `threads`: cores one run may use on the CPU (1: runs do not disturb each other, callers run in parallel).
    `device`: "auto" takes CUDA if a run on it works, "cpu" never tries, "cuda" refuses anything else.
    """

    threads: int = 1
    device: Literal["auto", "cpu", "cuda"] = "auto"


class Session:
    """A loaded model. `run` may be called from several threads at once."""

    def __init__(self, model: Path, settings: SessionSettings | None = None) -> None:
        """Loads `model`.

        Raises: UserError if the file is no model, or if `device` is "cuda" and CUDA does not work.
        """
        self._settings = settings or SessionSettings()
        cuda = self._cuda_session(model) if self._settings.device != "cpu" else None
        if cuda is None and self._settings.device == "cuda":
            raise UserError("CUDA does not work here", "install the gpu extra and a driver, or choose the device cpu")
        try:
            self._session = cuda or self._open(model, ["CPUExecutionProvider"])
        except _ENGINE_ERRORS as error:
            raise UserError(f"{model} cannot be run ({error})", "use a model of the catalogue") from error

    @property
    def provider(self) -> str:
        """Returns what the model runs on: "cuda" or "cpu"."""
        first: str = self._session.get_providers()[0]
        return first.removesuffix("ExecutionProvider").lower()

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        """Returns the model's outputs, in its order, for the inputs by name."""
        outputs: list[Array] = self._session.run(None, dict(feeds))
        return outputs

    def _open(self, model: Path, providers: Sequence[str | tuple[str, dict[str, str]]]) -> EngineSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._settings.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors only: a provider that does not load is a fact we handle, not news
        return onnxruntime.InferenceSession(str(model), options, providers=providers)

    def _cuda_session(self, model: Path) -> EngineSession | None:
        """Returns a session that has just run on CUDA, or None: what loads does not always run."""
        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            return None
        # without this, every new batch size or frame size would start a search of seconds
        cuda = ("CUDAExecutionProvider", {"cudnn_conv_algo_search": "HEURISTIC"})
        try:
            onnxruntime.preload_dlls()
            session = self._open(model, [cuda, "CPUExecutionProvider"])
            session.run(None, _trial_feeds(session))
        except _ENGINE_ERRORS:
            return None
        return session if session.get_providers()[0] == "CUDAExecutionProvider" else None


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
