"""The records of deployments as they lie on the bus: sealed by this program, so that nobody else can write one.

Who can write the bucket can make a deployment's record unreadable, and nothing can be armed by that. An older record
that is put back is refused: this program remembers the newest version of each, and the audit, which nobody can take
back, tells of every version there was. For the same reason a name is never given anew whose record has vanished.
"""

from __future__ import annotations

from typing import Protocol

from libs.errors import PermanentError, TransientError
from libs.seals import PublicKey, SealError, Signer
from proto import subjects
from proto.codec import DecodeError
from proto.deployments import DeploymentRecord
from proto.sealed import Sealed
from services.govern.office import Store


class Opener:
    """Opens sealed records, and remembers the newest version of each deployment, as one way to read them has it."""

    def __init__(self, key: PublicKey) -> None:
        self._key = key
        self._newest: dict[str, int] = {}

    def open(self, key: str, sealed: Sealed) -> DeploymentRecord:
        """The record that lies under `key`.

        Raises:
            SealError: it is not this program's, or another deployment's.
            TransientError: it is older than one that was there before: put back, or read from a server that lags.
        """
        record = self._key.open(sealed, DeploymentRecord)
        if subjects.key(record.id) != key:
            raise SealError(f"it is the record of deployment {record.id}")
        if record.record_version < self._newest.get(key, 0):
            raise TransientError(f"version {record.record_version} of {key} lies where {self._newest[key]} did")
        self._newest[key] = record.record_version
        return record


class Anchor(Protocol):
    """What knows which versions there were: `services.govern.audit.ledger.Chain`."""

    async def version_of(self, key: str) -> int:
        """The highest version of a deployment's record that there was. Raises `TransientError`."""


class Vault:
    """Records to compare and set, sealed."""

    def __init__(self, records: Store[Sealed], signer: Signer, anchor: Anchor) -> None:
        self._records = records
        self._anchor = anchor
        self._signer = signer
        self._opener = Opener(signer.public)

    async def get(self, key: str) -> tuple[DeploymentRecord, int] | None:
        """The record and its revision.

        Raises:
            PermanentError: what lies there is not as this program wrote it, or older than the audit tells of.
            TransientError: the server is away, or an older record lies there than before.
        """
        try:
            found = await self._records.get(key)
            record = self._opener.open(key, found[0]) if found else None
        except (SealError, DecodeError) as error:
            raise PermanentError(f"the record of {key} is not as govern wrote it: {error}") from None
        known = await self._anchor.version_of(key)
        if known > (record.record_version if record else 0):
            there = f"version {record.record_version} lies there" if record else "it is gone"
            raise PermanentError(
                f"the audit tells of version {known} of the record of {key}, and {there}: restore the bucket, or take "
                "another name"
            )
        return (record, found[1]) if record and found else None

    async def put(self, key: str, record: DeploymentRecord) -> int:
        """The revision of the record, now there whatever was there before. Raises `TransientError`."""
        return await self._records.put(key, self._signer.seal(record))

    async def replace(self, key: str, record: DeploymentRecord, revision: int) -> int:
        """The new revision. Raises `Conflict`, `TransientError`."""
        return await self._records.replace(key, self._signer.seal(record), revision)
