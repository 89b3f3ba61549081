"""Downloads of single files, each with its progress: from a URL, and of a wheel through the operator's own pip."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from libs.errors import UserError

Progress = Callable[[str, int, int], None]
"""Called while a download runs with its name, the bytes that are here, and the bytes there will be."""

_POLL_S = 0.1  # how often a running download is looked at; ten times a second looks smooth
_CHUNK_BYTES = 1 << 18  # read at once from a URL; progress is reported once a chunk
_URL_TIMEOUT_S = 30.0  # without a byte from a URL for this long, the download has failed
_PIP_REMEDY = "see that `python -m pip download` works here, or lay the files in the directory WATCHLINE_ASSETS"


class Package(BaseModel):
    """A pinned wheel; `wheel_sha256` in hexadecimal."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: str
    wheel_sha256: str
    size_bytes: int


def download_url(url: str, target: Path, report: Callable[[int], None]) -> None:
    """Writes what `url` (http or https: the catalogue allows no other) answers to `target`.

    `report` is called with the bytes that are here. Raises: UserError if the download fails.
    """
    try:
        answer = urllib.request.urlopen(url, timeout=_URL_TIMEOUT_S)  # noqa: S310 - see above
        with answer, target.open("wb") as file:
            while chunk := answer.read(_CHUNK_BYTES):
                file.write(chunk)
                report(file.tell())
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise UserError(f"cannot fetch {url} ({error})", "see that it can be reached, and try again") from error


def download_wheel(package: Package, staging: Path, progress: Progress) -> Path:
    """Returns the wheel in `staging`, downloaded by the operator's own pip, which checks its hash.

    pip writes the growing file under TMPDIR: its size there is the progress, whatever the version of pip.

    Raises: UserError with what pip said if it fails.
    """
    label, log = f"{package.name} {package.version}", staging / "pip.log"
    with log.open("wb") as output:
        environment = {**os.environ, "TMPDIR": str(staging)}
        command = _pip_download(package, staging)
        with subprocess.Popen(command, env=environment, stdout=output, stderr=output) as process:
            try:
                _watch(process, lambda: progress(label, _downloaded_bytes(staging), package.size_bytes))
            finally:
                process.kill()
    wheel = next((staging / "wheel").glob("*.whl"), None)
    if process.returncode != 0 or wheel is None:
        raise UserError(f"pip could not download {label}: {_last_error(log)}", _PIP_REMEDY)
    progress(label, package.size_bytes, package.size_bytes)
    return wheel


def _pip_download(package: Package, staging: Path) -> list[str]:
    wanted = staging / "wanted.txt"
    wanted.write_text(f"{package.name}=={package.version} --hash=sha256:{package.wheel_sha256}\n")
    options = ["--no-deps", "--no-cache-dir", "--only-binary=:all:", "--require-hashes", "--progress-bar=off"]
    places = ["--requirement", str(wanted), "--dest", str(staging / "wheel")]
    return [sys.executable, "-m", "pip", "download", *options, *places]


def _watch(process: subprocess.Popen[bytes], report: Callable[[], None]) -> None:
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(_POLL_S)
            return
        report()


def _downloaded_bytes(folder: Path) -> int:
    """Returns the size of the largest wheel under `folder`; 0 before there is one, or while pip moves it."""
    with suppress(FileNotFoundError):
        return max((path.stat().st_size for path in folder.rglob("*.whl")), default=0)
    return 0


def _last_error(log: Path) -> str:
    said = log.read_text(encoding="utf-8", errors="replace").splitlines()
    lines = [line.strip() for line in said if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")] or lines or ["it said nothing"]
    return errors[-1]
