import pytest

from services.cli.bench.naive import NaiveLoop, NaiveOptions, naive_options


@pytest.fixture(scope="module")
def naive(assets):
    return NaiveLoop(assets)


def test_the_naive_loop_embeds_every_face_of_every_frame(naive, assets):
    done = naive.run(assets.path("single_face.mp4"), naive_options())

    assert (done.frames, done.faces, done.embedded) == (72, 72, 72)


def test_the_naive_loop_finds_nobody_where_nobody_is(naive, assets):
    assert naive.run(assets.path("no_face.mp4"), naive_options()).faces == 0


def test_the_naive_loop_stops_when_its_time_is_over(naive, assets):
    assert naive.run(assets.path("single_face.mp4"), NaiveOptions(seconds=0)).frames == 0
