"""Images from outside: their size before a pixel is decoded, and what is refused for it."""

import struct
import zlib

import cv2
import numpy as np
import pytest
import simplejpeg

from libs.errors import PermanentError
from libs.images import (
    MAX_SIDE_PX,
    ImageError,
    decode_jpeg,
    decode_rgb,
    encode_jpeg,
    encode_jpeg_planes,
    image_size,
    is_plain_jpeg,
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


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunk(png, kind, data):
    """The PNG with one more chunk, right after its header."""
    return png[:33] + chunk(kind, data) + png[33:]


def animated_png():
    return with_chunk(encoded(".png"), b"acTL", struct.pack(">II", 2, 0))


def animated_webp():
    """Two frames, as the WebP container holds them (RFC 9649, 2.7)."""
    frame = encoded(".webp", None, cv2.IMWRITE_WEBP_QUALITY, 80)[12:]
    place = bytes(6) + (47).to_bytes(3, "little") + (31).to_bytes(3, "little") + (100).to_bytes(3, "little") + b"\0"
    size = (47).to_bytes(3, "little") + (31).to_bytes(3, "little")
    chunks = [
        (b"VP8X", b"\x02" + bytes(3) + size),
        (b"ANIM", bytes(6)),
        (b"ANMF", place + frame),
        (b"ANMF", place + frame),
    ]
    body = b"WEBP" + b"".join(
        kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for kind, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize("data", [animated_png(), animated_webp()], ids=["an animated PNG", "an animated WebP"])
def test_it_is_refused_with_a_remedy_rather_than_taken_for_its_first_frame(data):
    assert image_size(data) == (48, 32)
    with pytest.raises(ImageError, match="animated: it has several frames") as refusal:
        decode_rgb(data)
    assert "save one frame" in refusal.value.remedy


def test_a_still_webp_with_extensions_is_no_animation():
    image = flag()
    transparent = np.dstack([image[..., ::-1], np.full((32, 48), 200, np.uint8)])
    assert decode_rgb(cv2.imencode(".webp", transparent, [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()).shape == (
        32,
        48,
        3,
    )


def test_a_chunk_of_an_animation_after_the_pixels_is_none():
    png = encoded(".png")
    assert decode_rgb(png[:-12] + chunk(b"acTL", struct.pack(">II", 2, 0)) + png[-12:]).shape == (32, 48, 3)


def test_the_colours_of_a_cmyk_jpeg_are_those_it_was_made_of():
    """As print shops make them: inverted, with Adobe's marker."""
    image = flag(64, 64)
    ink = 255 - image.astype(int)
    black = ink.min(axis=2, keepdims=True)
    cmyk = np.concatenate([255 * (ink - black) // (255 - black), black], axis=2)
    data = simplejpeg.encode_jpeg(np.ascontiguousarray((255 - cmyk).astype(np.uint8)), 95, "CMYK", "444")
    assert image_size(data) == (64, 64)
    found = decode_rgb(data)
    assert found.shape == (64, 64, 3)
    assert np.abs(found[32, 8].astype(int) - RED).max() < 30
    assert np.abs(found[32, 56].astype(int) - GREEN).max() < 30


def test_a_png_of_16_bits_a_channel_keeps_its_brightness():
    deep = flag()[..., ::-1].astype(np.uint16) * 257
    found = decode_rgb(cv2.imencode(".png", deep)[1].tobytes())
    assert found.dtype == np.uint8
    assert np.abs(found[16, 8].astype(int) - RED).max() <= 1


def test_a_grey_png_of_16_bits_is_read():
    found = decode_rgb(cv2.imencode(".png", np.full((32, 48), 40_000, np.uint16))[1].tobytes())
    assert found.shape == (32, 48, 3)
    assert np.abs(found.astype(int) - 156).max() <= 1


def test_of_a_transparent_png_the_colours_are_read():
    transparent = np.dstack([flag()[..., ::-1], np.full((32, 48), 128, np.uint8)])
    found = decode_rgb(cv2.imencode(".png", transparent)[1].tobytes())
    assert np.abs(found[16, 40].astype(int) - GREEN).max() <= 1


def test_a_jpeg_whose_end_is_missing_is_refused_also_where_half_of_it_could_be_shown():
    image = np.random.default_rng(1).integers(0, 255, (200, 200, 3)).astype(np.uint8)
    data = encode_jpeg(image)
    with pytest.raises(ImageError, match="its end is missing"):
        decode_rgb(data[: len(data) // 2])


def test_the_end_of_a_small_picture_within_the_header_is_not_taken_for_its_end():
    thumbnail = encoded(".jpg")
    data = encode_jpeg(np.random.default_rng(1).integers(0, 255, (200, 200, 3)).astype(np.uint8))
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    whole = data[:2] + segment + data[2:]
    assert decode_rgb(whole).shape == (200, 200, 3)
    with pytest.raises(ImageError, match="its end is missing"):
        decode_rgb(whole[:-2000])


def test_only_a_jpeg_of_three_channels_without_exif_is_plain():
    assert is_plain_jpeg(encoded(".jpg"))
    assert not is_plain_jpeg(turned(encoded(".jpg"), 1))
    assert not is_plain_jpeg(SIZED["grey JPEG"])
    assert not is_plain_jpeg(encoded(".png"))


NAMED = {
    "a GIF": b"GIF89a" + bytes(40),
    "a TIFF": b"II*\0" + bytes(40),
    "a PDF": b"%PDF-1.7" + bytes(40),
    "a HEIC or AVIF image": b"\0\0\0\x18ftypheic" + bytes(40),
}


@pytest.mark.parametrize(("name", "data"), NAMED.items(), ids=NAMED)
def test_a_format_that_is_not_read_is_named(name, data):
    with pytest.raises(ImageError, match=f"^{name}, not a JPEG, PNG, WebP or BMP image") as refusal:
        decode_rgb(data)
    assert refusal.value.remedy == "save it anew as JPEG or PNG"


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
