"""The folder in which a stack keeps its data: one stack has it at a time, and some things must not outlive that."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from libs.errors import UserError
from proto import subjects

REPLAY_ID = re.compile(r"replay-[0-9a-f]{12}")
"""The id of a replay, which its deployment and its watch list bear."""
Purpose = Literal["platform", "evaluation"]
"""What a data directory is for. An evaluation with its throw-away officers never runs on the data of a platform."""
REMEDIES: dict[Purpose, str] = {
    "platform": "choose another data_dir in watchline.toml",
    "evaluation": "choose another --data-dir",
}
REPORT = "report.html"
"""The report of the last replay: it holds portraits."""
REPORT_KEPT_S = 24 * 3600
"""As long as alerts are kept by every profile that ships; then a report of theirs must not outlive them either."""
LOG_BYTES = 10 * 1024 * 1024
"""A log longer than this when a stack starts is put aside, in place of the one put aside before it."""


@contextmanager
def occupied(path: Path, purpose: Purpose) -> Iterator[None]:
    """Holds the folder, which is made if need be, while the block runs; before and after it forgets what must go.

    Raises:
        UserError: another process has it, it serves another purpose, or it cannot be made.
    """
    lock = _lock(path, purpose)
    try:
        _dedicate(path, purpose)
        forget(path, purpose)
        try:
            yield
        finally:
            forget(path, purpose)
    finally:
        os.close(lock)


def check_data_dir(path: Path, purpose: Purpose) -> None:
    """Does nothing where the folder can be used.

    Raises:
        UserError: it is a file, or cannot be made or written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(path, error, purpose) from None
    if not os.access(path, os.W_OK):
        raise UserError(f"{path} cannot be written", REMEDIES[purpose])


def forget(path: Path, purpose: Purpose) -> None:
    """Deletes what no stack may find: camera records, which hold passwords, and what was enrolled by replays cut off.

    With them goes the report of a replay that is older than it may be, for it holds portraits. The programs that keep
    them must have ended. Whoever uses a stack writes its cameras anew. The lists of a platform stay, with the portraits
    of their references.
    """
    _delete_stream(path, f"KV_{subjects.CAMERAS.name}")
    if purpose == "platform":
        return
    _delete_stream(path, f"OBJ_{subjects.REFERENCE_PORTRAITS.name}")
    _delete_old_report(path / REPORT)
    lists = [entry for entry in _entries(path / "gallery") if REPLAY_ID.fullmatch(entry.name.partition(".")[0])]
    for entry in lists:
        shutil.rmtree(entry)


def report_kept_until(written: float) -> float:
    """When (Unix seconds) a report that was written then must be gone."""
    return written + REPORT_KEPT_S


def put_long_log_aside(log_file: Path) -> None:
    """Renames a log that has grown too long; the name it gets ends in `.old`."""
    if log_file.exists() and log_file.stat().st_size > LOG_BYTES:
        log_file.replace(log_file.with_name(log_file.name + ".old"))


def _lock(path: Path, purpose: Purpose) -> int:
    check_data_dir(path, purpose)
    try:
        lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(path, error, purpose) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(lock, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(lock)
        raise UserError(f"{path} is in use by process {owner}", f"{REMEDIES[purpose]}, or stop it") from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def _dedicate(path: Path, purpose: Purpose) -> None:
    """Notes what the folder is for, if nobody has.

    Raises:
        UserError: it is for something else.
    """
    note = path / "purpose"
    noted = note.read_text(errors="replace").strip() if note.exists() else ""
    if not noted:
        note.write_text(f"{purpose}\n")
    elif noted != purpose:
        raise UserError(f"{path} holds the data of the {noted}", REMEDIES[purpose])


def _unusable(path: Path, error: OSError, purpose: Purpose) -> UserError:
    return UserError(f"{path} cannot hold the data ({error.strerror})", REMEDIES[purpose])


def _delete_old_report(report: Path) -> None:
    if report.is_file() and time.time() >= report_kept_until(report.stat().st_mtime):
        report.unlink()


def _delete_stream(path: Path, stream: str) -> None:
    """Deletes the files of a stream; its server, which must not run, will not know it any more."""
    for folder in (path / "nats" / "jetstream").glob(f"*/streams/{stream}"):
        shutil.rmtree(folder)


def _entries(folder: Path) -> list[Path]:
    return [entry for entry in folder.iterdir() if entry.is_dir()] if folder.is_dir() else []
