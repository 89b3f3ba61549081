"""What arms cameras and disarms them again: the records of a deployment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from libs.bus import Bus, Mirror, Records
from proto import subjects
from proto.records import CameraRecord, DeploymentRecord
from services.cli.patience import INSIST_S, insist


@dataclass(frozen=True)
class Arming:
    """A deployment and its cameras. Both are written and undone however often the bus is away meanwhile."""

    bus: Bus
    deployment: DeploymentRecord
    cameras: Sequence[CameraRecord]

    async def arm(self, patience_s: float = INSIST_S) -> None:
        """Records the cameras and the deployment, which makes them run. Raises `TransientError`."""
        cameras = Records(self.bus, subjects.CAMERAS, CameraRecord)
        for camera in self.cameras:
            await insist(partial(cameras.put, subjects.key(camera.camera), camera), patience_s)
        await self._put(self.deployment, patience_s)

    async def disarm(self, patience_s: float = INSIST_S) -> None:
        """Ends the deployment and removes the cameras. Raises `TransientError`."""
        await self._put(self.deployment.model_copy(update={"state": "ended"}), patience_s)
        cameras = Records(self.bus, subjects.CAMERAS, CameraRecord)
        for camera in self.cameras:
            await insist(partial(cameras.delete, subjects.key(camera.camera)), patience_s)

    async def _put(self, record: DeploymentRecord, patience_s: float) -> None:
        deployments = Records(self.bus, subjects.DEPLOYMENTS, DeploymentRecord)
        await insist(partial(deployments.put, subjects.key(record.deployment), record), patience_s)


async def disarm_all(bus: Bus) -> list[DeploymentRecord]:
    """The deployments that were still armed, which are ended now: those of programs that were killed.

    Raises:
        TransientError: the bus is away.
    """
    async with Mirror.open(bus, subjects.DEPLOYMENTS, DeploymentRecord) as mirror:
        armed = {key: record for key, record in mirror.all().items() if record.state == "armed"}
    deployments = Records(bus, subjects.DEPLOYMENTS, DeploymentRecord)
    for key, record in armed.items():
        await deployments.put(key, record.model_copy(update={"state": "ended"}))
    return list(armed.values())


async def next_version(bus: Bus, deployment: str) -> int:
    """The version that the next record of the deployment bears: 1 for the first. Raises `TransientError`."""
    deployments = Records(bus, subjects.DEPLOYMENTS, DeploymentRecord)
    before = await insist(partial(deployments.get, subjects.key(deployment)))
    return before[0].record_version + 1 if before else 1
