"""One image file to one RGB frame: size read from the header first, damage noticed, 16 bits brought to 8."""

from __future__ import annotations

import struct

import numpy as np

from vadbench.data.readers.source import TooLarge
from vadbench.errors import DataError

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff")


# Size, strips (places, byte counts, rows), channels, tiles (width, height, places, byte counts).
_TIFF_TAGS = (256, 257, 273, 277, 278, 279, 322, 323, 324, 325)
_LARGEST_PART = 2**26  # pixels of a strip or tile that is larger than its image


def header_size(data: bytes) -> tuple[int, int]:
    """(H, W) of an encoded BMP, JPEG, PNG or TIFF, without decoding it; DataError if it is none or is cut short."""
    try:
        if data[:8] == b"\x89PNG\r\n\x1a\n":
            return _png(data)
        if data[:2] == b"\xff\xd8":
            return _jpeg(data)
        if data[:4] in (b"II*\0", b"MM\0*"):
            return _tiff(data)
        if data[:2] == b"BM":
            return _bmp(data)
    except (struct.error, IndexError):
        raise DataError("the file is cut short inside its header") from None
    raise DataError("the file is empty" if not data else "not a BMP, JPEG, PNG or TIFF image")


def _png(data: bytes) -> tuple[int, int]:
    """Walk the chunks to the end: a decoder reserves what a chunk's length asks for, before it looks for the bytes."""
    width, height = struct.unpack_from(">II", data, 16)
    at, kind = 8, b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        at += 12 + length
        if at > len(data):
            raise DataError("the PNG is cut short, or a chunk of it is damaged")
    return height, width


def _bmp(data: bytes) -> tuple[int, int]:
    start, header = struct.unpack_from("<II", data, 10)
    if header == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        packed = 0
    else:
        width, height, _, bits, packed = struct.unpack_from("<iiHHI", data, 18)
    height = abs(height)
    if packed in (0, 3) and len(data) < start + (width * bits + 31) // 32 * 4 * height:
        raise DataError("the BMP is cut short")
    return height, width


def _jpeg(data: bytes) -> tuple[int, int]:
    """Walk the segments to the frame header, then to the start of the scan; an end marker must follow it."""
    at, size = 2, None
    while True:
        if data[at] != 0xFF:
            raise DataError("the JPEG's segments are damaged")
        marker = data[at + 1]
        if marker in (0xFF, 0x01) or 0xD0 <= marker <= 0xD8:
            at += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            size = struct.unpack_from(">HH", data, at + 5)
        if marker == 0xDA:
            break
        at += 2 + length
    if size is None or data.rfind(b"\xff\xd9") < at:
        raise DataError("the JPEG is cut short: its end marker is missing")
    return size


def _tiff(data: bytes) -> tuple[int, int]:
    """Size from the first directory; the strips or tiles that it points to must lie inside the file."""
    order = "<" if data[:2] == b"II" else ">"
    (at,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, at)
    tags = {}
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind, n = struct.unpack_from(order + "HHI", data, entry)
        if tag in _TIFF_TAGS and kind in (3, 4):
            form = order + str(n) + ("H" if kind == 3 else "I")
            where = entry + 8 if struct.calcsize(form) <= 4 else struct.unpack_from(order + "I", data, entry + 8)[0]
            tags[tag] = struct.unpack_from(form, data, where)
    if 256 not in tags or 257 not in tags:
        raise DataError("the TIFF has no image size")
    _check_buffer(tags)
    for offsets, counts in ((273, 279), (324, 325)):
        ends = [o + c for o, c in zip(tags.get(offsets, ()), tags.get(counts, ()), strict=False)]
        if ends and max(ends) > len(data):
            raise DataError("the TIFF is cut short")
    return tags[257][0], tags[256][0]


def _check_buffer(tags: dict[int, tuple[int, ...]]) -> None:
    """Refuse strips, tiles or channels beyond what the size explains: the decoder would reserve memory for them."""
    width, height, rows = tags[256][0], tags[257][0], tags.get(278, (0,))[0]
    strip = 0 if rows <= height or rows == 2**32 - 1 else width * rows
    tile = tags.get(322, (0,))[0] * tags.get(323, (0,))[0]
    if max(strip, tile) > _LARGEST_PART or tags.get(277, (1,))[0] > 8:
        raise DataError("the TIFF's strips, tiles or channels are larger than its size")


def decode(data: bytes, max_pixels: int) -> np.ndarray:
    """Return the frame ``uint8 (H, W, 3)`` RGB of an encoded image.

    Grey is repeated over the channels, alpha is dropped, 16 bits are scaled from their full range (65535 becomes 255,
    rounded). Pixels are taken as stored: an EXIF orientation is not applied.

    Raises
    ------
    DataError: damaged, cut short, of another depth, or larger than ``max_pixels``; the message does not know the file.
    """
    import cv2

    pixels = to_uint8(decode_pixels(data, max_pixels))
    if pixels.ndim == 2:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def decode_pixels(data: bytes, max_pixels: int) -> np.ndarray:
    """Return the pixels as stored, ``uint8`` or ``uint16``, ``(H, W)`` or ``(H, W, 3)`` BGR; errors as of
    :func:`decode`."""
    height, width = header_size(data)
    check_pixels(height, width, max_pixels)
    import cv2

    as_stored = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), as_stored)
    except cv2.error as error:
        raise DataError(f"it does not decode: {str(error).splitlines()[0]}") from None
    if pixels is None:
        raise DataError("it does not decode")
    return np.asarray(pixels)


def to_uint8(pixels: np.ndarray) -> np.ndarray:
    """``pixels`` as uint8: 16 bits are scaled from their full range, rounded; other types are refused."""
    if pixels.dtype == np.uint16:
        return ((pixels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise DataError(f"its pixels are {pixels.dtype}; only unsigned 8 and 16 bits can be read")
    return pixels


def check_pixels(height: int, width: int, bound: int) -> None:
    """Refuse a frame of more than ``bound`` pixels."""
    if height * width > bound:
        raise TooLarge(
            f"a frame of {width} x {height} = {height * width:,} pixels is above the bound of {bound:,}; "
            f"if that is meant, set dataset.max_pixels={height * width}"
        )
