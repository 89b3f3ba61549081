"""A frame is small where it is asked about, true in colour where it is cropped, and upright in both."""

from concurrent.futures import ThreadPoolExecutor

import av
import cv2
import numpy as np
import pytest

from services.ingest.frame import Frame
from services.ingest.orientation import UPRIGHT, Orientation, from_display_matrix, from_rotation

LIMITED, FULL = 1, 2
BT709, UNSPECIFIED, BT601 = 1, 2, 5
ORIENTATIONS = [Orientation(t, x, y) for t in (False, True) for x in (False, True) for y in (False, True)]


def colourful(width=160, height=96):
    """Slow ramps in all three channels: every hue, no edge finer than chroma can carry."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    ramps = x / width, y / height, 0.5 + 0.5 * np.sin(x / 40 + y / 30)
    return (np.stack(ramps, axis=-1) * 255).astype(np.uint8)


def picture(pixel_format, image=None, color_range=LIMITED, colorspace=UNSPECIFIED):
    rgb = av.VideoFrame.from_ndarray(colourful() if image is None else image, format="rgb24")
    converted = rgb.reformat(format=pixel_format)
    converted.color_range, converted.colorspace = color_range, colorspace
    return converted


def planar(nv12):
    """The same samples in planes: FFmpeg smooths the chroma of NV12, and that of no other format."""
    return nv12.reformat(format="yuv420p") if nv12.format.name == "nv12" else nv12


def frame(pixel_format="yuv420p", orientation=UPRIGHT, **how):
    return Frame(picture(pixel_format, **how), index=0, source_time_s=0.0, captured_at=0.0, orientation=orientation)


def decoded(jpeg):
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)


def difference(one, other):
    return np.abs(one.astype(int) - other.astype(int))


@pytest.mark.parametrize("colorspace", [BT601, BT709, UNSPECIFIED])
@pytest.mark.parametrize("color_range", [LIMITED, FULL])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "nv12", "yuv422p", "yuv444p", "yuvj420p"])
def test_a_region_has_the_colours_of_ffmpeg(pixel_format, color_range, colorspace):
    whole = frame(pixel_format, color_range=color_range, colorspace=colorspace)
    expected = planar(whole.picture).to_ndarray(format="rgb24")
    part, (x0, y0) = whole.region((31.2, 17.9, 90.5, 61.1))
    assert (x0, y0) == (31, 17)
    assert part.shape == (62 - 17, 91 - 31, 3)
    assert difference(part, expected[17:62, 31:91]).max() <= 3


@pytest.mark.parametrize("pixel_format", ["rgb24", "bgr24", "gray", "yuv420p10le", "yuv444p12le", "rgba"])
def test_a_region_of_an_unusual_pixel_format_is_converted_too(pixel_format):
    whole = frame(pixel_format)
    part, _ = whole.region((30, 20, 70, 50))
    assert difference(part, whole.picture.to_ndarray(format="rgb24")[20:50, 30:70]).max() <= 3


@pytest.mark.parametrize("size", [(159, 95), (158, 95), (159, 96)])
def test_a_frame_of_odd_size_is_cut_up_to_its_last_pixel(size):
    image = colourful(*size)
    whole = frame(image=image)
    part, origin = whole.region((size[0] - 41, size[1] - 31, size[0] + 50, size[1] + 50))
    assert origin == (size[0] - 41, size[1] - 31)
    assert part.shape == (31, 41, 3)
    assert difference(part, image[-31:, -41:]).mean() < 6


def test_a_region_is_clipped_to_the_frame():
    part, origin = frame().region((-20.0, -10.5, 12.0, 8.0))
    assert origin == (0, 0)
    assert part.shape == (8, 12, 3)


@pytest.mark.parametrize("box", [(200, 10, 240, 50), (-40, 10, -5, 50), (10, 20, 10, 20)])
def test_a_box_outside_the_frame_is_refused(box):
    with pytest.raises(ValueError, match="outside the frame of 160 x 96"):
        frame().region(box)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("pixel_format", ["yuv420p", "rgb24"])
def test_a_turned_frame_is_upright_in_every_way_it_is_looked_at(orientation, pixel_format):
    whole = frame(pixel_format, orientation=orientation)
    upright = orientation.upright(frame(pixel_format).rgb())
    assert upright.shape[:2] == (whole.height, whole.width)
    part, (x0, y0) = whole.region((21, 13, 60, 40))
    assert np.array_equal(part, upright[y0 : y0 + 27, x0 : x0 + 39])
    small = decoded(whole.jpeg(64))
    assert small.shape[1] == 64
    same_size = cv2.resize(upright, small.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert difference(small, same_size).mean() < 6


@pytest.mark.parametrize(
    ("degrees_ccw", "matrix"),
    [
        (0, (65536, 0, 0, 0, 65536)),
        (90, (0, -65536, 0, 65536, 0)),
        (-90, (0, 65536, 0, -65536, 0)),
        (180, (-65536, 0, 0, 0, -65536)),
    ],
)
def test_a_display_matrix_and_its_angle_turn_alike(degrees_ccw, matrix):
    orientation = from_display_matrix(np.array([*matrix, 0, 0, 0, 1 << 30], np.int32).tobytes())
    assert orientation == from_rotation(degrees_ccw)
    image = colourful()
    assert np.array_equal(orientation.upright(image), np.rot90(image, degrees_ccw // 90))


def test_a_mirrored_display_matrix_is_mirrored_back():
    orientation = from_display_matrix(np.array([-65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30], np.int32).tobytes())
    assert np.array_equal(orientation.upright(colourful()), colourful()[:, ::-1])


@pytest.mark.parametrize(("asked", "expected"), [(80, (48, 80)), (81, (48, 80)), (500, (96, 160))])
def test_a_jpeg_keeps_the_aspect_and_is_never_enlarged(asked, expected):
    assert decoded(frame().jpeg(asked)).shape[:2] == expected


@pytest.mark.parametrize("colorspace", [BT601, BT709])
@pytest.mark.parametrize("color_range", [LIMITED, FULL])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "nv12", "yuv420p10le"])
def test_a_jpeg_has_the_colours_of_the_frame(pixel_format, color_range, colorspace):
    whole = frame(pixel_format, color_range=color_range, colorspace=colorspace)
    small = decoded(whole.jpeg(80))
    expected = cv2.resize(whole.picture.to_ndarray(format="rgb24"), (80, 48), interpolation=cv2.INTER_AREA)
    # planes that go into the JPEG as they are keep the matrix of the video: BT.709 comes out with a slight cast
    cast = pixel_format == "yuv420p" and colorspace == BT709
    assert difference(small, expected).mean() < (10 if cast else 4)


def test_threads_get_the_same_bytes_as_one_alone():
    whole = frame("yuv420p", colorspace=BT709)
    jpeg, part = whole.jpeg(80), whole.region((10, 10, 90, 60))[0]
    with ThreadPoolExecutor(4) as pool:
        jpegs = [pool.submit(whole.jpeg, 80) for _ in range(100)]
        parts = [pool.submit(whole.region, (10, 10, 90, 60)) for _ in range(100)]
        assert all(job.result() == jpeg for job in jpegs)
        assert all(np.array_equal(job.result()[0], part) for job in parts)


def test_an_rgb_image_makes_a_frame():
    image = colourful()
    made = Frame.from_rgb(image, index=3, source_time_s=0.5, captured_at=9.0)
    assert (made.width, made.height, made.index, made.source_time_s, made.captured_at) == (160, 96, 3, 0.5, 9.0)
    assert np.array_equal(made.rgb(), image)
