"""Frames from a video file through PyAV: decoded once, in order; numbers by order, never by time; holes noticed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vadbench.data.image import check_pixels, to_uint8
from vadbench.data.source import Fault, Policy, Source, TooLarge
from vadbench.errors import DataError

SUFFIXES = (".avi", ".mp4", ".mkv", ".mov", ".m4v", ".mpg", ".mpeg", ".webm", ".wmv", ".flv", ".ts", ".3gp", ".ogv")

# Each packet of these holds exactly one picture, so counting packets counts frames without decoding any.
_ONE_TO_ONE = {"mpeg4", "mjpeg", "h264", "hevc", "ffv1", "rawvideo", "png", "huffyuv", "ffvhuff", "utvideo"}
# A smaller packet may be a placeholder without a picture (an uncoded MPEG-4 VOP): such a file is counted by decoding.
_SMALLEST_PICTURE = 32
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


@dataclass(frozen=True)
class _Scan:
    """What the packets of a file say.

    ``order`` maps the presentation stamp of each packet to its frame number, where stamps order the frames; only their
    order is used.
    """

    packets: int
    one_to_one: bool
    order: dict[int, int] | None
    short: str | None  # why the file seems cut short


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
        self._scanned: _Scan | None = None
        self._count: int | None = None
        self._shape: tuple[int, int] | None = None

    @property
    def n_frames(self) -> int:
        """Exact number of frames: by packets where each is a picture, by decoding elsewhere, never by the header."""
        if self._count is None:
            scan = self._scan()
            if scan.short is not None:
                self._note_short(scan)
            self._count = scan.packets if scan.one_to_one else sum(1 for _ in self._converted(convert=False))
        return self._count

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) after rotation."""
        if self._shape is None:
            with self._open() as container:
                stream = _video_stream(container, self.path)
                shape, rotation = (stream.codec_context.height, stream.codec_context.width), 0
                if container.format.name != "avi":  # an AVI can't ask for a rotation; others say it with a picture
                    for frame in _first_picture(container, stream):
                        shape, rotation = (frame.height, frame.width), frame.rotation
                self._shape = (shape[1], shape[0]) if _turns(rotation) % 2 else shape
        return self._shape

    @property
    def decoder(self) -> str:
        import av

        codec = ".".join(str(part) for part in av.library_versions["libavcodec"])
        return f"pyav-{av.__version__}/libavcodec-{codec}"

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
            return av.open(address, metadata_errors="replace", options={"protocol_whitelist": "file"})
        except (av.error.FFmpegError, OSError, UnicodeError) as error:
            raise DataError(f"{self.path}: it can't be opened as a video: {_reason(error)}.") from None

    def _scan(self) -> _Scan:
        """Read the packets once, decoding nothing."""
        if self._scanned is None:
            with self._open() as container:
                self._scanned = self._read_packets(container, _video_stream(container, self.path))
        return self._scanned

    def _read_packets(self, container: Any, stream: Any) -> _Scan:
        import av

        promised, bound = stream.frames, self.policy.max_video_frames
        context = stream.codec_context
        check_frames(self.path, promised, bound)
        try:
            check_pixels(context.height, context.width, self.policy.max_pixels)
        except TooLarge as error:
            raise TooLarge(f"{self.path}: {error}.") from None
        stamps: list[int | None] = []
        plain, short = context.name in _ONE_TO_ONE, None
        smallest = _SMALLEST_PICTURE if context.name == "mpeg4" else 0
        try:
            for packet in container.demux(stream):
                if packet.size and not packet.is_discard:
                    plain = plain and packet.size >= smallest and (bool(stamps) or packet.is_keyframe)
                    stamps.append(packet.pts)
                    check_frames(self.path, len(stamps), bound)
        except av.error.FFmpegError as error:
            short = f"reading stops after packet {len(stamps)}: {_reason(error)}"
        if short is None and promised > len(stamps):
            short = f"its header promises {promised} frames"
        known = sorted(stamp for stamp in stamps if stamp is not None)
        short = short or _missing_time(container, stream, known)
        ordered = plain and len(set(known)) == len(stamps)
        order = {stamp: number for number, stamp in enumerate(known)} if ordered else None
        return _Scan(len(stamps), plain, order, short)

    def _pictures(self) -> Iterator[np.ndarray | Fault]:
        return self._converted(convert=True)

    def _converted(self, convert: bool) -> Iterator[Any]:
        """A picture (unconverted, if only counted) or a fault for each frame number, in order."""
        scan = self._scan()
        if scan.short is not None:
            self._note_short(scan)
        number, cause = 0, "it gives no picture"
        size = None
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
            size = size or (found.height, found.width)
            yield self._picture(found, number, size, convert)
            number += 1
        if scan.one_to_one:
            for missing in range(number, scan.packets):
                yield self._fault(missing, cause)
            if number > scan.packets:
                raise DataError(f"{self.path}: {number} pictures decode from {scan.packets} packets; write it anew.")

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
        import av

        with self._open() as container:
            stream = _video_stream(container, self.path)
            stream.codec_context.options = {"max_pixels": str(self.policy.max_pixels)}
            try:
                for packet in container.demux(stream):
                    yield from _decode(packet)
            except av.error.FFmpegError:
                return  # the scan met the same and has said so

    def _fault(self, number: int, message: str) -> Fault:
        return Fault(number, f"{self.path}: frame {number}: {message}")

    def _note_short(self, scan: _Scan) -> None:
        message = f"{self.path}: cut short: it holds {scan.packets} frames, and {scan.short}"
        if self.policy.on_fault == "error":
            raise DataError(f"{message}. Fetch it again, or set dataset.on_fault=skip to take the frames it holds.")
        if message not in self.damage:
            self.damage.append(message)


def check_frames(path: Path, count: int, bound: int) -> None:
    """Refuse a video of more than ``bound`` frames."""
    if count > bound:
        raise TooLarge(
            f"{path}: {count:,} frames or more are above the bound of {bound:,}; "
            f"if that is meant, set dataset.max_video_frames={count}"
        )


def _video_stream(container: Any, path: Path) -> Any:
    """The first video stream that is no cover picture."""
    from av.stream import Disposition

    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    raise DataError(f"{path}: there is no video stream in it.")


def _pixels(frame: Any) -> np.ndarray:
    """``uint8 (H, W, 3)`` RGB, not rotated. 16 bits are brought to 8 as those of image files are."""
    deep = _SIXTEEN_BITS.get(frame.format.name)
    if deep is None:
        return np.asarray(frame.to_ndarray(format="rgb24"))
    pixels = to_uint8(frame.to_ndarray(format=deep))
    return np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels


def _first_picture(container: Any, stream: Any) -> Iterator[Any]:
    """The first picture that decodes, or nothing."""
    for packet in container.demux(stream):
        for frame in _decode(packet):
            if not isinstance(frame, str):
                yield frame
                return


def _decode(packet: Any) -> list[Any]:
    """The pictures that come out when a packet goes in, or a text that says why it can't be decoded."""
    import av

    try:
        return list(packet.decode())
    except av.error.FFmpegError as error:
        return [f"a packet does not decode: {_reason(error)}"]


def _missing_time(container: Any, stream: Any, stamps: list[int]) -> str | None:
    """Why frames seem to be missing, in containers that give no frame count; None if they don't."""
    if len(stamps) < 2:
        return None
    steps = np.diff(stamps)
    usual = float(np.median(steps))
    if container.format.name.startswith("matroska"):
        promised = _seconds(stream.metadata.get("DURATION", ""))
        found = float((stamps[-1] + 1.5 * usual) * stream.time_base)
        return f"its header promises {promised:.2f} s" if promised > found else None
    # A transport stream has a constant rate; packets that were lost leave a gap and nothing else.
    if container.format.name == "mpegts" and np.mean(np.abs(steps - usual) <= 1) > 0.9:
        lost = int(np.round(steps / usual - 1).clip(min=0).sum())
        return f"its stamps leave room for {lost} more" if lost else None
    return None


def _seconds(tag: str) -> float:
    """Seconds of ``00:00:02.400000000``; 0 where the tag is none."""
    parts = tag.split(":")
    try:
        return sum(float(part) * 60**power for power, part in enumerate(reversed(parts)))
    except ValueError:
        return 0.0


def _turns(rotation: float) -> int:
    """Quarter turns counterclockwise for a rotation in degrees."""
    return round(rotation / 90) % 4


def _reason(error: Exception) -> str:
    """What FFmpeg says, without the path that it repeats."""
    return getattr(error, "strerror", None) or str(error)
