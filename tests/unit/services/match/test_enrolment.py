"""From an image file to a reference, or to the reason why not, in words and in numbers."""

import cv2
import numpy as np
import pytest

from libs.bus import AskError
from libs.errors import PermanentError, TransientError
from libs.geometry import REFERENCE_POINTS_PX, align
from libs.images import decode_rgb
from proto.messages import Detections, EmbedReply, EnrolRequest
from services.match.enrolment import Enrolment
from services.match.settings import EnrolmentSettings
from tests.fakes import Asked, Gallery, template_of

VERSION = "sface-2021dec"
SIZE = (480, 640)


def picture(height=SIZE[0], width=SIZE[1], shades=180):
    """Something with the detail and the contrast of a face, darker on one side so that its mirror image differs."""
    random = np.random.default_rng(3)
    coarse = random.integers(20, 20 + shades, size=(height // 4, width // 4, 3)).astype(np.uint8)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    return (image * np.linspace(0.6, 1, width)[None, :, None]).astype(np.uint8)


def png(image):
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


def face_at(x=200.0, y=150.0, eyes_px=60.0):
    """The landmarks of a face that looks into the camera, its eyes `eyes_px` apart."""
    scale = eyes_px / (REFERENCE_POINTS_PX[1, 0] - REFERENCE_POINTS_PX[0, 0])
    return REFERENCE_POINTS_PX * scale + np.array([x, y], np.float32)


def faces(*landmarks, scores=None):
    """A detector that always answers these."""
    stacked = np.stack(landmarks).astype(np.float32) if landmarks else np.zeros((0, 5, 2), np.float32)
    boxes = np.concatenate([stacked.min(1) - 20, stacked.max(1) + 20], 1) if landmarks else np.zeros((0, 4))

    def detect(ask):
        return Detections(
            camera=ask.camera,
            frame=ask.frame,
            boxes=boxes.astype(np.float32),
            landmarks=stacked,
            detect_scores=np.array(scores or [0.95] * len(landmarks), np.float32),
        )

    return detect


def embed(ask):
    return EmbedReply(templates=template_of(ask.chips), template_version=VERSION)


def fails_with(error):
    def answer(_ask):
        raise error

    return answer


def ask(image):
    data = image if isinstance(image, bytes) else png(image)
    return EnrolRequest(watch_list="wanted", subject="S-1", reference="front", image=data)


@pytest.fixture
def gallery():
    return Gallery()


def enrolment(gallery, detect=None, embedder=embed, **settings):
    bus = Asked(detect=detect or faces(face_at()), embed=embedder)
    return Enrolment(bus, gallery, VERSION, EnrolmentSettings(**settings)), bus


async def test_one_good_face_is_enrolled_with_its_quality_and_its_portrait(gallery):
    desk, bus = enrolment(gallery)
    reply = await desk.enrol(ask(picture()))
    assert (reply.enrolled, reply.reason) == (True, "")
    assert reply.quality.inter_eye_distance_px == pytest.approx(60, rel=0.01)
    ((watch_list, reference),) = gallery.enrolled
    assert (watch_list, reference.subject, reference.reference) == ("wanted", "S-1", "S-1/front")
    assert reference.template_version == VERSION
    assert decode_rgb(bus.portraits.kept["reference.wanted.S-1"]).shape[2] == 3


async def test_the_template_is_the_normalised_mean_of_the_face_and_its_mirror_image(gallery):
    image, landmarks = picture(), face_at()
    desk, _ = enrolment(gallery)
    await desk.enrol(ask(image))
    chip = align(image, landmarks)
    face, mirrored = template_of(np.stack([chip, chip[:, ::-1]]))
    mean = (face + mirrored) / 2
    assert not np.allclose(face, mirrored, atol=1e-3)
    assert np.allclose(gallery.enrolled[0][1].template, mean / np.linalg.norm(mean), atol=1e-6)
    assert gallery.enrolled[0][1].template.dtype == np.float32


async def test_the_face_is_cut_from_the_image_itself_not_from_the_small_copy_the_detector_sees(gallery):
    desk, bus = enrolment(gallery, faces(face_at(800, 500, eyes_px=240)), detect_width_px=320)
    assert (await desk.enrol(ask(picture(1200, 1600)))).enrolled
    asked = bus.asks[0]
    assert (asked.width, asked.height) == (1600, 1200)
    assert decode_rgb(asked.jpeg).shape == (240, 320, 3)
    assert bus.asks[1].chips.shape == (2, 112, 112, 3)


async def test_a_small_image_is_not_enlarged_for_the_detector(gallery):
    desk, bus = enrolment(gallery, faces(face_at(50, 50, eyes_px=40)), detect_width_px=640)
    await desk.enrol(ask(picture(240, 320)))
    assert decode_rgb(bus.asks[0].jpeg).shape == (240, 320, 3)


async def refused(gallery, image, *detector, **settings):
    """The refusal of an image, after which nothing must be kept."""
    desk, bus = enrolment(gallery, *detector, **settings)
    reply = await desk.enrol(ask(image))
    assert not reply.enrolled
    assert (reply.watch_list, reply.subject, reply.reference) == ("wanted", "S-1", "front")
    assert gallery.enrolled == []
    assert bus.portraits.kept == {}
    return reply


async def test_an_image_without_a_face_is_refused(gallery):
    reply = await refused(gallery, picture(), faces())
    assert "no face was found" in reply.reason
    assert (reply.component, reply.measured, reply.required) == ("", None, None)


async def test_an_image_with_two_faces_is_refused_and_they_are_counted(gallery):
    reply = await refused(gallery, picture(), faces(face_at(100), face_at(350)))
    assert "2 faces" in reply.reason
    assert "exactly one" in reply.reason


async def test_what_the_detector_is_unsure_of_is_no_second_face(gallery):
    desk, _ = enrolment(gallery, faces(face_at(100), face_at(350), scores=[0.95, 0.4]))
    assert (await desk.enrol(ask(picture()))).enrolled


async def test_a_face_that_is_too_small_is_refused_with_what_was_measured_and_what_is_required(gallery):
    reply = await refused(gallery, picture(), faces(face_at(eyes_px=12)), min_inter_eye_distance_px=24)
    assert reply.component == "inter_eye_distance_px"
    assert reply.measured == pytest.approx(12, rel=0.01)
    assert reply.required == 24
    assert "12" in reply.reason
    assert "24" in reply.reason


async def test_a_face_that_is_too_poor_is_refused_with_what_was_measured_and_what_is_required(gallery):
    grey = picture(shades=2)  # no contrast at all
    reply = await refused(gallery, grey, min_quality=0.6)
    assert reply.component == "quality"
    assert 0 <= reply.measured < 0.6
    assert reply.required == 0.6


async def test_landmarks_that_are_no_face_are_refused_rather_than_a_bug(gallery):
    reply = await refused(gallery, picture(), faces(np.full((5, 2), 100.0)))
    assert reply.component == "inter_eye_distance_px"
    assert reply.measured == 0


BROKEN = {
    "no image": (b"a text file", "not a JPEG, PNG, WebP or BMP"),
    "nothing": (b"", "not a JPEG, PNG, WebP or BMP"),
    "half a header": (png(picture())[:20], "cut off within its header"),
    "half an image": (b"BM" + bytes(16) + (640).to_bytes(4, "little") * 2 + bytes(100), "damaged"),
    "a bomb": (png(picture())[:16] + (16_000).to_bytes(4, "big") * 2 + png(picture())[24:], "out of bounds"),
}


@pytest.mark.parametrize(("data", "words"), BROKEN.values(), ids=BROKEN)
async def test_a_file_is_refused_that_is(gallery, data, words):
    reply = await refused(gallery, data)
    assert words in reply.reason


async def test_an_embedder_of_another_version_than_the_gallery_is_an_error_and_nothing_is_kept(gallery):
    desk, bus = enrolment(gallery, embedder=lambda ask: embed(ask).model_copy(update={"template_version": "other-1"}))
    with pytest.raises(PermanentError, match="embed runs other-1, the gallery holds sface-2021dec"):
        await desk.enrol(ask(picture()))
    assert (gallery.enrolled, bus.portraits.kept) == ([], {})


@pytest.mark.parametrize("who", ["detect", "embedder"])
async def test_a_stage_that_is_away_is_said_so_and_nothing_is_kept(gallery, who):
    desk, bus = enrolment(gallery, **{who: fails_with(TransientError("nobody answered"))})
    with pytest.raises(TransientError, match="nobody answered"):
        await desk.enrol(ask(picture()))
    assert (gallery.enrolled, bus.portraits.kept) == ([], {})


async def test_an_image_that_the_detector_refuses_is_refused_with_its_reason(gallery):
    reply = await refused(gallery, picture(), fails_with(AskError("watchline.v1.detect", "400", "too large")))
    assert "too large" in reply.reason
