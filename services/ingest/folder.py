"""Photos as a source: one file, or a folder of them at a nominal rate."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from libs.images import ImageError, RgbImage, decode_rgb
from services.ingest.frame import Frame
from services.ingest.source import SourceError, SourceOptions
from services.ingest.timeline import Sampler


class ImageSource:
    """The images at `paths`, upright, in order. One that cannot be read is left out, and its time passes."""

    live = False

    def __init__(self, name: str, paths: list[Path], options: SourceOptions) -> None:
        self.name = name
        self._paths = paths
        self._options = options
        self._unread: list[str] = []
        self._images = self._readable()
        self._first = next(self._images, None)
        if self._first is None:
            raise SourceError(
                f"{name}: {self.damage}",
                "replace what is damaged, or convert it to JPEG or PNG and try again",
            )
        self.height, self.width = self._first[1].shape[:2]
        self.frame_count: int | None = len(paths)
        self.duration_s: float | None = len(paths) / options.image_fps

    @property
    def damage(self) -> str | None:
        """One line on the images that could not be read so far; None while there are none."""
        if not self._unread:
            return None
        return f"{len(self._unread)} of {len(self._paths)} images could not be read, first {self._unread[0]}"

    def __iter__(self) -> Iterator[Frame]:
        sampler = Sampler(self._options.max_fps)
        first, self._first = self._first, None
        if first is not None and sampler.wants(self._time_s(first[0])):
            yield self._frame(*first)
        for index, image in self._images:
            if sampler.wants(self._time_s(index)):
                yield self._frame(index, image)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._images.close()

    def _readable(self) -> Generator[tuple[int, RgbImage]]:
        for index, path in enumerate(self._paths):
            try:
                image = decode_rgb(path.read_bytes())
            except (ImageError, OSError) as error:
                reason = error.strerror if isinstance(error, OSError) else str(error)
                self._unread.append(f"{path.name} ({reason})")
                self._options.warn(f"{path}: left out, {reason}")
            else:
                yield index, image

    def _time_s(self, index: int) -> float:
        return index / self._options.image_fps

    def _frame(self, index: int, image: RgbImage) -> Frame:
        return Frame.from_rgb(image, index, self._time_s(index), time.time())
