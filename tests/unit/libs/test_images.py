"""Images from outside: their size before a pixel is decoded, and what is refused for it."""

import struct
import zlib

import cv2
import numpy as np
import pytest

from libs.errors import PermanentError
from libs.images import (
    MAX_SIDE_PX,
    ImageError,
    decode_jpeg,
    decode_rgb,
    encode_jpeg,
    encode_jpeg_planes,
    image_size,
)

RED, GREEN = (220, 30, 40), (30, 200, 50)


def flag(width=48, height=32):
    """Red to the left, green to the right."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:, : width // 2], image[:, width // 2 :] = RED, GREEN
    return image


def encoded(suffix, image=None, *parameters):
    return cv2.imencode(suffix, (flag() if image is None else image)[..., ::-1], parameters)[1].tobytes()


def webp(chunk, body):
    return b"RIFF" + struct.pack("<I", 12 + len(body)) + b"WEBP" + chunk + struct.pack("<I", len(body)) + body


def png_claiming(width, height):
    """A PNG whose header is sound and whose pixels, a few bytes, would unfold to as many as it claims."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def jpeg_claiming(width, height, before=b""):
    return b"\xff\xd8" + before + b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", height, width) + bytes(40)


def turned(jpeg, orientation):
    """The JPEG with an EXIF segment that says how it is to be turned (TIFF tag 274)."""
    tiff = b"II*\0" + struct.pack("<IH", 8, 1) + struct.pack("<HHII", 274, 3, 1, orientation) + struct.pack("<I", 0)
    segment = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]


SIZED = {
    "JPEG": encoded(".jpg"),
    "progressive JPEG": encoded(".jpg", None, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "grey JPEG": cv2.imencode(".jpg", flag()[..., 0])[1].tobytes(),
    "JPEG with EXIF": turned(encoded(".jpg"), 1),
    "JPEG with fill bytes": encoded(".jpg")[:2] + b"\xff" * 9 + encoded(".jpg")[2:],
    "PNG": encoded(".png"),
    "lossy WebP": encoded(".webp", None, cv2.IMWRITE_WEBP_QUALITY, 80),
    "lossless WebP": encoded(".webp", None, cv2.IMWRITE_WEBP_QUALITY, 101),
    "WebP with extensions": webp(b"VP8X", bytes(4) + (47).to_bytes(3, "little") + (31).to_bytes(3, "little")),
    "BMP": encoded(".bmp"),
    "BMP from the top down": b"BM" + bytes(12) + struct.pack("<Iii", 40, 48, -32) + bytes(30),
    "BMP of OS/2": b"BM" + bytes(12) + struct.pack("<IHH", 12, 48, 32) + bytes(30),
}


@pytest.mark.parametrize("data", SIZED.values(), ids=SIZED)
def test_the_size_is_read_from_the_header_of_a(data):
    assert image_size(data) == (48, 32)


@pytest.mark.parametrize("kind", ["JPEG", "progressive JPEG", "PNG", "lossy WebP", "lossless WebP", "BMP"])
def test_the_colours_are_red_green_blue_in_a(kind):
    image = decode_rgb(SIZED[kind])
    assert image.shape == (32, 48, 3)
    assert image.dtype == np.uint8
    assert np.abs(image[16, 8].astype(int) - RED).max() < 12
    assert np.abs(image[16, 40].astype(int) - GREEN).max() < 12


def test_a_grey_picture_has_three_equal_channels():
    image = decode_rgb(SIZED["grey JPEG"])
    assert image.shape == (32, 48, 3)
    assert np.array_equal(image[..., 0], image[..., 2])


@pytest.mark.parametrize(
    ("orientation", "size", "red_at"),
    [(1, (32, 48), (16, 8)), (3, (32, 48), (16, 40)), (6, (48, 32), (8, 16)), (8, (48, 32), (40, 16))],
)
def test_a_photograph_is_turned_upright_as_its_exif_says(orientation, size, red_at):
    image = decode_rgb(turned(encoded(".jpg"), orientation))
    assert image.shape[:2] == size
    assert np.abs(image[red_at].astype(int) - RED).max() < 12


def test_a_picture_of_our_own_is_taken_as_it_lies():
    assert decode_jpeg(turned(encode_jpeg(flag()), 6)).shape == (32, 48, 3)


def test_our_own_jpegs_keep_their_colours_both_ways():
    image = decode_jpeg(encode_jpeg(flag(), 95))
    assert np.abs(image[16, 8].astype(int) - RED).max() < 12


def test_a_picture_that_is_already_in_planes_keeps_its_brightness():
    planes = np.full((32, 48), 90, np.uint8), np.full((16, 24), 128, np.uint8), np.full((16, 24), 128, np.uint8)
    image = decode_jpeg(encode_jpeg_planes(planes, 90))
    assert image.shape == (32, 48, 3)
    assert np.abs(image.astype(int) - 90).max() <= 3


UNKNOWN = {
    "nothing": b"",
    "one byte": b"\xff",
    "text": b"holiday.txt",
    "a GIF": b"GIF89a" + bytes(40),
    "zeros": bytes(99),
}


@pytest.mark.parametrize("data", UNKNOWN.values(), ids=UNKNOWN)
def test_it_is_said_which_formats_are_read_for(data):
    with pytest.raises(ImageError, match="not a JPEG, PNG, WebP or BMP image"):
        decode_rgb(data)


@pytest.mark.parametrize("kind", [kind for kind in SIZED if kind != "BMP of OS/2"])
def test_no_header_that_is_cut_off_anywhere_is_a_bug(kind):
    for length in range(2, min(len(SIZED[kind]), 700)):
        try:
            image_size(SIZED[kind][:length])
        except ImageError:
            continue


@pytest.mark.parametrize(
    ("kind", "length"), [("JPEG", 20), ("PNG", 20), ("lossy WebP", 28), ("lossless WebP", 22), ("BMP", 20)]
)
def test_a_header_that_is_cut_off_is_said_to_be_in_a(kind, length):
    with pytest.raises(ImageError, match="cut off within its header"):
        decode_rgb(SIZED[kind][:length])


@pytest.mark.parametrize("kind", ["PNG", "lossless WebP", "BMP"])
def test_pixels_that_are_cut_off_are_said_to_be_damaged_in_a(kind):
    with pytest.raises(ImageError, match="damaged"):
        decode_rgb(SIZED[kind][: len(SIZED[kind]) // 2])


def test_a_jpeg_whose_segments_lead_nowhere_is_damaged():
    with pytest.raises(ImageError, match="not whole"):
        image_size(b"\xff\xd8\xff\xe0\x00\x04abcdefgh")


@pytest.mark.parametrize("filling", [b"\xff", b"\xff\xe0\x00\x02"], ids=["fill bytes", "empty segments"])
def test_nobody_walks_through_megabytes_of_header(filling):
    with pytest.raises(ImageError, match="no end"):
        image_size(jpeg_claiming(48, 32, before=filling * 2_000_000))


ABSURD = {
    "a PNG of 250 gigapixels": png_claiming(500_000, 500_000),
    "a PNG too wide": png_claiming(MAX_SIDE_PX + 1, 1),
    "a PNG too high": png_claiming(1, MAX_SIDE_PX + 1),
    "a PNG over 100 megapixels": png_claiming(10_001, 10_000),
    "a PNG without width": png_claiming(0, 10),
    "a JPEG of four gigapixels": jpeg_claiming(65_535, 65_535),
    "a JPEG without height": jpeg_claiming(10, 0),
    "a WebP of 280 terapixels": webp(b"VP8X", bytes(4) + b"\xff" * 6),
    "a BMP of four exapixels": b"BM" + bytes(12) + struct.pack("<Iii", 40, 2**31 - 1, -(2**31)) + bytes(30),
}


@pytest.mark.parametrize("data", ABSURD.values(), ids=ABSURD)
def test_it_is_refused_before_it_is_decoded(data, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    with pytest.raises(ImageError, match="out of bounds"):
        decode_rgb(data)


def test_a_caller_may_set_a_tighter_bound():
    with pytest.raises(ImageError, match=r"48 x 32 px .* 0.001 megapixels"):
        decode_jpeg(encode_jpeg(flag()), max_pixels=1000)


def test_a_jpeg_is_damaged_that_claims_to_be_one_only():
    with pytest.raises(ImageError, match="damaged"):
        decode_jpeg(jpeg_claiming(48, 32))


def test_a_bad_image_is_never_tried_again():
    assert issubclass(ImageError, PermanentError)
