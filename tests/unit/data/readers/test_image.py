"""Images: headers against Pillow, decoding of every depth, damage noticed, bombs refused."""

from __future__ import annotations

import contextlib
import io
import struct

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vadbench.data.readers.image import decode, decode_pixels, header_size
from vadbench.data.readers.source import TooLarge
from vadbench.errors import DataError

FORMATS = [".bmp", ".jpg", ".png", ".tif"]
BOUND = 2**26


def encode(pixels: np.ndarray, suffix: str) -> bytes:
    """Bytes of ``pixels`` (grey or BGR), written by OpenCV."""
    done, data = cv2.imencode(suffix, pixels)
    assert done
    return data.tobytes()


def noise(shape: tuple[int, ...], dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(FORMATS), st.integers(1, 70), st.integers(1, 70), st.booleans())
def test_header_size_is_what_pillow_reads(suffix: str, height: int, width: int, grey: bool) -> None:
    data = encode(noise((height, width) if grey else (height, width, 3)), suffix)
    with Image.open(io.BytesIO(data)) as image:
        assert header_size(data) == (image.height, image.width) == (height, width)


@pytest.mark.parametrize("mode", ["progressive", "exif", "big_endian", "tiled", "restart"])
def test_header_size_of_unusual_files(mode: str) -> None:
    image = Image.fromarray(noise((37, 53, 3)))
    out = io.BytesIO()
    if mode == "progressive":
        image.save(out, "JPEG", progressive=True, optimize=True)
    elif mode == "exif":
        exif = Image.Exif()
        exif[0x010E] = "\xff\xc0 a comment that holds markers \xff\xd9"
        image.save(out, "JPEG", exif=exif)
    elif mode == "restart":
        image.save(out, "JPEG", restart_marker_blocks=1)
    elif mode == "big_endian":
        out.write(big_endian_tiff(np.asarray(image.convert("L"))))
    else:
        image.save(out, "TIFF", compression="tiff_lzw", tile=(16, 16))
    assert header_size(out.getvalue()) == (37, 53)
    assert decode(out.getvalue(), BOUND).shape == (37, 53, 3)


def big_endian_tiff(grey: np.ndarray) -> bytes:
    """A one-strip grey TIFF of Motorola byte order, written by hand from the TIFF 6 specification."""
    height, width = grey.shape
    values = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: height * width}
    entries = b"".join(struct.pack(">HHII", tag, 4, 1, value) for tag, value in values.items())
    directory = struct.pack(">H", len(values)) + entries + b"\0\0\0\0"
    return b"MM\0*" + struct.pack(">I", 8 + grey.size) + grey.tobytes() + directory


def test_header_of_big_endian_tiff_decodes_to_the_bit() -> None:
    grey = noise((20, 31))
    assert np.array_equal(decode(big_endian_tiff(grey), BOUND)[:, :, 1], grey)


@pytest.mark.parametrize("suffix", [".bmp", ".png", ".tif"])
def test_lossless_forms_decode_to_the_bit(suffix: str) -> None:
    rgb = noise((23, 31, 3))
    assert np.array_equal(decode(encode(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), suffix), BOUND), rgb)
    grey = noise((23, 31))
    assert np.array_equal(decode(encode(grey, suffix), BOUND), np.repeat(grey[:, :, None], 3, axis=2))


def test_jpeg_decodes_near_what_pillow_decodes() -> None:
    rgb = cv2.GaussianBlur(noise((40, 60, 3)), (0, 0), 3)
    data = encode(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), ".jpg")
    with Image.open(io.BytesIO(data)) as image:
        assert np.abs(np.asarray(image.convert("RGB")).astype(int) - decode(data, BOUND)).max() <= 2


def test_alpha_is_dropped_and_not_blended() -> None:
    rgba = noise((10, 12, 4))
    data = encode(cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGRA), ".png")
    assert np.array_equal(decode(data, BOUND), rgba[:, :, :3])


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bits_are_scaled_from_their_full_range(suffix: str) -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    exact = np.floor(values.astype(np.float64) / 65535 * 255 + 0.5).astype(np.uint8)
    got = decode(encode(values, suffix), BOUND)
    assert np.array_equal(got[:, :, 0], exact)
    assert got[0, 0, 0] == 0 and got[-1, -1, 0] == 255


def test_palette_and_single_bit_images_become_what_they_show() -> None:
    image = Image.fromarray(noise((16, 18, 3))).quantize(16)
    for shown in (image, Image.fromarray(noise((16, 18))).convert("1")):
        out = io.BytesIO()
        shown.save(out, "PNG")
        assert np.array_equal(decode(out.getvalue(), BOUND), np.asarray(shown.convert("RGB")))


def test_pixels_keep_their_depth_so_that_a_16_bit_mask_of_ones_is_not_lost() -> None:
    mask = np.zeros((8, 9), np.uint16)
    mask[2, 3] = 1
    assert np.array_equal(decode_pixels(encode(mask, ".png"), BOUND) != 0, mask != 0)
    assert not decode(encode(mask, ".png"), BOUND).any()


def test_float_pixels_are_refused() -> None:
    with pytest.raises(DataError, match="float32"):
        decode(encode(np.ones((4, 5), np.float32), ".tif"), BOUND)


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(FORMATS), st.floats(0, 1), st.booleans())
def test_an_image_cut_short_is_never_taken_for_whole(suffix: str, share: float, grey: bool) -> None:
    smooth = cv2.GaussianBlur(noise((40, 50) if grey else (40, 50, 3)), (0, 0), 2)
    data = encode(smooth, suffix)
    cut = data[: int(share * (len(data) - 1))]
    whole = decode(data, BOUND)
    try:
        got = decode(cut, BOUND)
    except DataError:
        return
    assert np.array_equal(got, whole)


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=200), st.sampled_from([b"", b"BM", b"II*\0", b"MM\0*", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"])
)
def test_bytes_that_are_no_image_are_a_data_error(rest: bytes, magic: bytes) -> None:
    with pytest.raises(DataError):
        decode(magic + rest, BOUND)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_a_bomb_is_refused_by_its_header(suffix: str) -> None:
    with pytest.raises(TooLarge, match=r"100000 x 100000.*max_pixels=10000000000"):
        decode(bomb(suffix), BOUND)


def bomb(suffix: str) -> bytes:
    """A file of a few bytes whose header says 100,000 x 100,000 pixels."""
    if suffix == ".png":
        ends = struct.pack(">I", 0) + b"IEND\xaeB`\x82"
        return (
            b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBBI", 13, b"IHDR", 100_000, 100_000, 8, 0, 0, 0, 0, 0) + ends
        )
    if suffix == ".bmp":
        head = struct.pack("<IiiHHIIiiII", 40, 100_000, 100_000, 1, 8, 1, 0, 0, 0, 0, 0)  # run-length packed
        return struct.pack("<2sIHHI", b"BM", 100, 0, 0, 54) + head
    values = {256: 100_000, 257: 100_000, 258: 8, 259: 5, 262: 1, 273: 8, 277: 1, 278: 100_000, 279: 0}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in values.items())
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(values)) + entries + b"\0\0\0\0"


def test_the_bound_can_be_raised() -> None:
    data = encode(noise((30, 40)), ".png")
    with pytest.raises(TooLarge, match="max_pixels=1200"):
        decode(data, 1199)
    assert decode(data, 1200).shape == (30, 40, 3)


@pytest.mark.parametrize("suffix", FORMATS)
def test_damage_is_never_more_than_a_data_error_nor_a_lot_of_memory(suffix: str) -> None:
    import resource

    sound = encode(cv2.GaussianBlur(noise((40, 50, 3)), (0, 0), 2), suffix)
    rng = np.random.default_rng(2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(600):
        data = bytearray(sound)
        for place in rng.integers(min(len(data), int(rng.choice([64, 400, 10**6]))), size=int(rng.integers(1, 10))):
            data[place] = int(rng.integers(256))
        with contextlib.suppress(DataError):
            assert decode(bytes(data), 2**20).size <= 3 * 2**20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB
