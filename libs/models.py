"""Opens a model of the catalogue on the provider this machine has, and says how many runs at a time suit it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from libs.assets import AssetStore
from libs.inference import Session, SessionSettings
from libs.log import Log
from libs.prepare import prepared_path
from libs.settings import InferenceSettings

GPU_RUNS = 4
"""Of one item each on a GPU: 2,570 frames a second in four, 1,080 in one (YuNet, H200: docs/performance.md)."""


@dataclass(frozen=True)
class Lanes:
    """How a model is best driven here: `workers` runs at a time, each of up to `batch` items."""

    workers: int
    batch: int


def open_session(name: str, settings: InferenceSettings, log: Log, gpu_batch: int = 1) -> tuple[Session, Lanes]:
    """A session of the catalogue's model `name`, and its lanes. Says in one line which provider it runs on.

    `gpu_batch`: items of one run on a GPU. On the CPU it is one.

    Raises:
        UserError: the model is missing, altered, or cannot run on the provider that was asked for.
    """
    path = prepared_path(AssetStore.from_environment(), name)
    session = Session(path, SessionSettings(settings.threads, settings.provider, gpu_batch))
    on_cpu = session.provider == "cpu"
    if on_cpu:
        lanes = Lanes(settings.workers or os.cpu_count() or 1, batch=1)
    else:  # a batch fills a GPU by itself
        lanes = Lanes(settings.workers or (GPU_RUNS if gpu_batch == 1 else 1), gpu_batch)
    log.info("model", model=name, provider=session.provider, workers=lanes.workers, batch=lanes.batch)
    return session, lanes
