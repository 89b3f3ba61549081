"""Opens a model of the catalogue on the provider this machine has, and says how many runs at a time suit it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from libs.assets import AssetStore
from libs.inference import Session, SessionSettings
from libs.log import Log
from libs.prepare import prepared_path
from libs.settings import InferenceSettings


@dataclass(frozen=True)
class Lanes:
    """How a model is best driven here: `workers` runs at a time, each of up to `batch` items."""

    workers: int
    batch: int


def open_session(name: str, settings: InferenceSettings, log: Log) -> tuple[Session, Lanes]:
    """A session of the catalogue's model `name`, and its lanes. Says in one line which provider it runs on.

    Raises:
        UserError: the model is missing, altered, or cannot run on the provider that was asked for.
    """
    path = prepared_path(AssetStore.from_environment(), name)
    session = Session(path, SessionSettings(settings.threads, settings.provider))
    if session.provider == "cpu":
        lanes = Lanes(workers=settings.workers or os.cpu_count() or 1, batch=1)
    else:
        lanes = Lanes(workers=settings.workers or 1, batch=settings.max_batch)
    log.info("model", model=name, provider=session.provider, workers=lanes.workers, batch=lanes.batch)
    return session, lanes
