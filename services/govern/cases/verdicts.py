"""What the decisions of people about one alert come to.

    decisions of different people                        the alert is
    -----------------------------                        ------------
    none                                                 open
    one of them `rejected`                               rejected, and nobody can confirm it any more
    as many `confirmed` as were armed with               confirmed, and an intervention may follow
    fewer `confirmed`, with or without `no_decision`     open: another person must decide
    `no_decision` alone                                  undecided: looked at; another person may still decide

Confirmed and rejected are final. Once the alert and its portrait are deleted there is nothing left to compare: then
`no_decision` alone is taken, and the alert is undecided for good, whoever had confirmed it before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from libs.errors import ConflictError
from proto.cases import Case, Decision, Outcome, Status

FINAL: Collection[Status] = ("confirmed", "rejected")
"""What no further decision changes."""


def status_of(decisions: Sequence[Decision], needed: int) -> Status:
    """What the decisions come to, in whatever order they were made; `needed` people must confirm."""
    verdicts = [decision.verdict for decision in decisions]
    if "rejected" in verdicts:
        return "rejected"
    if people_of(decision for decision in decisions if decision.verdict == "confirmed") >= needed:
        return "confirmed"
    return "undecided" if verdicts and "confirmed" not in verdicts else "open"


def people_of(decisions: Iterable[Decision]) -> int:
    """How many different people made the decisions: who shares a name or a key with another is no other."""
    people: list[set[str]] = []
    for decision in decisions:
        person = {decision.officer, decision.key_sha256}
        others = [one for one in people if not one & person]
        people = [*others, person.union(*(one for one in people if one & person))]
    return len(people)


def decide(case: Case, decision: Decision, same_person: Collection[str], gone: bool) -> Case:
    """`case` with one more decision, by someone whom the roster knows under the ids `same_person`; once.

    Raises:
        ConflictError: nothing is left to decide, the person has decided already, or what was to be seen is deleted.
    """
    _must_be_real(case)
    if any(_is_again(decision, earlier) for earlier in case.decisions):
        return case
    before = next((earlier for earlier in case.decisions if earlier.officer in same_person), None)
    if before is not None:
        raise ConflictError(f"{before.officer} has decided already ({before.verdict}): another person must")
    if case.status in FINAL:
        raise ConflictError(f"alert {case.alert} is {case.status} already, by {_last(case)}")
    if gone and decision.verdict != "no_decision":
        raise ConflictError(f"alert {case.alert} and its portrait are deleted: only no_decision is left")
    if gone and case.status == "undecided":
        raise ConflictError(f"alert {case.alert} is undecided, and its portrait is deleted: nothing is left to decide")
    decisions = (*case.decisions, decision)
    status = "undecided" if gone else status_of(decisions, case.confirmations_needed)
    return case.model_copy(update={"decisions": decisions, "status": status})


def engage(case: Case, outcome: Outcome) -> Case:
    """`case` with what came of it; once.

    Raises:
        ConflictError: it is not confirmed, or what came of it is noted already.
    """
    _must_be_real(case)
    if case.status != "confirmed":
        raise ConflictError(f"alert {case.alert} is {case.status}: nobody may be engaged before it is confirmed")
    if case.outcome is not None and _is_again(outcome, case.outcome):
        return case
    if case.outcome is not None:
        raise ConflictError(f"the outcome of alert {case.alert} is noted already, by {case.outcome.officer}")
    return case.model_copy(update={"outcome": outcome})


def _is_again(said: Decision | Outcome, before: Decision | Outcome) -> bool:
    """Whether the officer says the same again, as one does whose answer was lost."""
    again = said.model_copy(update={name: getattr(before, name) for name in ("at", "origin", "act", "sealed")})
    return again == before


def _must_be_real(case: Case) -> None:
    if case.seed:
        raise ConflictError(f"alert {case.alert} is for a seed: it is counted, and nobody decides about it")


def _last(case: Case) -> str:
    return ", ".join(decision.officer for decision in case.decisions if decision.verdict == case.status)
