"""Logging: structlog, one event a line, JSON unless a person is looking.

Log ids, counts and times. Never log pixels, templates, the names of subjects, or the location of a camera (it may
hold a password): the filter below is a net under that rule, not a licence.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from libs.settings import LogSettings

Log = FilteringBoundLogger


LONGEST_LIST = 32
"""Items a logged list may have. The shortest templates in use have 128."""


def withhold_biometrics(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """`event` with plain values alone: no array, message or run of bytes, however deep, is ever written."""
    return {name: _plain(value) for name, value in event.items()}


def _plain(value: object) -> object:
    """`value` if it is a number or text, its items if it is a short list or a map, else only the name of its type."""
    if value is None or isinstance(value, (str, int, float, Path)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)) and len(value) <= LONGEST_LIST:
        return [_plain(item) for item in value]
    return f"<{type(value).__name__} withheld>"


def configure(settings: LogSettings, service: str) -> Log:
    """The logger of a program, after setting logging up for the whole process."""
    console = settings.format == "console" or (settings.format == "auto" and sys.stderr.isatty())
    renderer = structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            withhold_biometrics,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(settings.level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s %(message)s")
    log: Log = structlog.get_logger().bind(service=service)
    return log


def describe_bug(error: BaseException) -> dict[str, str]:
    """What to log of a bug: its type and where it happened. Not its message, which may quote what was handled.

    Of a group it is the first error in it.
    """
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return {"error": type(error).__name__, "traceback": "".join(traceback.format_tb(error.__traceback__))}


def bugs_to(log: Log) -> None:
    """Makes a bug that ends the process a line of the log, in place of Python's traceback with its message."""

    def tell(_kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
        log.error("process.bug", **describe_bug(error))

    sys.excepthook = tell


def orphans_to(log: Log, loop: asyncio.AbstractEventLoop) -> None:
    """The same for bugs in tasks and callbacks that nobody awaits."""

    def tell(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        log.error("loop.bug", what=context.get("message", ""), **(describe_bug(error) if error else {}))

    loop.set_exception_handler(tell)
