"""Which alerts are over, and the proof of what was deleted: a hash that whoever has the ids can compute."""

import hashlib

import pytest

from proto.values import LATEST
from services.govern.retention.erasure import EVER, Period, proof_of
from tests.examples import changed

NOW = 1_700_000_000.0


def test_the_proof_is_over_the_sorted_ids_one_a_line():
    assert proof_of(["b", "a", "c"]) == hashlib.sha256(b"a\nb\nc").hexdigest()
    assert proof_of({"c", "b", "a"}) == proof_of(["a", "b", "c"])


def test_no_two_sets_of_ids_have_the_same_proof():
    assert len({proof_of(ids) for ids in (["a", "b"], ["ab"], ["a"], [], ["a", "b", "c"])}) == 5


@pytest.mark.parametrize("kind", ["alert", "case"])
@pytest.mark.parametrize(
    ("raised_at", "expires_at", "over"),
    [
        (NOW - 1, 0.0, True),
        (NOW, 0.0, False),
        (NOW, NOW + 5, True),
        (NOW, NOW + 5.001, False),
        (NOW + 1, NOW + 1, True),
    ],
)
def test_an_alert_is_over_when_it_is_old_enough_or_its_own_time_has_come(kind, raised_at, expires_at, over):
    period = Period(raised_before=NOW, expired_by=NOW + 5)
    assert period.ended(changed(kind, raised_at=raised_at, expires_at=expires_at)) is over


def test_everything_was_raised_before_ever():
    assert Period(EVER, 0).ended(changed("alert", raised_at=LATEST, expires_at=0.0))
