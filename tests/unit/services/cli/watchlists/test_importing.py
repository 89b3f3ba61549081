"""An import from the side that asks: what is away is asked again, what will not do is refused by name."""

import asyncio
import os
from pathlib import Path

import pytest

from libs.bus import AskError
from libs.errors import TransientError, UserError
from proto import codec, subjects
from proto.messages import EnrolReply
from proto.requests.watchlists import EnrolImagesReply, EnrolImagesRequest, EntriesReply, ImportRequest, ListReply
from proto.sealed import Act
from proto.watchlists import WatchListRecord
from services.cli.client import Client
from services.cli.watchlists import importing
from services.cli.watchlists.importing import (
    ACTS_AT_ONCE,
    BYTES_AN_ACT,
    IMAGES_AN_ACT,
    NothingEnrolledError,
    import_images,
    manifest_sha256,
)
from services.cli.watchlists.reference_images import ImageFile, folder_images
from tests.governance_examples import ENTRY, ENTRY_FORM, WATCH_LIST


class Match:
    """A `match` that refuses some images, is away for so many asks, and keeps what it was asked.

    It answers nobody before it has had `waits_for` acts at a time. It refuses as a whole what brings one of `spoilt`.
    """

    def __init__(self, refuses=(), there=(), away=0, waits_for=1, error=None, spoilt=(), entries=()):
        self.entries = entries
        self.refuses, self.there, self.away, self.error, self.spoilt = refuses, there, away, error, spoilt
        self.waits_for = waits_for
        self.enough = asyncio.Event()
        self.acts = []
        self.steps = []
        self.in_flight = self.most_in_flight = 0

    @property
    def asked(self):
        return [image.reference for act in self.acts for image in act.images]

    async def ask(self, subject, sealed, _expected, _timeout_s=None):
        if subject == f"{subjects.WATCHLIST}.entries":
            return EntriesReply(record=WATCH_LIST, entries=self.entries)
        act = codec.decode(Act, sealed.body)
        if act.holds == "import_request":
            return self._step(codec.decode(ImportRequest, act.request))
        assert subject == f"{subjects.WATCHLIST}.enrol_images"
        return await self._enrol(codec.decode(EnrolImagesRequest, act.request))

    def _step(self, request):
        self.steps.append(request)
        state = "importing" if request.step == "begin" else "ready"
        changes = {"state": state, "import_id": "f00d-1" if request.step == "begin" else ""}
        return ListReply(record=WatchListRecord.model_validate(WATCH_LIST.model_copy(update=changes)))

    async def _enrol(self, request):
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        if self.in_flight >= self.waits_for:
            self.enough.set()
        await self.enough.wait()
        await asyncio.sleep(0)
        self.in_flight -= 1
        self.away -= 1
        if self.away >= 0:
            raise TransientError("nobody answered", 0.0)
        if self.error is not None:
            raise self.error
        if any(image.reference in self.spoilt for image in request.images):
            raise AskError("watchline.v1.watchlist.enrol_images", "500", "KeyError")
        self.acts.append(request)
        return EnrolImagesReply(images=[self._reply(request, image) for image in request.images])

    def _reply(self, request, image):
        named = {"watch_list": request.watch_list, "subject": image.subject, "reference": image.reference}
        if image.reference in self.refuses:
            return EnrolReply(**named, enrolled=False, reason="no face was found", remedy="use another image")
        return EnrolReply(**named, enrolled=True, already=image.reference in self.there)


def folder_of(tmp_path, *names):
    for name in names:
        path = tmp_path / "people" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"image")
    return tmp_path / "people"


async def imported(match, folder, crew, on_progress=lambda _: None):
    return await import_images(Client(match, crew["l-stone"]), "wanted", folder_images(folder, ENTRY_FORM), on_progress)


async def test_an_import_is_begun_and_completed_with_what_it_came_to(tmp_path, crew):
    match = Match(refuses={"b.jpg"}, there={"c.jpg"})
    done = await imported(match, folder_of(tmp_path, "a.jpg", "b.jpg", "c.jpg"), crew)
    assert (done.images, done.enrolled, done.already, done.done) == (3, 1, 1, 3)
    assert [(refusal.subject, refusal.reason, refusal.remedy) for refusal in done.refused] == [
        ("b", "no face was found", "use another image")
    ]
    begin, complete = match.steps
    assert (begin.step, begin.images, begin.import_id) == ("begin", 3, "")
    assert (complete.step, complete.images, complete.refused, complete.import_id) == ("complete", 3, 1, "f00d-1")
    assert complete.manifest_sha256 == begin.manifest_sha256
    assert {act.import_id for act in match.acts} == {"f00d-1"}
    assert done.record.state == "ready"


async def test_a_match_that_is_away_for_a_moment_is_asked_again(tmp_path, crew):
    assert (await imported(Match(away=3), folder_of(tmp_path, "a.jpg"), crew)).enrolled == 1


async def test_a_match_that_stays_away_stops_the_import_which_stays_under_way(tmp_path, crew, monkeypatch):
    async def at_once(attempt, _patience_s=0.0):
        return await attempt()

    monkeypatch.setattr(importing, "insist", at_once)
    match = Match(away=10**6)
    with pytest.raises(TransientError, match="nobody answered"):
        await imported(match, folder_of(tmp_path, "a.jpg", "b.jpg"), crew)
    assert [step.step for step in match.steps] == ["begin"]


@pytest.mark.parametrize("code", ["403", "404", "409"])
async def test_what_the_next_image_would_meet_too_stops_the_import(tmp_path, crew, code):
    match = Match(error=AskError("watchline.v1.watchlist.enrol", code, "not now"))
    with pytest.raises(AskError, match="not now"):
        await imported(match, folder_of(tmp_path, "a.jpg", "b.jpg"), crew)
    assert [step.step for step in match.steps] == ["begin"]


async def test_several_acts_are_under_way_at_a_time_and_told_in_the_order_of_the_images(tmp_path, crew):
    names = [f"{number:03}.jpg" for number in range(ACTS_AT_ONCE * IMAGES_AN_ACT + 4)]
    match = Match(refuses={"017.jpg", "003.jpg", "004.jpg"}, waits_for=ACTS_AT_ONCE)
    done = await imported(match, folder_of(tmp_path, *names), crew)
    assert match.most_in_flight == ACTS_AT_ONCE
    assert {len(act.images) for act in match.acts} == {IMAGES_AN_ACT, 4}
    assert [refusal.image.name for refusal in done.refused] == ["003.jpg", "004.jpg", "017.jpg"]
    assert (done.enrolled, sorted(match.asked)) == (len(names) - 3, names)


async def test_the_images_of_one_subject_go_one_after_the_other(tmp_path, crew):
    match = Match()
    names = ["anna.jpg", *(f"anna/{number:02}.jpg" for number in range(3 * IMAGES_AN_ACT))]
    await imported(match, folder_of(tmp_path, *names), crew)
    assert match.most_in_flight == 1
    assert match.asked == [name.rpartition("/")[2] for name in names]


async def test_an_act_brings_no_more_bytes_than_are_opened_together(tmp_path, crew):
    folder = folder_of(tmp_path, *(f"{number}.jpg" for number in range(5)))
    for number in (1, 2, 3):
        (folder / f"{number}.jpg").write_bytes(bytes(BYTES_AN_ACT * number // 3))
    match = Match()
    await imported(match, folder, crew)
    assert sorted(tuple(image.reference for image in act.images) for act in match.acts) == [
        ("0.jpg", "1.jpg"),
        ("2.jpg",),
        ("3.jpg",),
        ("4.jpg",),
    ]


async def test_an_image_that_spoils_an_act_is_found_and_the_others_go_on(tmp_path, crew):
    match = Match(spoilt={"2.jpg"})
    done = await imported(match, folder_of(tmp_path, *(f"{number}.jpg" for number in range(5))), crew)
    assert [(refusal.image.name, refusal.reason) for refusal in done.refused] == [("2.jpg", "KeyError")]
    assert (done.enrolled, match.asked) == (4, ["0.jpg", "1.jpg", "3.jpg", "4.jpg"])


async def test_a_name_that_is_too_long_is_refused_and_the_others_go_on(tmp_path, crew):
    done = await imported(Match(), folder_of(tmp_path, "x" * 129 + ".jpg", "fine.jpg"), crew)
    assert done.enrolled == 1
    assert "at most 128 letters" in done.refused[0].reason
    assert done.refused[0].remedy


async def test_a_file_that_cannot_be_read_is_refused_and_the_others_go_on(tmp_path, crew):
    images = folder_images(folder_of(tmp_path, "fine.jpg", "gone.jpg"), ENTRY_FORM)
    images[1].path.unlink()
    done = await import_images(Client(Match(), crew["l-stone"]), "wanted", images, lambda _: None)
    assert [(refusal.image.name, done.enrolled) for refusal in done.refused] == [("gone.jpg", 1)]
    assert "cannot be read" in done.refused[0].reason


async def test_a_file_that_is_too_large_is_refused_before_it_is_sent(tmp_path, crew):
    folder = folder_of(tmp_path, "fine.jpg", "large.jpg")
    (folder / "large.jpg").write_bytes(bytes(8 * 1024 * 1024))
    match = Match()
    done = await imported(match, folder, crew)
    assert [(refusal.image.name, refusal.reason) for refusal in done.refused] == [
        ("large.jpg", "the file has 8.0 MiB, at most 7 are taken")
    ]
    assert match.asked == ["fine.jpg"]


async def test_a_folder_of_which_nothing_can_be_enrolled_is_taken_back_with_its_first_reason(tmp_path, crew):
    match = Match(refuses={"a.jpg", "b.jpg"})
    with pytest.raises(NothingEnrolledError, match=r"a\.jpg: no face was found") as nothing:
        await imported(match, folder_of(tmp_path, "a.jpg", "b.jpg"), crew)
    assert [refusal.image.name for refusal in nothing.value.result.refused] == ["a.jpg", "b.jpg"]
    assert [(step.step, step.import_id) for step in match.steps] == [("begin", ""), ("abort", "f00d-1")]


async def test_what_earlier_calls_enrolled_stays_where_all_images_of_this_one_are_refused(tmp_path, crew):
    image = ENTRY.images[0].model_copy(update={"import_id": "f00d-1"})
    match = Match(refuses={"a.jpg"}, entries=(ENTRY.model_copy(update={"images": (image,)}),))
    with pytest.raises(NothingEnrolledError, match=r"1 image of earlier calls stay.*--abort"):
        await imported(match, folder_of(tmp_path, "a.jpg"), crew)
    assert [step.step for step in match.steps] == ["begin"]


async def test_what_is_no_file_and_what_has_no_name_in_utf_8_is_refused_and_said(tmp_path, crew):
    folder = folder_of(tmp_path, "fine.jpg")
    os.mkfifo(folder / "pipe.jpg")
    (folder / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"image")
    (folder / "circle.jpg").symlink_to("circle.jpg")
    done = await imported(Match(), folder, crew)
    told = {Path(refusal.given).name: refusal.reason for refusal in done.refused}
    assert told["pipe.jpg"] == "it is no file"
    assert "cannot be read" in told["circle.jpg"]
    assert "will not do" in told["caf?.jpg"]
    assert done.enrolled == 1


async def test_progress_is_told_after_each_image(tmp_path, crew):
    told = []
    await imported(
        Match(), folder_of(tmp_path, "a.jpg", "b.jpg"), crew, lambda result: told.append((result.done, result.images))
    )
    assert told == [(1, 2), (2, 2)]


async def test_nobody_imports_without_saying_who(tmp_path):
    with pytest.raises(UserError, match="nobody is named who acts"):
        await import_images(Client(Match()), "wanted", folder_images(folder_of(tmp_path, "a.jpg"), ENTRY_FORM), print)


def test_the_same_images_are_the_same_import_whatever_the_hour(tmp_path):
    folder = folder_of(tmp_path, "a.jpg", "b.jpg")
    later = ENTRY_FORM.model_copy(update={"expires_at": ENTRY_FORM.expires_at + 60})
    assert manifest_sha256(folder_images(folder, ENTRY_FORM)) == manifest_sha256(folder_images(folder, later))
    other = [ImageFile("another", *(getattr(folder_images(folder, ENTRY_FORM)[0], n) for n in ("path", "entry")))]
    assert manifest_sha256(other) != manifest_sha256(folder_images(folder, ENTRY_FORM)[:1])


def test_images_of_one_name_in_two_folders_are_two_in_the_hash_of_a_manifest():
    def image(given):
        return ImageFile("S-1", Path("/photos") / given, ENTRY_FORM, reference="front", given=given)

    assert manifest_sha256([image("a/front.jpg")]) != manifest_sha256([image("b/front.jpg")])


def test_a_folder_that_is_named_like_an_image_is_a_folder_of_one(tmp_path):
    folder = folder_of(tmp_path, "a.jpg")
    (folder / "S-2.jpg").mkdir()
    (folder / "S-2.jpg" / "b.jpg").write_bytes(b"")
    images = folder_images(folder, ENTRY_FORM)
    assert [(image.subject, image.path.name) for image in images] == [("a", "a.jpg"), ("S-2.jpg", "b.jpg")]


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no image"):
        folder_images(tmp_path / "empty", ENTRY_FORM)
    with pytest.raises(UserError, match="is not a folder"):
        folder_images(tmp_path / "nothing", ENTRY_FORM)
