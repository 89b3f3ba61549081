"""An office in which people decide about alerts: real rules and officers, records that lie in memory."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

from libs import chain
from libs.errors import PermanentError, TransientError
from proto import subjects
from proto.cases import Intervention
from proto.deployments import Binding, DeploymentRecord
from proto.sealed import Sealed
from services.govern.audit.details import fit
from services.govern.cases.desk import Cases
from services.govern.cases.evidence import Evidence, left_out
from services.govern.office import Office
from services.govern.profiles.reading import load_profiles
from services.govern.settings import GovernSettings
from tests.examples import ALERT, an_alert, changed
from tests.fakes import Shelf

KEY = subjects.key("station-north", ALERT)
KEPT_S = 24 * 3600.0
ESCALATED_AFTER_S = 300.0


def profile(**fields):
    """The rules of the tests: one person confirms, alerts are escalated after five minutes and kept for a day."""
    values = {"confirmations": 1, "escalated_after_s": ESCALATED_AFTER_S, "alerts_kept_hours": KEPT_S / 3600, **fields}
    return load_profiles()["uk-police"].model_copy(update=values)


class Book:
    """Records to look up: those on a shelf as they are now, or those in `known`."""

    def __init__(self, shelf=None, **known):
        self.known = known
        self._shelf = shelf

    def get(self, key):
        return self.all().get(key)

    def all(self):
        return self.known if self._shelf is None else {key: record for key, (record, _) in self._shelf.records.items()}


class Ledger:
    """Keeps the entries of the audit by id; fails, or dies, at the entry whose id ends like `fails_at`."""

    def __init__(self):
        self.entries = {}
        self.fails_at = None
        self.error = TransientError("the audit is away")
        self.is_asked = True
        """Whether it tells what the record of a case lacks."""

    async def append(self, request):
        if self.fails_at and request.id.endswith(self.fails_at):
            raise self.error
        entry = chain.following(fit(request), len(self.entries) + 1, chain.GENESIS, request.deed.at)
        there = self.entries.setdefault(request.id, entry)
        if _what(there) != _what(request):
            raise PermanentError(f"the audit holds another act under {request.id}")
        return there

    async def find(self, act):
        return self.entries.get(act)

    async def acts_of(self, deployment, alert, but):
        told = self.entries.values() if self.is_asked else ()
        of_alerts = [entry for entry in told if entry.id.startswith("alert.")]
        found = {entry.id for entry in of_alerts if (entry.deployment, entry.alert) == (deployment, alert)}
        return sorted(found - set(but))


def _what(act):
    """What makes it the same act, as `services.govern.audit.ledger` has it."""
    deed = act.deed
    return act.event, act.deployment, act.watch_list, act.alert, deed.act, deed.who, deed.verb


def _kind_of(message):
    return message.holds if isinstance(message, Sealed) else message.kind()


class Wire:
    """Keeps what is published, copies by their id left out as a stream does; may fail before or after one kind."""

    def __init__(self, govern):
        self.govern = govern
        self.messages = []
        self.tries = 0
        self.error = None
        self.fails = ("", "before")
        self._ids = set()

    async def publish(self, message, _trace):
        await self.publish_as(*subjects.address(message), message)

    async def publish_as(self, _subject, message_id, message):
        kind, when = self.fails
        if _kind_of(message) == kind and when == "before":
            raise self.error
        self.tries += 1
        if message_id not in self._ids:
            self._ids.add(message_id)
            self.messages.append(message)
        if _kind_of(message) == kind:
            raise self.error

    def of(self, kind):
        return [message for message in self.messages if _kind_of(message) == kind]

    @property
    def interventions(self):
        """Those that govern sealed; another makes the test fail."""
        return [self.govern.open(sealed, Intervention) for sealed in self.of(Intervention.kind())]


class Casework:
    """The handlers and all that they write to; `alert(…)` opens a case, `decide(who, verdict)` decides about it."""

    def __init__(self, crew, clock, log, **rules):
        self.crew, self.clock, self.log = crew, clock, log
        self.rules = profile(**rules)
        self.profiles = {"uk-police": self.rules}
        self.shelf, self.deployments, self.passages = Shelf(), Shelf(), Shelf()
        self.ledger, self.wire = Ledger(), Wire(crew.govern.public)
        lists = {
            name: changed("watch_list_record", form=changed("watch_list_record").form.model_copy(update=update))
            for name, update in {
                "wanted": {"watch_list": "wanted", "response": "red"},
                "missing": {"watch_list": "missing", "response": "green"},
                "blue": {"watch_list": "blue", "seed": True},
            }.items()
        }
        self.entries = Book(**{"blue.blue-1": changed("entry_record", watch_list="blue", subject="blue-1")})
        self.lists = Book(**lists)
        self.cases = self.restarted()
        self.put_deployment()

    def restarted(self):
        """The handlers of a program that has just started: it knows what lies in the records, and nothing else."""
        self.roster = self.crew.roster(self.clock)
        office = Office(
            bus=self.wire, log=self.log, settings=GovernSettings(), roster=self.roster, signer=self.crew.govern,
            ledger=self.ledger, profiles=self.profiles, calibrations={}, deployments=self.deployments,
            warrants=Shelf(), cases=self.shelf, all_deployments=Book(self.deployments), all_lists=self.lists,
            all_entries=self.entries, all_cameras=Book(), all_cases=Book(self.shelf), clock=self.clock,
        )  # fmt: skip
        self.cases, self.evidence = Cases(office, self.passages), Evidence(self.roster, self.ledger)
        return self.cases

    def put_deployment(self, **fields) -> DeploymentRecord:
        bound = Binding(
            lists={name: one.created_at for name, one in self.lists.known.items()},
            responses={name: one.form.response for name, one in self.lists.known.items()},
            confirmations=self.rules.confirmations,
        )
        record = changed("deployment_record", **{"armed_at": self.clock.now - 3600, "binding": bound, **fields})
        _, revision = self.deployments.records.get(record.id, (None, 0))
        self.deployments.records[record.id] = record, revision + 1
        return record

    def bind(self, **fields):
        """Arms the deployment with other values."""
        bound = self.deployments.records["station-north"][0].binding
        return self.put_deployment(binding=bound.model_copy(update=fields))

    def an_alert(self, **fields):
        values = {"captured_at": self.clock.now - 1.5, "raised_at": self.clock.now, "portrait_sha256": "d4" * 32}
        return an_alert(**{**values, **fields})

    async def alert(self, **fields):
        """The case of an alert that is raised now."""
        alert = self.an_alert(**fields)
        await self.cases.take_alert(alert)
        return self.case(alert.id)

    def case(self, alert=ALERT):
        return self.shelf.records[subjects.key("station-north", alert)][0]

    def change(self, **fields):
        """Changes the case behind everybody's back."""
        record, revision = self.shelf.records[KEY]
        self.shelf.records[KEY] = record.model_copy(update=fields), revision + 1

    async def credible(self):
        """The case as far as officers have signed it."""
        return await self.evidence.credible(self.case(), self.deployments.records["station-north"][0])

    async def left_out(self):
        return left_out(self.case(), await self.credible())

    def act(self, who, kind, **fields):
        values = {"deployment": "station-north", **({} if kind == "passage_request" else {"alert": ALERT})}
        return self.crew.act(who, changed(kind, **{**values, **fields}), self.clock)

    async def decide(self, who, verdict="confirmed", **fields):
        return (await self.cases.adjudicate(self.act(who, "adjudicate_request", verdict=verdict, **fields))).case

    async def engage(self, who, **fields):
        return (await self.cases.engage(self.act(who, "engagement_request", **fields))).case

    async def passage(self, who="d-green", **fields):
        fields = {"at": self.clock.now, **fields}
        return (await self.cases.passage(self.act(who, "passage_request", **fields))).passage

    def events(self):
        """The audit as it reads: what happened, in order."""
        return [entry.event for entry in self.ledger.entries.values()]

    def entry(self, event):
        (found,) = (entry for entry in self.ledger.entries.values() if entry.event == event)
        return found


class Death(BaseException):
    """The program is killed."""


@contextlib.contextmanager
def dying():
    """Survives the death of the program in the block, and says whether there was one."""
    happened = SimpleNamespace(died=False)
    try:
        yield happened
    except Death:
        happened.died = True
    assert happened.died, "the program did not get as far"
