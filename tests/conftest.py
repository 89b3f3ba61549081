"""Fixtures that every kind of test shares."""

import asyncio
import inspect
import signal

import psutil
import pytest
import structlog

from libs.assets import AssetStore
from libs.bus import connect
from libs.settings import NatsSettings
from services.cli import console
from tests.crew import Crew
from tests.nats_server import NatsServer

for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:  # a shell that starts the tests in the background ignores them,
        signal.signal(number, usual)  # and every program that a test starts would inherit that


def pytest_addoption(parser):
    parser.addoption(
        "--write-golden", action="store_true", help="write the golden bytes of message kinds that have none yet"
    )
    parser.addoption("--write-walkthrough", action="store_true", help="write docs/walkthrough.md from what it shows")


@pytest.fixture(scope="session")
def assets():
    """The store with every asset of the catalogue in it, fetched into the usual cache if need be."""
    store = AssetStore.from_environment()
    store.fetch(store.catalogue.assets, lambda *_: None)
    return store


@pytest.fixture
def nats_server(tmp_path_factory):
    """A running NATS server of this test alone: `url`, `kill()`, `start()`, `restart()`."""
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def log():
    """A logger that keeps its events in `log.entries` instead of writing them."""
    capture = structlog.testing.LogCapture()
    logger = structlog.wrap_logger(
        None,
        processors=[structlog.processors.add_log_level, capture],
        wrapper_class=structlog.make_filtering_bound_logger("debug"),
    )
    logger = logger.bind()
    logger.entries = capture.entries
    return logger


@pytest.fixture
async def bus(nats_server, log):
    """A bus connected to `nats_server`, with every stream and bucket in place."""
    async with connect(NatsSettings(url=nats_server.url), "tests", log) as connected:
        yield connected


class Clock:
    """A clock that stands still until it is moved: `clock()` reads it, in Unix seconds."""

    def __init__(self):
        self.now = 1_700_000_000.0

    def __call__(self):
        return self.now

    def advance(self, seconds):
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def crew(tmp_path):
    """Officers, one a role, their roster, and the key of govern."""
    return Crew(tmp_path / "crew")


@pytest.fixture
def wide(monkeypatch):
    """What the command line prints here is not wrapped. (Its consoles took their width when they were made.)"""
    for one in (console.out, console.err):
        monkeypatch.setattr(one, "_width", 200)


@pytest.fixture(autouse=True)
def _logging_as_it_was():
    """A test that sets up logging does so for itself: what it logs to may be closed when the next one logs."""
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def _no_task_left(request):
    """An asynchronous test that leaves a task running fails."""
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("_watched_tasks")


@pytest.fixture
async def _watched_tasks():
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)  # tasks that were cancelled a moment ago end now
    others = asyncio.all_tasks() - before - {asyncio.current_task()}
    if others:  # the client cancels its reconnection and does not wait for its end
        others = (await asyncio.wait(others, timeout=5))[1]
    left = [f"{task.get_name()} ({task.get_coro().__qualname__})" for task in others]
    assert not left, f"tasks were left running: {left}"


@pytest.fixture(autouse=True, scope="module")
def _no_process_left():
    """A module of tests that leaves a process behind fails. (Of modules, not tests: they may share a server.)"""
    before = {child.pid for child in psutil.Process().children()}
    yield
    left = [_described(child) for child in psutil.Process().children() if child.pid not in before]
    left = [command for command in left if "multiprocessing.resource_tracker" not in command]
    assert not left, f"processes were left running: {left}"


def _described(process):
    try:
        return " ".join(process.cmdline()) or f"{process.name()} ({process.status()})"
    except psutil.Error:
        return f"process {process.pid}"
