"""Asking for all records of a kind."""

from __future__ import annotations

from pydantic import Field

from proto.messages import Message
from proto.values import Id


class ListRequest(Message):
    """Asks for all records of a kind; of one deployment where `of` names it, else (empty) of all.

    Alerts come a page at a time: at most `count` of those whose key follows `after` (`CasesReply.next`).
    """

    of: str = Field(max_length=64)
    after: Id = ""
    count: int = Field(default=500, ge=1, le=5000)
