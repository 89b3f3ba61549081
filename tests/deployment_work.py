"""An office in which officers act on deployments: real rules, officers and calibration, records that lie in memory."""

from __future__ import annotations

from libs.assets import load_catalogue
from libs.seals import SealError
from proto import subjects
from proto.audit import Deed
from proto.deployments import Warrant
from proto.records import CameraRecord
from proto.requests.deployments import AmendRequest, DeploymentRequest, DraftRequest, TransitionRequest
from services.govern.audit.details import fit
from services.govern.deployments.desk import Deployments
from services.govern.deployments.reconcile import Reconciler
from services.govern.office import Office
from services.govern.profiles.reading import load_profiles
from services.govern.settings import GovernSettings
from tests.casework import Book, Ledger, Wire
from tests.examples import changed
from tests.fakes import Shelf

HOUR_S = 3600.0
NAME = "station-north"
WHO = {
    "authorise": "b-smith", "refuse": "b-smith", "arm": "c-brown", "suspend": "d-green", "end": "c-brown",
    "purge": "c-brown", "grant_judicial": "b-smith", "refuse_judicial": "b-smith", "register": "b-smith",
}  # fmt: skip
EU = {
    "profile": "eu-ai-act",
    "fria": "FRIA-1",
    "registration": "EU-1",
    "judicial_authorisation": "J-1",
}
"""What a draft needs besides under that profile."""


class Watched(Shelf):
    """Records that tell `happened` of each that is written; they fail with `error` where `fails_at` is true of it."""

    def __init__(self, happened, says):
        super().__init__()
        self._happened, self._says = happened, says
        self.error = self.fails_at = None

    async def put(self, key, record):
        if self.fails_at and self.fails_at(record):
            raise self.error
        revision = await super().put(key, record)
        self._happened.append(self._says(record))
        return revision


class WatchedLedger(Ledger):
    def __init__(self, happened):
        super().__init__()
        self._happened = happened

    async def append(self, request):
        assert fit(request) == request, "the audit takes it as it is"
        await super().append(request)
        self._happened.append(f"audit {request.event}")


class Lists:
    """Destroys watch lists, as `match` does; or fails with `error`."""

    def __init__(self, work):
        self._work = work
        self.error = None

    async def destroy(self, name, reason):
        if self.error:
            raise self.error
        self._work.set_list(name, state="destroyed")
        self._work.happened.append(f"destroyed {name}")


class Erasure:
    """Deletes the data of a deployment; or fails with `error`, before or after it has."""

    def __init__(self, work):
        self._work = work
        self.error = None
        self.asked = []

    async def everything(self, deployment, keep_cases):
        if self.error:
            raise self.error
        self.asked.append((deployment, keep_cases))
        self._work.happened.append("erased")
        return {"alerts": 3, "sha256": "ab" * 32}


class DeploymentWork:
    """The handlers and all that they write to. `happened` is what they did to the world, in order."""

    def __init__(self, crew, clock, log):
        self.crew, self.clock, self.log = crew, clock, log
        self.happened: list[str] = []
        self.profiles = load_profiles()
        self.calibrations = {"sface-2021dec": load_catalogue().assets["sface-2021dec"].calibration}
        self.deployments = Watched(self.happened, lambda record: f"record {record.state}")
        self.warrants = Watched(self.happened, lambda sealed: f"warrant {self.opened(sealed).state}")
        self.ledger, self.lists, self.erasure = WatchedLedger(self.happened), Lists(self), Erasure(self)
        self.all_lists = Book(**{name: self.a_list(name) for name in ("missing", "wanted")})
        self.all_lists.known["blue"] = self.a_list("blue", seed=True)
        self.entries, self.cases = Book(), Book()
        self.cameras = Book(**{name: CameraRecord(camera=name, location="rtsp://c") for name in ("gate-1", "gate-2")})
        self.restarted()

    def restarted(self):
        """The handlers of a program that has just started: it knows what lies in the records, and nothing else."""
        self.office = Office(
            bus=Wire(self.crew.govern.public), log=self.log, settings=GovernSettings(),
            roster=self.crew.roster(self.clock),
            ledger=self.ledger, signer=self.crew.govern, profiles=self.profiles, calibrations=self.calibrations,
            deployments=self.deployments, warrants=self.warrants, cases=Shelf(),
            all_deployments=Book(self.deployments), all_lists=self.all_lists, all_entries=self.entries,
            all_cameras=self.cameras, all_cases=self.cases, clock=self.clock,
        )  # fmt: skip
        self.reconciler = Reconciler(self.office, self.lists, self.erasure)
        self.desk = Deployments(self.office, self.reconciler)
        return self.reconciler

    async def start_again(self):
        """What a program does that has just started."""
        self.restarted()
        await self.reconciler.end_restarted()
        await self.reconciler.reconcile_all()

    # -- what there is

    def a_list(self, name, seed=False, **fields):
        now, example = self.clock.now, changed("watch_list_record")
        form = example.form.model_copy(update={"watch_list": name, "seed": seed, "expires_at": now + 48 * HOUR_S})
        times = {"created_at": now - 2 * HOUR_S, "built_at": now - HOUR_S}
        return example.model_copy(update={"form": form, "references": 3, **times, **fields})

    def set_list(self, name, **fields):
        self.all_lists.known[name] = self.all_lists.known[name].model_copy(update=fields)

    def a_draft(self, **fields):
        now = self.clock.now
        example = changed("deployment_record").draft
        times = {"starts_at": now, "ends_at": now + 5 * HOUR_S}
        draft = example.model_copy(update={**times, **fields})
        for name, watch_list in self.all_lists.known.items():
            form = watch_list.form.model_copy(update={"profile": draft.profile})
            self.all_lists.known[name] = watch_list.model_copy(update={"form": form})
        return draft

    @property
    def record(self):
        return self.deployments.records[NAME][0]

    def opened(self, sealed):
        return self.crew.govern.public.open(sealed, Warrant)

    @property
    def warrant(self):
        """The warrant in force, `None` where there is none that govern sealed."""
        try:
            return self.opened(self.warrants.records[NAME][0]) if NAME in self.warrants.records else None
        except SealError:
            return None

    @property
    def audit(self):
        """The audit as it reads: what happened, in order."""
        return [entry.event.removeprefix("deployment.") for entry in self.ledger.entries.values()]

    def entry(self, event):
        (found,) = (entry for entry in self.ledger.entries.values() if entry.event == f"deployment.{event}")
        return found

    # -- what officers do

    async def draft(self, who="a-jones", version=0, **fields):
        request = DraftRequest(draft=self.a_draft(**fields), record_version=version)
        return (await self.desk.draft(self.crew.act(who, request, self.clock))).record

    async def do(self, verb, who=None, version=None, deployment=NAME, **fields):
        version = version or self.deployments.records[deployment][0].record_version
        request = TransitionRequest(verb=verb, deployment=deployment, record_version=version, **fields)
        return (await self.desk.transition(self.crew.act(who or WHO[verb], request, self.clock))).record

    async def amend(self, who="b-smith", version=None, **fields):
        version = version or self.record.record_version
        request = AmendRequest(deployment=NAME, record_version=version, reason="as agreed", **fields)
        return (await self.desk.amend(self.crew.act(who, request, self.clock))).record

    async def to(self, state, **fields):
        """Takes a new deployment to a state, by the acts of officers."""
        await self.draft(**fields)
        way = {"draft": (), "authorised": ("authorise",), "refused": ("refuse",), "armed": ("authorise", "arm")}
        way |= {"suspended": (*way["armed"], "suspend"), "ended": (*way["armed"], "end")}
        way |= {"purged": (*way["ended"], "purge")}
        for verb in way[state]:
            await self.do(verb)
        self.happened.clear()
        return self.record

    async def obstacles(self):
        return (await self.desk.show(DeploymentRequest(deployment=NAME))).obstacles

    def deed(self, **fields):
        return Deed(who="govern", verb="end", at=self.clock.now, **fields)

    def key(self):
        return subjects.key(NAME)
