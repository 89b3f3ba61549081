"""Deletion on a real server: nothing of it is left in its files, its proof is in the audit, and a crash loses none."""

import asyncio
import hashlib
from contextlib import asynccontextmanager
from functools import partial
from types import SimpleNamespace

import pytest
import structlog

from libs.bus import Mirror, Records, flushed
from libs.errors import TransientError
from libs.seals import Signer
from proto import codec, subjects
from proto.audit import AuditEntry, Deed
from proto.counts import FaceCount, Passage, SearchCount
from proto.messages import Alert
from proto.records import CameraStatus, RecentAlerts, TrackState
from proto.sealed import Sealed
from services.govern.audit.ledger import Chain
from services.govern.cases.vault import CaseVault, opened_case
from services.govern.retention.erasure import EVER, Erasure, proof_of
from services.govern.retention.sweeper import THROUGH_S, Sweeper
from services.govern.shelves import Shelves
from tests.examples import EXAMPLES, an_alert, changed
from tests.waiting import soon, until

GOVERN = Signer.generate("govern")
NOW = 1_700_000_000.0
FAR = NOW + 10**9
NORTH = "station-north"


def vault(bus):
    return CaseVault(Records(bus, subjects.CASE_RECORDS, Sealed), GOVERN, structlog.get_logger())


def pixels(alert):
    return hashlib.sha512(alert.encode()).digest() * 300


def alert_of(name, deployment=NORTH, seed=False, **fields):
    """The alert of the track `name`."""
    portrait = hashlib.sha256(pixels(name)).hexdigest()
    named = {"track": name, "subject": f"nominal {name}", "portrait_sha256": portrait}
    return an_alert(**{"deployment": deployment, "seed": seed, **named, **fields})


def id_of(name, **fields):
    return alert_of(name, **fields).id


def proof_of_all(*names):
    return proof_of(map(id_of, names))


async def raise_alert(bus, name, raised_at=NOW, deployment=NORTH, seed=False, case=True):
    """An alert as the system leaves it: in its stream, with its portrait, a case, and an intervention."""
    fields = {"deployment": deployment, "raised_at": raised_at, "expires_at": FAR}
    alert = alert_of(
        name, seed=seed, portrait=subjects.alert_portrait(id_of(name, deployment=deployment, seed=seed)), **fields
    )
    await bus.portraits.put(alert.portrait, pixels(name))
    await bus.publish(alert, "")
    if case:
        seen = {"captured_at": alert.captured_at, "portrait_sha256": alert.portrait_sha256}
        record = changed("case", alert=alert.id, deleted_at=0.0, **seen, **fields)
        await vault(bus).put(subjects.key(deployment, alert.id), record)
        intervention = changed("intervention", alert=alert.id, deployment=deployment, subject=alert.subject)
        await bus.publish_as(*subjects.address(intervention), GOVERN.seal(intervention))


async def forge(bus, alert, seed=False):
    """Publishes an alert as who can write to the bus does."""
    where = subjects.address(alert.model_copy(update={"seed": seed}))[0]
    await bus.client.publish(where, codec.encode(alert))
    await flushed(bus.client)


async def names_in(bus, stream):
    return [codec.decode(Alert, stored.data).track async for stored in bus.stored(stream)]


async def count_in(bus, stream):
    return len([stored async for stored in bus.stored(stream)])


async def audited(bus):
    """The entries of the audit: what happened, and the details."""
    found = []
    async for stored in bus.stored(subjects.AUDIT):
        entry = codec.decode(AuditEntry, codec.decode(Sealed, stored.data).body)
        found.append((entry.event, entry.details))
    return found


def on_disk(nats_server, *texts):
    """Those of the texts that the files of the killed server hold."""
    nats_server.kill()
    files = [path.read_bytes() for path in nats_server.store.rglob("*") if path.is_file()]
    assert files
    return [text for text in texts if any(text in data for data in files)]


@pytest.fixture
async def erasure(bus, log, clock):
    async with Chain.open(bus, Signer.generate("govern"), log, clock) as ledger:
        yield Erasure(bus, ledger, vault(bus), clock)


# -- alerts


async def test_alerts_that_are_old_enough_go_with_all_that_is_theirs_and_the_others_stay(bus, erasure, clock):
    await raise_alert(bus, "old", NOW - 100)
    await raise_alert(bus, "new", NOW)
    await raise_alert(bus, "old-seed", NOW - 50, seed=True)
    await raise_alert(bus, "elsewhere", NOW - 100, deployment="station-south")
    proof = await erasure.alerts(NORTH, NOW)
    assert proof == {
        "alerts": 2,
        "alerts_sha256": proof_of([id_of("old"), id_of("old-seed", seed=True)]),
        "interventions": 2,
    }
    assert await names_in(bus, subjects.ALERTS) == ["new", "elsewhere"]
    assert await names_in(bus, subjects.SEEDS) == []
    assert await count_in(bus, subjects.INTERVENTIONS) == 2
    kept = [id_of("elsewhere", deployment="station-south"), id_of("new")]
    assert sorted(await bus.portraits.all(subjects.ALERT_PORTRAITS)) == sorted(map(subjects.alert_portrait, kept))
    cases = await vault(bus).all(NORTH)
    assert {case.alert: case.deleted_at for case in cases.values()} == {
        id_of("old"): clock.now,
        id_of("new"): 0.0,
        id_of("old-seed", seed=True): clock.now,
    }


async def test_nothing_of_a_deleted_alert_is_in_the_files_of_the_server(bus, nats_server, erasure):
    for number in range(12):
        await raise_alert(bus, f"a{number}")
    await raise_alert(bus, "kept", NOW + 1)
    await erasure.alerts(NORTH, NOW + 1)
    gone = [pixels(f"a{number}")[:64] for number in range(12)] + [b"nominal a%d" % number for number in range(12)]
    assert on_disk(nats_server, *gone, pixels("kept")[:64]) == [pixels("kept")[:64]]


async def test_the_proof_of_a_deletion_is_in_the_audit_once(bus, erasure):
    await raise_alert(bus, "a1")
    await raise_alert(bus, "a2")
    await erasure.alerts(NORTH, EVER)
    again = await erasure.alerts(NORTH, EVER)
    assert again["alerts"] == 0
    ((event, details),) = await audited(bus)
    assert event == "retention.alerts_deleted"
    assert (details["alerts"], details["alerts_sha256"]) == (2, proof_of_all("a1", "a2"))


async def test_an_alert_that_nobody_has_taken_up_is_deleted_and_proved(bus, erasure):
    await raise_alert(bus, "a1", case=False)
    assert await erasure.is_due(NORTH, NOW + 1, read_through=False)
    ((sequence, at),) = [(stored.sequence, stored.at) async for stored in bus.stored(subjects.ALERTS)]
    place = f"{id_of('a1')} ALERTS {sequence} {at:.6f}"
    assert (await erasure.alerts(NORTH, EVER))["messages_sha256"] == proof_of([place])
    assert await bus.portraits.all(subjects.ALERT_PORTRAITS) == {}
    assert not await erasure.is_due(NORTH, EVER, read_through=True)
    assert len(await audited(bus)) == 1


async def test_an_alert_that_says_it_was_raised_later_goes_when_the_server_has_had_it_for_its_time(bus, erasure):
    await raise_alert(bus, "a1", raised_at=FAR)
    (taken_at,) = [stored.at async for stored in bus.stored(subjects.ALERTS)]
    for read_through in (False, True):
        assert not await erasure.is_due(NORTH, taken_at - 1, read_through)
        assert await erasure.is_due(NORTH, taken_at + 1, read_through)
    assert (await erasure.alerts(NORTH, taken_at - 1))["alerts"] == 0
    assert (await erasure.alerts(NORTH, taken_at + 1))["alerts_sha256"] == proof_of_all("a1")
    assert await names_in(bus, subjects.ALERTS) == []
    assert (await vault(bus).get(subjects.key(NORTH, id_of("a1"))))[0].deleted_at
    assert await bus.portraits.all(subjects.ALERT_PORTRAITS) == {}


async def test_whatever_lies_before_it_an_alert_that_is_over_is_found_by_reading_through(bus, erasure):
    await raise_alert(bus, "later", raised_at=FAR)
    await raise_alert(bus, "old", raised_at=NOW - 100, case=False)
    assert not await erasure.is_due(NORTH, NOW, read_through=False)
    assert await erasure.is_due(NORTH, NOW, read_through=True)
    await erasure.alerts(NORTH, NOW)
    assert await names_in(bus, subjects.ALERTS) == ["later"]


async def test_of_two_messages_that_say_they_are_one_alert_neither_stays(bus, erasure):
    for camera in ("gate-1", "gate-2"):
        alert = changed("alert", id="a1", deployment=NORTH, camera=camera, raised_at=NOW - 100, expires_at=FAR)
        await bus.client.publish(f"{subjects.alerts_of(NORTH)[:-1]}{camera}", codec.encode(alert))
    await flushed(bus.client)
    assert (await erasure.alerts(NORTH, NOW))["messages"] == 2
    assert await names_in(bus, subjects.ALERTS) == []


@pytest.mark.parametrize("how", ["seed", "same", "elsewhere", "early"])
async def test_a_message_that_names_an_alert_deletes_nothing_but_itself(bus, erasure, how):
    """Whoever can write to the bus makes up an old alert with the id of one that people are looking at."""
    await raise_alert(bus, "real")
    real = alert_of("real")
    forged = {
        "seed": real.model_copy(update={"raised_at": 1.0}),
        "same": real.model_copy(update={"raised_at": 1.0}),
        "elsewhere": real.model_copy(update={"deployment": "station-south", "raised_at": 1.0}),
        "early": real.model_copy(update={"portrait_sha256": "e5" * 32, "raised_at": 1.0}),
    }[how]
    await forge(bus, forged, seed=how == "seed")
    for deployment in (NORTH, "station-south"):
        await erasure.alerts(deployment, NOW if deployment == NORTH else EVER)
    assert [*await names_in(bus, subjects.ALERTS), *await names_in(bus, subjects.SEEDS)] == ["real"]
    assert list(await bus.portraits.all(subjects.ALERT_PORTRAITS)) == [subjects.alert_portrait(real.id)]
    assert not (await vault(bus).get(subjects.key(NORTH, real.id)))[0].deleted_at
    assert await count_in(bus, subjects.INTERVENTIONS) == 1


async def test_who_names_an_alert_before_it_is_raised_does_not_have_it_deleted_with_what_they_named(bus, erasure):
    """The server took the forged one long ago, and the real one just now."""
    await forge(bus, alert_of("real", portrait_sha256="e5" * 32, raised_at=FAR, expires_at=FAR))
    (taken_at,) = [stored.at async for stored in bus.stored(subjects.ALERTS)]
    await asyncio.sleep(0.05)
    await raise_alert(bus, "real", raised_at=FAR)
    await erasure.alerts(NORTH, taken_at + 0.01)
    assert not (await vault(bus).get(subjects.key(NORTH, id_of("real"))))[0].deleted_at
    assert await count_in(bus, subjects.ALERTS) == 1


async def test_a_made_up_message_takes_no_portrait_of_an_alert_that_waits_for_its_case(bus, erasure):
    await raise_alert(bus, "real", raised_at=FAR, case=False)
    (taken_at,) = [stored.at async for stored in bus.stored(subjects.ALERTS)]  # after its portrait was put
    await forge(bus, alert_of("real", raised_at=1.0), seed=True)
    await erasure.alerts(NORTH, taken_at)
    assert list(await bus.portraits.all(subjects.ALERT_PORTRAITS)) == [subjects.alert_portrait(id_of("real"))]
    assert await names_in(bus, subjects.ALERTS) == ["real"]


async def test_a_copy_that_comes_after_its_alert_was_deleted_goes_with_its_portrait_and_is_proved(bus, erasure):
    await raise_alert(bus, "a1")
    await erasure.alerts(NORTH, EVER)
    late = alert_of("a1", raised_at=NOW - 100, portrait=subjects.alert_portrait(id_of("a1")))
    await bus.portraits.put(late.portrait, pixels("a1"))
    await forge(bus, late)
    await erasure.alerts(NORTH, NOW)
    assert await bus.portraits.all(subjects.ALERT_PORTRAITS) == {}
    assert await names_in(bus, subjects.ALERTS) == []
    assert [(event, details.get("alerts"), details.get("messages")) for event, details in await audited(bus)] == [
        ("retention.alerts_deleted", 1, None),
        ("retention.messages_deleted", None, 1),
    ]


async def test_a_message_goes_with_its_case_whatever_it_says_itself(bus, erasure):
    await raise_alert(bus, "a1", raised_at=FAR)
    key = subjects.key(NORTH, id_of("a1"))
    case, _ = await vault(bus).get(key)
    await vault(bus).put(key, case.model_copy(update={"raised_at": NOW - 100}))
    await erasure.alerts(NORTH, NOW)
    assert await names_in(bus, subjects.ALERTS) == []


async def test_who_makes_up_an_alert_that_is_not_raised_yet_takes_neither_its_proof_nor_its_portrait(bus, erasure):
    await bus.portraits.put(subjects.alert_portrait(id_of("real")), pixels("real"))
    await forge(bus, alert_of("real", raised_at=1.0))
    await erasure.alerts(NORTH, NOW)
    assert list(await bus.portraits.all(subjects.ALERT_PORTRAITS)) == [subjects.alert_portrait(id_of("real"))]
    await raise_alert(bus, "real")
    await erasure.alerts(NORTH, EVER)
    hashes = [details["alerts_sha256"] for event, details in await audited(bus) if event == "retention.alerts_deleted"]
    assert hashes == [proof_of_all("real")]


async def test_an_intervention_whose_case_cannot_be_read_stays_as_long_as_an_alert_may(bus, erasure):
    intervention = changed("intervention", alert=id_of("a1"), deployment=NORTH)
    await bus.publish_as(subjects.address(intervention)[0], "early", GOVERN.seal(intervention))
    (taken_at,) = [stored.at async for stored in bus.stored(subjects.INTERVENTIONS)]
    for raised_before, left in ((taken_at - 1, 1), (taken_at + 1, 0)):
        await erasure.alerts(NORTH, raised_before)
        assert await count_in(bus, subjects.INTERVENTIONS) == left
    ((event, details),) = await audited(bus)
    assert (event, details["interventions"]) == ("retention.interventions_deleted", 1)


async def test_an_intervention_that_comes_after_its_alert_was_deleted_goes_too(bus, erasure):
    await raise_alert(bus, "a1")
    await erasure.alerts(NORTH, EVER)
    assert not await erasure.is_due(NORTH, NOW, read_through=True)
    intervention = changed("intervention", alert=id_of("a1"), deployment=NORTH)
    await bus.publish_as(subjects.address(intervention)[0], "late", GOVERN.seal(intervention))
    assert await erasure.is_due(NORTH, NOW, read_through=True)
    await erasure.alerts(NORTH, NOW)
    assert await count_in(bus, subjects.INTERVENTIONS) == 0


async def test_what_is_no_alert_but_lies_among_them_goes_too(bus, nats_server, erasure):
    await bus.client.publish(f"{subjects.alerts_of(NORTH)[:-1]}gate-1", b"garbage with a face in it")
    await flushed(bus.client)
    assert await erasure.is_due(NORTH, NOW, read_through=False)
    await erasure.alerts(NORTH, NOW)
    assert on_disk(nats_server, b"garbage with a face in it") == []


@pytest.mark.parametrize("step", ["portraits.drop", "erase", "replace", "append"])
async def test_a_deletion_that_is_cut_short_is_completed_and_proved_when_it_is_done_again(
    bus, nats_server, erasure, monkeypatch, step
):
    for number in range(4):
        await raise_alert(bus, f"a{number}")
    done = 0

    def dies_after_two(working):
        async def dying(*args):
            nonlocal done
            done += 1
            if done > (0 if step == "append" else 2):
                raise TransientError("away")
            return await working(*args)

        return dying

    where = {
        "portraits.drop": (bus.portraits, "drop"),
        "erase": (bus, "erase"),
        "replace": (erasure._cases, "replace"),
        "append": (erasure._ledger, "append"),
    }[step]
    with monkeypatch.context() as patch:
        patch.setattr(*where, dies_after_two(getattr(*where)))
        with pytest.raises(TransientError):
            await erasure.alerts(NORTH, EVER)
    await erasure.alerts(NORTH, EVER)
    proofs = [details for event, details in await audited(bus) if event == "retention.alerts_deleted"]
    assert proof_of_all(*(f"a{number}" for number in range(4))) in [proof["alerts_sha256"] for proof in proofs]
    cases = await vault(bus).all(NORTH)
    assert all(case.deleted_at for case in cases.values())
    assert on_disk(nats_server, *(pixels(f"a{number}")[:64] for number in range(4)), b"nominal a") == []


async def test_a_deletion_survives_a_server_that_was_killed_and_started_again(bus, nats_server, erasure):
    await raise_alert(bus, "a1")
    back = bus.reconnected
    nats_server.restart()
    await soon(back.wait())
    await erasure.alerts(NORTH, EVER)
    assert on_disk(nats_server, pixels("a1")[:64], b"nominal a1") == []


# -- everything


async def leave_traces(bus):
    """What a deployment leaves in buckets."""
    await raise_alert(bus, "a1")
    gate = subjects.key(NORTH, "gate-1", "x")
    await Records(bus, subjects.TRACKS, TrackState).put(gate, EXAMPLES["track_state"])
    await Records(bus, subjects.STATUS, CameraStatus).put(subjects.key(NORTH, "gate-1"), changed("camera_status"))
    for key in (gate, subjects.key("seed", NORTH, "gate-1", "x"), subjects.key("south", "gate-1", "x")):
        await Records(bus, subjects.COOLDOWNS, RecentAlerts).put(key, EXAMPLES["recent_alerts"])
    await Records(bus, subjects.PASSAGES, Passage).put(gate, EXAMPLES["passage"])
    await Records(bus, subjects.FACES, FaceCount).put(gate, EXAMPLES["face_count"])
    await Records(bus, subjects.SEARCHES, SearchCount).put(gate, EXAMPLES["search_count"])


async def left_in(bus, *buckets):
    return {bucket.name: len(await Records(bus, bucket, Sealed).keys()) for bucket in buckets}


REPORTED = (subjects.CASE_RECORDS, subjects.PASSAGES, subjects.FACES, subjects.SEARCHES)


async def test_a_purge_keeps_what_reports_are_made_of_and_nothing_else(bus, erasure):
    await leave_traces(bus)
    proof = await erasure.everything(NORTH, keep_cases=True)
    assert await left_in(bus, *REPORTED) == {"cases": 1, "passages": 1, "faces": 1, "searches": 1}
    assert await left_in(bus, subjects.TRACKS, subjects.STATUS, subjects.COOLDOWNS) == {
        "tracks": 0,
        "status": 0,
        "cooldowns": 1,  # of another deployment
    }
    assert (proof["alerts"], proof["cases_kept"], proof["cooldowns"]) == (1, 1, 2)
    assert proof == {**proof, "alerts_sha256": proof_of_all("a1")}
    assert await names_in(bus, subjects.ALERTS) == []


async def test_the_proof_of_a_purge_is_the_same_when_it_is_done_again(bus, erasure):
    await leave_traces(bus)
    first = await erasure.everything(NORTH, keep_cases=True)
    again = await erasure.everything(NORTH, keep_cases=True)
    assert [again[key] for key in ("alerts", "alerts_sha256")] == [first[key] for key in ("alerts", "alerts_sha256")]


async def test_where_nothing_may_be_kept_the_results_go_too_and_are_proved(bus, nats_server, erasure):
    await leave_traces(bus)
    await raise_alert(bus, "a2")
    await erasure.alerts(NORTH, NOW + 1)  # as a purge that was cut short had done
    proof = await erasure.everything(NORTH, keep_cases=False)
    assert (proof["alerts"], proof["alerts_sha256"]) == (2, proof_of_all("a1", "a2"))
    assert await left_in(bus, *REPORTED) == {"cases": 0, "passages": 0, "faces": 0, "searches": 0}
    assert [event for event, _ in await audited(bus)] == ["retention.alerts_deleted", "retention.results_deleted"]
    assert (proof["cases"], proof["passages"], proof["faces"], proof["searches"]) == (2, 1, 1, 1)
    assert (await erasure.everything(NORTH, keep_cases=False))["cases"] == 0
    assert on_disk(nats_server, pixels("a1")[:64], b"same scar", b"nominal a1") == []


# -- strays


async def test_a_portrait_without_an_alert_is_deleted_when_it_is_old_enough(bus, nats_server, erasure):
    await raise_alert(bus, "a1")
    await bus.portraits.put(subjects.alert_portrait("stray"), pixels("stray"))
    assert await erasure.strays(put_before=0) == 0
    assert await erasure.strays(put_before=EVER) == 1
    assert list(await bus.portraits.all(subjects.ALERT_PORTRAITS)) == [subjects.alert_portrait(id_of("a1"))]
    assert on_disk(nats_server, pixels("stray")[:64]) == []


async def test_what_somebody_else_wrote_among_the_portraits_keeps_none_from_being_deleted(bus, erasure):
    garbage = (b"garbage", b"[]", b"null", b'{"name": 1, "bucket": "b"}', b'{"name": "x", "bucket": "b", "nuid": 7}')
    for number, data in enumerate(garbage):
        await bus.jetstream.publish(f"$O.{subjects.ALERT_PORTRAITS.name}.M.eA{number}=", data)
    await bus.portraits.put(subjects.alert_portrait("stray"), pixels("stray"))
    assert await erasure.strays(put_before=EVER) == 1
    assert await bus.portraits.all(subjects.ALERT_PORTRAITS) == {}


# -- the sweeper


@asynccontextmanager
async def opened_sweeper(bus, erasure, log, clock, record):
    """The sweeper of a program that has just started, with one deployment."""
    async with Mirror.open(bus, subjects.CASE_RECORDS, Sealed) as cases:
        office = SimpleNamespace(
            log=log,
            clock=clock,
            ledger=erasure._ledger,
            profiles={"uk-police": SimpleNamespace(alerts_kept_hours=24.0, logs_kept_days=180.0)},
            all_cases=Shelves(cases, partial(opened_case, GOVERN.public), log),
            all_deployments=SimpleNamespace(all=lambda: {NORTH: record}),
        )
        yield Sweeper(office, erasure)


async def test_after_days_of_downtime_the_sweeper_deletes_and_proves_what_was_due(
    bus, nats_server, erasure, log, clock
):
    await raise_alert(bus, "a1", clock.now)
    clock.advance(9 * 86_400)
    async with opened_sweeper(bus, erasure, log, clock, EXAMPLES["deployment_record"]) as sweeper:
        for _ in range(3):
            await sweeper.sweep()
    case, _ = await vault(bus).get(subjects.key(NORTH, id_of("a1")))
    assert case.deleted_at == clock.now
    assert [event for event, _ in await audited(bus)] == ["retention.alerts_deleted"]
    assert on_disk(nats_server, pixels("a1")[:64], b"nominal a1") == []


async def test_an_intervention_that_comes_after_a_purge_goes_within_the_hour(bus, erasure, log, clock):
    purged = changed("deployment_record", state="purged", deeds=(Deed(who="govern", verb="erase", at=clock.now),) * 3)
    await raise_alert(bus, "a1", clock.now)
    async with opened_sweeper(bus, erasure, log, clock, purged) as sweeper:
        await sweeper.sweep()
        intervention = changed("intervention", alert=id_of("a1"), deployment=NORTH)
        await bus.publish_as(subjects.address(intervention)[0], "late", GOVERN.seal(intervention))
        clock.advance(THROUGH_S)
        await sweeper.sweep()
    assert await count_in(bus, subjects.INTERVENTIONS) == 0


async def test_a_case_that_is_put_after_a_judge_refused_is_in_no_file_after_the_next_look(
    bus, nats_server, erasure, log, clock
):
    deeds = (Deed(who="c-brown", verb="refuse_judicial", at=clock.now), Deed(who="govern", verb="erase", at=clock.now))
    refused = changed("deployment_record", state="purged", deeds=deeds, record_version=2)
    async with opened_sweeper(bus, erasure, log, clock, refused) as sweeper:
        await sweeper.sweep()
        await raise_alert(bus, "late", clock.now)

        async def is_known():
            return bool(sweeper._office.all_cases.all())

        await until(is_known)
        await sweeper.sweep()
    assert await left_in(bus, subjects.CASE_RECORDS) == {"cases": 0}
    assert on_disk(nats_server, pixels("late")[:64], b"nominal late") == []
