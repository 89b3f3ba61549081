"""Which acts a list takes: it must be there, the officer may act on it, and nobody is added behind a deployment's back.

What a deployment searches is what it was armed with. So while it may run, people come off its lists and none come on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from libs.errors import ConflictError, MissingError
from libs.officers import Signed
from proto.deployments import Warrant
from proto.watchlists import WatchListRecord


class Warrants(Protocol):
    """What deployments may do, as `libs.warrants.Warrants`."""

    def all(self) -> Mapping[str, Warrant]:
        """Every warrant, by key."""


def must_be_there(record: WatchListRecord) -> None:
    """Does nothing for a list that is neither destroyed nor about to be.

    Raises:
        ConflictError: it is.
        MissingError: it is destroyed.
    """
    if record.state == "destroying":
        raise ConflictError(f"the watch list {record.id} is being destroyed")
    if record.state == "destroyed":
        raise MissingError(f"the watch list {record.id} is destroyed: create it again, or another")


def must_take(signed: Signed[Any], record: WatchListRecord) -> None:
    """Does nothing for a list that is there, and an officer who may act under its profile.

    Raises:
        ForbiddenError: the officer may not.
        ConflictError, MissingError: it is not there.
    """
    signed.must_act_under(record.form.profile)
    must_be_there(record)


def must_be_whole(record: WatchListRecord) -> None:
    """Does nothing for a list of which no import is under way.

    Raises:
        ConflictError: one is, or is being taken back.
    """
    if record.state == "aborting":
        raise ConflictError(f"the import {record.import_id} is being taken back: try again in a moment")
    if record.import_id:
        raise ConflictError(f"an import {record.import_id} is under way: complete it, or take it back, first")


def must_be_unarmed(warrants: Warrants, watch_list: str, now: float) -> None:
    """Does nothing for a list that no deployment may search, at `now` (Unix seconds) or later.

    Raises:
        ConflictError: one may.
    """
    for warrant in warrants.all().values():
        named = watch_list in {*warrant.watch_lists, *warrant.seed_lists}
        if named and warrant.state != "ended" and now < warrant.ends_at:
            raise ConflictError(
                f"the deployment {warrant.deployment} is {warrant.state} with the watch list {watch_list}, and nobody "
                "is added to what was authorised: end it first; people can be removed all the time"
            )
