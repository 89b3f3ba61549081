"""A `match` without sockets: its acts and records over fakes, so that a test can stop it between any two writes."""

from __future__ import annotations

import hashlib

import cv2
import numpy as np

from libs.bus import AskError, Conflict
from libs.errors import TransientError
from libs.gallery import ReferenceEntry, UnknownWatchListError
from libs.geometry import REFERENCE_POINTS_PX
from libs.officers import sign
from proto import codec, subjects
from proto.audit import AuditEntry
from proto.messages import DetectImagesReply, Detections, EmbedReply
from proto.requests.audit import AuditReply
from proto.requests.watchlists import (
    CreateListRequest,
    DestroyListRequest,
    DuplicatesRequest,
    EnrolEntryRequest,
    EnrolImagesRequest,
    EnrolmentNotice,
    ExpireListRequest,
    ImportRequest,
    ReferenceImage,
    RemoveEntryRequest,
)
from proto.watchlists import EntryForm, WatchListForm
from services.match.duplicates import Duplicates
from services.match.enrolment import Enrolment
from services.match.entries import Entries
from services.match.imports import Imports
from services.match.membership import Membership
from services.match.registry import Registry
from services.match.removals import Removals
from services.match.settings import EnrolmentSettings, MatchSettings
from services.match.sweeper import Sweeper
from services.match.watchlists import WatchLists
from tests.fakes import Portraits, template_of

VERSION = "sface-2021dec"
DAY_S = 86_400.0


class DeadError(BaseException):
    """The program was killed here."""


class Shelf:
    """Records with revisions; also the book of them, which hears of everything at once."""

    def __init__(self, name, life):
        self.name = name
        self.life = life
        self.records = {}
        self.revision = 0
        self.erased = []

    async def get(self, key):
        return self.records.get(key)

    async def put(self, key, record):
        self.life.step(f"{self.name}.put")
        self.revision += 1
        self.records[key] = record, self.revision
        return self.revision

    async def replace(self, key, record, revision):
        if self.records.get(key, (None, 0))[1] != revision:
            raise Conflict(key)
        return await self.put(key, record)

    async def erase(self, key):
        self.life.step(f"{self.name}.erase")
        self.erased.append(key)
        self.records.pop(key, None)


class Book:
    def __init__(self, shelf):
        self._shelf = shelf

    def get(self, key):
        return self._shelf.records.get(key, (None, 0))[0]

    def all(self):
        return {key: record for key, (record, _) in self._shelf.records.items()}


class Life:
    """Dies at the step that `dies_at` counts down to: every write is a step."""

    def __init__(self):
        self.steps = []
        self.dies_at = None

    def step(self, name):
        if self.dies_at is not None:
            if self.dies_at == 0:
                raise DeadError(name)
            self.dies_at -= 1
        self.steps.append(name)


class Gallery:
    """Lists of references in memory."""

    def __init__(self, life):
        self.life = life
        self.lists = {}
        self.pairs, self.sought = [], []

    def _of(self, watch_list):
        if watch_list not in self.lists:
            raise UnknownWatchListError(watch_list)
        return self.lists[watch_list]

    async def create(self, watch_list):
        self.life.step("gallery.create")
        self.lists.setdefault(watch_list, {})

    async def enrol(self, watch_list, references):
        listed = self._of(watch_list)
        self.life.step("gallery.enrol")
        listed.update({reference.reference: reference for reference in references})

    async def remove(self, watch_list, subject):
        gone = [r.reference for r in self._of(watch_list).values() if r.subject == subject]
        return await self.discard(watch_list, gone)

    async def discard(self, watch_list, references):
        listed = self._of(watch_list)
        self.life.step("gallery.discard")
        return sum(listed.pop(reference, None) is not None for reference in references)

    async def count(self, watch_list):
        return len(self._of(watch_list))

    async def references(self, watch_list):
        return [ReferenceEntry(r.subject, r.reference, r.enrolled_at) for r in self._of(watch_list).values()]

    async def duplicates(self, watch_list, others, threshold, _most):
        self.sought.append((watch_list, others))
        return [pair for pair in self.pairs if pair.score >= threshold]

    async def watch_lists(self):
        return sorted(self.lists)

    async def drop(self, watch_list):
        self._of(watch_list)
        self.life.step("gallery.drop")
        del self.lists[watch_list]


class Pictures(Portraits):
    def __init__(self, life):
        super().__init__()
        self.life = life

    async def put(self, key, jpeg):
        self.life.step("portraits.put")
        await super().put(key, jpeg)

    async def drop(self, key):
        self.life.step("portraits.drop")
        await super().drop(key)


class Peers:
    """detect, embed and the auditing desk of govern; `audit_away` and `away` say who does not answer.

    Entries of the versions of a list in `refused` the audit does not take.
    """

    def __init__(self):
        self.audit = []
        self.audit_away = False
        self.refused = ()
        self.away = ()
        self.faces = 1
        self.asks = []

    async def ask(self, subject, message, _expected, _timeout_s=None):
        self.asks.append(subject)
        if subject in self.away:
            raise TransientError("nobody answered")
        if subject == subjects.DETECT_IMAGES:
            return faces(*([face_at()] * self.faces))(message)
        if subject == subjects.EMBED:
            return embedded(message)
        assert subject == f"{subjects.AUDIT_ASKS}.append"
        if self.audit_away:
            raise TransientError("nobody answered")
        if message.record_version in self.refused:
            raise AskError(subject, "403", "l-stone is not on the roster of officers")
        if message.id not in [request.id for request in self.audit]:
            self.audit.append(message)
        return AuditReply(entry=_entry(message, len(self.audit)))

    @property
    def events(self):
        return [request.event for request in self.audit]


def _entry(request, sequence):
    told = request.model_dump(exclude={"deed"})
    return AuditEntry(sequence=sequence, previous=bytes(32), at=1.0, deed=request.deed, **told)


class Warrants(dict):
    """The warrants there are, by key."""

    def all(self):
        return self


class MatchDesk:
    """`match` and an officer who acts on it. `reborn()` is the program after its death, over what it had written."""

    def __init__(self, crew, log, clock, before=None):
        self.crew, self.log, self.clock = crew, log, clock
        self.life = before.life if before else Life()
        self.life.dies_at = None
        self.lists = before.lists if before else Shelf("lists", self.life)
        self.entries = before.entries if before else Shelf("entries", self.life)
        self.names = before.names if before else Shelf("names", self.life)
        self.gallery = before.gallery if before else Gallery(self.life)
        self.portraits = before.portraits if before else Pictures(self.life)
        self.peers = before.peers if before else Peers()
        self.warrants = before.warrants if before else Warrants()
        self.files = before.files if before else {}
        self.registry = Registry(
            bus=self.peers,
            lists=self.lists,
            entries=self.entries,
            names=self.names,
            portraits=self.portraits,
            gallery=self.gallery,
            roster=crew.roster(clock),
            warrants=self.warrants,
            book=Entries(Book(self.lists), Book(self.entries)),
            snapshot=self._snapshot,
            log=log,
            template_version=VERSION,
            clock=clock,
        )
        self.watchlists = WatchLists(self.registry)
        self.imports = Imports(self.registry)
        self.membership = Membership(self.registry, Enrolment(self.peers, VERSION, EnrolmentSettings()))
        self.removals = Removals(self.registry)
        self.duplicates = Duplicates(self.registry, MatchSettings().duplicates_floor)
        self.sweeper = Sweeper(self.registry, self.watchlists, self.imports, self.removals)

    async def _snapshot(self, watch_list):
        return self.registry.book.of(watch_list)

    def reborn(self):
        return MatchDesk(self.crew, self.log, self.clock, self)

    def list(self, name="wanted"):
        return self.lists.records[subjects.key(name)][0]

    def entry(self, subject, name="wanted"):
        return self.registry.book.entries.get(subjects.key(name, subject))

    # -- acts, by l-stone unless another is named

    def act(self, request, who="l-stone"):
        return self.crew.act(who, request, self.clock)

    async def create(self, name="wanted", who="l-stone", **form):
        request = CreateListRequest(form=list_form(self.clock, watch_list=name, **form))
        return await self.watchlists.create(self.act(request, who))

    async def enrol(self, subject, number=0, import_id="", who="l-stone", name="wanted", person="", **entry):
        image = self.image(subject, number, name=person, **entry)
        if import_id:
            (reply,) = await self.bring([image], import_id, who, name)
            return reply
        request = EnrolEntryRequest(watch_list=name, **dict(image))
        return await self.membership.enrol(self.act(with_notice(self.crew[who], request, self.clock), who))

    async def bring(self, images, import_id, who="l-stone", name="wanted"):
        request = EnrolImagesRequest(watch_list=name, import_id=import_id, images=tuple(images))
        return (await self.membership.enrol_images(self.act(request, who))).images

    def image(self, subject, number=0, **entry):
        reference = entry.pop("reference", f"{number}.png")
        image = entry.pop("image", None) or png(picture(number))
        self.files.setdefault((subject, sha256(image)), reference)
        return ReferenceImage(subject=subject, reference=reference, image=image, entry=entry_form(self.clock, **entry))

    async def step(self, step, import_id="", who="l-stone", name="wanted", **rest):
        request = ImportRequest(watch_list=name, step=step, import_id=import_id, **rest)
        return (await self.imports.step(self.act(request, who))).record

    async def remove(self, subject, who="l-stone", name="wanted"):
        request = RemoveEntryRequest(watch_list=name, subject=subject, reason="warrant withdrawn")
        return await self.removals.remove(self.act(request, who))

    async def expire(self, at, who="l-stone", name="wanted"):
        request = ExpireListRequest(watch_list=name, expires_at=at, reason="shorter")
        return await self.watchlists.expire(self.act(request, who))

    async def destroy(self, who="l-stone", name="wanted"):
        request = DestroyListRequest(watch_list=name, reason="the deployment is over")
        return await self.watchlists.destroy(self.act(request, who))

    def duplicates_request(self, name="wanted", threshold=0.5):
        return DuplicatesRequest(watch_list=name, threshold=threshold)

    async def seek_duplicates(self, name="wanted", threshold=0.5, who="l-stone"):
        return await self.duplicates.find(self.act(self.duplicates_request(name, threshold), who))

    def biometrics(self, name="wanted"):
        """Whatever of a list is a template, a picture or a name: references, portraits and names by key.

        References by what the image was called, where it came by `image`.
        """
        prefix = subjects.key(name) + "."
        kept = (reference.split("/") for reference in self.gallery.lists.get(name, {}))
        return (
            sorted(f"{subject}/{self.files.get((subject, file), file)}" for subject, file in kept),
            sorted(key for key in self.portraits.kept if key.startswith(f"reference.{prefix}")),
            sorted(key for key in self.names.records if key.startswith(prefix)),
        )


NOTHING = ([], [], [])


def with_notice(signer, request, clock):
    """The request to enrol, with what the officer says of it for the audit."""
    notice = EnrolmentNotice(
        watch_list=request.watch_list,
        subject=request.subject,
        sha256=sha256(request.image),
        reason=request.entry.reason,
    )
    return request.model_copy(update={"notice": codec.encode(sign(signer, notice, clock))})


def list_form(clock, **changes):
    fields = {
        "watch_list": "wanted",
        "profile": "uk-police",
        "purpose": "arrest warrants of the county",
        "owner": "custody unit",
        "category": "wanted on warrant",
        "response": "red",
        "lawful_basis": "DPA 2018, part 3",
        "criteria": "a warrant for an indictable offence",
        "expires_at": clock() + 30 * DAY_S,
    }
    return WatchListForm(**{**fields, **changes})


def entry_form(clock, **changes):
    fields = {
        "reason": "warrant 17/2023",
        "requester": "Inspector 4711",
        "source": "custody photograph",
        "lawful_basis": "PACE 1984, s. 64A",
        "image_date": "2023-05-01",
        "expires_at": clock() + 10 * DAY_S,
    }
    return EntryForm(**{**fields, **changes})


def picture(number=0, height=480, width=640, shades=180):
    """Something with the detail and the contrast of a face, darker on one side so that its mirror image differs."""
    random = np.random.default_rng(number)
    coarse = random.integers(20, 20 + shades, size=(height // 4, width // 4, 3)).astype(np.uint8)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    return (image * np.linspace(0.6, 1, width)[None, :, None]).astype(np.uint8)


def png(image):
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def face_at(x=200.0, y=150.0, eyes_px=60.0):
    """The landmarks of a face that looks into the camera, its eyes `eyes_px` apart."""
    scale = eyes_px / (REFERENCE_POINTS_PX[1, 0] - REFERENCE_POINTS_PX[0, 0])
    return REFERENCE_POINTS_PX * scale + np.array([x, y], np.float32)


def faces(*landmarks, scores=None):
    """A detector that always answers these for each image."""
    stacked = np.stack(landmarks).astype(np.float32) if landmarks else np.zeros((0, 5, 2), np.float32)
    boxes = np.concatenate([stacked.min(1) - 20, stacked.max(1) + 20], 1) if landmarks else np.zeros((0, 4))

    def detect(ask):
        found = Detections(
            camera=ask.images[0].camera,
            frame=ask.images[0].frame,
            boxes=boxes.astype(np.float32),
            landmarks=stacked,
            detect_scores=np.array(scores or [0.95] * len(landmarks), np.float32),
        )
        return DetectImagesReply(found=[found] * len(ask.images), reasons=[""] * len(ask.images))

    return detect


def embedded(ask):
    """What embed answers to an ask for references."""
    assert ask.both_ways
    means = template_of(ask.chips) + template_of(ask.chips[:, :, ::-1])
    means = means / np.linalg.norm(means, axis=1, keepdims=True)
    return EmbedReply(templates=means.astype(np.float32), template_version=VERSION)


def fails_with(error):
    def answer(_ask):
        raise error

    return answer
