"""A case is what govern wrote, under its own key: what others write into the bucket is no case."""

import pytest

from libs.errors import PermanentError
from libs.seals import Signer
from proto import subjects
from services.govern.cases.vault import CaseVault, opened_case
from services.govern.shelves import Shelves
from tests.casework import Book
from tests.examples import EXAMPLES, changed
from tests.fakes import Shelf

GOVERN = Signer.generate("govern")
CASE = EXAMPLES["case"]
KEY = subjects.key(CASE.deployment, CASE.alert)
ALTERED = {
    "another subject": {"subject": "S-9999"},
    "another list": {"watch_list": "missing"},
    "other people": {"confirmations_needed": 2},
    "no seed": {"seed": not CASE.seed},
    "no stamp": {"stamp": "other"},
    "kept for ever": {"expires_at": 3e10, "deleted_at": 0.0},
    "a confirmation": {"status": "confirmed", "response": "amber"},
    "told already": {"told": ("alert.a1b2c3.raised",)},
}


class Bucket(Shelf):
    async def all(self, _deployment):
        return {key: record for key, (record, _) in self.records.items()}


@pytest.fixture
def bucket():
    return Bucket()


@pytest.fixture
def vault(bucket, log):
    return CaseVault(bucket, GOVERN, log)


@pytest.fixture
def shelves(bucket, log):
    return Shelves(Book(bucket), lambda key, sealed: opened_case(GOVERN.public, key, sealed), log)


async def test_what_govern_wrote_it_reads_again(vault, shelves):
    revision = await vault.replace(KEY, CASE, 0)
    assert await vault.get(KEY) == (CASE, revision)
    assert await vault.all(CASE.deployment) == shelves.all() == {KEY: CASE}
    assert await vault.get("nothing") is None


@pytest.mark.parametrize("altered", ALTERED.values(), ids=ALTERED)
async def test_what_somebody_else_altered_is_no_case(bucket, vault, shelves, altered):
    record = changed("case", **altered)
    assert record != CASE
    sealed = GOVERN.seal(CASE)
    forgeries = (Signer.generate("govern").seal(record), sealed.model_copy(update={"body": GOVERN.seal(record).body}))
    for forged in forgeries:
        await bucket.put(KEY, forged)
        with pytest.raises(PermanentError, match="is not as govern wrote it"):
            await vault.get(KEY)
        assert shelves.get(KEY) is None
        assert await vault.all(CASE.deployment) == {}


async def test_a_record_that_is_restored_is_read_again(bucket, shelves):
    good = GOVERN.seal(CASE)
    await bucket.put(KEY, good.model_copy(update={"body": b"junk"}))
    assert shelves.get(KEY) is None
    await bucket.put(KEY, good)
    assert shelves.get(KEY) == CASE


async def test_a_case_is_not_read_under_the_key_of_another(bucket, vault, shelves, log):
    other = subjects.key(CASE.deployment, "another")
    await bucket.put(other, GOVERN.seal(CASE))
    with pytest.raises(PermanentError, match="it is the record of alert a1b2c3"):
        await vault.get(other)
    assert shelves.all() == await vault.all(CASE.deployment) == {}
    assert {entry["event"] for entry in log.entries} == {"record.refused"}
