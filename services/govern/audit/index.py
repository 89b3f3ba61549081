"""Where in the chain the entries lie, and the entries that were looked at last."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence

from libs.chain import Claim
from proto import codec, subjects
from proto.audit import AuditEntry

REMEMBERED = 32_768
"""Entries that need not be fetched again: some 20 MB, all that happened to 10,000 alerts."""
VERSION = re.compile(r"deployment\.(?P<deployment>.+)\.(?P<version>[1-9][0-9]{0,8})")
"""Ids of acts on deployments: the n-th made version n of the record. A version is written in one way alone."""


class Index:
    """The places of entries by what is asked for. Of an entry whose seal nobody has looked at yet, what it claims."""

    def __init__(self) -> None:
        self._places: dict[str, list[int]] = {}
        self._events: dict[tuple[str, str], dict[str, None]] = {}
        self._alerts: dict[str, set[str]] = {}
        self._versions: dict[str, dict[int, str]] = {}
        self._remembered: OrderedDict[str, bytes] = OrderedDict()

    def note(self, claim: Claim, place: int) -> None:
        """Takes notice that such an entry lies at `place`, or says so."""
        act = claim.id
        self._places.setdefault(act, []).append(place)
        self._events.setdefault((claim.event, claim.deployment), {})[act] = None
        if (alert := _alert_of(act)) is not None:
            self._alerts.setdefault(alert, set()).add(act)
        if (found := VERSION.fullmatch(act)) is not None:
            self._versions.setdefault(subjects.key(found["deployment"]), {})[int(found["version"])] = act

    def drop(self, act: str, place: int) -> None:
        """Forgets a place where no entry of the act lies after all."""
        self._places[act].remove(place)
        if not self._places[act]:
            del self._places[act]

    def places(self, act: str) -> Sequence[int]:
        """Where entries of the act lie, the oldest first."""
        return tuple(self._places.get(act, ()))

    def acts(self, event: str, deployment: str) -> Sequence[str]:
        """The ids of acts that are such an event in a deployment, the oldest first."""
        return tuple(act for act in self._events.get((event, deployment), ()) if act in self._places)

    def acts_of(self, alert: str) -> set[str]:
        """The ids of acts about an alert."""
        return {act for act in self._alerts.get(alert, ()) if act in self._places}

    def versions(self, deployment: str) -> Mapping[int, str]:
        """By version of the record of a deployment (by its key), the id of the act that made it."""
        versions = self._versions.get(deployment, {})
        return {version: act for version, act in versions.items() if act in self._places}

    def remember(self, entry: AuditEntry) -> None:
        """Keeps an entry that was found to be true, and forgets the one that was not asked for longest."""
        self._remembered[entry.id] = codec.encode(entry)  # a sixth of what the entry takes as an object
        if len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)

    def remembered(self, act: str) -> AuditEntry | None:
        """The entry of the act, if it was looked at lately."""
        if act not in self._remembered:
            return None
        self._remembered.move_to_end(act)
        return codec.decode(AuditEntry, self._remembered[act])


def _alert_of(act: str) -> str | None:
    """The alert that an act with this id is about, if it is about one."""
    kind, _, rest = act.partition(".")
    return rest.partition(".")[0] if kind == "alert" else None
