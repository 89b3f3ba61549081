"""Where frames come from: one door for files, folders of images and network streams.

`open_source` blocks, and so does iterating what it returns; `services/ingest/reader.py` brings both to
asyncio.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from libs.images import IMAGE_SUFFIXES
from services.ingest.folder import ImageSource
from services.ingest.source import Source, SourceError, SourceOptions
from services.ingest.video import VideoSource

__all__ = ["Source", "SourceError", "SourceOptions", "is_live_by_scheme", "open_source"]

SCHEMES = ("http", "https", "rtsp", "rtsps")
LIVE_SCHEMES = ("rtsp", "rtsps")
"""Streams, whatever else they say of themselves. Over http there are recordings too: the open source tells."""
WHAT_WE_READ = "a video file, an image, a folder of images, or an http(s) or rtsp(s) URL"


def open_source(location: str, options: SourceOptions | None = None) -> Source:
    """The source at `location`: a video file, an image, a folder of images, or an http(s) or rtsp(s) URL.

    Raises: SourceError with the name of the source and what to do about it.
    """
    options = options or SourceOptions()
    if "://" in location:
        return VideoSource(location, _checked_url(location), options)
    kind = _kind(location)
    if stat.S_ISDIR(kind):
        return ImageSource(location, _images_in(location), options)
    if not stat.S_ISREG(kind):
        raise SourceError(f"{location} is neither a file nor a folder", f"give {WHAT_WE_READ}")
    if Path(location).suffix.lower() in IMAGE_SUFFIXES:
        return ImageSource(location, [Path(location)], options)
    return VideoSource(f"file:{location}", location, options)


def is_live_by_scheme(location: str) -> bool:
    """Whether a location is known to be live before it is opened."""
    scheme, separator, _ = location.partition("://")
    return bool(separator) and scheme.strip().lower() in LIVE_SCHEMES


def natural_order(path: Path) -> tuple[list[tuple[int, int | str]], str]:
    """A sort key under which `frame2` comes before `frame10`."""
    runs = re.findall(r"[0-9]+|[^0-9]+", path.name.lower())
    return [(0, int(run)) if run.isdecimal() else (1, run) for run in runs], path.name


def _kind(location: str) -> int:
    try:
        return os.stat(location).st_mode  # noqa: PTH116 - a Path would turn "" into "."
    except FileNotFoundError:
        raise SourceError(f"{location or 'the empty name'} does not exist", "check the path") from None
    except PermissionError:
        raise SourceError(f"{location} may not be read", "give this user the right to read it") from None
    except (OSError, ValueError) as error:
        raise SourceError(f"{location} cannot be read ({error})", "check the path") from None


def _images_in(folder: str) -> list[Path]:
    try:
        files = [path for path in Path(folder).iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
    except PermissionError:
        raise SourceError(f"{folder} may not be read", "give this user the right to list the folder") from None
    if not files:
        kinds = ", ".join(sorted(suffix[1:] for suffix in IMAGE_SUFFIXES))
        raise SourceError(f"{folder} holds no image", f"put images into it ({kinds}) or name another folder")
    return sorted(files, key=natural_order)


def _checked_url(url: str) -> str:
    """The name to show for `url`: without user, password, query and named values in the path, which may be secret."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        _ = parts.port  # no number where a password holds a slash: what follows is then no path to be shown
    except ValueError:
        raise SourceError("the URL of a source cannot be understood", "check it for missing or odd signs") from None
    path = "/".join("…" if "=" in unquote(segment) else segment for segment in parts.path.split("/"))
    shown = urlunsplit((parts.scheme, host, path, "", ""))
    if parts.scheme.lower() not in SCHEMES or not host:
        raise SourceError(f"{shown} is no source we can read", f"give {WHAT_WE_READ}")
    return shown
