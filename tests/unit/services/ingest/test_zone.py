"""The zone of recognition: which boxes of a frame count."""

import numpy as np
import pytest

from proto.deployments import Zone
from services.ingest.zone import in_zone

WIDTH, HEIGHT = 400, 200
U_SHAPE = ((0.1, 0.1), (0.3, 0.1), (0.3, 0.6), (0.7, 0.6), (0.7, 0.1), (0.9, 0.1), (0.9, 0.9), (0.1, 0.9))
"""Concave: open at the top between 0.3 and 0.7."""


def box(x, y, width=20, height=30):
    """A box around the centre `x`, `y`, in px."""
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


def counted(zone, *boxes):
    return in_zone(zone, np.array(boxes, np.float32).reshape(-1, 4), WIDTH, HEIGHT).tolist()


def test_without_a_polygon_every_face_whose_centre_is_in_the_frame_counts():
    assert counted(Zone(), box(1, 1), box(200, 100), box(399, 199)) == [True, True, True]
    assert counted(Zone(), box(-1, 100), box(401, 100), box(200, 201)) == [False, False, False]


def test_the_corners_are_fractions_of_the_frames_own_width_and_height():
    right_half = Zone(polygon=((0.5, 0), (1, 0), (1, 1), (0.5, 1)))
    assert counted(right_half, box(190, 100), box(210, 100)) == [False, True]


def test_the_centre_of_the_box_decides_however_much_of_the_face_reaches_in():
    left_half = Zone(polygon=((0, 0), (0.5, 0), (0.5, 1), (0, 1)))
    assert counted(left_half, box(199, 100, width=300), box(201, 100, width=300)) == [True, False]


def test_in_the_hollow_of_a_concave_zone_nobody_counts():
    zone = Zone(polygon=U_SHAPE)
    assert counted(zone, box(80, 60), box(200, 60), box(320, 60), box(200, 150)) == [True, False, True, True]


@pytest.mark.parametrize("polygon", [U_SHAPE, U_SHAPE[::-1], (*U_SHAPE[3:], *U_SHAPE[:3])])
def test_neither_the_direction_nor_the_first_corner_of_a_polygon_matters(polygon):
    rng = np.random.default_rng(7)
    boxes = [box(x, y) for x, y in rng.uniform((0, 0), (WIDTH, HEIGHT), (500, 2))]
    assert counted(Zone(polygon=polygon), *boxes) == counted(Zone(polygon=U_SHAPE), *boxes)


@pytest.mark.parametrize("corner", U_SHAPE)
def test_every_corner_is_in_the_zone(corner):
    assert counted(Zone(polygon=U_SHAPE), box(corner[0] * WIDTH, corner[1] * HEIGHT)) == [True]


@pytest.mark.parametrize(("x", "y"), [(40, 100), (360, 100), (200, 180), (200, 120), (120, 50)])
def test_every_side_is_in_the_zone_and_one_pixel_outside_is_not(x, y):
    zone = Zone(polygon=U_SHAPE)
    around = [counted(zone, box(x + dx, y + dy))[0] for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1))]
    assert counted(zone, box(x, y)) == [True]
    assert around.count(False) == 1


def test_a_point_level_with_a_corner_is_counted_once():
    kite = Zone(polygon=((0.5, 0.0), (1.0, 0.5), (0.5, 1.0), (0.0, 0.5)))
    assert counted(kite, box(200, 100), box(20, 20), box(390, 10)) == [True, False, False]


def test_a_triangle_agrees_with_the_signs_of_its_sides():
    corners = np.array([(0.15, 0.2), (0.85, 0.35), (0.4, 0.95)]) * (WIDTH, HEIGHT)
    points = np.random.default_rng(3).uniform((0, 0), (WIDTH, HEIGHT), (2000, 2)).round()
    sides = np.roll(corners, -1, axis=0) - corners
    away = points[:, None] - corners
    left_of = sides[:, 0] * away[:, :, 1] - sides[:, 1] * away[:, :, 0] >= 0
    zone = Zone(polygon=tuple(map(tuple, corners / (WIDTH, HEIGHT))))
    assert counted(zone, *(box(x, y) for x, y in points)) == left_of.all(axis=1).tolist()


def test_a_face_that_is_too_small_does_not_count_and_one_that_is_just_large_enough_does():
    zone = Zone(min_face_px=40)
    assert counted(zone, box(200, 100, width=39.5, height=80), box(200, 100, width=40, height=20)) == [False, True]


def test_no_box_and_a_box_that_is_none_count_as_nobody():
    assert counted(Zone(polygon=U_SHAPE)) == []
    assert counted(Zone(), [np.nan, 0, 10, 10]) == [False]
