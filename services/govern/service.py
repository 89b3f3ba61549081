"""The program: answers acts on deployments and alerts, keeps the audit, and looks every few seconds what is due."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from libs.actor import Stage
from libs.assets import load_catalogue
from libs.bus import AskError, Bus, Endpoint, Mirror, Records
from libs.errors import ConflictError, MissingError, PermanentError, UserError
from libs.log import Log
from libs.officers import Roster, sign
from libs.seals import Signer
from libs.service import Host
from libs.settings import TrustSettings, load
from libs.surviving import surviving
from libs.waiting import end, unless
from proto import subjects
from proto.audit import AuditHead
from proto.codec import DecodeError
from proto.counts import FaceCount, Passage, SearchCount
from proto.messages import Alert
from proto.records import CameraRecord
from proto.requests.alerts import CaseRequest
from proto.requests.audit import AuditRequest
from proto.requests.deployments import DeploymentRequest, FiguresRequest
from proto.requests.listing import ListRequest
from proto.requests.watchlists import DestroyListRequest, ListReply
from proto.sealed import GOVERN, Sealed
from proto.watchlists import EntryRecord, WatchListRecord
from services.govern.audit.desk import Auditing
from services.govern.audit.ledger import Chain
from services.govern.cases.desk import Cases
from services.govern.cases.vault import CaseVault, opened_case
from services.govern.deployments.desk import Deployments
from services.govern.deployments.figures import Counts, Figures
from services.govern.deployments.reconcile import Reconciler
from services.govern.deployments.vault import Opener, Vault
from services.govern.office import Office
from services.govern.profiles.reading import load_profiles
from services.govern.retention.erasure import Erasure
from services.govern.retention.sweeper import Sweeper
from services.govern.settings import GovernSettings
from services.govern.shelves import Shelves

DESTROY_S = 30.0
"""How long `match` may take to destroy a list: files are rewritten."""


class MatchLists:
    """Watch lists as `match` keeps them."""

    def __init__(self, bus: Bus, signer: Signer) -> None:
        self._bus = bus
        self._signer = signer

    async def destroy(self, name: str, reason: str) -> None:
        """Destroys a list; one that is destroyed or gone already is left.

        Raises:
            TransientError: nobody answers.
            AskError: it was refused.
        """
        act = sign(self._signer, DestroyListRequest(watch_list=name, reason=reason))
        try:
            await self._bus.ask(f"{subjects.WATCHLIST}.destroy", act, ListReply, DESTROY_S)
        except AskError as error:
            if error.code not in (MissingError.code, ConflictError.code):
                raise
        except DecodeError as error:
            raise PermanentError(f"match answered with something else ({error})") from None


class HeadOf:
    """The end of the chain, as a book of one record."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    def get(self, key: str) -> AuditHead | None:
        """The head, under the name of its bucket."""
        return self.all().get(key)

    def all(self) -> Mapping[str, AuditHead]:
        """The head, if there is an entry."""
        return {subjects.HEADS.name: self._chain.head} if self._chain.head.sequence else {}


@dataclass(frozen=True)
class Rounds:
    """What is looked after every few seconds, by this program's own clock."""

    reconciler: Reconciler
    cases: Cases
    sweeper: Sweeper
    log: Log
    every_s: float

    async def run(self, stopping: asyncio.Event) -> None:
        """Looks until `stopping` is set. What cannot be done now is logged, and done at a later look."""
        while not stopping.is_set():
            for part in (self.reconciler.reconcile_all, self.cases.escalate_due, self.sweeper.sweep):
                with surviving(self.log, "round.waits", part=part.__name__):
                    await part()
            await unless(stopping, asyncio.sleep(self.every_s))


@asynccontextmanager
async def govern(host: Host) -> AsyncIterator[None]:
    """The program: the micro services `deployment`, `cases` and `auditing`, and actors on alerts."""
    settings, signer, roster = load(GovernSettings), _signer(), _roster()
    async with (
        Chain.open(host.bus, signer, host.log) as chain,
        _office(host, settings, signer, roster, chain) as office,
        _counts(host.bus, chain) as counts,
    ):
        vault = CaseVault(Records(host.bus, subjects.CASE_RECORDS, Sealed), signer, host.log)
        erasure = Erasure(host.bus, chain, vault)
        reconciler = Reconciler(office, MatchLists(host.bus, signer), erasure)
        cases = Cases(office, Records(host.bus, subjects.PASSAGES, Passage))
        await reconciler.end_restarted()
        rounds = Rounds(reconciler, cases, Sweeper(office, erasure), host.log, settings.sweep_s)
        deployments = _deployment_endpoints(Deployments(office, reconciler), Figures(office, counts))
        async with (
            host.bus.micro_service("deployment", subjects.DEPLOYMENT, deployments),
            host.bus.micro_service("cases", subjects.CASES, _case_endpoints(cases)),
            host.bus.micro_service(
                "auditing", subjects.AUDIT_ASKS, {"append": Endpoint(AuditRequest, Auditing(chain, roster).append)}
            ),
            host.actor(Stage("govern_alerts", subjects.ALERTS, Alert, cases.take_alert)),
            host.actor(Stage("govern_seeds", subjects.SEEDS, Alert, cases.take_alert)),
            _going(host, rounds),
        ):
            yield


@asynccontextmanager
async def _going(host: Host, rounds: Rounds) -> AsyncIterator[None]:
    """Makes the rounds while the block runs; one that is under way then may take the grace time to finish."""
    stopping = asyncio.Event()
    looking = host.tasks.create_task(rounds.run(stopping), name="rounds")
    try:
        yield
    finally:
        stopping.set()
        await asyncio.wait({looking}, timeout=host.settings.grace_s)
        await end(looking)


def _signer() -> Signer:
    """`govern` with its key.

    Raises:
        UserError: there is none, or it is not the one whose other half everybody is told.
    """
    signer = Signer.load(GOVERN, load(GovernSettings).key)
    if load(TrustSettings).key() != signer.public:
        remedy = f"the public half of this key is {signer.public}"
        raise UserError("WATCHLINE_TRUST_PUBLIC_KEY does not fit the key of WATCHLINE_GOVERN_KEY", remedy)
    return signer


def _roster() -> Roster:
    """The officers. Raises `UserError` where the file is not there or holds something else."""
    trust = load(TrustSettings)
    roster = Roster(trust.officers, trust.key())
    roster.officers()
    return roster


@asynccontextmanager
async def _office(
    host: Host, settings: GovernSettings, signer: Signer, roster: Roster, chain: Chain
) -> AsyncIterator[Office]:
    """The office on a bus, with books that follow their buckets while the block runs."""
    bus, profiles, assets = host.bus, load_profiles(settings.profiles), load_catalogue().assets
    async with (
        Mirror.open(bus, subjects.DEPLOYMENTS, Sealed) as all_deployments,
        Mirror.open(bus, subjects.WATCHLISTS, WatchListRecord) as all_lists,
        Mirror.open(bus, subjects.ENTRIES, EntryRecord) as all_entries,
        Mirror.open(bus, subjects.CAMERAS, CameraRecord) as all_cameras,
        Mirror.open(bus, subjects.CASE_RECORDS, Sealed) as all_cases,
    ):
        yield Office(
            bus=bus,
            log=host.log,
            settings=settings,
            roster=roster,
            signer=signer,
            ledger=chain,
            profiles=profiles,
            calibrations={name: asset.calibration for name, asset in assets.items() if asset.calibration is not None},
            deployments=Vault(Records(bus, subjects.DEPLOYMENTS, Sealed), signer, chain),
            warrants=Records(bus, subjects.WARRANTS, Sealed),
            cases=CaseVault(Records(bus, subjects.CASE_RECORDS, Sealed), signer, host.log),
            all_deployments=Shelves(all_deployments, Opener(signer.public).open, host.log),
            all_lists=all_lists,
            all_entries=all_entries,
            all_cameras=all_cameras,
            all_cases=Shelves(all_cases, partial(opened_case, signer.public), host.log),
        )


@asynccontextmanager
async def _counts(bus: Bus, chain: Chain) -> AsyncIterator[Counts]:
    """What others have counted, followed while the block runs."""
    async with (
        Mirror.open(bus, subjects.PASSAGES, Passage) as passages,
        Mirror.open(bus, subjects.FACES, FaceCount) as faces,
        Mirror.open(bus, subjects.SEARCHES, SearchCount) as searches,
    ):
        yield Counts(passages=passages, faces=faces, searches=searches, heads=HeadOf(chain), audited=chain)


def _deployment_endpoints(deployments: Deployments, figures: Figures) -> dict[str, Endpoint[Any]]:
    return {
        "draft": Endpoint(Sealed, deployments.draft),
        "transition": Endpoint(Sealed, deployments.transition),
        "amend": Endpoint(Sealed, deployments.amend),
        "show": Endpoint(DeploymentRequest, deployments.show),
        "list": Endpoint(ListRequest, deployments.list),
        "figures": Endpoint(FiguresRequest, figures.figures),
    }


def _case_endpoints(cases: Cases) -> dict[str, Endpoint[Any]]:
    return {
        "adjudicate": Endpoint(Sealed, cases.adjudicate),
        "engage": Endpoint(Sealed, cases.engage),
        "passage": Endpoint(Sealed, cases.passage),
        "show": Endpoint(CaseRequest, cases.show),
        "list": Endpoint(ListRequest, cases.list),
    }
