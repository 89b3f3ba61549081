"""Arguments of several commands, checked before anything starts."""

from __future__ import annotations

import os
from pathlib import Path

from libs.errors import UserError
from services.cli.machine.data_dir import check_data_dir

LIVE = ("rtsp://", "rtsps://")
LIVE_REMEDY = (
    "record it first, or run `watchline up` and a deployment of your own "
    "(`watchline deployment draft`, `authorise`, `arm`)"
)


def parse_sources(sources: list[str]) -> dict[str, str]:
    """The cameras by name from `NAME=LOCATION` arguments.

    Raises:
        UserError: one has no name or a bad one, comes twice, is live, or is a file that is not there.
    """
    cameras: dict[str, str] = {}
    for text in sources:
        name, equals, location = text.partition("=")
        if not equals or not location or "://" in name:
            shown = "URL" if "://" in text else text  # which may hold a password
            raise UserError(f"--source {shown} has no name", "write NAME=LOCATION, for example door=door.mp4")
        if not name.replace("-", "").replace("_", "").isalnum() or not name.isascii() or len(name) > 64:
            raise UserError(f"{name!r} cannot name a camera", "use letters, digits, - and _, at most 64")
        if name in cameras:
            raise UserError(f"two sources are named {name}", "give each camera a name of its own")
        if location.lower().startswith(LIVE):
            raise UserError(
                f"the source {name} is a live camera, and a replay is an evaluation of recordings", LIVE_REMEDY
            )
        if "://" not in location and not Path(location).exists():
            raise UserError(f"{location} does not exist", "check the path of the source")
        cameras[name] = location if "://" in location else str(Path(location).resolve())
    return cameras


def check_outputs(json_out: Path | None, data_dir: Path) -> None:
    """Does nothing where the results can be written.

    Raises:
        UserError: one cannot, which would show when all the work is done.
    """
    check_data_dir(data_dir, "evaluation")
    if json_out is None:
        return
    folder = json_out.absolute().parent
    if not folder.is_dir():
        raise UserError(f"--json {json_out}: {folder} is not a folder", "make it, or choose another file")
    if json_out.is_dir() or not os.access(json_out if json_out.exists() else folder, os.W_OK):
        raise UserError(f"--json {json_out} cannot be written", "choose another file")
