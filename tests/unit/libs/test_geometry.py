import cv2
import numpy as np
import pytest

from libs.geometry import (
    CHIP_SIDE_PX,
    REFERENCE_POINTS_PX,
    align,
    chip_region,
    iou,
    similarity_transform,
)

WIDTH, HEIGHT = 640, 360


def face_at(x, y, side, angle=0.0):
    """The reference points scaled to `side`, turned by `angle` (radians) and moved to (x, y)."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return ((REFERENCE_POINTS_PX @ turn.T) * side / CHIP_SIDE_PX + (x, y)).astype(np.float32)


@pytest.fixture
def frame():
    """A smooth colourful frame: noise blurred, so that interpolation has something to be right about."""
    noise = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (9, 9), 3), None, 0, 255, cv2.NORM_MINMAX)


def test_a_turned_scaled_and_moved_face_lands_on_the_reference_points():
    landmarks = face_at(200, 100, 80, angle=0.3)
    matrix = similarity_transform(landmarks, REFERENCE_POINTS_PX)
    landed = landmarks @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(landed, REFERENCE_POINTS_PX, atol=1e-4)


def test_the_transform_is_the_least_squares_one_of_umeyama():
    rng = np.random.default_rng(5)
    points = face_at(90, 40, 60, angle=-0.4) + rng.normal(0, 3, (5, 2)).astype(np.float32)
    source, target = points - points.mean(0), REFERENCE_POINTS_PX - REFERENCE_POINTS_PX.mean(0)
    left, spread, right = np.linalg.svd(target.T @ source / 5)
    rotation = left @ np.diag([1, np.sign(np.linalg.det(left @ right))]) @ right
    scale = (spread * [1, np.sign(np.linalg.det(left @ right))]).sum() / source.var(0).sum()
    np.testing.assert_allclose(similarity_transform(points, REFERENCE_POINTS_PX)[:, :2], scale * rotation, rtol=1e-5)


def test_a_mirrored_face_is_not_mirrored_back():
    mirrored = face_at(200, 100, 80) * np.float32([-1, 1])
    matrix = similarity_transform(mirrored, REFERENCE_POINTS_PX)
    assert np.linalg.det(matrix[:, :2]) > 0


def test_landmarks_that_are_all_one_point_give_a_plain_chip_not_an_error(frame):
    assert align(frame, np.full((5, 2), 50, np.float32)).shape == (CHIP_SIDE_PX, CHIP_SIDE_PX, 3)


def test_a_chip_of_an_upright_face_of_chip_size_is_the_plain_crop(frame):
    chip = align(frame, face_at(200, 100, CHIP_SIDE_PX))
    np.testing.assert_array_equal(chip, frame[100:212, 200:312])


@pytest.mark.parametrize(("x", "y", "side", "angle"), [(200, 100, 60, 0.2), (301, 33, 150, -0.3), (-20, 280, 120, 0.1)])
def test_a_chip_cut_from_its_region_is_the_chip_cut_from_the_frame(frame, x, y, side, angle):
    landmarks = face_at(x, y, side, angle)
    x0, y0, x1, y1 = chip_region(landmarks, WIDTH, HEIGHT)
    part = frame[y0:y1, x0:x1]
    chip = align(part, landmarks - np.float32([x0, y0]))
    # the fixed-point coordinates inside OpenCV round once in ten thousand pixels the other way
    np.testing.assert_allclose(chip.astype(int), align(frame, landmarks).astype(int), atol=1)
    assert part.size < frame.size / 2


def test_a_chip_from_the_wrong_offset_is_another_chip(frame):
    landmarks = face_at(200, 100, 60)
    x0, y0, x1, y1 = chip_region(landmarks, WIDTH, HEIGHT)
    part = frame[y0:y1, x0:x1]
    difference = align(part, landmarks).astype(int) - align(frame, landmarks)
    assert np.abs(difference).max() > 50


def test_a_face_wholly_outside_of_the_frame_has_an_empty_region():
    x0, y0, x1, y1 = chip_region(face_at(2000, 100, 60), WIDTH, HEIGHT)
    assert (x1 - x0) * (y1 - y0) == 0


def test_iou_of_known_boxes():
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [3, 3, 3, 3]], np.float32)
    expected = [[1, 1 / 3, 0, 0], [1 / 3, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(iou(boxes, boxes), expected, atol=1e-6)
    assert iou(boxes, boxes[:0]).shape == (4, 0)
