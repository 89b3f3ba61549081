"""Records that this program has sealed, as a mirror of their bucket has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from libs.errors import TransientError
from libs.log import Log
from libs.seals import SealError
from proto.messages import Message
from proto.sealed import Sealed
from services.govern.office import Book

M = TypeVar("M", bound=Message)


class Shelves(Generic[M]):
    """The records, opened by `opened`. What is not this program's is left out, and logged."""

    def __init__(self, mirror: Book[Sealed], opened: Callable[[str, Sealed], M], log: Log) -> None:
        self._mirror = mirror
        self._open = opened
        self._log = log
        self._known: dict[str, tuple[Sealed, M | None]] = {}
        """By key: what was last looked at, and the record if it is a good one."""

    def get(self, key: str) -> M | None:
        """The record under `key`."""
        sealed = self._mirror.get(key)
        return self._opened(key, sealed) if sealed is not None else None

    def all(self) -> Mapping[str, M]:
        """Every good record, by key."""
        opened = {key: self._opened(key, sealed) for key, sealed in self._mirror.all().items()}
        for gone in self._known.keys() - opened.keys():
            del self._known[gone]
        return {key: record for key, record in opened.items() if record is not None}

    def _opened(self, key: str, sealed: Sealed) -> M | None:
        known = self._known.get(key)
        if known is None or known[0] != sealed:
            known = self._known[key] = (sealed, self._checked(key, sealed))
        return known[1]

    def _checked(self, key: str, sealed: Sealed) -> M | None:
        try:
            return self._open(key, sealed)
        except (SealError, TransientError) as error:
            self._log.error("record.refused", key=key, reason=error.reason)
            return None
