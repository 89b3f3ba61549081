"""Files, folders, HTTP and RTSP, all real: what is read, what is refused, and what is said about it."""

import asyncio
import http.server
import os
import shutil
import signal
import socket
import struct
import threading
import time
import zlib
from collections import deque
from contextlib import suppress
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from libs.errors import UserError
from services.ingest.reader import Reader, ReaderOptions
from services.ingest.sources import SourceError, SourceOptions, open_source
from tests.rtsp_camera import RtspCamera


def scene(index, width=160, height=120):
    """A red square that moves right on grey, two pixels a frame; a blue corner at the top left."""
    image = np.full((height, width, 3), 110, np.uint8)
    left = index * 2 % (width - 24)
    image[60:84, left : left + 24] = (210, 30, 30)
    image[:24, :24] = (30, 30, 210)
    return image


def make_clip(
    path, frames=50, *, codec="libx264", size=(160, 120), pixel_format="yuv420p", stamps_ms=None, rotate=None
):
    options = {"preset": "ultrafast", "g": "25", "movflags": "faststart"}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = *size, pixel_format
        if rotate is not None:
            stream.set_display_rotation(rotate)
        if stamps_ms:
            stream.codec_context.time_base = Fraction(1, 1000)
        for index in range(frames):
            picture = av.VideoFrame.from_ndarray(scene(index, *size), format="rgb24")
            if stamps_ms:
                picture.time_base, picture.pts = Fraction(1, 1000), stamps_ms[index]
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return str(path)


def cut_in_half(path):
    """A clip of four seconds of which the second half is missing."""
    whole = Path(make_clip(path, 100)).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return path


def photo(path, value=110):
    cv2.imwrite(str(path), np.full((40, 60, 3), value, np.uint8))


@pytest.fixture
def clip(tmp_path):
    return make_clip(tmp_path / "lobby.mp4")


def times(location, options=None):
    with open_source(location, options) as source:
        return [frame.source_time_s for frame in source]


async def read_to_the_end(reader):
    while await reader.next() is not None:
        pass


def refusal(location, options=None):
    """What a user is told, on one line, about a source that is refused on opening or at its first frame."""
    with pytest.raises(SourceError) as caught, open_source(str(location), options) as source:
        for _ in source:
            pass
    assert Path(str(location)).name in caught.value.problem
    assert caught.value.remedy
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    return caught.value


# files


def test_a_file_gives_its_frames_in_order_with_their_times(clip):
    with open_source(clip) as source:
        assert (source.width, source.height, source.frame_count, source.live) == (160, 120, 50, False)
        assert source.duration_s == pytest.approx(2.0)
        frames = list(source)
        assert source.damage is None
    assert [frame.index for frame in frames] == list(range(50))
    assert [frame.source_time_s for frame in frames] == pytest.approx([i / 25 for i in range(50)])
    off = np.abs(frames[30].rgb().astype(int) - scene(30)).mean()
    assert off < 4


@pytest.mark.parametrize(
    ("suffix", "codec", "pixel_format"),
    [("mkv", "libx264", "yuv444p"), ("avi", "mpeg4", "yuv420p"), ("mov", "mjpeg", "yuvj422p"), ("mkv", "ffv1", "gray"),
     ("mp4", "libx265", "yuv420p10le"), ("webm", "libvpx", "yuv420p"), ("mkv", "ffv1", "bgr0")],
)  # fmt: skip
def test_usual_and_unusual_formats_are_read_alike(tmp_path, suffix, codec, pixel_format):
    path = make_clip(tmp_path / f"clip.{suffix}", 10, codec=codec, pixel_format=pixel_format)
    with open_source(path) as source:
        frames = list(source)
        assert (len(frames), source.damage) == (10, None)
    expected = scene(9)
    if pixel_format == "gray":
        expected = cv2.cvtColor(cv2.cvtColor(expected, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    assert np.abs(frames[9].rgb().astype(int) - expected).mean() < 5
    assert frames[9].jpeg(80)[:2] == b"\xff\xd8"


@pytest.mark.parametrize("threads", [1, 4])
def test_the_same_file_gives_the_same_pixels_whatever_the_threads(clip, threads):
    with open_source(clip) as one, open_source(clip, SourceOptions(threads=threads)) as other:
        for a, b in zip(one, other, strict=True):
            assert a.jpeg(80) == b.jpeg(80)


@pytest.mark.parametrize("rotate", [90, -90, 180])
def test_a_phones_video_is_turned_upright(tmp_path, rotate):
    path = make_clip(tmp_path / "phone.mp4", 5, rotate=rotate)
    with open_source(path) as source:
        frame = next(iter(source))
        assert (source.width, source.height) == (frame.width, frame.height)
    expected = np.rot90(scene(0), rotate // 90)
    assert frame.rgb().shape == expected.shape
    assert np.abs(frame.rgb().astype(int) - expected).mean() < 5


def test_a_variable_frame_rate_keeps_its_times(tmp_path):
    stamps = [0, 40, 80, 1000, 1010, 5000]
    path = make_clip(tmp_path / "motion.mkv", 6, stamps_ms=stamps)
    assert times(path) == pytest.approx([stamp / 1000 for stamp in stamps], abs=0.002)


def test_the_sampler_takes_frames_by_their_time(clip, tmp_path):
    assert times(clip, SourceOptions(max_fps=5)) == pytest.approx([0.2 * i for i in range(10)])
    path = make_clip(tmp_path / "motion.mkv", 6, stamps_ms=[0, 40, 80, 1000, 1010, 5000])
    assert times(path, SourceOptions(max_fps=5)) == pytest.approx([0, 1, 5], abs=0.002)


def test_a_name_with_signs_that_ffmpeg_would_interpret_is_only_a_name(tmp_path):
    path = make_clip(tmp_path / "http:%03d cam?.mp4", 5)
    assert len(times(path)) == 5


def test_the_same_video_without_an_extension_is_read(clip, tmp_path):
    shutil.copy(clip, tmp_path / "lobby")
    assert len(times(str(tmp_path / "lobby"))) == 50


# files that are not right


def test_a_missing_file_is_refused(tmp_path):
    assert "does not exist" in refusal(tmp_path / "gone.mp4").problem


@pytest.mark.parametrize("name", ["notes.mp4", "notes.txt", "notes"])
def test_a_text_file_is_refused_as_video(tmp_path, name):
    (tmp_path / name).write_text("The quick brown fox.\n" * 200)
    assert "cannot be read as video" in refusal(tmp_path / name).problem


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "empty.mp4").touch()
    assert "cannot be read as video" in refusal(tmp_path / "empty.mp4").problem


def test_sound_alone_is_refused(tmp_path):
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    assert "no video stream" in refusal(tmp_path / "sound.wav").problem


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "neither a file nor a folder" in refusal(tmp_path / "pipe.mp4").problem


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_truncated_video_gives_what_is_there_and_says_so(tmp_path, suffix):
    cut = cut_in_half(tmp_path / f"cut.{suffix}")
    warnings = []
    with open_source(str(cut), SourceOptions(warn=warnings.append)) as source:
        frames = list(source)
        assert 20 < len(frames) < 90
        assert "cut." in source.damage
        assert "\n" not in source.damage
        assert warnings == [source.damage]
    sharp = frames[len(frames) // 2]
    assert np.abs(sharp.rgb().astype(int) - scene(sharp.index)).mean() < 4


def test_a_video_cut_off_before_its_index_is_refused(tmp_path):
    whole = make_clip(tmp_path / "whole.mp4")
    with av.open(whole) as source, av.open(str(tmp_path / "late.mp4"), "w") as late:  # the index goes last
        stream = late.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                late.mux(packet)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes((tmp_path / "late.mp4").read_bytes()[:3000])
    assert "its index is missing" in refusal(cut).problem


def test_a_video_with_a_damaged_middle_goes_on_after_it(tmp_path):
    content = bytearray(Path(make_clip(tmp_path / "whole.mp4", 100)).read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400] = bytes(400)
    (tmp_path / "scratched.mp4").write_bytes(content)
    with open_source(str(tmp_path / "scratched.mp4")) as source:
        frames = list(source)
        assert "scratched.mp4" in source.damage
    assert frames[-1].source_time_s == pytest.approx(99 / 25)


def test_absurd_dimensions_are_refused_before_decoding(tmp_path):
    path = make_clip(tmp_path / "absurd.mkv", 1, codec="ffv1", size=(20_000, 120))
    assert "20000 x 120" in refusal(path).problem


def test_libav_does_not_write_on_standard_error(tmp_path, capfd):
    content = bytearray(Path(make_clip(tmp_path / "whole.mp4", 50)).read_bytes())
    content[len(content) // 2 :: 50] = bytes(len(content[len(content) // 2 :: 50]))
    (tmp_path / "scratched.mp4").write_bytes(content)
    times(str(tmp_path / "scratched.mp4"))
    make_clip(tmp_path / "full.mkv", 3, codec="mjpeg", pixel_format="yuvj420p")
    with open_source(str(tmp_path / "full.mkv")) as source:
        assert all(frame.jpeg(80) for frame in source)
    assert capfd.readouterr().err == ""


@pytest.fixture
def as_nobody():
    """Root may read everything; this test may not be root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)


@pytest.mark.parametrize("name", ["folder", "video.mp4"])
def test_what_may_not_be_read_is_refused(tmp_path_factory, name, request):
    place = tmp_path_factory.mktemp("closed")
    (place / "folder").mkdir()
    photo(place / "folder" / "a.jpg")
    make_clip(place / "video.mp4", 3)
    (place / name).chmod(0)
    request.getfixturevalue("as_nobody")
    assert "may not be read" in refusal(place / name).problem


# images


def test_a_folder_is_read_in_natural_order_at_its_rate(tmp_path):
    for number in (10, 2, 1):
        photo(tmp_path / f"frame{number}.png", value=number * 10)
    (tmp_path / "notes.txt").write_text("not an image")
    with open_source(str(tmp_path), SourceOptions(image_fps=4)) as source:
        assert (source.width, source.height, source.frame_count, source.live) == (60, 40, 3, False)
        assert source.duration_s == 0.75
        frames = list(source)
        assert source.damage is None
    assert [frame.rgb()[0, 0, 0] for frame in frames] == [10, 20, 100]
    assert [frame.source_time_s for frame in frames] == [0.0, 0.25, 0.5]
    assert [frame.index for frame in frames] == [0, 1, 2]


def test_one_image_is_a_source_of_one_frame(tmp_path):
    photo(tmp_path / "one.jpg")
    assert times(str(tmp_path / "one.jpg")) == [0.0]


def test_a_photo_is_turned_upright_by_its_exif(tmp_path):
    jpeg = cv2.imencode(".jpg", cv2.cvtColor(scene(0), cv2.COLOR_RGB2BGR))[1].tobytes()
    tiff = b"II*\0" + struct.pack("<IHHHIII", 8, 1, 0x0112, 3, 1, 6, 0)  # 6: turn a quarter clockwise
    exif = b"Exif\0\0" + tiff
    turned = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]
    (tmp_path / "phone.jpg").write_bytes(turned)
    with open_source(str(tmp_path / "phone.jpg")) as source:
        frame = next(iter(source))
    assert np.abs(frame.rgb().astype(int) - np.rot90(scene(0), -1)).mean() < 5


def test_a_corrupt_image_is_reported_and_left_out(tmp_path):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        photo(tmp_path / name)
    (tmp_path / "b.jpg").write_bytes(b"not a photo")
    warnings = []
    with open_source(str(tmp_path), SourceOptions(image_fps=5, warn=warnings.append)) as source:
        assert [frame.source_time_s for frame in source] == [0.0, 0.4]
        assert "1 of 3 images" in source.damage
    assert len(warnings) == 1
    assert "b.jpg" in warnings[0]


def test_a_folder_without_an_image_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("not an image")
    assert "holds no image" in refusal(tmp_path).problem


def test_a_folder_of_corrupt_images_is_refused(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"not a photo")
    assert "1 of 1 images could not be read" in refusal(tmp_path).problem


def test_an_image_of_absurd_dimensions_is_refused_before_decoding(tmp_path):
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    (tmp_path / "bomb.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    )
    assert "60000 x 60000" in refusal(tmp_path / "bomb.png").problem


# options


@pytest.mark.parametrize("options", [{"image_fps": 0.5}, {"image_fps": 26}, {"max_fps": 0}])
def test_a_rate_out_of_range_is_refused(options):
    with pytest.raises(UserError, match="fps is"):
        SourceOptions(**options)


# http


@pytest.fixture
def http_server(tmp_path):
    """A web server on the test's folder; /stalls.ts sends half of lobby.ts and then nothing more."""
    release = threading.Event()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            if not self.path.startswith("/stalls"):
                super().do_GET()
                return
            content = (tmp_path / "lobby.ts").read_bytes()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            release.wait(30)

        def copyfile(self, source, outputfile):
            with suppress(BrokenPipeError, ConnectionResetError):  # the player jumped within the file
                super().copyfile(source, outputfile)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    release.set()
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_file_over_http_is_read_like_a_file(clip, http_server):
    with open_source(f"{http_server}/lobby.mp4") as source:
        assert (source.frame_count, source.live) == (50, False)
        assert len(list(source)) == 50
        assert source.damage is None


def test_a_missing_page_is_refused_and_not_worth_another_try(http_server):
    error = refusal(f"{http_server}/gone.mp4")
    assert "404" in error.problem
    assert not error.transient


def test_passwords_are_never_shown(http_server):
    location = http_server.replace("//", "//guard:hunter2@") + "/gone.mp4?token=hunter3"
    with pytest.raises(SourceError) as caught:
        open_source(location)
    assert "127.0.0.1" in str(caught.value)
    assert "hunter" not in str(caught.value)
    assert "guard" not in str(caught.value)


def test_a_stream_that_falls_silent_raises_in_time(tmp_path, http_server):
    make_clip(tmp_path / "lobby.ts", 100)
    started = time.monotonic()
    with open_source(f"{http_server}/stalls.ts", SourceOptions(read_timeout_s=0.5)) as source:
        assert source.live
        with pytest.raises(SourceError, match=r"no answer in 0\.5 s") as caught:
            deque(source, maxlen=0)
    assert caught.value.transient
    assert time.monotonic() - started < 5


def test_nothing_listening_is_worth_another_try():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        for scheme in ("http", "rtsp"):
            error = refusal(f"{scheme}://127.0.0.1:{unused.getsockname()[1]}/camera")
            assert "connection refused" in error.problem
            assert error.transient


def test_a_server_that_never_answers_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for scheme in ("http", "rtsp"):
            location = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/camera"
            error = refusal(location, SourceOptions(open_timeout_s=0.3))
            assert "no answer in 0.3 s" in error.problem
            assert error.transient


@pytest.mark.parametrize("location", ["ftp://example.com/camera", "udp://0.0.0.0:1234/camera", "concat:///camera"])
def test_other_protocols_are_refused(location):
    assert "http(s) or rtsp(s)" in refusal(location).remedy


# rtsp


@pytest.fixture
def camera(tmp_path):
    """An RTSP camera that shows eight seconds, then hangs up."""
    camera = RtspCamera(make_clip(tmp_path / "camera.mp4", 200))
    yield camera
    camera.stop()


def test_a_camera_over_rtsp_is_live(camera):
    with open_source(camera.url) as source:
        assert (source.width, source.height, source.live) == (160, 120, True)
        for frame in source:
            if frame.index == 9:
                break
    assert np.abs(frame.rgb().astype(int) - scene(9)).mean() < 5
    assert frame.source_time_s == pytest.approx(9 / 25, abs=0.05)


def test_a_camera_that_does_not_exist_is_refused(camera):
    error = refusal(camera.url.replace("/camera", "/kitchen"))
    assert "404" in error.problem
    assert not error.transient


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_camera_that_dies_raises_in_time(camera, end):
    opening = partial(open_source, camera.url, SourceOptions(read_timeout_s=1.0))
    async with asyncio.timeout(30), Reader(opening) as reader:
        await reader.next()
        camera.process.send_signal(end)
        died = time.monotonic()
        with pytest.raises(SourceError) as caught:
            await read_to_the_end(reader)
    assert caught.value.transient
    assert time.monotonic() - died < 5


async def test_a_reader_of_a_silent_camera_is_closed_at_once(camera):
    async with Reader(partial(open_source, camera.url)) as reader:
        await reader.next()
        camera.process.send_signal(signal.SIGSTOP)
        closing = time.monotonic()
    assert time.monotonic() - closing < 4.5  # its read would take 5
    camera.process.kill()  # frees the thread that was left behind
    await asyncio.to_thread(reader._thread.join, 10)
    assert not reader._thread.is_alive()


# the reader on real files


async def test_a_file_read_without_loss_is_the_same_every_time(clip):
    async def replay():
        async with Reader(partial(open_source, clip), ReaderOptions(epoch_s=1000.0)) as reader:
            seen = []
            while (frame := await reader.next()) is not None:
                seen.append((frame.index, frame.captured_at, frame.jpeg(80)))
            assert (reader.frames, reader.dropped, reader.source.damage) == (50, 0, None)
            return seen

    assert await replay() == await replay()


async def test_the_damage_of_a_file_is_known_after_its_last_frame(tmp_path):
    cut_in_half(tmp_path / "cut.mp4")
    async with Reader(partial(open_source, str(tmp_path / "cut.mp4"))) as reader:
        await read_to_the_end(reader)
        assert "cut.mp4" in reader.source.damage
