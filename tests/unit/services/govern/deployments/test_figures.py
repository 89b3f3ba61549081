"""What the report is made of: all that belongs to a deployment, and nothing of another."""

from types import SimpleNamespace

import pytest

from libs.errors import MissingError, PermanentError
from proto import codec, subjects
from proto.audit import AuditHead
from proto.deployments import Binding
from proto.requests.deployments import FiguresRequest
from services.govern.cases import casebook
from services.govern.cases.passages import audit_id
from services.govern.deployments.figures import SETTLED_S, Counts, Figures
from tests.casework import ESCALATED_AFTER_S, Casework, Ledger
from tests.examples import ALERT, changed
from tests.fakes import Shelf
from tests.governance_examples import CASE, FACES, NOW, PASSAGE, SEARCHES, WATCH_LIST

DEPLOYMENT = changed("deployment_record", binding=Binding(confirmations=1))
ASK = FiguresRequest(deployment="station-north")
OPEN = CASE.model_copy(update={"status": "open", "response": "", "decisions": (), "outcome": None})
HEADS = {"audit": AuditHead(sequence=7, sha256="a7" * 32, at=NOW)}


class Book(dict):
    def all(self):
        return dict(self)


def book(*records):
    return Book({str(number): record for number, record in enumerate(records)})


def noted(passage):
    """A passage as the audit tells of it."""
    return SimpleNamespace(id=audit_id(passage), deed=SimpleNamespace(who=passage.noted_by), at=passage.noted_at)


class Audited:
    """What the audit tells of alerts and passages."""

    def __init__(self, *alerts, passages=(), ledger=None):
        self._known = {
            "alert.raised": [SimpleNamespace(alert=alert, at=NOW, details={}) for alert in alerts],
            "passage.noted": [noted(passage) for passage in passages],
        }
        self._ledger = ledger or Ledger()

    async def entries_of(self, event, deployment):
        known = [entry for entry in self._ledger.entries.values() if entry.event == event]
        return [*self._known.get(event, ()), *known] if deployment == "station-north" else []


@pytest.fixture
async def office(crew, clock):
    """The part of the office that figures need, with the deployment of the examples."""
    lists = Book({"wanted": WATCH_LIST, "elsewhere": WATCH_LIST})
    profiles = {"uk-police": SimpleNamespace(stamp="")}
    office = SimpleNamespace(deployments=Shelf(), all_lists=lists, all_cases=book(OPEN), profiles=profiles)
    office.roster, office.ledger, office.clock = crew.roster(clock), Ledger(), lambda: NOW + 3600
    await office.deployments.put(subjects.key("station-north"), DEPLOYMENT)
    return office


def figures_of(office, **books):
    kinds = {
        "passages": book(),
        "faces": book(),
        "searches": book(),
        "heads": Book(HEADS),
        "audited": Audited("a1b2c3"),
    }
    return Figures(office, Counts(**kinds | books))


async def test_everything_counted_for_the_deployment_is_there_oldest_first(office):
    later = FACES.model_copy(update={"reading": "gate-1-ffff-", "updated_at": FACES.updated_at + 1})
    books = {"passages": book(PASSAGE), "faces": book(later, FACES), "searches": book(SEARCHES)}
    audited = Audited("a1b2c3", passages=(PASSAGE,))
    reply = await figures_of(office, audited=audited, **books).figures(ASK)

    assert reply.record == DEPLOYMENT
    assert reply.cases == (OPEN,)
    assert (reply.missing, reply.next) == ((), "")
    assert reply.passages == (PASSAGE,)
    assert reply.faces == (FACES, later)
    assert reply.searches == (SEARCHES,)
    assert (reply.audit_entries, reply.audit_head) == (7, "a7" * 32)


async def test_nothing_of_another_deployment_is_counted(office):
    others = [record.model_copy(update={"deployment": "elsewhere"}) for record in (OPEN, PASSAGE, FACES, SEARCHES)]
    office.all_cases = book(others[0])
    books = {"passages": book(others[1]), "faces": book(others[2]), "searches": book(others[3])}
    reply = await figures_of(office, **books).figures(ASK)
    assert (reply.cases, reply.passages, reply.faces, reply.searches) == ((), (), (), ())


async def test_the_lists_are_those_of_the_draft_as_far_as_there_is_a_record_of_them(office):
    reply = await figures_of(office).figures(ASK)
    assert reply.lists == (WATCH_LIST,)  # of missing and blue there is none


async def test_of_another_list_of_the_name_nothing_is_shown_and_that_is_said(office):
    bound = Binding(profile_sha256="ab" * 32, lists={"wanted": WATCH_LIST.created_at - 60})
    await office.deployments.put(subjects.key("station-north"), DEPLOYMENT.model_copy(update={"binding": bound}))
    reply = await figures_of(office).figures(ASK)
    assert reply.lists == ()
    assert reply.missing == (
        "The list wanted is another one today than the one that was searched: nothing of that is shown.",
    )


async def test_what_somebody_decided_who_has_left_since_counts_as_it_did(crew, clock, log):
    work = Casework(crew, clock, log)
    await work.alert()
    await work.decide("d-green")
    await work.engage("d-green")
    crew.dismiss("d-green")
    reply = await figures_of(office_of(work), audited=Audited(ALERT)).figures(ASK)
    (case,) = reply.cases
    assert (case.status, case.outcome.engagement, reply.missing) == ("confirmed", "confirmed_true", ())


def office_of(work):
    """The part of the office that figures need, over the records of cases."""
    return SimpleNamespace(
        deployments=work.deployments, all_lists=Book(), all_cases=book(work.case()), profiles=work.profiles,
        roster=work.roster, ledger=work.ledger, clock=lambda: work.clock() + 3600,
    )  # fmt: skip


async def test_the_stamp_is_that_of_the_profile(office):
    office.profiles["uk-police"].stamp = "EVALUATION"
    assert (await figures_of(office).figures(ASK)).stamp == "EVALUATION"


@pytest.mark.parametrize("stamp", ["EVALUATION", ""])
async def test_the_stamp_of_what_has_run_is_that_under_which_it_was_armed(office, stamp):
    office.profiles["uk-police"].stamp = "" if stamp else "EVALUATION"
    bound = DEPLOYMENT.model_copy(update={"binding": Binding(profile_sha256="ab" * 32, stamp=stamp)})
    await office.deployments.put(subjects.key("station-north"), bound)
    assert (await figures_of(office).figures(ASK)).stamp == stamp


async def test_without_its_profile_nobody_is_told_that_it_was_no_evaluation(office):
    office.profiles.clear()
    with pytest.raises(MissingError, match="profile uk-police is not there any more: put its file back"):
        await figures_of(office).figures(ASK)


async def test_a_deployment_that_is_not_there_is_missing(office):
    with pytest.raises(MissingError, match="no deployment station-south"):
        await figures_of(office).figures(FiguresRequest(deployment="station-south"))


async def test_before_the_first_entry_of_the_audit_there_is_no_head(office):
    reply = await figures_of(office, heads=book()).figures(ASK)
    assert (reply.audit_entries, reply.audit_head) == (0, "")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"outcome": None},
        {"decisions": ()},
        {"decisions": (), "outcome": None},
        {"decisions": (), "outcome": None, "status": "rejected"},
    ],
    ids=["both", "decision", "outcome", "confirmed", "rejected"],
)
async def test_what_no_officer_signed_is_left_out_and_said(office, fields):
    """The decision and the outcome of the example are signed by nobody."""
    office.all_cases = book(CASE.model_copy(update=fields))
    reply = await figures_of(office).figures(ASK)
    (case,) = reply.cases
    assert (case.status, case.decisions, case.outcome) == ("open", (), None)
    assert reply.missing == (
        "The record of 1 alert says something that the officers named have not signed, or that too few have: it is "
        "left out.",
    )


async def test_what_officers_signed_counts_and_comes_without_their_acts(crew, clock, log):
    work = Casework(crew, clock, log)
    await work.alert()
    await work.decide("d-green")
    await work.engage("e-white")
    reply = await figures_of(office_of(work), audited=Audited(ALERT)).figures(ASK)
    (case,) = reply.cases
    assert (case.status, case.outcome.engagement, reply.missing) == ("confirmed", "confirmed_true", ())
    assert (case.decisions[0].officer, case.decisions[0].sealed, case.outcome.sealed) == ("d-green", "", "")


async def test_an_alert_of_the_audit_that_has_no_record_is_said(office):
    reply = await figures_of(office, audited=Audited("a1b2c3", "gone")).figures(ASK)
    assert reply.missing == ("1 alert that the audit tells of has no record: nobody can say what came of it.",)


async def test_an_alert_that_is_on_its_way_into_the_book_is_not_missing(office):
    """The audit has it first."""
    for waited_s, says in ((SETTLED_S - 1, 0), (SETTLED_S, 1)):
        office.clock = lambda waited_s=waited_s: NOW + waited_s
        reply = await figures_of(office, audited=Audited("a1b2c3", "on-its-way")).figures(ASK)
        assert len(reply.missing) == says


async def test_an_alert_that_was_refused_for_another_under_its_id_is_said(crew, clock, log):
    work = Casework(crew, clock, log)
    await work.alert()
    for score in (0.9, 0.95):
        with pytest.raises(PermanentError):
            await work.alert(score=score)
    reply = await figures_of(office_of(work), audited=Audited(ledger=work.ledger)).figures(ASK)
    refused = "1 alert was refused: the audit tells of others under their ids, and the real ones may not be counted."
    assert reply.missing == (refused,)


async def test_an_alert_that_its_record_calls_one_for_a_seed_is_said(office):
    office.all_cases = book(OPEN.model_copy(update={"seed": True}))
    reply = await figures_of(office, audited=Audited("a1b2c3")).figures(ASK)
    assert reply.missing == ("1 alert that the audit tells of has no record: nobody can say what came of it.",)


ONE = "1 decision, escalation, intervention or outcome that the audit tells of has no record"
MANY = "decisions, escalations, interventions or outcomes of the audit have no record"


@pytest.mark.parametrize(
    ("hidden", "said"),
    [
        ({"outcome": None}, ONE),
        ({"escalated_at": 0.0}, ONE),
        ({"response": ""}, ONE),
        ({"decisions": (), "outcome": None, "status": "open"}, f"3 {MANY}"),
    ],
    ids=["outcome", "escalation", "intervention", "decision and what rests on it"],
)
async def test_what_happened_to_an_alert_and_the_record_hides_is_said(crew, clock, log, hidden, said):
    work = Casework(crew, clock, log)
    await work.alert()
    work.clock.advance(ESCALATED_AFTER_S)
    await work.cases.escalate_due()
    await work.decide("d-green")
    await work.engage("e-white", engagement="confirmed_false")
    audited = Audited(ledger=work.ledger)
    assert (await figures_of(office_of(work), audited=audited).figures(ASK)).missing == ()
    work.change(**hidden)
    reply = await figures_of(office_of(work), audited=audited).figures(ASK)
    assert reply.missing == (f"{said}: `watchline audit show` has it.",)


async def test_an_alert_that_vanishes_between_two_pages_is_said_on_the_second(office, monkeypatch):
    monkeypatch.setattr(casebook, "PAGE_BYTES", 1)
    office.all_cases = book(*(OPEN.model_copy(update={"alert": alert}) for alert in ("a1", "a2")))
    figures = figures_of(office, audited=Audited("a1", "a2"))
    first = await figures.figures(ASK)
    assert ([case.alert for case in first.cases], first.missing) == (["a1"], ())
    office.all_cases = book(OPEN.model_copy(update={"alert": "a1"}))
    second = await figures.figures(ASK.model_copy(update={"after": first.next}))
    assert second.cases == ()
    assert second.missing == ("1 alert that the audit tells of has no record: nobody can say what came of it.",)


async def test_a_passage_that_the_audit_does_not_hold_is_left_out_and_said(office):
    forged = PASSAGE.model_copy(update={"at": PASSAGE.at + 1})
    audited = Audited("a1b2c3", passages=(PASSAGE,))
    reply = await figures_of(office, audited=audited, passages=book(PASSAGE, forged)).figures(ASK)
    assert reply.passages == (PASSAGE,)
    assert reply.missing == ("1 record of a passage is left out: the audit tells of no such passage.",)


async def test_a_passage_that_is_recorded_twice_counts_once(office):
    audited = Audited("a1b2c3", passages=(PASSAGE,))
    reply = await figures_of(office, audited=audited, passages=book(PASSAGE, PASSAGE)).figures(ASK)
    assert (reply.passages, reply.missing) == ((PASSAGE,), ())


async def test_who_noted_a_passage_and_when_is_what_the_audit_says(office):
    altered = PASSAGE.model_copy(update={"noted_by": "x-other", "noted_at": PASSAGE.noted_at - 600})
    audited = Audited("a1b2c3", passages=(PASSAGE,))
    reply = await figures_of(office, audited=audited, passages=book(altered)).figures(ASK)
    assert (reply.passages, reply.missing) == ((PASSAGE,), ())


async def test_a_passage_of_the_audit_that_has_no_record_is_said(crew, clock, log):
    work = Casework(crew, clock, log)
    await work.alert()
    passage = await work.passage()
    audited = Audited(ledger=work.ledger)
    whole = await figures_of(office_of(work), audited=audited, passages=book(passage)).figures(ASK)
    assert (whole.passages, whole.missing) == ((passage,), ())
    reply = await figures_of(office_of(work), audited=audited).figures(ASK)
    assert reply.passages == ()
    assert reply.missing == ("1 passage that the audit tells of has no record: TPIR is not of all passages.",)


async def test_a_passage_that_is_noted_while_the_audit_is_read_is_neither_left_out_nor_missing(office):
    passages, audited = book(), Audited("a1b2c3")
    entries_of = audited.entries_of

    async def noting(event, deployment):
        if event == "passage.noted":
            passages["0"] = PASSAGE
            audited._known[event] = [noted(PASSAGE)]
        return await entries_of(event, deployment)

    audited.entries_of = noting
    assert (await figures_of(office, audited=audited, passages=passages).figures(ASK)).missing == ()


async def test_the_cases_of_a_large_deployment_come_on_pages_each_once(office):
    office.all_cases = book(*(OPEN.model_copy(update={"alert": f"a{number:04}"}) for number in range(1200)))
    found, ask = [], ASK
    while True:
        reply = await figures_of(office, audited=Audited()).figures(ask)
        assert len(codec.encode(reply)) < 800_000
        found += [case.alert for case in reply.cases]
        if not reply.next:
            break
        ask = ASK.model_copy(update={"after": reply.next})
    assert found == [f"a{number:04}" for number in range(1200)]
