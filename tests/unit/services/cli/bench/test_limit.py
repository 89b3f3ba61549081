import cv2
import pytest

from libs.log import configure
from libs.settings import LogSettings
from services.cli.bench.limit import LimitOptions, Models, run_limit


@pytest.fixture(scope="module")
def models(assets):
    return Models(configure(LogSettings(level="error"), "test"))


def test_every_frame_is_looked_at_and_the_best_shots_are_embedded(models, assets):
    done = run_limit(assets.path("single_face.mp4"), 1, models, LimitOptions())

    assert (done.frames, done.faces) == (72, 72)
    assert 1 <= done.embedded <= 3


@pytest.mark.parametrize("options", [LimitOptions(workers=1, decode_threads=1, ahead=1), LimitOptions(workers=3)])
def test_the_same_comes_out_however_the_work_is_spread(models, assets, options):
    path = assets.path("single_face.mp4")

    assert run_limit(path, 1, models, options) == run_limit(path, 1, models, LimitOptions())


def test_several_cameras_come_to_as_much_as_each_alone(models, assets):
    one, two = (run_limit(assets.path("single_face.mp4"), cameras, models, LimitOptions()) for cameras in (1, 2))

    assert (two.frames, two.faces, two.embedded) == (2 * one.frames, 2 * one.faces, 2 * one.embedded)


def test_opencv_has_its_threads_back_afterwards(models, assets):
    before = cv2.getNumThreads()

    run_limit(assets.path("single_face.mp4"), 1, models, LimitOptions())

    assert cv2.getNumThreads() == before
