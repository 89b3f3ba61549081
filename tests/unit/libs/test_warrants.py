"""What the three locks go by: a warrant that govern has sealed, for that deployment, and no older one than before."""

import pytest

from libs.seals import Signer
from libs.warrants import Warrants
from proto.deployments import Warrant
from tests.examples import changed

NAME = "station-north"


class Bucket:
    """The bucket of warrants, in which anybody may have written."""

    def __init__(self):
        self.sealed = {}

    def get(self, key):
        return self.sealed.get(key)

    async def find(self, key):
        return self.sealed.get(key)

    def all(self):
        return dict(self.sealed)


@pytest.fixture
def govern():
    return Signer.generate("govern")


@pytest.fixture
def bucket():
    return Bucket()


@pytest.fixture
def warrants(bucket, govern, log):
    return Warrants(bucket, govern.public, log)


def warrant(**fields):
    return changed("warrant", **fields)


async def seen(warrants, key=NAME):
    """What the locks see, whichever way they look."""
    got, found, listed = warrants.get(key), await warrants.find(key), warrants.all().get(key)
    assert got == found == listed
    return got


async def test_a_warrant_that_govern_sealed_is_seen(warrants, bucket, govern):
    bucket.sealed[NAME] = govern.seal(warrant())
    assert await seen(warrants) == warrant()


async def test_no_warrant_is_none(warrants):
    assert await seen(warrants) is None


async def test_a_warrant_that_another_key_sealed_arms_nothing(warrants, bucket, log):
    bucket.sealed[NAME] = Signer.generate("govern").seal(warrant())
    assert await seen(warrants) is None
    assert [entry["event"] for entry in log.entries] == ["warrant.refused"]  # once, however often it is looked at


async def test_a_warrant_without_a_true_signature_arms_nothing(warrants, bucket, govern):
    sealed = govern.seal(warrant())
    bucket.sealed[NAME] = sealed.model_copy(update={"signature": bytes(64)})
    assert await seen(warrants) is None


async def test_an_officer_cannot_seal_a_warrant(warrants, bucket, crew):
    bucket.sealed[NAME] = crew["c-brown"].seal(warrant())
    assert await seen(warrants) is None


@pytest.mark.parametrize("change", [b"gate-9", b"gate-2"])
async def test_a_warrant_that_was_changed_arms_nothing(warrants, bucket, govern, change):
    sealed = govern.seal(warrant())
    body = sealed.body.replace(b"gate-1", change)
    bucket.sealed[NAME] = sealed.model_copy(update={"body": body})
    assert await seen(warrants) is None


async def test_the_warrant_of_another_deployment_arms_nothing_here(warrants, bucket, govern):
    bucket.sealed[NAME] = govern.seal(warrant(deployment="station-south"))
    assert await seen(warrants) is None


async def test_an_older_warrant_that_is_put_back_arms_nothing(warrants, bucket, govern):
    armed = govern.seal(warrant(record_version=3))
    bucket.sealed[NAME] = armed
    assert (await seen(warrants)).state == "armed"
    bucket.sealed[NAME] = govern.seal(warrant(record_version=4, state="suspended"))
    assert (await seen(warrants)).state == "suspended"
    bucket.sealed[NAME] = armed
    assert await seen(warrants) is None


async def test_a_warrant_that_was_amended_and_is_put_back_arms_nothing(warrants, bucket, govern):
    before, after = (govern.seal(warrant(record_version=version)) for version in (3, 4))
    for sealed, covered in ((before, True), (after, True), (before, False), (after, True)):
        bucket.sealed[NAME] = sealed
        assert (await seen(warrants) is not None) is covered


@pytest.mark.parametrize("state", ["suspended", "ended"])
async def test_a_version_in_which_it_was_stopped_is_not_armed_again(warrants, bucket, govern, state):
    for version, given, covered in ((3, "armed", True), (3, state, True), (3, "armed", False), (4, "armed", True)):
        bucket.sealed[NAME] = govern.seal(warrant(record_version=version, state=given))
        found = await seen(warrants)
        assert (found is not None and found.state == given) is covered


async def test_another_sealed_message_is_no_warrant(warrants, bucket, govern):
    bucket.sealed[NAME] = govern.seal(changed("deployment_record"))
    assert await seen(warrants) is None


async def test_one_bad_warrant_hides_no_good_one(warrants, bucket, govern):
    bucket.sealed = {"bad": Signer.generate("govern").seal(warrant(deployment="bad")), NAME: govern.seal(warrant())}
    assert list(warrants.all()) == [NAME]


# -- what a warrant covers


@pytest.mark.parametrize(
    ("fields", "camera", "covered"),
    [
        ({}, "gate-1", True),
        ({}, "gate-9", False),
        ({"state": "suspended"}, "gate-1", False),
        ({"state": "ended"}, "gate-1", False),
        ({"starts_at": 1001.0}, "gate-1", False),
        ({"starts_at": 1000.0}, "gate-1", True),
        ({"ends_at": 1000.0, "starts_at": 10.0}, "gate-1", False),
        ({"ends_at": 1000.1, "starts_at": 10.0}, "gate-1", True),
    ],
    ids=str,
)
def test_a_warrant_covers_its_cameras_in_its_hours_while_armed(fields, camera, covered):
    times = {"starts_at": 0.0, "ends_at": 2000.0}
    assert warrant(**{**times, **fields}).covers(camera, 1000.0) is covered


def test_a_warrant_lets_no_camera_be_live_unless_it_says_so():
    assert not Warrant.model_fields["live_sources"].default
