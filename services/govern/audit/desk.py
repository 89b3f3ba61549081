"""What other programs may have written into the audit: acts on watch lists, each with the seal of who did it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from libs.errors import PermanentError
from libs.officers import ForbiddenError, Roster
from proto import codec
from proto.audit import Deed, list_act_id
from proto.messages import Message
from proto.requests.audit import AuditReply, AuditRequest
from proto.requests.watchlists import (
    CreateListRequest,
    DestroyListRequest,
    DuplicatesRequest,
    EnrolmentNotice,
    ExpireListRequest,
    ImportRequest,
    RemoveEntryRequest,
)
from proto.sealed import Sealed
from services.govern.office import Ledger

ACTS: Mapping[str, tuple[str, type[Message]]] = {
    "watchlist.created": ("create", CreateListRequest),
    "watchlist.import_begun": ("begin_import", ImportRequest),
    "watchlist.imported": ("import", ImportRequest),
    "watchlist.import_aborted": ("abort_import", ImportRequest),
    "watchlist.enrolled": ("enrol", EnrolmentNotice),
    "watchlist.removed": ("remove", RemoveEntryRequest),
    "watchlist.expired": ("expire", ExpireListRequest),
    "watchlist.destroyed": ("destroy", DestroyListRequest),
    "watchlist.duplicates_sought": ("seek_duplicates", DuplicatesRequest),
}
"""By event: the verb, and what the officer has signed for it."""
MATCH = "match"
SWEEPS = {"watchlist.removed": "remove", "watchlist.destroyed": "destroy", "watchlist.recounted": "recount"}
"""What `match` does by itself, by its clock or after a crash: nobody signs that."""


class Auditing:
    """Appends to the audit what other programs have done."""

    def __init__(self, ledger: Ledger, roster: Roster) -> None:
        self._ledger = ledger
        self._roster = roster

    async def append(self, ask: AuditRequest) -> AuditReply:
        """The entry of an act on a watch list.

        Raises:
            ForbiddenError: it is another act, or nobody has signed it.
            PermanentError, TransientError: as `Chain.append`.
        """
        if ask.id != list_act_id(ask.watch_list, ask.record_version, ask.deed):
            raise ForbiddenError(f"only acts on watch lists are told from outside, by their own ids, not {ask.event}")
        if not self._is_of_a_sweep(ask):
            self._must_be_signed(ask)
        return AuditReply(entry=await self._ledger.append(ask))

    def _is_of_a_sweep(self, ask: AuditRequest) -> bool:
        return ask.deed.who == MATCH and not ask.deed.act and SWEEPS.get(ask.event) == ask.deed.verb

    def _must_be_signed(self, ask: AuditRequest) -> None:
        """Does nothing where the deed is what its officer has signed. Raises `ForbiddenError`."""
        verb, kind = ACTS.get(ask.event, ("", None))
        if kind is None or ask.deed.verb != verb:
            raise ForbiddenError(f"nobody tells the audit of {ask.event} from outside")
        try:
            sealed = codec.decode(Sealed, ask.sealed)
            act = self._roster.open(sealed)
            request = codec.decode(kind, act.request)
            done = Deed(
                who=act.officer,
                verb=_verb_of(request, verb),
                at=act.at,
                origin=act.origin,
                reason=_reason_of(request),
                act=hashlib.sha256(codec.encode(sealed)).hexdigest(),
            )
        except (codec.DecodeError, PermanentError, ValueError) as error:
            raise ForbiddenError(f"{ask.deed.who} has not signed what is told of {ask.event}: {error}") from None
        if ask.deed != done or act.holds != kind.kind() or _list_of(request) != ask.watch_list:
            raise ForbiddenError(f"{ask.deed.who} has signed something else than the audit is told of {ask.event}")


def _verb_of(request: Message, verb: str) -> str:
    """What an act does to a list: an import is begun, completed or aborted by acts of one kind."""
    return request.verb if isinstance(request, ImportRequest) else verb


def _reason_of(request: Message) -> str:
    """Why, in the officer's words or those of the command."""
    return str(getattr(request, "reason", ""))


def _list_of(request: Message) -> str:
    """The watch list that an act is about."""
    named = request.form.watch_list if isinstance(request, CreateListRequest) else getattr(request, "watch_list", "")
    return str(named)
