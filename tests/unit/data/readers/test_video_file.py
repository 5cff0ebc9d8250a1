"""Video files: exact counts, order, rotation, variable rates, damage of every kind, bounds."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.unit.data.clips import moving_clip, packets, write_video
from vadbench.data.readers.source import Policy, TooLarge
from vadbench.data.readers.video_file import VideoFile
from vadbench.errors import DataError

SKIP = Policy(on_fault="skip")

# file name, codec, pixel format, options
FORMS = [
    ("plain.avi", "mpeg4", "yuv420p", {}),
    ("b_frames.avi", "mpeg4", "yuv420p", {"bf": "2"}),
    ("h264.mp4", "libx264", "yuv420p", {}),
    ("h264.mkv", "libx264", "yuv420p", {"bf": "3"}),
    ("h264.ts", "libx264", "yuv420p", {"bf": "3"}),
    ("hevc.mp4", "libx265", "yuv420p", {"x265-params": "log-level=none"}),
    ("vp8.webm", "libvpx", "yuv420p", {"auto-alt-ref": "1", "lag-in-frames": "16"}),
    ("vp9.webm", "libvpx-vp9", "yuv420p", {"auto-alt-ref": "1", "lag-in-frames": "16"}),
    ("mjpeg.avi", "mjpeg", "yuvj420p", {}),
    ("mpeg2.mpg", "mpeg2video", "yuv420p", {"bf": "2"}),
    ("wmv2.wmv", "wmv2", "yuv420p", {}),
    ("flv.flv", "flv", "yuv420p", {}),
]
LOSSLESS = [
    ("ffv1.mkv", "ffv1", "bgr0", {}),
    ("h264rgb.mp4", "libx264rgb", "rgb24", {"qp": "0"}),
    ("png.avi", "png", "rgb24", {}),
    ("raw.avi", "rawvideo", "bgr24", {}),
    ("huffyuv.avi", "huffyuv", "bgra", {}),
]


def read(source: VideoFile) -> np.ndarray:
    return np.stack(list(source.frames()))


def by_opencv(path: Path) -> list[np.ndarray]:
    """Every frame by the other decoder, RGB."""
    capture, frames = cv2.VideoCapture(str(path)), []
    while True:
        done, frame = capture.read()
        if not done:
            return frames
        frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))


@pytest.mark.parametrize(("name", "codec", "pixels", "options"), FORMS)
def test_count_and_order_of_every_codec(
    tmp_path: Path, name: str, codec: str, pixels: str, options: dict[str, str]
) -> None:
    clip = moving_clip(40, 96, 128)
    source = VideoFile(write_video(tmp_path / name, clip, codec, pixels, options))
    assert source.n_frames == 40 and source.decoded == 0
    got = read(source)
    assert got.shape == clip.shape and source.decoded == 40
    far = np.abs(got[:, None, ::4, ::4].astype(np.float32) - clip[None, :, ::4, ::4]).mean(axis=(2, 3, 4))
    assert np.array_equal(far.argmin(axis=1), np.arange(40))  # each frame is nearest to the one it should be
    assert np.array_equal(read(source), got)
    other = by_opencv(source.path)
    assert len(other) == 40
    assert max(float(np.abs(a.astype(int) - b).mean()) for a, b in zip(got, other, strict=True)) < 3


@pytest.mark.parametrize(("name", "codec", "pixels", "options"), LOSSLESS)
def test_lossless_files_come_back_to_the_bit(
    tmp_path: Path, name: str, codec: str, pixels: str, options: dict[str, str]
) -> None:
    clip = moving_clip(15)
    assert np.array_equal(read(VideoFile(write_video(tmp_path / name, clip, codec, pixels, options))), clip)


def test_grey_and_16_bit_grey(tmp_path: Path) -> None:
    grey = moving_clip(6)[..., 0]
    got = read(VideoFile(write_video(tmp_path / "g.mkv", grey, "ffv1", "gray")))
    assert np.array_equal(got, np.repeat(grey[..., None], 3, axis=3))
    deep = np.arange(65536, dtype=np.uint16).reshape(1, 256, 256)
    got = read(VideoFile(write_video(tmp_path / "d.mkv", deep, "ffv1", "gray16le")))
    rounded = np.floor(deep / 65535 * 255 + 0.5).astype(np.uint8)
    assert np.array_equal(got, np.repeat(rounded[..., None], 3, axis=3))


def yuv(form: str, y: int, u: int, v: int, full: bool) -> np.ndarray:
    """RGB in 0 to 255 of one colour by BT.601, computed in floats from its values in ``form``."""
    depth = 2 ** (int(form[7:9]) - 8)
    luma = y / (256 * depth - 1) if full else (y / depth - 16) / 219
    blue, red = ((c / depth - 128) / (255 if full else 224) for c in (u, v))
    r, b = luma + 2 * (1 - 0.299) * red, luma + 2 * (1 - 0.114) * blue
    return 255 * np.array([r, (luma - 0.299 * r - 0.114 * b) / 0.587, b])


@pytest.mark.parametrize("form", ["yuv420p10le", "yuv422p10le", "yuv444p10le", "yuv420p12le"])
@pytest.mark.parametrize("full", [False, True])
def test_more_than_8_bits_are_rounded_and_not_cut(tmp_path: Path, form: str, full: bool) -> None:
    """FFmpeg's own way to rgb24 cuts at each step: 10-bit video came out two grey levels too dark."""
    depth = 2 ** (int(form[7:9]) - 8)
    chosen = [(16, 128, 128), (60, 128, 128), (126, 110, 140), (180, 140, 120), (235, 128, 128)]
    frames = [(y * depth, u * depth, v * depth) for y, u, v in chosen]
    source = VideoFile(write_planes(tmp_path / "deep.mkv", form, frames, full))
    got = read(source).mean(axis=(1, 2))
    expected = np.array([yuv(form, *frame, full) for frame in frames])
    far = np.abs(got - expected).max()
    assert far <= (0.6 if not full else 1.0), (got.round(2).tolist(), expected.round(2).tolist())
    assert abs((got - expected).mean()) < 0.3


def write_planes(path: Path, form: str, frames: list[tuple[int, int, int]], full: bool) -> Path:
    """A lossless video of one colour a frame, given by its planes' values."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 48, form
        stream.codec_context.color_range = 2 if full else 1
        for number, values in enumerate(frames):
            picture = av.VideoFrame(48, 32, form)
            picture.pts, picture.color_range = number, 2 if full else 1
            for plane, value in zip(picture.planes, values, strict=True):
                plane.update(np.full(plane.buffer_size // 2, value, "<u2").tobytes())
            for packet in [*stream.encode(picture), *(stream.encode() if number == len(frames) - 1 else [])]:
                container.mux(packet)
    return path


def test_a_10_bit_video_is_as_bright_as_the_clip_that_it_was_made_of(tmp_path: Path) -> None:
    colour = moving_clip(6, 96, 128)
    grey = np.repeat(colour[..., :1], 3, axis=3)
    for clip in (colour, grey):
        path = write_video(tmp_path / "10.mp4", clip, "libx264", "yuv420p10le", {"qp": "0"})
        assert abs(float((read(VideoFile(path)).astype(int) - clip).mean())) < 0.5


@pytest.mark.parametrize("form", ["gray10le", "gray12le", "gbrp10le"])
def test_full_range_of_deep_grey_and_rgb(tmp_path: Path, form: str) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    clip = levels if form.startswith("gray") else np.repeat(levels[..., None], 3, axis=3)
    got = read(VideoFile(write_video(tmp_path / "d.mkv", clip, "ffv1", form)))
    assert np.abs(got[0].astype(int) - levels[0][..., None]).max() <= 1 and got[0, 0, 0].max() == 0


def test_features_of_the_earlier_pixels_of_deep_video_are_not_found_again(tmp_path: Path) -> None:
    """8-bit files keep the digest of their bytes, under which features are stored; deep ones have one of their own."""
    from hashlib import sha256

    from vadbench.data.readers.source import FirstFrames

    clip = moving_clip(4)
    for form, same in (("yuv420p", True), ("yuv420p10le", False), ("gray16le", True)):
        path = write_video(tmp_path / f"{form}.mkv", clip[..., 0] if form[0] == "g" else clip, "ffv1", form)
        source = VideoFile(path)
        assert (source.digest() == sha256(path.read_bytes()).hexdigest()) == same
        assert source.digest() == VideoFile(path).digest() != FirstFrames(source, 2).digest()


def test_alpha_is_dropped(tmp_path: Path) -> None:
    clip = moving_clip(5)
    rgba = np.concatenate([clip, np.full((*clip.shape[:3], 1), 40, np.uint8)], axis=3)
    assert np.array_equal(read(VideoFile(write_video(tmp_path / "a.avi", rgba, "png", "rgba"))), clip)


def test_frame_numbers_do_not_come_from_stamps(tmp_path: Path) -> None:
    clip = moving_clip(12)
    stamps = [0, 1, 2, 10, 11, 12, 50, 51, 200, 201, 202, 203]
    source = VideoFile(write_video(tmp_path / "v.mkv", clip, "ffv1", "bgr0", stamps=stamps))
    assert source.n_frames == 12
    assert np.array_equal(read(source), clip)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_rotated_video_is_shown_upright(tmp_path: Path, rotation: int) -> None:
    clip = moving_clip(4, 48, 64)
    path = write_video(tmp_path / "r.mp4", clip, "libx264rgb", "rgb24", {"qp": "0"}, rotation=rotation)
    source = VideoFile(path)
    assert source.size == ((48, 64) if rotation == 180 else (64, 48))
    got = read(source)
    assert got.shape[1:3] == source.size
    turned = [k for k in (1, 2, 3) if np.array_equal(np.rot90(clip, k, axes=(1, 2)), got)]
    assert turned == [{90: 1, 180: 2, 270: 3}[rotation]]
    # OpenCV turns as the file asks, too.
    assert np.abs(by_opencv(path)[0].astype(int) - got[0]).mean() < 4


def test_names_with_unicode_and_spaces(tmp_path: Path) -> None:
    clip = moving_clip(5)
    assert np.array_equal(read(VideoFile(write_video(tmp_path / "Straße 监控 1.mkv", clip, "ffv1", "bgr0"))), clip)


@pytest.mark.parametrize("name", ["d.avi", "d.mp4", "d.mkv"])
@pytest.mark.parametrize("damage", ["noise", "zeros"])
def test_a_damaged_packet_names_its_frame_or_repeats_the_one_before(tmp_path: Path, name: str, damage: str) -> None:
    clip = moving_clip(30, 144, 192)
    codec = "mpeg4" if name.endswith("avi") else "libx264"
    path = write_video(tmp_path / name, clip, codec, options={"g": "10", "bf": "0"})
    whole = read(VideoFile(path))
    spoil_packet(path, 14, damage)
    with pytest.raises(DataError, match=rf"{name}: frame 14: .*dataset\.on_fault=skip"):
        list(VideoFile(path).frames())
    source = VideoFile(path, SKIP)
    got = read(source)
    assert len(got) == source.n_frames == 30 and source.decoded == 29
    assert list(source.faults) == [14]
    assert np.array_equal(got[:14], whole[:14]) and np.array_equal(got[14], whole[13])
    assert np.array_equal(got[20:], whole[20:])  # from the next key frame on nothing is left of it
    assert np.array_equal(read(source), got)


def spoil_packet(path: Path, number: int, damage: str) -> None:
    """Overwrite most of a packet's body, leaving the container sound."""
    place, size = packets(path)[number]
    data = bytearray(path.read_bytes())
    first = place + 12
    body = size - 12
    data[first : first + body] = bytes(body) if damage == "zeros" else np.random.default_rng(1).bytes(body)
    path.write_bytes(data)


def test_a_damaged_packet_among_b_frames_leaves_every_other_frame_in_its_place(tmp_path: Path) -> None:
    clip = moving_clip(30, 144, 192)
    path = write_video(tmp_path / "b.mkv", clip, "libx264", options={"bf": "3", "g": "10", "b-pyramid": "none"})
    whole = read(VideoFile(path))
    spoil_packet(path, 13, "noise")
    source = VideoFile(path, SKIP)
    got = read(source)
    assert len(got) == 30 and len(source.faults) == 1
    hole = next(iter(source.faults))
    assert 10 <= hole < 20 and np.array_equal(got[hole], got[hole - 1])
    assert np.array_equal(got[:10], whole[:10]) and np.array_equal(got[20:], whole[20:])


def test_after_a_damaged_start_nothing_counts_before_the_next_key_frame(tmp_path: Path) -> None:
    clip = moving_clip(30, 144, 192)
    path = write_video(tmp_path / "s.avi", clip, "mpeg4", options={"g": "10"})
    whole = read(VideoFile(path))
    place, size = packets(path)[0]
    data = bytearray(path.read_bytes())
    data[place + size // 2 : place + size - 8] = bytes(size - 8 - size // 2)  # its header stays
    path.write_bytes(data)
    source = VideoFile(path, SKIP)
    got = read(source)
    assert sorted(source.faults) == list(range(10)) and "no sound key frame" in source.faults[4]
    assert all(np.array_equal(frame, whole[10]) for frame in got[:10])
    assert np.array_equal(got[10:], whole[10:])


FUZZED = [("z.avi", "mpeg4", {}), ("z.mkv", "libx264", {"g": "8", "bf": "2"}), ("z.ts", "libx264", {"g": "8"})]
FUZZED += [("z.mpg", "mpeg2video", {"bf": "2"}), ("z.webm", "libvpx-vp9", {}), ("z.mp4", "libx264", {"g": "8"})]


@pytest.mark.parametrize(("name", "codec", "options"), FUZZED)
def test_no_damage_breaks_the_contract(tmp_path: Path, name: str, codec: str, options: dict[str, str]) -> None:
    """Flipped, cut, zeroed and lost bytes: a DataError, or exactly n_frames frames of one size, twice the same."""
    rng = np.random.default_rng(len(name) + len(codec))
    sound = write_video(tmp_path / name, moving_clip(24, 64, 96), codec, options=options).read_bytes()
    for turn in range(12):
        data = bytearray(sound)
        place = int(rng.integers(len(data)))
        if turn % 4 == 0:
            data = data[:place]
        elif turn % 4 == 1:
            data[place : place + 100] = bytes(len(data[place : place + 100]))
        elif turn % 4 == 2:
            del data[place : place + int(rng.integers(1, 300))]
        else:
            for at in rng.integers(len(data), size=20):
                data[at] ^= 1 << int(rng.integers(8))
        path = tmp_path / f"{turn}_{name}"
        path.write_bytes(data)
        try:
            source = VideoFile(path, SKIP)
            got = read(source)
        except DataError:
            with pytest.raises(DataError):
                list(VideoFile(path).frames())
            continue
        assert got.shape == (source.n_frames, *source.size, 3)
        assert np.array_equal(read(VideoFile(path, SKIP)), got)
        if source.faults or source.damage:
            with pytest.raises(DataError):
                list(VideoFile(path).frames())
        else:
            assert np.array_equal(read(VideoFile(path)), got)


@pytest.mark.parametrize("name", ["t.avi", "t.mkv", "t.webm"])
def test_a_truncated_file_is_an_error_or_its_sound_part(tmp_path: Path, name: str) -> None:
    clip = moving_clip(40, 144, 192)
    codec = {"avi": "mpeg4", "mkv": "ffv1", "webm": "libvpx-vp9"}[name.rpartition(".")[2]]
    path = write_video(tmp_path / name, clip, codec, "bgr0" if codec == "ffv1" else "yuv420p")
    whole = read(VideoFile(path))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * 0.7)])
    with pytest.raises(DataError, match=rf"{name}: cut short: it holds \d+ frames, and its header promises"):
        list(VideoFile(path).frames())
    source = VideoFile(path, SKIP)
    got = read(source)
    assert 0 < len(got) == source.n_frames < 40
    assert "cut short" in source.damage[0]
    sound = len(got) - len(source.faults)
    assert np.array_equal(got[:sound], whole[:sound])


def test_a_truncated_mp4_cant_be_opened_and_says_so(tmp_path: Path) -> None:
    path = write_video(tmp_path / "t.mp4", moving_clip(20), "libx264")
    path.write_bytes(path.read_bytes()[:-300])
    for policy in (Policy(), SKIP):
        with pytest.raises(DataError, match=r"t\.mp4: it can't be opened as a video"):
            list(VideoFile(path, policy).frames())


def test_a_stream_that_begins_in_the_middle_counts_what_decodes(tmp_path: Path) -> None:
    clip = moving_clip(60, 96, 128)
    path = write_video(tmp_path / "m.ts", clip, "libx264", options={"g": "20", "bf": "2"})
    data = path.read_bytes()
    path.write_bytes(data[len(data) // 3 // 188 * 188 :])
    source = VideoFile(path, SKIP)
    got = read(source)
    assert 20 <= len(got) == source.n_frames < 45
    assert np.array_equal(read(source), got)
    assert np.abs(got[-1].astype(int) - clip[-1]).mean() < 10


def test_a_name_that_looks_like_an_address_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = moving_clip(4)
    write_video(tmp_path / "plain.mkv", clip, "ffv1", "bgr0").rename(tmp_path / "concat:a.mkv|b.mkv")
    monkeypatch.chdir(tmp_path)
    assert np.array_equal(read(VideoFile("concat:a.mkv|b.mkv")), clip)


def test_a_playlist_reaches_no_network(tmp_path: Path) -> None:
    path = tmp_path / "list.ts"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(DataError, match=r"list\.ts"):
        list(VideoFile(path).frames())


def test_memory_does_not_grow_with_the_video(tmp_path: Path) -> None:
    import psutil

    path = write_video(tmp_path / "long.mkv", np.repeat(moving_clip(30, 240, 320), 20, axis=0), "libx264")
    process = psutil.Process()
    frames = VideoFile(path).frames()
    for _ in range(50):
        next(frames)
    before = process.memory_info().rss
    for _ in frames:
        pass
    assert process.memory_info().rss - before < 30_000_000  # 550 frames of 230 kB are 127 MB


def test_lost_packets_of_a_transport_stream_are_noticed(tmp_path: Path) -> None:
    path = write_video(tmp_path / "l.ts", moving_clip(40, 144, 192), "libx264", options={"g": "10", "bf": "0"})
    place, size = packets(path)[20]
    data = bytearray(path.read_bytes())
    data[place : place + size] = bytes(size)
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"l\.ts: (cut short: it holds \d+ frames, and its stamps leave room|frame 20)"):
        list(VideoFile(path).frames())


@pytest.mark.parametrize("content", [b"", b"this is no video", bytes(5000)])
def test_what_is_no_video_is_a_data_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.avi"
    path.write_bytes(content)
    for policy in (Policy(), SKIP):
        with pytest.raises(DataError, match=r"x\.avi: it can't be opened"):
            list(VideoFile(path, policy).frames())
        with pytest.raises(DataError, match=r"x\.avi"):
            _ = VideoFile(path, policy).size


def test_a_sound_file_without_pictures_is_an_error(tmp_path: Path) -> None:
    import av

    path = tmp_path / "sound.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(DataError, match="no video stream"):
        list(VideoFile(path).frames())


def test_a_video_without_frames_is_an_error(tmp_path: Path) -> None:
    path = write_video(tmp_path / "e.mkv", moving_clip(10), "ffv1", "bgr0")
    data = path.read_bytes()
    path.write_bytes(data[: packets(path)[0][0]])
    with pytest.raises(DataError, match=r"e\.mkv: (it holds no frames|cut short: it holds 0 frames)"):
        list(VideoFile(path).frames())


def test_a_header_that_promises_a_million_frames_is_refused_before_decoding(tmp_path: Path) -> None:
    path = write_video(tmp_path / "m.avi", moving_clip(5))
    data = bytearray(path.read_bytes())
    at = data.find(b"strh") + 8 + 32  # dwLength of the stream header
    assert struct.unpack_from("<I", data, at) == (5,)
    struct.pack_into("<I", data, at, 1_000_000)
    path.write_bytes(data)
    with pytest.raises(TooLarge, match=r"1,000,000 frames.*above the bound of 500,000.*max_video_frames=1000000"):
        _ = VideoFile(path, SKIP).n_frames
    raised = Policy("skip", max_video_frames=1_000_000)
    assert VideoFile(path, raised).n_frames == 5
    with pytest.raises(DataError, match="promises 1000000 frames"):
        list(VideoFile(path, Policy("error", max_video_frames=1_000_000)).frames())


def test_bounds_on_frames_and_pixels(tmp_path: Path) -> None:
    path = write_video(tmp_path / "b.mkv", moving_clip(9), "ffv1", "bgr0")  # no count in its header
    with pytest.raises(TooLarge, match="max_video_frames=9"):
        _ = VideoFile(path, Policy(max_video_frames=8)).n_frames
    with pytest.raises(TooLarge, match=r"b\.mkv: a frame of 64 x 48.*max_pixels=3072"):
        list(VideoFile(path, Policy(max_pixels=3071)).frames())
    assert len(read(VideoFile(path, Policy(max_video_frames=9, max_pixels=3072)))) == 9


def test_a_picture_that_grows_inside_the_stream_is_a_fault(tmp_path: Path) -> None:
    """Two H.264 streams of different sizes end to end, as a camera that was switched writes them."""
    small = write_video(tmp_path / "s.h264", moving_clip(6, 48, 64), "libx264", options={"bf": "0"})
    large = write_video(tmp_path / "l.h264", moving_clip(6, 96, 128), "libx264", options={"bf": "0"})
    path = tmp_path / "both.h264"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    with pytest.raises(DataError, match="frame 6: the size changes from 64 x 48 to 128 x 96"):
        list(VideoFile(path).frames())


def test_a_bomb_inside_the_stream_is_not_decoded(tmp_path: Path) -> None:
    small = write_video(tmp_path / "s.h264", moving_clip(6, 48, 64), "libx264", options={"bf": "0"})
    large = write_video(tmp_path / "l.h264", moving_clip(6, 480, 640), "libx264", options={"bf": "0"})
    path = tmp_path / "both.h264"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    with pytest.raises(
        DataError, match=r"frame 6: a packet does not decode|640 x 480 = 307,200 pixels is above the bound"
    ):
        list(VideoFile(path, Policy(max_pixels=640 * 479)).frames())


def test_digest_is_of_the_file(tmp_path: Path) -> None:
    one = write_video(tmp_path / "a.avi", moving_clip(5))
    other = tmp_path / "renamed.avi"
    other.write_bytes(one.read_bytes())
    assert VideoFile(one).digest() == VideoFile(other).digest()
    other.write_bytes(one.read_bytes() + b"\0")
    assert VideoFile(one).digest() != VideoFile(other).digest()


def test_the_decoder_is_named_with_its_version(tmp_path: Path) -> None:
    import av

    source = VideoFile(write_video(tmp_path / "a.avi", moving_clip(3)))
    assert source.decoder.startswith(f"pyav-{av.__version__}/libavcodec-")


def test_stopping_early_closes_the_file(tmp_path: Path) -> None:
    import psutil

    path = write_video(tmp_path / "a.avi", moving_clip(10))
    frames = VideoFile(path).frames()
    next(frames)
    assert str(path) in {f.path for f in psutil.Process().open_files()}
    frames.close()
    assert str(path) not in {f.path for f in psutil.Process().open_files()}
