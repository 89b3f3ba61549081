"""What all parts of `govern` share: the bus, the records, who signs, who may act, and the audit."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from libs.calibration import Calibration
from libs.log import Log
from libs.officers import Roster
from libs.seals import Signer
from proto.audit import AuditEntry
from proto.cases import Case
from proto.deployments import DeploymentRecord
from proto.messages import Message
from proto.records import CameraRecord
from proto.requests.audit import AuditRequest
from proto.sealed import Sealed
from proto.watchlists import EntryRecord, WatchListRecord
from services.govern.profiles.reading import Profile
from services.govern.settings import GovernSettings

M = TypeVar("M", bound=Message)
M_co = TypeVar("M_co", bound=Message, covariant=True)


class Store(Protocol[M]):
    """Records to compare and set, as `libs.bus.Records`."""

    async def get(self, key: str) -> tuple[M, int] | None:
        """The record and its revision."""

    async def put(self, key: str, record: M) -> int:
        """The revision of the record, now there whatever was there before."""

    async def replace(self, key: str, record: M, revision: int) -> int:
        """The new revision; raises `Conflict`."""


class Book(Protocol[M_co]):
    """Records to look up, as `libs.bus.Mirror`."""

    def get(self, key: str) -> M_co | None:
        """The record under `key`."""

    def all(self) -> Mapping[str, M_co]:
        """Every record, by key."""


class Ledger(Protocol):
    """The audit: `services.govern.audit.ledger.Chain`."""

    async def append(self, request: AuditRequest) -> AuditEntry:
        """The entry of an act; the one that is there already where its id came before. Raises `TransientError`."""

    async def find(self, act: str) -> AuditEntry | None:
        """The entry of the act of that id, if there is one. Raises `TransientError`."""

    async def acts_of(self, deployment: str, alert: str, but: Collection[str]) -> Sequence[str]:
        """The ids of what happened to an alert, those in `but` left out. Raises `TransientError`."""


class Publisher(Protocol):
    """The part of the bus through which things are told."""

    async def publish(self, message: Message, trace: str) -> None:
        """Publishes a message."""

    async def publish_as(self, subject: str, message_id: str, message: Message) -> None:
        """Publishes a message on that subject, under that id."""


@dataclass(frozen=True)
class Office:
    """One for the whole program. Reads go to the books, which follow the buckets; writes to the stores."""

    bus: Publisher
    log: Log
    settings: GovernSettings
    roster: Roster
    signer: Signer
    ledger: Ledger
    profiles: Mapping[str, Profile]
    calibrations: Mapping[str, Calibration]
    """By template version."""
    deployments: Store[DeploymentRecord]
    warrants: Store[Sealed]
    cases: Store[Case]
    all_deployments: Book[DeploymentRecord]
    all_lists: Book[WatchListRecord]
    all_entries: Book[EntryRecord]
    all_cameras: Book[CameraRecord]
    all_cases: Book[Case]
    clock: Callable[[], float] = time.time
