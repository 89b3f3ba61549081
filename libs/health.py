"""`/healthz` (the process lives), `/readyz` (it wants work) and `/metrics` (Prometheus) over HTTP."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

from libs.errors import UserError
from libs.log import Log
from libs.settings import HealthSettings

StartResponse = Callable[..., Any]


class Readiness:
    """Whether a program wants work; what `/readyz` answers."""

    def __init__(self) -> None:
        self.ready = False


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the standard library's name
        """Probes come every few seconds; they are not news."""


class _Server(ThreadingMixIn, WSGIServer):
    """A thread for each request: one who connects and says nothing must not keep the others waiting."""

    daemon_threads = True


@contextmanager
def serve(settings: HealthSettings, readiness: Readiness, log: Log) -> Iterator[int | None]:
    """Serves the three pages from a thread while the block runs; gives the port, or `None` when none is set.

    Raises:
        UserError: the port is taken.
    """
    if settings.port is None:
        yield None
        return
    try:
        server = make_server(settings.host, settings.port, _pages(readiness), _Server, _QuietHandler)
    except OSError as error:
        address = f"{settings.host}:{settings.port}"
        raise UserError(f"cannot serve health at {address} ({error.strerror})", "set WATCHLINE_HEALTH_PORT") from None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="health", daemon=True)
    thread.start()
    log.info("health", port=server.server_port)
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _pages(readiness: Readiness) -> Callable[[dict[str, Any], StartResponse], Any]:
    metrics = make_wsgi_app()

    def pages(environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            page: Iterable[bytes] = metrics(environ, start)
            return page
        status = {"/healthz": HTTPStatus.OK, "/readyz": _ready_status(readiness)}.get(path, HTTPStatus.NOT_FOUND)
        start(f"{status.value} {status.phrase}", [("Content-Type", "text/plain")])
        return [f"{status.phrase}\n".encode()]

    return pages


def _ready_status(readiness: Readiness) -> HTTPStatus:
    return HTTPStatus.OK if readiness.ready else HTTPStatus.SERVICE_UNAVAILABLE
