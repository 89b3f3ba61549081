"""Records of deployments: those that this program sealed, and never an older one than before."""

import pytest

from libs.errors import PermanentError, TransientError
from libs.seals import Signer
from proto.sealed import GOVERN
from services.govern.deployments.vault import Opener, Vault
from services.govern.shelves import Shelves
from tests.casework import Book
from tests.examples import changed
from tests.fakes import Shelf

RECORD = changed("deployment_record")
KEY = RECORD.id


@pytest.fixture
def signer():
    return Signer.generate(GOVERN)


@pytest.fixture
def bucket():
    return Shelf()


class Anchor:
    """The audit, which tells of `version`."""

    version = 0

    async def version_of(self, key):
        return self.version if key == KEY else 0


@pytest.fixture
def anchor():
    return Anchor()


async def test_a_record_that_is_older_than_the_audit_tells_of_is_refused_after_a_restart_too(bucket, signer, anchor):
    await bucket.put(KEY, signer.seal(RECORD))
    anchor.version = RECORD.record_version
    assert (await Vault(bucket, signer, anchor).get(KEY))[0] == RECORD
    anchor.version += 1
    with pytest.raises(PermanentError, match="the audit tells of version"):
        await Vault(bucket, signer, anchor).get(KEY)


async def test_a_record_that_the_audit_tells_of_and_that_is_gone_is_no_free_name(bucket, signer, anchor):
    anchor.version = 3
    with pytest.raises(PermanentError, match=r"version 3 of the record of .*, and it is gone"):
        await Vault(bucket, signer, anchor).get(KEY)
    assert await Vault(bucket, signer, anchor).get("station-south") is None


async def test_what_was_written_is_read_again(bucket, signer, anchor):
    vault = Vault(bucket, signer, anchor)
    revision = await vault.replace(KEY, RECORD, 0)
    assert await vault.get(KEY) == (RECORD, revision)
    assert await vault.get("station-south") is None


async def test_a_record_that_somebody_else_sealed_is_none(bucket, signer, anchor, log):
    await bucket.put(KEY, Signer.generate(GOVERN).seal(RECORD))
    with pytest.raises(PermanentError, match="not as govern wrote it"):
        await Vault(bucket, signer, anchor).get(KEY)
    shelves = Shelves(Book(bucket), Opener(signer.public).open, log)
    assert shelves.get(KEY) is None
    assert shelves.all() == {}
    assert [entry["event"] for entry in log.entries] == ["record.refused"]


async def test_the_record_of_another_deployment_is_none(bucket, signer, anchor, log):
    await bucket.put("station-south", signer.seal(RECORD))
    with pytest.raises(PermanentError, match="not as govern wrote it"):
        await Vault(bucket, signer, anchor).get("station-south")
    assert Shelves(Book(bucket), Opener(signer.public).open, log).get("station-south") is None


async def test_an_older_record_that_is_put_back_is_refused(bucket, signer, anchor, log):
    vault, shelves = Vault(bucket, signer, anchor), Shelves(Book(bucket), Opener(signer.public).open, log)
    newer = RECORD.model_copy(update={"record_version": RECORD.record_version + 1, "state": "ended"})
    await vault.put(KEY, newer)
    assert (await vault.get(KEY))[0] == shelves.get(KEY) == newer
    await bucket.put(KEY, signer.seal(RECORD))
    with pytest.raises(TransientError):
        await vault.get(KEY)
    assert shelves.get(KEY) is None
