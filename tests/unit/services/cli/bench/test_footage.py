from itertools import pairwise

import av
import numpy as np
import pytest

from libs.errors import UserError
from services.cli.bench.footage import Visits, inspect, loop, visits

RATE = 25


@pytest.fixture
def clip(tmp_path):
    """Twelve frames that get brighter, with frames that refer to later ones as cameras' recordings have."""
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=RATE, options={"bf": "2", "g": "6"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(12):
            picture = np.full((48, 64, 3), 20 * index, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    return inspect(path)


def decoded(path):
    with av.open(str(path)) as container:
        return [(frame.time, float(frame.to_ndarray(format="gray").mean())) for frame in container.decode(video=0)]


def test_a_looped_video_shows_every_frame_of_every_pass_in_order(clip, tmp_path):
    once = [light for _, light in decoded(clip.path)]

    looped = loop(clip, 3, tmp_path / "looped.mp4")

    assert [light for _, light in decoded(looped.path)] == once * 3
    assert looped.frames == inspect(looped.path).frames == 36


def test_the_time_of_a_looped_video_goes_on_evenly_over_its_seams(clip, tmp_path):
    times = [time for time, _ in decoded(loop(clip, 3, tmp_path / "looped.mp4").path)]

    np.testing.assert_allclose(np.diff(times), 1 / RATE, atol=1e-4)


def test_visits_show_the_clip_as_often_as_asked_with_grey_between(clip, tmp_path):
    made = visits(clip, Visits(times=2, seen_s=0.2, away_s=0.4), RATE, tmp_path / "visits.mp4")

    lights = [light for _, light in decoded(made.path)]
    shown = [abs(light - lights[0]) > 10 for light in lights]
    assert made.frames == len(lights) == 3 * 10 + 2 * 5
    assert sum(now and not before for before, now in pairwise(shown)) == 2


def test_what_is_no_video_is_refused_by_name(tmp_path):
    text = tmp_path / "notes.mp4"
    text.write_text("no video")

    with pytest.raises(UserError, match=r"notes\.mp4"):
        inspect(text)


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.mp4"):
        inspect(tmp_path / "nowhere.mp4")
