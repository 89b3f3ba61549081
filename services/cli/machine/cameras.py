"""Camera records: where the frames of each camera come from. They make nothing run: that takes a warrant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from libs.bus import Bus, Records
from proto import subjects
from proto.records import CameraRecord
from services.cli.patience import INSIST_S, insist


async def register(bus: Bus, cameras: Sequence[CameraRecord], patience_s: float = INSIST_S) -> None:
    """Records the cameras, each anew. Raises `TransientError`."""
    records = Records(bus, subjects.CAMERAS, CameraRecord)
    for camera in cameras:
        await insist(partial(records.put, subjects.key(camera.camera), camera), patience_s)


async def unregister(bus: Bus, names: Iterable[str]) -> None:
    """Removes the records of cameras, which may hold passwords. Raises `TransientError`."""
    records = Records(bus, subjects.CAMERAS, CameraRecord)
    for name in names:
        await insist(partial(records.delete, subjects.key(name)))
