"""What programs ask of the audit, and its answer."""

from __future__ import annotations

from pydantic import Field

from proto.audit import AuditEntry, Deed, Details, Event
from proto.messages import Message
from proto.values import Count, Id


class AuditRequest(Message):
    """Asks `govern` to append an act of another program. The same id again changes nothing."""

    id: str = Field(min_length=1, max_length=256)
    event: Event
    deed: Deed
    deployment: Id = ""
    record_version: Count = 0
    watch_list: Id = ""
    alert: Id = ""
    details: Details = Field(default_factory=dict)
    sealed: bytes = b""
    """The act of the officer whose deed it is, encoded and sealed; nothing where a program did it by itself."""


class AuditReply(Message):
    """The entry as it stands in the chain."""

    entry: AuditEntry
