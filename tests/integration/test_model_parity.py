"""Our chain against OpenCV's own classes for the same models, and the contract every model adapter keeps."""

import shutil

import av
import cv2
import numpy as np
import pytest

from libs.assets import AssetStore
from libs.errors import UserError
from libs.geometry import align, iou
from libs.inference import Session, SessionSettings
from libs.prepare import prepare, prepared_path
from services.detect.yunet import YuNet
from services.embed.sface import SFace

MIN_SCORE = 0.7  # anything usual: both sides are asked the same
MAX_IOU = 0.3  # the default of cv2.FaceDetectorYN
CPU = SessionSettings(device="cpu")


@pytest.fixture(scope="module")
def detector(assets):
    return YuNet(Session(prepared_path(assets, "yunet-2023mar"), CPU))


@pytest.fixture(scope="module")
def embedder(assets):
    return SFace(Session(prepared_path(assets, "sface-2021dec"), CPU))


@pytest.fixture(scope="module")
def peer_detector(assets):
    return cv2.FaceDetectorYN.create(str(assets.path("yunet-2023mar")), "", (320, 320), MIN_SCORE, MAX_IOU)


@pytest.fixture(scope="module")
def peer_embedder(assets, tmp_path_factory):
    readable = prepare(assets.path("sface-2021dec"), "opencv", tmp_path_factory.mktemp("peer"))
    return cv2.FaceRecognizerSF.create(str(readable), "")


@pytest.fixture(scope="module")
def group(assets):
    return read(assets, "multi_face.jpg")


def read(assets, name):
    return cv2.cvtColor(cv2.imread(str(assets.path(name))), cv2.COLOR_BGR2RGB)


def frames(assets, name, every):
    with av.open(str(assets.path(name))) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index % every == 0:
                height = 640 * frame.height // frame.width
                yield frame.reformat(width=640, height=height).to_ndarray(format="rgb24")


def images(assets, name):
    if name.endswith(".jpg"):
        return [read(assets, name)]
    return list(frames(assets, name, {"single_face.mp4": 12, "no_face.mp4": 24}.get(name, 48)))


MEDIA = ["multi_face.jpg", "single_face.jpg", "single_face.mp4", "WolfgangLanger_Pexels.mp4", "no_face.mp4"]


def peer_rows(peer_detector, image):
    peer_detector.setInputSize((image.shape[1], image.shape[0]))
    rows = peer_detector.detect(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1]
    return np.zeros((0, 15), np.float32) if rows is None else rows


@pytest.mark.parametrize("name", MEDIA)
def test_detections_are_those_of_opencv(assets, detector, peer_detector, name):
    for image in images(assets, name):
        (faces,) = detector.detect([image], MIN_SCORE, MAX_IOU)
        rows = peer_rows(peer_detector, image)
        assert len(faces.boxes) == len(rows)
        if len(rows) == 0:
            continue
        overlaps = iou(faces.boxes, np.hstack([rows[:, :2], rows[:, :2] + rows[:, 2:4]]))
        partner = overlaps.argmax(axis=1)
        assert sorted(partner) == list(range(len(rows)))
        assert overlaps.max(axis=1).min() >= 0.9
        np.testing.assert_allclose(faces.landmarks.reshape(-1, 10), rows[partner, 4:14], atol=0.5)
        np.testing.assert_allclose(faces.detect_scores, rows[partner, 14], atol=0.01)


@pytest.mark.parametrize("name", MEDIA[:4])
def test_templates_are_those_of_opencv(assets, embedder, peer_detector, peer_embedder, name):
    for image in images(assets, name):
        for row in peer_rows(peer_detector, image):
            chip = peer_embedder.alignCrop(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), row)
            peer = peer_embedder.feature(chip)[0]
            (template,) = embedder.embed(align(image, row[4:14].reshape(5, 2))[None])
            assert template @ peer / np.linalg.norm(peer) >= 0.999


def test_an_empty_image_has_no_face(detector):
    (faces,) = detector.detect([np.zeros((360, 640, 3), np.uint8)], MIN_SCORE, MAX_IOU)
    assert faces.boxes.shape == (0, 4)
    assert faces.landmarks.shape == (0, 5, 2)
    assert faces.detect_scores.shape == (0,)


def test_no_images_and_no_chips_have_no_results(detector, embedder):
    assert detector.detect([], MIN_SCORE, MAX_IOU) == []
    assert embedder.embed(np.zeros((0, 112, 112, 3), np.uint8)).shape == (0, 128)


def test_one_face_is_found_with_its_landmarks_inside_and_the_right_way_round(assets, detector):
    (faces,) = detector.detect([read(assets, "single_face.jpg")], MIN_SCORE, MAX_IOU)
    assert len(faces.boxes) == 1
    left, top, right, bottom = faces.boxes[0]
    right_eye, left_eye, nose, *mouth = faces.landmarks[0]
    assert left < right_eye[0] < nose[0] < left_eye[0] < right
    assert top < right_eye[1] < nose[1] < mouth[0][1] < bottom


def test_two_faces_side_by_side_are_both_found_best_first(assets, detector):
    single = read(assets, "single_face.jpg")
    (faces,) = detector.detect([np.hstack([single, single[:, ::-1]])], MIN_SCORE, MAX_IOU)
    assert len(faces.boxes) == 2
    assert faces.detect_scores[0] >= faces.detect_scores[1] >= MIN_SCORE
    assert {int(box[0] // single.shape[1]) for box in faces.boxes} == {0, 1}


def test_a_face_moved_off_the_origin_moves_its_box_and_keeps_its_template(assets, detector, embedder):
    single = read(assets, "single_face.jpg")
    moved = np.zeros((single.shape[0] + 64, single.shape[1] + 96, 3), np.uint8)
    moved[64:, 96:] = single
    before, after = detector.detect([single, moved], MIN_SCORE, MAX_IOU)
    np.testing.assert_allclose(after.boxes[0] - before.boxes[0], [96, 64, 96, 64], atol=2)
    chips = [align(image, faces.landmarks[0]) for image, faces in ((single, before), (moved, after))]
    first, second = embedder.embed(np.stack(chips))
    assert first @ second >= 0.99


def test_a_batch_of_images_of_several_sizes_answers_as_singles_do(assets, detector, group):
    single = read(assets, "single_face.jpg")
    batch = [group, single, group[:, ::-1], single[:400], group[:-7, :-5]]
    together = detector.detect(batch, MIN_SCORE, MAX_IOU)
    for image, faces in zip(batch, together, strict=True):
        (alone,) = detector.detect([image], MIN_SCORE, MAX_IOU)
        np.testing.assert_allclose(faces.boxes, alone.boxes, atol=1e-2)
        np.testing.assert_allclose(faces.landmarks, alone.landmarks, atol=1e-2)
        np.testing.assert_allclose(faces.detect_scores, alone.detect_scores, atol=1e-5)


def test_a_batch_of_chips_answers_as_singles_do(detector, embedder, group):
    (faces,) = detector.detect([group], MIN_SCORE, MAX_IOU)
    chips = np.stack([align(group, landmarks) for landmarks in faces.landmarks])
    alone = np.concatenate([embedder.embed(chip[None]) for chip in chips])
    np.testing.assert_allclose(embedder.embed(chips), alone, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(alone, axis=1), 1, atol=1e-5)


def test_five_people_of_one_photo_are_five_people(detector, embedder, group):
    (faces,) = detector.detect([group], MIN_SCORE, MAX_IOU)
    templates = embedder.embed(np.stack([align(group, landmarks) for landmarks in faces.landmarks]))
    assert len(templates) == 5
    scores = templates @ templates.T
    assert scores[~np.eye(5, dtype=bool)].max() < 0.5


def test_a_chip_of_another_size_is_refused(embedder):
    with pytest.raises(ValueError, match="112"):
        embedder.embed(np.zeros((1, 96, 96, 3), np.uint8))


def test_a_model_with_a_wrong_hash_is_never_loaded(assets, tmp_path):
    name = "face_detection_yunet_2023mar_int8bq.onnx"
    shutil.copy(assets.path("yunet-2023mar"), tmp_path / name)
    with (tmp_path / name).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(UserError, match="sha256 expected"):
        prepared_path(AssetStore(tmp_path / "cache", tmp_path), "yunet-2023mar")
