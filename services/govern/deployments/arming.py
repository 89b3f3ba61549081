"""What stands against arming a deployment: every obstacle, each with its remedy.

The rules are plain functions of a `Situation`; the system of them is a list. None names a subject: only counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from libs.calibration import CalibrationError
from proto.deployments import Document
from proto.watchlists import WatchListRecord
from services.govern.deployments.situation import Situation
from services.govern.profiles.reading import HOUR_S

LIVE_SCHEMES = ("rtsp", "rtsps")
"""Of locations that are streams, whatever they say of themselves. Over http there are recordings too: whether that is
live is seen by `ingest`, which then refuses it."""

Rule = Callable[[Situation], Iterator[str]]


def obstacles(situation: Situation) -> tuple[str, ...]:
    """Everything that stands against arming, each with its remedy; nothing where it can be armed."""
    return tuple(obstacle for rule in RULES for obstacle in rule(situation))


def obstacles_to_amending(situation: Situation) -> tuple[str, ...]:
    """Everything that stands against the cameras and the threshold of a deployment that is armed already."""
    return tuple(obstacle for rule in RULES_OF_AMENDMENTS for obstacle in rule(situation))


def threshold_of(situation: Situation) -> float:
    """The threshold to be armed with: the draft's own, or that which keeps its target FPIR on its lists.

    Raises:
        CalibrationError: the calibration does not support the target, or there is none.
    """
    draft = situation.draft
    if draft.threshold is not None:
        return draft.threshold
    if draft.target_fpir is None or not situation.lists:
        raise CalibrationError("there is no list to choose a threshold for: make the list first")
    versions = {watch_list.template_version for watch_list in situation.lists.values()}
    if missing := versions - set(situation.calibrations):
        raise CalibrationError(f"no threshold can be chosen for {', '.join(sorted(missing))}: name one in the draft")
    chosen = (situation.calibrations[name].threshold_for(draft.target_fpir, situation.references) for name in versions)
    return max(chosen)


def projected_rate(situation: Situation, threshold: float) -> float:
    """False alerts a face to expect: for each list N times the upper bound of the false match rate of its model.

    Raises:
        CalibrationError: the threshold is under all that were calibrated.
    """
    return sum(
        watch_list.references * situation.calibrations[watch_list.template_version].fmr(threshold).upper
        for watch_list in situation.lists.values()
        if watch_list.template_version in situation.calibrations
    )


# -- the deployment itself


def _authorised(situation: Situation) -> Iterator[str]:
    if situation.record.state == "draft":
        yield "it is not authorised: an authorising officer who did not draft it runs `watchline deployment authorise`"


def _authoriser(situation: Situation) -> Iterator[str]:
    who = situation.record.by("authorise")
    if not who or situation.authorised_by_govern:
        return
    if situation.authoriser is None:
        yield f"{who}, who authorised it, is on the roster no longer: have another officer authorise it"
    elif not situation.profile.permits_rank(situation.authoriser.rank):
        ranks = ", ".join(situation.profile.authoriser_ranks)
        yield f"{who}, who authorised it, has the rank {situation.authoriser.rank!r}: it takes one of {ranks}"


def _window(situation: Situation) -> Iterator[str]:
    draft, profile = situation.draft, situation.profile
    if situation.now < draft.starts_at:
        yield f"it starts at {_time(draft.starts_at)}: arm it then"
    if situation.now >= draft.ends_at:
        yield f"its end was at {_time(draft.ends_at)}: draft another"
    hours = (draft.ends_at - draft.starts_at) / HOUR_S
    if hours > profile.longest_hours:
        yield f"it lasts {hours:.4g} h and the profile allows {profile.longest_hours:.4g}: draft a shorter one"


def _documents(situation: Situation) -> Iterator[str]:
    draft, required = situation.draft, situation.profile.documents
    dated: tuple[tuple[str, Document | None], ...] = (("dpia", draft.dpia), ("policy", draft.policy))
    for name, document in dated:
        if name not in required:
            continue
        if document is None:
            yield f"the document {name} is missing: name it in the draft, with its expiry"
        elif document.expires_at < draft.ends_at:
            when = _time(document.expires_at)
            yield f"the document {name} ({document.id}) expires at {when}, before the deployment ends: renew it"
    if "fria" in required and not draft.fria:
        yield "the fundamental rights impact assessment is missing: name it as fria in the draft"
    if "registration" in required and not draft.registration and not draft.urgent:
        yield "the registration in the EU database is missing: run `watchline deployment register`"


def _public(situation: Situation) -> Iterator[str]:
    if situation.profile.signage and not situation.draft.signage_confirmed:
        yield "the signs are not confirmed: put them up, and draft it with signage_confirmed"
    if situation.profile.complaints_contact and not situation.draft.complaints_contact:
        yield "there is no complaints_contact: draft it with one"


def _judge(situation: Situation) -> Iterator[str]:
    draft, profile = situation.draft, situation.profile
    if not profile.judicial_authorisation or draft.judicial_authorisation:
        return
    if draft.urgent and profile.urgency_hours:
        if situation.record.urgent_until and situation.now >= situation.record.urgent_until:
            yield "the time without judicial authorisation is over: draft another once it is granted"
        if situation.urgency_before:
            yield (
                f"{situation.urgency_before} used the same lists or cameras in urgency within the last "
                f"{profile.urgency_pause_hours:g} h, and no judge authorised it: wait for the judicial authorisation"
            )
        return
    yield (
        "the judicial authorisation is missing: run `watchline deployment judicial` when it is granted, or draft it as "
        "urgent where the profile allows that"
    )


def _backlog(situation: Situation) -> Iterator[str]:
    allowed = situation.profile.backlog
    if allowed != "unlimited" and situation.open_alerts > allowed:
        yield (
            f"{situation.open_alerts} alerts of earlier deployments are open and the profile allows {allowed}: "
            "adjudicate them with `watchline alerts adjudicate`"
        )


# -- its lists


def _lists(situation: Situation) -> Iterator[str]:
    draft = situation.draft
    for name in (*draft.watch_lists, *draft.seed_lists):
        watch_list = situation.lists.get(name)
        if watch_list is None:
            yield f"there is no watch list {name}: make it with `watchline watchlist create`"
        else:
            yield from _list(situation, watch_list)


def _list(situation: Situation, watch_list: WatchListRecord) -> Iterator[str]:
    name, state, seed = watch_list.id, watch_list.state, watch_list.id in situation.draft.seed_lists
    if state == "importing":
        yield f"watch list {name} is being imported: complete the import, or take it back"
    elif state == "aborting":
        yield f"watch list {name} is not whole while its import is being taken back: try again in a moment"
    elif state != "ready":
        yield f"watch list {name} is {state}: make another"
    if watch_list.form.profile != situation.draft.profile:
        yield (
            f"watch list {name} was made for deployments under {watch_list.form.profile}, and this one is under "
            f"{situation.draft.profile}: make one for it"
        )
    if watch_list.form.seed != seed:
        kind = "of seeds, and named among the watch lists" if watch_list.form.seed else "no list of seeds"
        yield f"watch list {name} is {kind}: name it where it belongs"
    if name in situation.claims:
        yield f"watch list {name} belongs to deployment {situation.claims[name]}: make one for this deployment alone"


def _ages(situation: Situation) -> Iterator[str]:
    for watch_list in situation.lists.values():
        if watch_list.state == "ready":
            yield from _age(situation, watch_list)
            if not watch_list.references:
                yield f"watch list {watch_list.id} is empty: put those who are sought on it first"


def _age(situation: Situation, watch_list: WatchListRecord) -> Iterator[str]:
    if watch_list.form.expires_at <= situation.now:
        yield f"watch list {watch_list.id} expired at {_time(watch_list.form.expires_at)}: make another"
    allowed = situation.profile.list_age_hours
    hours = (situation.now - _as_of(situation, watch_list)) / HOUR_S
    if allowed != "unlimited" and hours > allowed:
        yield (
            f"watch list {watch_list.id} is {hours:.1f} h old and the profile allows {allowed:.4g} h: review it and "
            "import it again"
        )


def _as_of(situation: Situation, watch_list: WatchListRecord) -> float:
    return watch_list.as_of(entry for entry in situation.entries if entry.watch_list == watch_list.id)


def _size(situation: Situation) -> Iterator[str]:
    allowed = situation.profile.list_size
    if allowed != "unlimited" and situation.references > allowed:
        yield f"the lists hold {situation.references} references and the profile allows {allowed}: take some off"


def _minors(situation: Situation) -> Iterator[str]:
    forms = [entry.form for entry in situation.entries if entry.form is not None]
    unexplained = sum(1 for form in forms if form.under_18 and not form.under_18_rationale)
    if unexplained:
        yield f"{unexplained} entries are of people under 18 without a rationale: give one, or take them off"


def _seeds(situation: Situation) -> Iterator[str]:
    on: dict[bool, set[str]] = {True: set(), False: set()}
    for entry in situation.entries:
        if entry.form is not None:
            on[entry.watch_list in situation.draft.seed_lists].add(entry.subject)
    if both := on[True] & on[False]:
        yield f"{len(both)} subjects are on a seed list and on a watch list: give the seeds ids of their own"


# -- its error rate


def _calibrated(situation: Situation) -> Iterator[str]:
    for watch_list in situation.lists.values():
        if watch_list.template_version not in situation.calibrations:
            yield (
                f"no calibration is known of {watch_list.template_version}, which made watch list {watch_list.id}: add "
                "one to the catalogue of assets"
            )


def _rate(situation: Situation) -> Iterator[str]:
    allowed = situation.profile.false_alerts_per_face
    try:
        threshold = threshold_of(situation)
        projected = projected_rate(situation, threshold)
    except CalibrationError as error:
        yield error.reason
        return
    if projected > allowed:
        yield (
            f"{situation.references} references at threshold {threshold:.2f} come to {projected:.2g} false alerts a "
            f"face and the profile allows {allowed:.2g}: {_remedy(situation, allowed)}"
        )


def _remedy(situation: Situation, allowed: float) -> str:
    versions = {watch_list.template_version for watch_list in situation.lists.values()}
    known = [situation.calibrations[version] for version in versions if version in situation.calibrations]
    try:
        least = max(calibration.threshold_for(allowed, situation.references) for calibration in known)
    except CalibrationError:
        return "shorten the lists; no threshold is calibrated well enough for so many"
    return f"raise the threshold to {least:.2f}, or shorten the lists"


# -- its cameras


def _cameras(situation: Situation) -> Iterator[str]:
    for name in situation.draft.cameras:
        camera = situation.cameras.get(name)
        if camera is None:
            yield f"there is no record of camera {name}: add it, or leave it out"
        elif not situation.profile.live_sources and is_live(camera.location):
            yield f"camera {name} is live and the profile {situation.profile.name} reads recordings alone: name a file"


def is_live(location: str) -> bool:
    """Whether a location is known to be live before it is opened."""
    scheme, separator, _ = location.partition("://")
    return bool(separator) and scheme.strip().lower() in LIVE_SCHEMES


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


RULES_OF_AMENDMENTS: tuple[Rule, ...] = (_judge, _lists, _size, _seeds, _calibrated, _rate, _cameras)
RULES: tuple[Rule, ...] = (
    *(_authorised, _authoriser, _window, _documents, _public, _backlog),
    *(_ages, _minors),
    *RULES_OF_AMENDMENTS,
)
