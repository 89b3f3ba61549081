"""A folder of references is enrolled whole: what is away is asked again, what will not do is refused by name."""

import asyncio

import pytest

from libs.errors import TransientError, UserError
from proto.messages import EnrolReply
from services.cli import enrol
from services.cli.enrol import SUBJECTS_AT_ONCE, enrol_folder


class Match:
    """A `match` that refuses some images, is away for so many asks, and keeps what it was asked.

    It answers nobody before it has had `waits_for` asks at a time.
    """

    def __init__(self, refuses=(), away=0, waits_for=1):
        self.waits_for = waits_for
        self.enough = asyncio.Event()
        self.refuses = refuses
        self.away = away
        self.asked = []
        self.in_flight = self.most_in_flight = 0

    async def ask(self, _subject, request, _expected, _timeout_s):
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        if self.in_flight >= self.waits_for:
            self.enough.set()
        await self.enough.wait()
        await asyncio.sleep(0)
        self.in_flight -= 1
        self.away -= 1
        if self.away >= 0:
            raise TransientError("nobody answered")
        self.asked.append((request.subject, request.reference))
        named = {"watch_list": request.watch_list, "subject": request.subject, "reference": request.reference}
        return EnrolReply(**named, enrolled=request.reference not in self.refuses, reason="no face was found")


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(enrol, "PAUSES_S", (0.0, 0.0, 0.0))


def folder_of(tmp_path, *names):
    for name in names:
        path = tmp_path / "people" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"image")
    return tmp_path / "people"


async def test_a_match_that_is_away_for_a_moment_is_asked_again(tmp_path):
    done = await enrol_folder(Match(away=3), "wanted", folder_of(tmp_path, "a.jpg"), lambda _: None)
    assert done.enrolled == 1


async def test_a_match_that_stays_away_refuses_the_image_with_the_reason(tmp_path):
    match = Match(away=4)
    done = await enrol_folder(match, "wanted", folder_of(tmp_path, "a/1.jpg", "a/2.jpg"), lambda _: None)
    assert [(refusal.image.name, refusal.reason) for refusal in done.refused] == [("1.jpg", "nobody answered")]
    assert done.enrolled == 1


async def test_several_subjects_are_enrolled_at_a_time_and_told_in_their_order(tmp_path):
    names = [f"{number:02}.jpg" for number in range(20)]
    match = Match(refuses={"17.jpg", "03.jpg", "04.jpg"}, waits_for=SUBJECTS_AT_ONCE)
    done = await enrol_folder(match, "wanted", folder_of(tmp_path, *names), lambda _: None)
    assert match.most_in_flight == SUBJECTS_AT_ONCE
    assert [refusal.image.name for refusal in done.refused] == ["03.jpg", "04.jpg", "17.jpg"]
    assert done.enrolled == 17


async def test_the_images_of_one_subject_go_one_after_the_other(tmp_path):
    names = [f"anna/{number}.jpg" for number in range(9)]
    match = Match()
    await enrol_folder(match, "wanted", folder_of(tmp_path, "anna.jpg", *names), lambda _: None)
    assert match.most_in_flight == 1
    assert [reference for _, reference in match.asked] == ["anna.jpg", *(f"{number}.jpg" for number in range(9))]


async def test_a_name_that_is_too_long_is_refused_and_the_others_go_on(tmp_path):
    folder = folder_of(tmp_path, "x" * 129 + ".jpg", "fine.jpg")
    done = await enrol_folder(Match(), "wanted", folder, lambda _: None)
    assert done.enrolled == 1
    assert "at most 128 letters" in done.refused[0].reason


async def test_a_file_that_cannot_be_read_is_refused_and_the_others_go_on(tmp_path, monkeypatch):
    folder = folder_of(tmp_path, "bad.jpg", "fine.jpg")
    monkeypatch.setattr(enrol, "_is_image", lambda path: path.suffix == ".jpg")
    (folder / "bad.jpg").unlink()
    (folder / "bad.jpg").mkdir()
    done = await enrol_folder(Match(), "wanted", folder, lambda _: None)
    assert [refusal.image.name for refusal in done.refused] == ["bad.jpg"]
    assert "cannot be read" in done.refused[0].reason


async def test_a_folder_of_which_nothing_can_be_enrolled_is_refused_with_its_first_reason(tmp_path):
    match = Match(refuses={"a.jpg", "b.jpg"})
    with pytest.raises(UserError, match=r"a\.jpg: no face was found"):
        await enrol_folder(match, "wanted", folder_of(tmp_path, "a.jpg", "b.jpg"), lambda _: None)
