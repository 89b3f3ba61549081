"""Records of deployments: those that this program sealed, and never an older one than before."""

import pytest

from libs.errors import PermanentError, TransientError
from libs.seals import Signer
from proto.sealed import GOVERN
from services.govern.vault import Shelves, Vault
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


async def test_what_was_written_is_read_again(bucket, signer):
    vault = Vault(bucket, signer)
    revision = await vault.replace(KEY, RECORD, 0)
    assert await vault.get(KEY) == (RECORD, revision)
    assert await vault.get("station-south") is None


async def test_a_record_that_somebody_else_sealed_is_none(bucket, signer, log):
    await bucket.put(KEY, Signer.generate(GOVERN).seal(RECORD))
    with pytest.raises(PermanentError, match="not as govern wrote it"):
        await Vault(bucket, signer).get(KEY)
    shelves = Shelves(Book(bucket), signer.public, log)
    assert shelves.get(KEY) is None
    assert shelves.all() == {}
    assert [entry["event"] for entry in log.entries] == ["record.refused"]


async def test_the_record_of_another_deployment_is_none(bucket, signer, log):
    await bucket.put("station-south", signer.seal(RECORD))
    with pytest.raises(PermanentError, match="not as govern wrote it"):
        await Vault(bucket, signer).get("station-south")
    assert Shelves(Book(bucket), signer.public, log).get("station-south") is None


async def test_an_older_record_that_is_put_back_is_refused(bucket, signer, log):
    vault, shelves = Vault(bucket, signer), Shelves(Book(bucket), signer.public, log)
    newer = RECORD.model_copy(update={"record_version": RECORD.record_version + 1, "state": "ended"})
    await vault.put(KEY, newer)
    assert (await vault.get(KEY))[0] == shelves.get(KEY) == newer
    await bucket.put(KEY, signer.seal(RECORD))
    with pytest.raises(TransientError):
        await vault.get(KEY)
    assert shelves.get(KEY) is None
