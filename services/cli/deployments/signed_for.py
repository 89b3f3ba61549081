"""What officers sign for who authorise or arm a deployment: the lists that it searches, and how often it will err."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from libs.assets import load_catalogue
from libs.bus import AskError
from libs.calibration import Calibration, CalibrationError, Rate
from libs.errors import TransientError
from proto.deployments import DeploymentRecord
from proto.watchlists import WatchListRecord
from services.cli.client import Client
from services.cli.times import moment, span
from services.cli.watchlists.importing import entries_of
from services.cli.words import SPACE, counted, percent

TO_BE_SIGNED = ("draft", "authorised", "armed", "suspended")
"""States in which somebody may yet authorise or arm, or answers for what is armed."""
SEARCHABLE = ("ready", "importing", "aborting")
"""States of lists with somebody on them."""
SHORT_HASH = 12
"""Characters of a hash: enough to compare by eye with that on another screen."""
AT_WORST = f"At worst: the upper end of the 95{SPACE}% interval, on the people the model was measured on."


@dataclass(frozen=True)
class NamedList:
    """A list that a deployment names. `record` is `None` where there is none, `as_of` where it is not known."""

    name: str
    seeds: bool
    record: WatchListRecord | None
    as_of: float | None

    def as_json(self) -> dict[str, object]:
        """The list for other software."""
        record = self.record
        shown: dict[str, object] = {"watch_list": self.name, "seed": self.seeds, "exists": record is not None}
        if record is not None:
            form = record.form
            shown |= {"state": record.state, "category": form.category, "response": form.response}
            shown |= {"criteria": form.criteria, "subjects": record.subjects, "references": record.references}
            shown |= {"inputs_sha256": record.inputs_sha256, "as_of": self.as_of, "expires_at": form.expires_at}
        return shown


@dataclass(frozen=True)
class ModelRates:
    """How often one model errs at the threshold, and how many references it made."""

    model: str
    references: int
    fmr: Rate
    fnmr: Rate | None
    """`None` over the highest threshold that was calibrated."""

    def as_json(self) -> dict[str, object]:
        """The rates for other software."""
        return {
            "model": self.model,
            "references": self.references,
            "false_match_rate": _rate_json(self.fmr),
            "false_non_match_rate": _rate_json(self.fnmr) if self.fnmr else None,
        }


@dataclass(frozen=True)
class ErrorRates:
    """How often a deployment will err at its threshold, by the calibration of each model that made its lists."""

    threshold: float
    models: tuple[ModelRates, ...]

    @property
    def references(self) -> int:
        """What each face is compared with, seeds among them, as arming counts it."""
        return sum(model.references for model in self.models)

    @property
    def per_face(self) -> float:
        """False alerts a face to be expected."""
        return sum(model.references * model.fmr.value for model in self.models)

    @property
    def per_face_upper(self) -> float:
        """The same by the upper ends of the rates' intervals."""
        return sum(model.references * model.fmr.upper for model in self.models)

    def as_json(self) -> dict[str, object]:
        """The rates for other software."""
        return {
            "threshold": self.threshold,
            "references": self.references,
            "false_alerts_per_face": {"expected": self.per_face, "upper": self.per_face_upper},
            "models": [model.as_json() for model in self.models],
        }


@dataclass(frozen=True)
class SignedFor:
    """The lists of a deployment, and how often it will err; where that is not known, `unknown` says why."""

    lists: tuple[NamedList, ...]
    rates: ErrorRates | None
    unknown: str = ""

    def as_json(self) -> dict[str, object]:
        """All of it for other software."""
        return {
            "lists": [one.as_json() for one in self.lists],
            "error_rates": self.rates.as_json() if self.rates else None,
            "unknown": self.unknown,
        }


async def read_signed_for(
    client: Client, record: DeploymentRecord, known: Mapping[str, WatchListRecord] | None
) -> SignedFor | None:
    """What is signed for with a deployment, `known` being all lists, or `None` where they cannot be asked for.

    `None` where nobody has anything to sign any more.
    """
    if record.state not in TO_BE_SIGNED:
        return None
    if known is None:
        return SignedFor((), None, "the program match does not answer, which knows the lists: look again when it runs")
    draft = record.draft
    names = (*draft.watch_lists, *draft.seed_lists)
    lists = [
        NamedList(name, name in draft.seed_lists, known.get(name), await _read_as_of(client, known.get(name)))
        for name in names
    ]
    unfinished = [
        one.name for one in lists if not (one.record and one.record.state == "ready" and one.record.references)
    ]
    if unfinished:
        why = f"that depends on its lists, and not there, not complete or empty: {', '.join(unfinished)}"
        return SignedFor(tuple(lists), None, why)
    try:
        return SignedFor(tuple(lists), error_rates(record, [one.record for one in lists if one.record is not None]))
    except CalibrationError as error:
        return SignedFor(tuple(lists), None, error.reason)


def error_rates(record: DeploymentRecord, lists: Sequence[WatchListRecord]) -> ErrorRates:
    """How often a deployment will err on those lists.

    Raises:
        CalibrationError: there is no list, or the calibration of a model does not say.
    """
    if not lists:
        raise CalibrationError("that depends on the lists, and none of them is there: make them first")
    models = {one.template_version: _calibration(one.template_version) for one in lists}
    threshold = _threshold(record, models.values(), sum(one.references for one in lists))
    return ErrorRates(
        threshold,
        tuple(
            ModelRates(
                name,
                sum(one.references for one in lists if one.template_version == name),
                calibration.fmr(threshold),
                _misses(calibration, threshold),
            )
            for name, calibration in models.items()
        ),
    )


def list_lines(one: NamedList, now: float) -> Iterator[str]:
    """One list in words."""
    record = one.record
    if record is None:
        yield "is not there: make it with `watchline watchlist create`"
        return
    if record.state not in SEARCHABLE:
        yield f"is {record.state}: nobody is on it any more"
        return
    form = record.form
    yield f"{form.category}; response class {form.response}" + ("" if record.state == "ready" else f"; {record.state}")
    yield f"who belongs on it: {form.criteria}"
    made_of = f", of the images {record.inputs_sha256[:SHORT_HASH]}…" if record.inputs_sha256 else ""
    yield f"{counted(record.subjects, 'person', 'people')}, {counted(record.references, 'reference')}{made_of}"
    age = f"as of {moment(one.as_of)} UTC, {span(max(0.0, now - one.as_of))} ago; " if one.as_of is not None else ""
    over = "expired" if form.expires_at <= now else "expires"
    yield f"{age}{over} {moment(form.expires_at)} UTC"


def rate_lines(rates: ErrorRates) -> Iterator[str]:
    """How often a deployment will err, in words."""
    for model in rates.models:
        of = f" by {model.model}" if len(rates.models) > 1 else ""
        false, missed = model.fmr, model.fnmr
        yield (
            f"a stranger is taken for somebody on a list{of} in {often(false.value)} comparisons ({false.events:,} of "
            f"{false.trials:,}; at worst {often(false.upper)})"
        )
        yield (
            f"somebody on a list is overlooked{of} in {percent(missed.value)} of comparisons with their own picture "
            f"({missed.events:,} of {missed.trials:,}; at worst {percent(missed.upper)})"
            if missed
            else f"how often somebody on a list is overlooked{of} is not known: the threshold is over all calibrated"
        )
    if rates.references:
        yield (
            f"each face is compared with {counted(rates.references, 'reference')}: expect "
            f"{false_alerts(rates.per_face)}, at worst {false_alerts(rates.per_face_upper)}"
        )
    else:
        yield "its lists are empty: nobody is looked for yet"
    yield AT_WORST


def false_alerts(per_face: float) -> str:
    """How many false alerts a face there are, for people: `a false alert for 1 in 711 faces`, `3 false alerts a face`.

    A long list at a low threshold has more than one a face.
    """
    return f"{per_face:,.0f} false alerts a face" if per_face >= 1.5 else f"a false alert for {often(per_face)} faces"


def often(rate: float) -> str:
    """How often something happens, for people: `1 in 1,420,000`, `2.3 in 10`; `none of the` where it never did."""
    if rate == 0:
        return "none of the"
    if rate >= 0.95:
        return "nearly all"
    return f"{10 * rate:.2g} in 10" if rate > 0.1 else f"1 in {float(f'{1 / rate:.3g}'):,.0f}"


async def _read_as_of(client: Client, record: WatchListRecord | None) -> float | None:
    if record is None or record.state not in SEARCHABLE:
        return None
    try:
        return record.as_of(await entries_of(client, record.id))
    except (TransientError, AskError):
        return None


def _rate_json(rate: Rate) -> dict[str, object]:
    return {"value": rate.value, "upper": rate.upper, "events": rate.events, "comparisons": rate.trials}


def _misses(calibration: Calibration, threshold: float) -> Rate | None:
    try:
        return calibration.fnmr(threshold)
    except CalibrationError:
        return None


def _calibration(model: str) -> Calibration:
    asset = load_catalogue().assets.get(model)
    if asset is None or asset.calibration is None:
        raise CalibrationError(f"no calibration is known of {model}: add one to the catalogue of assets")
    return asset.calibration


def _threshold(record: DeploymentRecord, calibrations: Iterable[Calibration], references: int) -> float:
    """The threshold that it runs with, or with which it would be armed now: the draft's own, or for its target."""
    draft = record.draft
    own = record.threshold if record.state == "armed" else draft.threshold
    if own is not None:
        return own
    return max(calibration.threshold_for(draft.target_fpir or 0.0, references) for calibration in calibrations)
