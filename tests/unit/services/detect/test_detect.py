"""Asks to answers: in the pixels of the full frame, and each ask for itself."""

import cv2
import numpy as np
import pytest

from libs.errors import PermanentError
from libs.images import encode_jpeg
from proto.messages import DetectRequest
from services.detect.service import Detector
from services.detect.settings import DetectSettings
from services.detect.yunet import Faces


class OneFaceInTheMiddle:
    """A model that finds, in every image, one face from a quarter to three quarters of each side."""

    def __init__(self):
        self.batches = []

    def detect(self, images, min_score, max_iou):
        self.batches.append([image.shape[:2] for image in images])
        return [self._face(*image.shape[:2]) for image in images]

    def _face(self, height, width):
        box = np.array([[width / 4, height / 4, width * 3 / 4, height * 3 / 4]], np.float32)
        landmarks = np.tile(np.array([[[width / 2, height / 2]]], np.float32), (1, 5, 1))
        return Faces(box, landmarks, np.array([0.875], np.float32))


class Nobody:
    def detect(self, images, min_score, max_iou):
        return [Faces(np.zeros((0, 4)), np.zeros((0, 5, 2)), np.zeros(0)) for _ in images]


def ask(frame=0, jpeg=None, size=(640, 360), full=(1920, 1080)):
    image = np.full((size[1], size[0], 3), 100, np.uint8)
    return DetectRequest(
        camera="gate-1", frame=frame, width=full[0], height=full[1], jpeg=encode_jpeg(image) if jpeg is None else jpeg
    )


@pytest.fixture
def model():
    return OneFaceInTheMiddle()


@pytest.fixture
def detector(model):
    return Detector(model, DetectSettings())


def test_coordinates_are_those_of_the_full_frame(detector):
    (found,) = detector.detect([ask()])
    assert found.boxes.tolist() == [[480, 270, 1440, 810]]
    assert found.landmarks.tolist() == [[[960, 540]] * 5]
    assert found.detect_scores.tolist() == [0.875]


def test_a_frame_whose_copy_has_other_proportions_is_scaled_along_each_side(detector):
    (found,) = detector.detect([ask(size=(320, 320), full=(1280, 720))])
    assert found.boxes.tolist() == [[320, 180, 960, 540]]


def test_each_answer_names_its_camera_and_frame(detector):
    answers = detector.detect([ask(frame=3), ask(frame=1), ask(frame=2)])
    assert [answer.frame for answer in answers] == [3, 1, 2]
    assert {answer.camera for answer in answers} == {"gate-1"}


def test_no_face_is_an_answer():
    (found,) = Detector(Nobody(), DetectSettings()).detect([ask()])
    assert found.boxes.shape == (0, 4)
    assert found.landmarks.shape == (0, 5, 2)
    assert found.boxes.dtype == np.float32


BROKEN = {
    "text": b"not a picture",
    "nothing": b"",
    "half a header": encode_jpeg(np.zeros((360, 640, 3), np.uint8))[:20],
    "a header alone": encode_jpeg(np.zeros((360, 640, 3), np.uint8))[:300],
    "a PNG": cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes(),
    "a bomb": b"\xff\xd8\xff\xc0\x00\x11\x08" + (60_000).to_bytes(2, "big") * 2 + bytes(40),
}


@pytest.mark.parametrize("jpeg", BROKEN.values(), ids=BROKEN)
def test_its_own_ask_alone_is_spoiled_by_a_jpeg_that_is(detector, model, jpeg):
    first, broken, last = detector.detect([ask(frame=1), ask(frame=2, jpeg=jpeg), ask(frame=3)])
    assert isinstance(broken, PermanentError)
    assert (first.frame, last.frame) == (1, 3)
    assert model.batches == [[(360, 640)] * 2]


def test_a_picture_too_large_to_search_is_refused_before_it_is_decoded(detector, model):
    """It would fit an image file, but the network would take gigabytes for it."""
    large = encode_jpeg(np.zeros((4000, 5000, 3), np.uint8), 10)
    (refusal,) = detector.detect([ask(jpeg=large)])
    assert isinstance(refusal, PermanentError)
    assert "5000 x 4000" in refusal.reason
    assert model.batches == [[]]


def test_only_broken_asks_are_answered_without_the_model_having_anything_to_do(detector):
    answers = detector.detect([ask(jpeg=b"x"), ask(jpeg=b"y")])
    assert all(isinstance(answer, PermanentError) for answer in answers)
