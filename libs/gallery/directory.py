"""The directory of an embedded gallery: one owner at a time, atomic changes, and a count that shows damage.

Layout: `lock`, `watchline-gallery` (the format), and one folder a collection. A folder in transit has a
suffix: `.building` (not yet valid), `.retired` (replaced by its rebuilt self), `.dropped`; opening finishes
what a crash left of them.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from libs.errors import UserError

FORMAT = "watchline gallery 1\n"
BUILDING, RETIRED, DROPPED = ".building", ".retired", ".dropped"
COUNT_FILE = "watchline-count"
CHANGING = "changing"


class GalleryDirectory:
    """A gallery directory that this process owns until `release`, or until its death."""

    def __init__(self, path: Path) -> None:
        """Take ownership, making the directory if need be.

        Raises UserError when another process has it, when it holds something else, or cannot be written.
        """
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._refuse_foreign()
            self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            remedy = "name a directory that this user can write"
            raise UserError(f"the gallery directory {path} cannot be used ({error.strerror})", remedy) from error
        self._take_lock()
        write_durably(path / "watchline-gallery", FORMAT)
        self._finish_interrupted_changes()

    def release(self) -> None:
        """Let another process own the directory."""
        os.close(self._lock)

    def collections(self) -> list[str]:
        """Names of the collections there are."""
        return sorted(entry.name for entry in self.path.iterdir() if entry.is_dir())

    def install(self, name: str) -> None:
        """Make `name`.building the collection; an older one of that name is retired until `sweep`."""
        target = self.path / name
        if target.exists():
            target.rename(self.path / (name + RETIRED))
        (self.path / (name + BUILDING)).rename(target)
        sync_directory(self.path)

    def sweep(self, name: str) -> None:
        """Delete what is left of the collection's older self and of an unfinished build."""
        for suffix in (RETIRED, DROPPED, BUILDING):
            remove_tree(self.path / (name + suffix))
        sync_directory(self.path)

    def drop(self, name: str) -> None:
        """Delete the collection; once begun, a crash does not bring it back."""
        (self.path / name).rename(self.path / (name + DROPPED))
        sync_directory(self.path)
        self.sweep(name)

    def _refuse_foreign(self) -> None:
        marker = self.path / "watchline-gallery"
        if marker.is_file() and marker.read_bytes() == FORMAT.encode():
            return
        others = [entry.name for entry in self.path.iterdir() if entry.name != "lock"]
        if others:
            raise UserError(
                f"the directory {self.path} is not a Watchline gallery (it holds {sorted(others)[0]})",
                "name an empty directory, or the one that this version of Watchline made",
            )

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(self._lock, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._lock)
            raise UserError(
                f"the gallery directory {self.path} is already open by process {owner}",
                "stop that process, or ask it; one directory has one owner",
            ) from error
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def _finish_interrupted_changes(self) -> None:
        for name in self.collections():
            if name.endswith(RETIRED) and not (self.path / name.removesuffix(RETIRED)).exists():
                (self.path / name).rename(self.path / name.removesuffix(RETIRED))
            elif name.endswith((RETIRED, DROPPED, BUILDING)):
                remove_tree(self.path / name)
        sync_directory(self.path)


def mark_changing(collection: Path) -> None:
    """Note that the collection is about to change, so that a crash now is not taken for damage."""
    write_durably(collection / COUNT_FILE, CHANGING)


def record_count(collection: Path, count: int) -> None:
    """Note how many references the collection holds, now that they are on disk."""
    write_durably(collection / COUNT_FILE, str(count))


def recorded_count(collection: Path) -> int | None:
    """How many references the collection must hold; None when it died in the middle of a change."""
    text = (collection / COUNT_FILE).read_text()
    return None if text == CHANGING else int(text)


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Turn whatever the engine raises on a bad collection into one clear line.

    The engine raises bare `Exception`, and on some damage a panic: a `BaseException` with no public name.
    """
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise UserError(
            f"the watch list in {path} cannot be opened ({error})",
            "restore the directory from a backup, or move it away and enrol again; "
            "if the model was changed, give its templates a new version name",
        ) from error


def write_durably(path: Path, text: str) -> None:
    """Replace a small file so that after a crash it holds either the old or the new text."""
    fresh = path.with_name(path.name + ".new")
    with fresh.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def sync_directory(path: Path) -> None:
    """Make renames and deletions in the directory survive a power failure."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_tree(path: Path) -> None:
    """Delete a folder and what is in it; does nothing when there is none."""
    if path.exists():
        shutil.rmtree(path)
