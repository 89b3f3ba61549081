"""What a source of frames is: its options, its errors and its contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from libs.errors import UserError
from libs.images import MAX_PIXELS, MAX_SIDE_PX
from services.ingest.frame import Frame


class SourceError(UserError):
    """A source that cannot be opened or read; `transient` where trying again later may help."""

    def __init__(self, problem: str, remedy: str, transient: bool = False) -> None:
        super().__init__(problem, remedy)
        self.transient = transient


def _ignore(_warning: str) -> None: ...


@dataclass(frozen=True)
class SourceOptions:
    """How to read a source.

    Attributes:
        max_fps: frames a second kept, by source time; None keeps all.
        image_fps: 1 to 25; the rate at which the images of a folder follow each other.
        threads: decoding threads. Measured, 1080p H.264 on two cores: one 99 frames/s, two 171, four 170.
        open_timeout_s: a network source that has not answered by then is given up.
        read_timeout_s: and so is one that sends nothing for as long.
        warn: called, from the reading thread, with a line on each part that had to be left out.
    """

    max_fps: float | None = None
    image_fps: float = 5.0
    threads: int = 2
    open_timeout_s: float = 5.0
    read_timeout_s: float = 5.0
    warn: Callable[[str], None] = _ignore

    def __post_init__(self) -> None:
        if not 1 <= self.image_fps <= 25:
            raise UserError(f"image_fps is {self.image_fps}", "give a rate from 1 to 25 images a second")
        if self.max_fps is not None and self.max_fps <= 0:
            raise UserError(f"max_fps is {self.max_fps}", "give a rate above 0, or leave it out to keep all frames")


class Source(Protocol):
    """Frames in order, once; a context manager that closes what it opened.

    Attributes:
        name: for people; never holds a password.
        frame_count, duration_s: None where the source cannot say.
        live: frames come at their own pace and cannot wait.
    """

    name: str
    width: int
    height: int
    frame_count: int | None
    duration_s: float | None
    live: bool

    @property
    def damage(self) -> str | None:
        """One line on what of the source was lost, as far as it has been read; None while all is well."""

    def __iter__(self) -> Iterator[Frame]: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def check_size(name: str, width: int, height: int) -> None:
    """Nothing. Raises: SourceError where a frame is larger than any camera makes."""
    if max(width, height) > MAX_SIDE_PX or width * height > MAX_PIXELS:
        limit = f"{MAX_SIDE_PX} px a side and {MAX_PIXELS // 1_000_000} megapixels"
        raise SourceError(
            f"{name} claims frames of {width} x {height} px, more than {limit}",
            "check that it is what you think it is, or scale it down first",
        )
