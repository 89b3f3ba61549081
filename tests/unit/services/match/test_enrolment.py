"""From an image file to a reference, or to the reason why not, in words, in numbers, and with a remedy."""

import cv2
import numpy as np
import pytest

from libs.bus import AskError
from libs.errors import PermanentError, TransientError
from libs.geometry import align
from libs.images import decode_rgb
from proto.messages import DetectImagesReply
from services.match.enrolment import Enrolment, RefusedImageError
from services.match.settings import EnrolmentSettings
from tests.fakes import Asked, template_of
from tests.match_desk import VERSION, embedded, face_at, faces, fails_with, picture, png


def jpeg(image):
    return cv2.imencode(".jpg", image[..., ::-1])[1].tobytes()


def enrolment(detect=None, embedder=embedded, **settings):
    bus = Asked(detect_images=detect or faces(face_at()), embed=embedder)
    return Enrolment(bus, VERSION, EnrolmentSettings(**settings)), bus


async def reference_of(desk, data):
    """The reference of one image, or its refusal."""
    (found,) = await desk.references_of([data])
    if isinstance(found, RefusedImageError):
        raise found
    return found


async def test_one_good_face_becomes_a_reference_with_its_quality_and_its_portrait():
    desk, _ = enrolment()
    face = await reference_of(desk, png(picture()))
    assert face.quality.inter_eye_distance_px == pytest.approx(60, rel=0.01)
    assert decode_rgb(face.portrait).shape[2] == 3


async def test_the_template_is_the_normalised_mean_of_the_face_and_its_mirror_image():
    image, landmarks = picture(), face_at()
    desk, _ = enrolment()
    found = (await reference_of(desk, png(image))).template
    chip = align(image, landmarks)
    face, mirrored = template_of(np.stack([chip, chip[:, ::-1]]))
    mean = (face + mirrored) / 2
    assert not np.allclose(face, mirrored, atol=1e-3)
    assert np.allclose(found, mean / np.linalg.norm(mean), atol=1e-6)
    assert found.dtype == np.float32


async def test_the_face_is_cut_from_the_image_itself_not_from_the_small_copy_the_detector_sees():
    desk, bus = enrolment(faces(face_at(800, 500, eyes_px=240)), detect_width_px=320)
    await reference_of(desk, png(picture(height=1200, width=1600)))
    (asked,) = bus.asks[0].images
    assert (asked.width, asked.height) == (1600, 1200)
    assert decode_rgb(asked.jpeg).shape == (240, 320, 3)
    assert bus.asks[1].chips.shape == (1, 112, 112, 3)


async def test_a_small_image_is_not_enlarged_for_the_detector():
    desk, bus = enrolment(faces(face_at(50, 50, eyes_px=40)), detect_width_px=640)
    await reference_of(desk, png(picture(height=240, width=320)))
    assert decode_rgb(bus.asks[0].images[0].jpeg).shape == (240, 320, 3)


async def test_a_small_plain_jpeg_goes_to_the_detector_as_it_is():
    desk, bus = enrolment(faces(face_at(50, 50, eyes_px=40)), detect_width_px=640)
    data = jpeg(picture(height=240, width=320))
    await reference_of(desk, data)
    assert bus.asks[0].images[0].jpeg == data


async def test_a_photograph_that_is_to_be_turned_goes_to_the_detector_upright():
    desk, bus = enrolment(faces(face_at(50, 50, eyes_px=40)), detect_width_px=640)
    plain = jpeg(picture(height=240, width=320))
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    segment = b"Exif\0\0" + tiff
    turned = plain[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + plain[2:]
    await reference_of(desk, turned)
    assert (bus.asks[0].images[0].width, bus.asks[0].images[0].height) == (240, 320)
    assert decode_rgb(bus.asks[0].images[0].jpeg).shape == (320, 240, 3)


async def refused(image, *detector, **settings):
    """The refusal of an image, for which no template is asked."""
    desk, bus = enrolment(*detector, **settings)
    with pytest.raises(RefusedImageError) as refusal:
        await reference_of(desk, image if isinstance(image, bytes) else png(image))
    assert not [ask for ask in bus.asks if hasattr(ask, "chips")]
    assert refusal.value.remedy
    return refusal.value


async def test_an_image_without_a_face_is_refused():
    error = await refused(picture(), faces())
    assert "no face was found" in error.reason
    assert "from the front" in error.remedy
    assert (error.component, error.measured, error.required) == ("", None, None)


async def test_an_image_with_two_faces_is_refused_and_they_are_counted():
    error = await refused(picture(), faces(face_at(100), face_at(350)))
    assert "2 faces" in error.reason
    assert "exactly one" in error.reason
    assert "cut the image" in error.remedy


async def test_what_the_detector_is_unsure_of_is_no_second_face():
    desk, _ = enrolment(faces(face_at(100), face_at(350), scores=[0.95, 0.4]))
    assert (await reference_of(desk, png(picture()))).quality.unified > 0


async def test_a_face_that_is_too_small_is_refused_with_what_was_measured_and_what_is_required():
    error = await refused(picture(), faces(face_at(eyes_px=12)), min_inter_eye_distance_px=24)
    assert error.component == "inter_eye_distance_px"
    assert error.measured == pytest.approx(12, rel=0.01)
    assert error.required == 24
    assert "12" in error.reason
    assert "24" in error.reason
    assert "larger" in error.remedy


async def test_a_face_that_is_too_poor_is_refused_with_what_was_measured_and_what_is_required():
    error = await refused(picture(shades=2), min_quality=0.6)  # no contrast at all
    assert error.component == "quality"
    assert 0 <= error.measured < 0.6
    assert error.required == 0.6
    assert "sharper" in error.remedy


async def test_landmarks_that_are_no_face_are_refused_rather_than_a_bug():
    error = await refused(picture(), faces(np.full((5, 2), 100.0)))
    assert (error.component, error.measured) == ("inter_eye_distance_px", 0)


BROKEN = {
    "no image": (b"a text file", "not a JPEG, PNG, WebP or BMP", "save it anew"),
    "nothing": (b"", "not a JPEG, PNG, WebP or BMP", "save it anew"),
    "a GIF": (b"GIF89a" + bytes(40), "a GIF, not a JPEG", "save it anew"),
    "half a header": (png(picture())[:20], "cut off within its header", "copy the file anew"),
    "half a photograph": (jpeg(picture())[:5000], "its end is missing", "copy the file anew"),
    "half an image": (b"BM" + bytes(16) + (640).to_bytes(4, "little") * 2 + bytes(100), "damaged", "save it anew"),
    "a bomb": (png(picture())[:16] + (16_000).to_bytes(4, "big") * 2 + png(picture())[24:], "bounds", "smaller"),
}


@pytest.mark.parametrize(("data", "reason", "remedy"), BROKEN.values(), ids=BROKEN)
async def test_a_file_is_refused_that_is(data, reason, remedy):
    error = await refused(data)
    assert reason in error.reason
    assert remedy in error.remedy


async def test_an_embedder_of_another_version_than_the_gallery_is_an_error():
    desk, _ = enrolment(embedder=lambda ask: embedded(ask).model_copy(update={"template_version": "other-1"}))
    with pytest.raises(PermanentError, match="embed runs other-1, the gallery holds sface-2021dec"):
        await reference_of(desk, png(picture()))


@pytest.mark.parametrize("who", ["detect", "embedder"])
async def test_a_stage_that_is_away_is_said_so(who):
    desk, _ = enrolment(**{who: fails_with(TransientError("nobody answered"))})
    with pytest.raises(TransientError, match="nobody answered"):
        await reference_of(desk, png(picture()))


async def test_images_that_come_together_are_asked_for_together_and_each_gets_what_is_its_own():
    desk, bus = enrolment()
    images = [png(picture(number)) for number in range(5)]
    found = await desk.references_of([*images[:2], b"a text file", *images[2:]])
    assert [len(getattr(ask, "images", ())) or len(ask.chips) for ask in bus.asks] == [5, 5]
    assert isinstance(found.pop(2), RefusedImageError)
    alone, _ = enrolment()
    for image, reference in zip(images, found, strict=True):
        expected = await reference_of(alone, image)
        assert np.allclose(reference.template, expected.template, atol=1e-6)
        assert reference.portrait == expected.portrait


async def test_an_image_that_the_detector_refuses_spoils_none_beside_it():
    def detector(ask):
        found = faces(face_at())(ask).found
        return DetectImagesReply(found=(found[0], None, found[2]), reasons=("", "too large", ""))

    desk, bus = enrolment(detector)
    first, refusal, last = await desk.references_of([png(picture(number)) for number in range(3)])
    assert isinstance(refusal, RefusedImageError)
    assert ("too large" in refusal.reason, bool(refusal.remedy)) == (True, True)
    assert len(bus.asks[1].chips) == 2
    assert not np.allclose(first.template, last.template, atol=1e-3)


async def test_an_ask_that_the_detector_refuses_as_a_whole_is_not_taken_for_a_bad_image():
    desk, _ = enrolment(fails_with(AskError("watchline.v1.detect_images", "413", "too large")))
    with pytest.raises(AskError, match="too large"):
        await desk.references_of([png(picture(number)) for number in range(2)])


async def test_an_image_that_the_detector_refuses_is_refused_with_its_reason():
    error = await refused(picture(), fails_with(AskError("watchline.v1.detect_images", "400", "too large")))
    assert "too large" in error.reason
