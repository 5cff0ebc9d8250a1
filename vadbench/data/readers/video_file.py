"""Frames from a video file through PyAV: decoded once, in order; numbers by order, never by time; holes noticed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vadbench.data.readers.image import to_uint8
from vadbench.data.readers.packets import Scan, packets, read_packets, reason
from vadbench.data.readers.source import Encoding, Fault, Policy, Source
from vadbench.errors import DataError
from vadbench.files import sha256

SUFFIXES = (".avi", ".mp4", ".mkv", ".mov", ".m4v", ".mpg", ".mpeg", ".webm", ".wmv", ".flv", ".ts", ".3gp", ".ogv")

_BLOCK = 1 << 20
# Formats that FFmpeg would dither on the way to 8 bits, and the one that holds the same values in the usual byte order.
_SIXTEEN_BITS = {
    "gray16le": "gray16le",
    "gray16be": "gray16le",
    "rgb48le": "rgb48le",
    "rgb48be": "rgb48le",
    "rgba64le": "rgb48le",
    "rgba64be": "rgb48le",
}
_DEEP = "9 to 16 bits rounded, not cut, to 8"
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG


@dataclass(frozen=True)
class _Head:
    """Of a file: (H, W) as stored, rotation in degrees, whether it has more than 8 bits, how it was compressed."""

    size: tuple[int, int]
    rotation: float
    deep: bool
    encoding: Encoding


class VideoFile(Source):
    """The frames of the first video stream of a file, any codec that PyAV reads, rotated as the file asks.

    Variable frame rates need nothing: frames are numbered as they come. Aspect ratio and interlacing are left as
    stored. A packet that doesn't decode, or a picture that the decoder marks as damaged, is a fault of that frame;
    those after it, up to the next key frame, may be blurred by it, which the fault's message says.
    """

    def __init__(self, path: str | Path, policy: Policy | None = None) -> None:
        self.path = Path(path)
        super().__init__(str(self.path), policy or Policy())
        if not self.path.is_file():
            raise DataError(f"{self.path}: no such video file.")
        self._scanned: Scan | None = None
        self._count: int | None = None
        self._read_head: _Head | None = None

    @property
    def n_frames(self) -> int:
        """Exact number of frames: by packets where each is a picture, by decoding elsewhere, never by the header."""
        if self._count is None:
            scan = self._scan()
            if scan.short is not None:
                self._note_damage("cut short", f"it holds {scan.packets} frames, and {scan.short}")
            elif scan.gaps:
                self.notes.append(
                    f"{self.path.name}: its time stamps leave room for {scan.gaps} more frames between those that are "
                    "there; frames are numbered as they come"
                )
            self._count = scan.packets if scan.one_to_one else sum(1 for _ in self._converted(convert=False))
        return self._count

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) after rotation."""
        height, width = self._head().size
        return (width, height) if _turns(self._head().rotation) % 2 else (height, width)

    @property
    def encoding(self) -> Encoding | None:
        """By the stream's header."""
        return self._head().encoding

    def lost_inside(self, promised: int | None) -> str | None:
        return self._scan().lost_inside(promised, self.n_frames)

    def digest(self) -> str:
        """Hex SHA-256 of the file; of a video of more than 8 bits also of how those are brought to 8.

        That changed once, and features or runs of the earlier pixels must not be taken for those of today's.
        """
        whole = super().digest()
        return sha256([whole.encode(), _DEEP.encode()]) if self._head().deep else whole

    def _head(self) -> _Head:
        """Return what the header says, and the first picture where it takes one to know the rotation."""
        if self._read_head is None:
            with self._open() as container:
                stream = self._stream(container)
                context = stream.codec_context
                size, rotation = (context.height, context.width), 0.0
                if container.format.name != "avi":  # an AVI can't ask for a rotation; others say it with a picture
                    for frame in _first_picture(container, stream):
                        size, rotation = (frame.height, frame.width), frame.rotation
                deep = context.format is not None and _is_deep(context.format)
                self._read_head = _Head(size, rotation, deep, self._encoding(container, stream, size))
        return self._read_head

    def _encoding(self, container: Any, stream: Any, size: tuple[int, int]) -> Encoding:
        codec, frames, bits = stream.codec_context.codec, stream.frames, None
        if codec.lossless and not codec.lossy:
            return Encoding(codec.name, True, None)
        if not frames and container.duration and stream.average_rate:
            frames = float(container.duration / 1e6 * stream.average_rate)
        if frames and size[0] and size[1]:
            bits = 8 * self.path.stat().st_size / (frames * size[0] * size[1])
        return Encoding(codec.name, False, bits)

    @property
    def decoder(self) -> str:
        import av

        codec = ".".join(str(part) for part in av.library_versions["libavcodec"])
        return self._versioned(f"pyav-{av.__version__}/libavcodec-{codec}")

    def _bytes(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            while block := file.read(_BLOCK):
                yield block

    def _paths(self) -> list[Path]:
        return [self.path]

    def _open(self) -> Any:
        import av

        try:
            # "file:" and the list keep FFmpeg from taking a name or a playlist's content for an address.
            address = f"file:{os.fspath(self.path.absolute())}"
            return av.open(address, metadata_errors="replace", container_options={"protocol_whitelist": "file"})
        except (av.error.FFmpegError, OSError, UnicodeError) as error:
            raise DataError(f"{self.path}: it can't be opened as a video: {reason(error)}.") from None

    def _stream(self, container: Any) -> Any:
        """Return the first video stream that is no cover picture."""
        from av.stream import Disposition

        for stream in container.streams.video:
            if stream.disposition & Disposition.attached_pic:
                continue
            if stream.codec_context is None:
                raise DataError(f"{self.path}: its codec is not one that can be read, or its header is damaged.")
            # With several threads a decoder marks and mends damage in the order in which slices happen to end.
            stream.codec_context.thread_count = 1
            stream.codec_context.options = {"max_pixels": str(self.policy.max_pixels)}
            return stream
        raise DataError(f"{self.path}: there is no video stream in it.")

    def _scan(self) -> Scan:
        """Read the packets once, decoding nothing."""
        if self._scanned is None:
            with self._open() as container:
                self._scanned = read_packets(container, self._stream(container), self.path, self.policy)
        return self._scanned

    def _pictures(self) -> Iterator[np.ndarray | Fault]:
        return self._converted(convert=True)

    def _converted(self, convert: bool) -> Iterator[Any]:
        """Yield a picture (unconverted, if only counted) or a fault for each frame number, in order."""
        scan = self._scan()
        if scan.short is not None:
            self._note_damage("cut short", f"it holds {scan.packets} frames, and {scan.short}")
        number, cause = 0, "it gives no picture"
        size, rooted = self._head().size, False
        for found in self._decoded():
            if isinstance(found, str):
                cause = found
                if scan.order is None:
                    yield self._fault(number, cause)
                    number += 1
                continue
            place = number if scan.order is None else scan.order.get(found.pts, number)
            for missing in range(number, place):
                yield self._fault(missing, cause)
            number = max(number, place)
            if scan.one_to_one and number >= scan.packets:
                self._note_damage("damaged", f"it holds {scan.packets} packets, and more pictures come out of them")
                return
            picture = self._picture(found, number, size, convert)
            if not rooted and not isinstance(picture, Fault):
                # After a damaged start the decoder builds on memory that nothing was written to.
                rooted = number == 0 or bool(found.key_frame)
                picture = picture if rooted else self._fault(number, "no sound key frame comes before it")
            yield picture
            number += 1
        if scan.one_to_one:
            for missing in range(number, scan.packets):
                yield self._fault(missing, cause)

    def _picture(self, frame: Any, number: int, size: tuple[int, int], convert: bool) -> Any:
        if frame.is_corrupt:
            return self._fault(number, "the decoder marks it as damaged; it may blur those up to the next key frame")
        if (frame.height, frame.width) != size:
            return self._fault(number, f"the size changes from {size[1]} x {size[0]} to {frame.width} x {frame.height}")
        if not convert:
            return frame
        pixels = _pixels(frame)
        turns = _turns(frame.rotation)
        return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels

    def _decoded(self) -> Iterator[Any]:
        """Every decoded picture in order of presentation; a text where a packet can't be decoded."""
        with self._open() as container:
            for packet in packets(container, self._stream(container)):
                if isinstance(packet, str):
                    return  # the scan met the same and has said so
                yield from _decode(packet)

    def _fault(self, number: int, message: str) -> Fault:
        return Fault(number, f"{self.path}: frame {number}: {message}")

    def _note_damage(self, what: str, message: str) -> None:
        message = f"{self.path}: {what}: {message}"
        if self.policy.on_fault == "error":
            raise DataError(f"{message}. Fetch it again, or set dataset.on_fault=skip to take the frames it holds.")
        if message not in self.damage:
            self.damage.append(message)


def _pixels(frame: Any) -> np.ndarray:
    """``uint8 (H, W, 3)`` RGB, not rotated. 16 bits are brought to 8 as those of image files are."""
    form = frame.format
    if form.name in _SIXTEEN_BITS:
        pixels = to_uint8(frame.to_ndarray(format=_SIXTEEN_BITS[form.name]))
        return np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels
    if not _is_deep(form):
        return np.asarray(frame.to_ndarray(format="rgb24"))
    # On the way from more than 8 bits to rgb24, FFmpeg rounds down at each step: up to three grey levels too dark.
    pixels = frame.to_ndarray(format="rgb48le").astype(np.uint32)
    bits = form.components[0].bits
    full_range = form.is_rgb or len(form.components) == 1 or frame.color_range == _FULL_RANGE
    white = (2**bits - 1 if full_range else 255 << (bits - 8)) << (16 - bits)  # what FFmpeg makes of white
    eight_bit: np.ndarray = ((pixels * 255 + white // 2) // white).clip(max=255).astype(np.uint8)
    return eight_bit


def _is_deep(form: Any) -> bool:
    """Return True for formats of 9 to 16 bits that are not read as they are."""
    return form.name not in _SIXTEEN_BITS and bool(form.components) and 8 < form.components[0].bits <= 16


def _first_picture(container: Any, stream: Any) -> Iterator[Any]:
    """Yield the first picture that decodes, or nothing."""
    for packet in packets(container, stream):
        for frame in [] if isinstance(packet, str) else _decode(packet):
            if not isinstance(frame, str):
                yield frame
                return


def _decode(packet: Any) -> list[Any]:
    """Return the pictures that come out when a packet goes in, or a text that says why it can't be decoded."""
    import av

    try:
        return list(packet.decode())
    except av.error.FFmpegError as error:
        return [f"a packet does not decode: {reason(error)}"]


def _turns(rotation: float) -> int:
    """Quarter turns counterclockwise for a rotation in degrees."""
    return round(rotation / 90) % 4
