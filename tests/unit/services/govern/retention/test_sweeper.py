"""The sweeper: what is due by the clock is deleted once, with whatever delay, and nothing is guessed."""

from types import SimpleNamespace

import pytest

from libs.errors import TransientError
from proto.audit import Deed
from services.govern.retention.erasure import Period
from services.govern.retention.sweeper import ALWAYS, NEVER, STRAYS_S, THROUGH_S, Sweeper
from tests.examples import EXAMPLES, changed

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
RULES = {"uk-police": SimpleNamespace(alerts_kept_hours=24.0, logs_kept_days=180.0)}


class Book(dict):
    def all(self):
        return dict(self)


class Ledger:
    def __init__(self):
        self.requests = []

    async def append(self, request):
        self.requests.append(request)


class Erasure:
    """Notes what it is asked to delete; `streams` holds the first alert that lies in a stream, by deployment.

    Deployments in `hidden` have one behind it that is over.
    """

    def __init__(self, cases):
        self.cases = cases
        self.streams = {}
        self.hidden = set()
        self.asked = []
        self.away_for = set()
        self.error = TransientError("away")

    async def alerts(self, deployment, raised_before):
        if deployment in self.away_for:
            raise self.error
        self.asked.append(("alerts", deployment, raised_before))
        for key, case in self.cases.items():
            if case.deployment == deployment:
                self.cases[key] = case.model_copy(update={"deleted_at": 1.0})
        self.streams.pop(deployment, None)
        self.hidden.discard(deployment)
        return {"alerts": 1}

    async def results(self, deployment):
        self.asked.append(("results", deployment))
        for key in [key for key, case in self.cases.items() if case.deployment == deployment]:
            del self.cases[key]
        return {}

    async def is_due(self, deployment, raised_before, read_through):
        if read_through and deployment in self.hidden:
            return True
        first = self.streams.get(deployment)
        return first is not None and Period(raised_before, first.raised_at).ended(first)

    async def strays(self, put_before):
        self.asked.append(("strays", put_before))
        return 0

    def deletions(self):
        return [asked for asked in self.asked if asked[0] != "strays"]


@pytest.fixture
def office(log, clock):
    return SimpleNamespace(
        log=log, clock=clock, profiles=dict(RULES), ledger=Ledger(), all_deployments=Book(), all_cases=Book()
    )


@pytest.fixture
def erasure(office):
    return Erasure(office.all_cases)


@pytest.fixture
def sweeper(office, erasure):
    return Sweeper(office, erasure)


def deployment(office, name="station-north", **fields):
    draft = EXAMPLES["deployment_record"].draft.model_copy(
        update={"deployment": name, "profile": fields.pop("profile", "uk-police")}
    )
    record = changed("deployment_record", draft=draft, **fields)
    office.all_deployments[name] = record
    return record


def case(office, alert="a1", name="station-north", **fields):
    """A case whose alert was raised now; its own time to be deleted is far off."""
    fields = {"raised_at": office.clock(), "expires_at": office.clock() + 31 * DAY_S, "deleted_at": 0.0} | fields
    office.all_cases[f"{name}.{alert}"] = changed("case", alert=alert, deployment=name, **fields)


def alert(office, **fields):
    return changed("alert", **{"raised_at": office.clock(), "expires_at": office.clock() + 31 * DAY_S} | fields)


def purged(office, at, name="station-north"):
    deeds = (Deed(who="c-brown", verb="purge", at=at - 5), Deed(who="govern", verb="erase", at=at))
    return deployment(office, name, state="purged", deeds=deeds, record_version=2)


# -- alerts


async def test_an_alert_is_kept_for_its_hours_and_not_longer(office, erasure, sweeper, clock):
    deployment(office)
    case(office)
    clock.advance(24 * HOUR_S)
    await sweeper.sweep()
    assert erasure.deletions() == []
    clock.advance(1)
    await sweeper.sweep()
    assert erasure.deletions() == [("alerts", "station-north", clock() - 24 * HOUR_S)]


async def test_after_days_of_downtime_what_was_due_is_deleted_at_once(office, erasure, sweeper, clock):
    deployment(office)
    case(office)
    clock.advance(9 * DAY_S)
    await sweeper.sweep()
    assert [asked[0] for asked in erasure.deletions()] == ["alerts"]


async def test_nothing_is_deleted_twice(office, erasure, sweeper, clock):
    deployment(office)
    case(office)
    clock.advance(2 * DAY_S)
    for _ in range(5):
        await sweeper.sweep()
    assert len(erasure.deletions()) == 1


async def test_an_alert_that_nobody_has_taken_up_is_deleted_too(office, erasure, sweeper, clock):
    deployment(office)
    erasure.streams["station-north"] = alert(office)
    clock.advance(24 * HOUR_S + 1)
    await sweeper.sweep()
    assert len(erasure.deletions()) == 1


async def test_an_alert_whose_own_time_comes_sooner_is_deleted_then(office, erasure, sweeper, clock):
    deployment(office)
    case(office, expires_at=office.clock() + 10)
    await sweeper.sweep()
    assert erasure.deletions() == []
    clock.advance(10)
    await sweeper.sweep()
    assert len(erasure.deletions()) == 1


async def test_each_deployment_has_the_period_of_its_own_profile(office, erasure, sweeper, clock):
    office.profiles["eu-ai-act"] = SimpleNamespace(alerts_kept_hours=48.0, logs_kept_days=200.0)
    for name, profile in (("one", "uk-police"), ("two", "eu-ai-act")):
        deployment(office, name, profile=profile)
        case(office, name=name)
    clock.advance(36 * HOUR_S)
    await sweeper.sweep()
    assert [asked[1] for asked in erasure.deletions()] == ["one"]
    clock.advance(13 * HOUR_S)
    await sweeper.sweep()
    assert [asked[1] for asked in erasure.deletions()] == ["one", "two"]


async def test_a_clock_that_is_set_back_deletes_nothing_early(office, erasure, sweeper, clock):
    deployment(office)
    case(office)
    clock.advance(-40 * DAY_S)
    await sweeper.sweep()
    assert erasure.deletions() == []


async def test_an_alert_that_comes_after_the_purge_goes_at_once(office, erasure, sweeper):
    purged(office, office.clock())
    erasure.streams["station-north"] = alert(office)
    await sweeper.sweep()
    assert erasure.deletions() == [("alerts", "station-north", ALWAYS)]


async def test_an_alert_behind_the_first_that_is_over_is_looked_for_at_start_and_every_hour(
    office, erasure, sweeper, clock
):
    deployment(office)
    erasure.hidden = {"station-north"}
    await sweeper.sweep()
    assert len(erasure.deletions()) == 1
    erasure.hidden = {"station-north"}
    clock.advance(THROUGH_S - 1)
    await sweeper.sweep()
    assert len(erasure.deletions()) == 1
    clock.advance(1)
    await sweeper.sweep()
    assert len(erasure.deletions()) == 2


async def test_a_look_through_a_deployment_that_failed_is_made_up_for_at_the_next_look(office, erasure, sweeper):
    deployment(office)
    erasure.hidden = erasure.away_for = {"station-north"}
    await sweeper.sweep()
    erasure.away_for = set()
    await sweeper.sweep()
    assert len(erasure.deletions()) == 1


async def test_what_is_being_deleted_already_is_left_to_those_who_do(office, erasure, sweeper, clock):
    deployment(office, state="ended", deleting=True)
    case(office)
    clock.advance(9 * DAY_S)
    await sweeper.sweep()
    assert erasure.deletions() == []


async def test_what_cannot_be_deleted_now_holds_up_nothing_and_is_deleted_later(office, erasure, sweeper, clock, log):
    for name in ("one", "two"):
        deployment(office, name)
        case(office, name=name)
    clock.advance(2 * DAY_S)
    erasure.away_for = {"one"}
    await sweeper.sweep()
    assert [asked[1] for asked in erasure.deletions()] == ["two"]
    assert "retention.waits" in [line["event"] for line in log.entries]
    erasure.away_for = set()
    await sweeper.sweep()
    assert [asked[1] for asked in erasure.deletions()] == ["two", "one"]


# -- logs


async def test_a_record_that_breaks_the_code_holds_up_no_other(office, erasure, sweeper, clock, log):
    for name in ("bad", "station-north"):
        deployment(office, name)
        case(office, f"of-{name}", name)
    erasure.away_for, erasure.error = {"bad"}, ZeroDivisionError("what it holds")
    clock.advance(DAY_S + HOUR_S)
    await sweeper.sweep()
    assert [name for what, name, *_ in erasure.asked if what == "alerts"] == ["station-north"]
    assert log.entries[0]["deployment"] == "bad"
    assert "what it holds" not in str(log.entries)


async def test_cases_of_a_purged_deployment_are_kept_for_their_days_and_not_longer(office, erasure, sweeper, clock):
    purged(office, office.clock())
    clock.advance(180 * DAY_S - 1)
    await sweeper.sweep()
    assert erasure.deletions() == []
    clock.advance(1)
    await sweeper.sweep()
    await sweeper.sweep()
    assert erasure.deletions() == [("results", "station-north")]


async def test_a_case_that_comes_after_a_refusal_by_a_judge_goes_at_the_next_look_however_late(
    office, erasure, sweeper, clock
):
    refused = purged(office, office.clock())
    deeds = (Deed(who="j-udge", verb="refuse_judicial", at=clock() - 9), *refused.deeds)
    office.all_deployments["station-north"] = refused.model_copy(update={"deeds": deeds})
    await sweeper.sweep()
    assert erasure.deletions() == [("results", "station-north")]
    for _ in range(2):
        clock.advance(5)
        case(office)
        await sweeper.sweep()
        await sweeper.sweep()
        assert office.all_cases == {}
    assert [asked[0] for asked in erasure.deletions()] == ["results", "alerts", "results", "alerts", "results"]


async def test_counts_that_come_after_a_refusal_by_a_judge_go_within_the_hour(office, erasure, sweeper, clock):
    refused = purged(office, office.clock())
    deeds = (Deed(who="govern", verb="lapse", at=clock() - 9), *refused.deeds)
    office.all_deployments["station-north"] = refused.model_copy(update={"deeds": deeds})
    await sweeper.sweep()
    clock.advance(THROUGH_S)
    await sweeper.sweep()
    assert erasure.deletions() == [("results", "station-north")] * 2


async def test_no_case_stays_of_a_deployment_that_was_refused(office, erasure, sweeper):
    deployment(office, state="refused")
    case(office)
    await sweeper.sweep()
    assert office.all_cases == {}


async def test_a_case_that_comes_after_its_days_goes_at_the_next_look(office, erasure, sweeper, clock):
    purged(office, office.clock())
    clock.advance(180 * DAY_S)
    await sweeper.sweep()
    case(office)
    await sweeper.sweep()
    assert office.all_cases == {}


async def test_cases_of_a_deployment_that_is_not_purged_are_kept(office, erasure, sweeper, clock):
    deployment(office, state="ended", ended_at=office.clock())
    clock.advance(1000 * DAY_S)
    await sweeper.sweep()
    assert ("results", "station-north") not in erasure.deletions()


# -- rules that are gone


async def test_a_deployment_without_a_profile_is_reported_once_and_no_period_is_guessed(
    office, erasure, sweeper, clock, log
):
    deployment(office, profile="gone")
    case(office)
    clock.advance(9 * DAY_S)
    for _ in range(3):
        await sweeper.sweep()
    assert erasure.deletions() == []
    (request,) = office.ledger.requests
    assert (request.event, request.details) == ("retention.no_profile", {"profile": "gone"})
    assert [line["event"] for line in log.entries].count("retention.no_profile") == 1


async def test_without_a_profile_an_alert_still_goes_when_its_own_time_comes(office, erasure, sweeper, clock):
    deployment(office, profile="gone")
    case(office, expires_at=office.clock() + DAY_S)
    clock.advance(DAY_S)
    await sweeper.sweep()
    assert erasure.deletions() == [("alerts", "station-north", NEVER)]


async def test_a_profile_that_is_put_back_counts_again(office, erasure, sweeper, clock):
    deployment(office, profile="gone")
    case(office)
    clock.advance(2 * DAY_S)
    await sweeper.sweep()
    office.profiles["gone"] = RULES["uk-police"]
    await sweeper.sweep()
    assert len(erasure.deletions()) == 1


# -- strays


async def test_strays_are_looked_for_at_start_and_every_hour(office, erasure, sweeper, clock):
    for _ in range(5):
        await sweeper.sweep()
        clock.advance(STRAYS_S / 4)
    looked = [asked[1] for asked in erasure.asked if asked[0] == "strays"]
    assert looked == [1_700_000_000.0 - STRAYS_S, 1_700_000_000.0]


async def test_a_clock_that_is_set_back_does_not_keep_strays_from_being_looked_for(office, erasure, sweeper, clock):
    await sweeper.sweep()
    clock.advance(-9 * DAY_S)
    await sweeper.sweep()
    assert len(erasure.asked) == 2
