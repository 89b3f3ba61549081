"""The records of cases as they lie on the bus: sealed by this program, so that nobody else can write or change one.

An older record of the same case can still be put back. What the audit tells of it and the record lacks shows that:
see `Teller.lacking`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from libs.bus import Records
from libs.errors import PermanentError
from libs.log import Log
from libs.seals import PublicKey, SealError, Signer
from proto import subjects
from proto.cases import Case
from proto.codec import DecodeError
from proto.sealed import Sealed

AT_A_TIME = 64
"""Seals that are opened before others of this program get their turn: some 10 ms."""


class CaseVault:
    """Records of cases to compare and set, sealed."""

    def __init__(self, records: Records[Sealed], signer: Signer, log: Log) -> None:
        self._records = records
        self._signer = signer
        self._log = log

    async def get(self, key: str) -> tuple[Case, int] | None:
        """The record and its revision.

        Raises:
            PermanentError: what lies there is not as this program wrote it.
            TransientError: the server is away.
        """
        try:
            found = await self._records.get(key)
            return (opened_case(self._signer.public, key, found[0]), found[1]) if found else None
        except (SealError, DecodeError) as error:
            raise PermanentError(f"the record of the case {key} is not as govern wrote it: {error}") from None

    async def all(self, deployment: str) -> Mapping[str, Case]:
        """Every good record of a deployment, by key; what is not this program's is left out, and logged.

        Raises:
            TransientError: the server is away.
        """
        cases = {}
        for number, (key, sealed) in enumerate((await self._records.all(deployment)).items(), 1):
            if number % AT_A_TIME == 0:
                await asyncio.sleep(0)
            try:
                cases[key] = opened_case(self._signer.public, key, sealed)
            except SealError as error:
                self._log.error("record.refused", key=key, reason=error.reason)
        return cases

    async def put(self, key: str, record: Case) -> int:
        """The revision of the record, now there whatever was there before. Raises `TransientError`."""
        return await self._records.put(key, self._signer.seal(record))

    async def replace(self, key: str, record: Case, revision: int) -> int:
        """The new revision. Raises `Conflict`, `TransientError`."""
        return await self._records.replace(key, self._signer.seal(record), revision)


def opened_case(public: PublicKey, key: str, sealed: Sealed) -> Case:
    """The record that lies under `key`. Raises `SealError`: it is not this program's, or of another case."""
    case = public.open(sealed, Case)
    if subjects.key(case.deployment, case.alert) != key:
        raise SealError(f"it is the record of alert {case.alert} of deployment {case.deployment}")
    return case
