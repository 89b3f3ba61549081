"""The warrants of deployments: what the three locks go by, sealed, and never an older one over a newer."""

from __future__ import annotations

from libs.bus import Conflict
from libs.errors import TransientError
from libs.seals import SealError
from proto import subjects
from proto.codec import DecodeError
from proto.deployments import DeploymentRecord, Warrant
from proto.sealed import Sealed
from services.govern.deployments.binding import runs_under
from services.govern.office import Office
from services.govern.profiles.reading import HOUR_S, Profile

FLOOR_UNDER_THRESHOLD = 0.10
"""Where the floor lies under the threshold (docs/decisions.md: "The default threshold is 0.50")."""


class WarrantDesk:
    """Writes the warrants that records call for."""

    def __init__(self, office: Office) -> None:
        self._office = office

    async def put(self, record: DeploymentRecord) -> None:
        """Sees to it that the warrant in force is the one that the record calls for; none before it was first armed.

        Raises:
            TransientError: the server is away, or another warrant was written at this moment.
        """
        if record.threshold is None or not record.armed_at:
            return
        profile = self._office.profiles.get(record.draft.profile)
        wanted, key = warrant_of(record, record.threshold, profile), subjects.key(record.id)
        try:
            found = await self._office.warrants.get(key)
        except DecodeError:  # somebody else wrote there, and goes by no revision either
            await self._office.warrants.put(key, self._office.signer.seal(wanted))
            return
        there, revision = (self._opened(found[0]), found[1]) if found else (None, 0)
        if there is not None and (there == wanted or there.record_version > wanted.record_version):
            return
        try:
            await self._office.warrants.replace(key, self._office.signer.seal(wanted), revision)
        except Conflict:
            raise TransientError(f"the warrant of {record.id} was changed at this moment") from None

    def _opened(self, sealed: Sealed) -> Warrant | None:
        """The warrant in `sealed`; `None` where we did not seal it."""
        try:
            return self._office.signer.public.open(sealed, Warrant)
        except SealError:
            return None


def warrant_of(record: DeploymentRecord, threshold: float, profile: Profile | None) -> Warrant:
    """The warrant that a record calls for. A deployment runs under the very profile it was armed under, or not."""
    draft = record.draft
    state = {"armed": "armed" if runs_under(record, profile) else "suspended", "suspended": "suspended"}.get(
        record.state, "ended"
    )
    ends_at = min(draft.ends_at, record.urgent_until) if record.urgent_until else draft.ends_at
    fields = {
        "deployment": record.id,
        "record_version": record.record_version,
        "state": state,
        "purpose": draft.purpose,
        "cameras": tuple(draft.cameras),
        "zones": draft.cameras,
        "watch_lists": draft.watch_lists,
        "seed_lists": draft.seed_lists,
        "threshold": threshold,
        "floor": max(-1.0, threshold - FLOOR_UNDER_THRESHOLD),
        "cooldown_s": draft.cooldown_s,
        "starts_at": draft.starts_at,
        "ends_at": ends_at,
        "first_armed": record.armed_at,
        "profile": draft.profile,
        "stamp": record.binding.stamp,
        "binding": record.binding,
    }
    if profile is not None:
        fields |= {
            "live_sources": profile.live_sources,
            "alerts_kept_s": profile.alerts_kept_hours * HOUR_S,
        }
    return Warrant.model_validate(fields)
