"""What decisions come to: the table in the docstring of `verdicts`, row by row."""

import itertools

import pytest

from proto.cases import Decision
from services.govern.cases.verdicts import people_of, status_of

TABLE = [
    ("", 1, "open"),
    ("c", 1, "confirmed"),
    ("c", 2, "open"),
    ("cc", 2, "confirmed"),
    ("r", 1, "rejected"),
    ("cr", 2, "rejected"),
    ("n", 1, "undecided"),
    ("nn", 2, "undecided"),
    ("nc", 1, "confirmed"),
    ("nc", 2, "open"),
    ("ncc", 2, "confirmed"),
    ("nr", 1, "rejected"),
]
VERDICTS = {"c": "confirmed", "r": "rejected", "n": "no_decision"}


def decisions(letters):
    return [
        Decision(
            officer=f"officer-{number}",
            verdict=VERDICTS[letter],
            reason="seen",
            at=float(number),
            key_sha256=f"{number:064x}",
        )
        for number, letter in enumerate(letters)
    ]


@pytest.mark.parametrize(("letters", "needed", "status"), TABLE)
def test_the_decisions_come_to_the_same_in_any_order(letters, needed, status):
    for order in itertools.permutations(decisions(letters)):
        assert status_of(order, needed) == status


@pytest.mark.parametrize(
    ("made", "people"),
    [
        ([("e-white", 1), ("d-green", 2)], 2),
        ([("e-white", 1), ("e-white-2", 1)], 1),
        ([("e-white", 1), ("e-white", 2)], 1),
        ([("e-white", 1), ("d-green", 2), ("e-white", 2)], 1),
        ([("e-white", 1), ("e-white-2", 1), ("d-green", 2)], 2),
    ],
)
def test_who_shares_a_name_or_a_key_with_another_is_no_other(made, people):
    said = {"verdict": "confirmed", "reason": "seen", "at": 1.0}
    decisions = [Decision(officer=officer, key_sha256=f"{key:064x}", **said) for officer, key in made]
    assert people_of(decisions) == people
    assert status_of(decisions, people) == "confirmed"
    assert status_of(decisions, people + 1) == "open"
