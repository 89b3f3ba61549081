import itertools

import numpy as np
import pytest

from libs.quality import chip_quality, geometry_quality, unify

FRONTAL = np.array([[-0.5, 0, 0], [0.5, 0, 0], [0, 0.553, 0.5], [-0.4, 0.98, 0], [0.4, 0.98, 0]])
"""A face in eye distances: right and left eye, nose tip, mouth corners; x right, y down, z towards the camera."""


def turned(yaw=0.0, pitch=0.0, roll=0.0, eyes_px=40.0):
    """The landmarks (1, 5, 2) of the face after turning the head by degrees, seen from far away."""
    y, p, r = np.radians([yaw, pitch, roll])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    head = FRONTAL @ (about_z @ about_x @ about_y).T
    return (head[None, :, :2] * eyes_px + 200).astype(np.float32)


def geometry(landmarks, score=0.9):
    return geometry_quality(landmarks, np.full(len(landmarks), score, np.float32))


def of_geometry(*poses, score=0.9):
    return [geometry(turned(**pose), score).quality[0] for pose in poses]


def falls(values):
    return all(earlier > later for earlier, later in itertools.pairwise(values))


@pytest.fixture
def chip():
    """Something with the contrast and the detail of a face: dark eyes and mouth, a lit nose, fine texture."""
    random = np.random.default_rng(1)
    rows, columns = np.mgrid[:112, :112].astype(float)

    def spot(x, y, width, height):
        return np.exp(-(((columns - x) / width) ** 2) - ((rows - y) / height) ** 2)

    grey = 150 - 90 * (spot(38, 52, 9, 4) + spot(74, 52, 9, 4)) - 70 * spot(56, 92, 14, 4) + 50 * spot(56, 70, 5, 14)
    grey = grey + 12 * (columns - 56) / 56 + blurred(random.normal(0, 25, (112, 112)), 1)
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def blurred(image, times, axes=(0, 1)):
    """Binomial smoothing, the more often the wider."""
    smooth = image.astype(float)
    for _ in range(times):
        for axis in axes:
            smooth = (np.roll(smooth, 1, axis) + 2 * smooth + np.roll(smooth, -1, axis)) / 4
    return smooth


def as_chip(image):
    return np.clip(image, 0, 255).astype(np.uint8)


def of_chips(*images):
    return [chip_quality(as_chip(image)).quality for image in images]


@pytest.mark.parametrize("yaw", [-50, -20, 0, 20, 50])
def test_yaw_is_read_from_the_landmarks(yaw):
    assert geometry(turned(yaw=yaw)).head_pose_yaw_deg[0] == pytest.approx(yaw, abs=0.5)


@pytest.mark.parametrize("pitch", [-25, -10, 0, 10, 25])
def test_pitch_is_read_from_the_landmarks_and_up_is_positive(pitch):
    assert geometry(turned(pitch=pitch)).head_pose_pitch_deg[0] == pytest.approx(pitch, abs=0.5)


@pytest.mark.parametrize("roll", [-40, 0, 15])
def test_roll_is_read_from_the_eyes_and_does_not_disturb_the_rest(roll):
    found = geometry(turned(roll=roll, yaw=20))
    assert found.head_pose_roll_deg[0] == pytest.approx(roll, abs=0.1)
    assert found.head_pose_yaw_deg[0] == pytest.approx(20, abs=0.5)


def test_inter_eye_distance_is_in_pixels_of_the_frame():
    assert geometry(turned(eyes_px=33)).inter_eye_distance_px[0] == pytest.approx(33, abs=0.01)


def test_quality_falls_as_the_face_shrinks():
    assert falls(of_geometry(*({"eyes_px": px} for px in (60, 30, 15, 8, 4))))


def test_quality_falls_as_the_head_turns_away():
    assert falls(of_geometry(*({"yaw": yaw} for yaw in (0, 20, 40, 60, 75))))


def test_quality_falls_as_the_head_nods():
    assert falls(of_geometry(*({"pitch": pitch} for pitch in (0, -8, -16, -24))))
    assert falls(of_geometry(*({"pitch": pitch} for pitch in (0, 8, 16, 24))))


def test_quality_falls_as_the_head_tilts():
    assert falls(of_geometry(*({"roll": roll} for roll in (0, 20, 45, 80))))


def test_quality_falls_with_the_detect_score():
    assert falls([of_geometry({}, score=score)[0] for score in (0.95, 0.9, 0.8, 0.6, 0.3, 0.0)])


def test_turning_left_is_as_bad_as_turning_right():
    left, right = of_geometry({"yaw": 35}, {"yaw": -35})
    assert left == pytest.approx(right, abs=1e-4)


def test_a_large_frontal_face_is_nearly_ideal():
    assert of_geometry({"eyes_px": 60}, score=0.95)[0] > 0.9


@pytest.mark.parametrize(
    "landmarks",
    [
        np.zeros((1, 5, 2), np.float32),
        np.full((1, 5, 2), np.nan, np.float32),
        turned()[:, [3, 4, 2, 0, 1]],
    ],
    ids=["all in one point", "not a number", "mouth above the eyes"],
)
def test_landmarks_that_are_no_face_have_no_quality_and_no_absurd_numbers(landmarks):
    found = geometry(landmarks)
    assert found.quality[0] == 0
    assert np.isfinite([found.head_pose_yaw_deg, found.head_pose_pitch_deg, found.inter_eye_distance_px]).all()


def test_no_faces_are_measured_too():
    assert geometry_quality(np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32)).quality.shape == (0,)


def test_many_faces_are_measured_as_each_alone():
    poses = [{"yaw": 10}, {"yaw": 50, "eyes_px": 20}, {"pitch": -20}]
    together = geometry(np.concatenate([turned(**pose) for pose in poses])).quality
    assert together == pytest.approx(of_geometry(*poses))


def test_quality_falls_with_blur(chip):
    assert falls(of_chips(chip, *(blurred(chip, times) for times in (4, 16, 40, 80))))


def test_a_face_that_moved_sideways_or_up_is_not_sharp(chip):
    still = chip_quality(chip).sharpness
    assert chip_quality(as_chip(blurred(chip, 20, axes=(1,)))).sharpness < still / 2
    assert chip_quality(as_chip(blurred(chip, 20, axes=(0,)))).sharpness < still / 2


def test_quality_falls_when_the_light_goes(chip):
    assert falls(of_chips(chip, chip * 0.4, chip * 0.15, chip * 0.06, chip * 0.0))


def test_quality_falls_when_the_light_burns_out(chip):
    assert falls(of_chips(chip, *(chip * 1.0 + brighter for brighter in (80, 110, 140, 200))))


def test_quality_falls_when_the_contrast_goes(chip):
    assert falls(of_chips(chip, *((chip - 128.0) * contrast + 128 for contrast in (0.3, 0.1, 0.03))))


def test_a_face_that_is_a_bit_darker_is_as_good(chip):
    bright, dark = of_chips(chip, chip * 0.6)
    assert dark == pytest.approx(bright, rel=0.1)


def test_exposure_is_a_share_of_the_pixels(chip):
    black, white = chip_quality(chip * 0), chip_quality(chip * 0 + 255)
    assert (black.under_exposure, black.over_exposure, black.dynamic_range) == (1, 0, 0)
    assert (white.under_exposure, white.over_exposure, white.dynamic_range) == (0, 1, 0)


def test_sharpness_does_not_depend_on_contrast(chip):
    assert chip_quality(as_chip((chip - 128.0) * 0.5 + 128)).sharpness == pytest.approx(
        chip_quality(chip).sharpness, rel=0.1
    )


def test_an_image_that_is_no_chip_is_refused():
    with pytest.raises(ValueError, match="expected a chip"):
        chip_quality(np.zeros((80, 80, 3), np.uint8))


def test_the_geometry_is_never_less_than_the_whole(chip):
    found = geometry(turned(yaw=10))
    for image in (chip, blurred(chip, 10), chip * 0.1):
        whole = unify(found, 0, chip_quality(as_chip(image)))
        assert 0 <= whole.unified <= found.quality[0]


def test_the_whole_carries_every_component(chip):
    found, pixels = geometry(turned(yaw=10, eyes_px=33)), chip_quality(chip)
    whole = unify(found, 0, pixels)
    assert whole.inter_eye_distance_px == found.inter_eye_distance_px[0]
    assert (whole.sharpness, whole.dynamic_range) == (pixels.sharpness, pixels.dynamic_range)
    assert whole.detect_score == pytest.approx(0.9)


@pytest.mark.parametrize(("darkest", "name"), [(0, "under_exposure"), (253, "over_exposure")])
def test_a_face_in_the_dark_or_in_a_glare_has_a_share_that_is_one(darkest, name):
    """Shares that are added up can come out a little over 1, which a message takes for an error."""
    shares = set()
    for seed in range(400):
        chip = np.random.default_rng(seed).integers(darkest, darkest + 3, (112, 112, 3)).astype(np.uint8)
        quality = unify(geometry_quality(turned(), np.array([0.9])), 0, chip_quality(chip))
        shares.add(getattr(quality, name))
    assert shares == {1.0}
