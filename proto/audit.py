"""What the audit holds of every act: who did what, when, from where and why.

`AuditEntry` is a message of stream AUDIT. Entries hold ids, texts, counts and hashes; none holds a template, a picture
or the name of a person.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from proto.messages import Message
from proto.sealed import OfficerId
from proto.values import LONGEST_TEXT, Count, Id, Line, OptionalSha256, Sha256, Time, Value, Version

Event = Annotated[str, StringConstraints(pattern=r"^[a-z_]+\.[a-z_]+$", max_length=64)]
"""What happened, for example `deployment.armed`: the last tokens of the subject of an audit entry."""
Details = dict[str, str | int | float | bool]
ACT_DIGITS = 32
"""Of the hash of an act in its id: 128 bits, for which nobody finds another act."""


class Deed(Value):
    """Who did what to a record, when, from where and why; `act` is the hash of the signed act."""

    who: OfficerId
    verb: Id
    at: Time
    origin: Line = ""
    reason: str = Field(default="", max_length=LONGEST_TEXT)
    act: OptionalSha256 = ""
    """SHA-256 of the sealed act in hexadecimal; empty for an act of the system itself."""
    details: Details = Field(default_factory=dict)
    """What it changed: ids, counts and hashes."""


def list_act_id(watch_list: str, record_version: int, deed: Deed) -> str:
    """The id in the audit of a deed to a list: an officer's is that of what they signed, whatever version it made.

    So one act is one entry, and nothing that they have not signed takes its place. Of what nobody signs the verb is in
    it: one kind of act takes no other's.
    """
    return f"watchlist.{watch_list}.{deed.act[:ACT_DIGITS] or f'{record_version}.{deed.verb}'}"


class AuditEntry(Message):
    """One act, in the chain: stream AUDIT, sealed by `govern`."""

    sequence: Version
    """Its place in the chain, and in the stream."""
    previous: bytes = Field(min_length=32, max_length=32)
    """SHA-256 of the sealed entry before it; zeros for the first."""
    id: str = Field(min_length=1, max_length=256)
    """Of the act: no two entries have the same."""
    event: Event
    at: Time
    deed: Deed
    deployment: Id = ""
    record_version: Count = 0
    watch_list: Id = ""
    alert: Id = ""
    details: Details = Field(default_factory=dict)
    """Ids, counts and hashes."""


class AuditHead(Message):
    """The last entry of the chain, sealed in bucket `heads`: what tells a chain that was cut short from a whole one."""

    sequence: Count
    sha256: Sha256
    at: Time
