"""What the packets of a video file say: how many there are, in which order they are shown, whether some are missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vadbench.data.readers.image import check_pixels
from vadbench.data.readers.source import Policy, TooLarge

# Each packet of these holds exactly one picture, so counting packets counts frames without decoding any.
_ONE_TO_ONE = {"mpeg4", "mjpeg", "h264", "hevc", "ffv1", "rawvideo", "png", "huffyuv", "ffvhuff", "utvideo"}
# A smaller packet may be a placeholder without a picture (an uncoded MPEG-4 VOP): such a file is counted by decoding.
_SMALLEST_PICTURE = 32


@dataclass(frozen=True)
class Scan:
    """What the packets of a file say.

    Attributes
    ----------
    order: presentation stamp of each packet to its frame number, where stamps order the frames; only their order is
        used.
    short: why frames seem to be missing, None if they don't.
    gaps: frames that the stamps leave room for between packets, where they are even otherwise.
    has_end: True if the end of a file that is short is there, so that what is missing is not missing there.
    counted: True if the header gives the number of packets that there are.
    """

    packets: int
    one_to_one: bool
    order: dict[int, int] | None
    short: str | None
    gaps: int = 0
    has_end: bool = False
    counted: bool = False

    def lost_inside(self, promised: int | None, n_frames: int) -> str | None:
        """Return why the ``n_frames`` frames may not have the numbers that they had in the original, None if they have.

        ``promised``: frames that the labels or masks of the original count, at least; None where they don't say it. A
        file that is short because its end is missing still holds the first frames.
        """
        if promised == n_frames or (self.short is None and (self.counted or (promised or 0) < n_frames)):
            return None
        if self.gaps:
            return f"its stamps leave room for {self.gaps} more between those that are there"
        if self.short is None:
            return f"its labels count {promised}, it holds {n_frames}, and nothing says which are lost"
        return f"{self.short}, and the end of the file is there" if self.has_end else None


def read_packets(container: Any, stream: Any, path: Path, policy: Policy) -> Scan:
    """Read every packet of ``stream``, decoding nothing; TooLarge above the bounds of ``policy``."""
    context, promised = stream.codec_context, stream.frames
    check_frames(path, promised, policy.max_video_frames)
    try:
        check_pixels(context.height, context.width, policy.max_pixels)
    except TooLarge as error:
        raise TooLarge(f"{path}: {error}.") from None
    stamps: list[int | None] = []
    plain, short = context.name in _ONE_TO_ONE, None
    smallest = _SMALLEST_PICTURE if context.name == "mpeg4" else 0
    for packet in packets(container, stream):
        if isinstance(packet, str):
            short = f"reading stops there: {packet}"
        elif packet.size and not packet.is_discard:
            plain = plain and packet.size >= smallest and (bool(stamps) or packet.is_keyframe)
            stamps.append(packet.pts)
            check_frames(path, len(stamps), policy.max_video_frames)
    if short is None and promised > len(stamps):
        short = f"its header promises {promised} frames"
    known = sorted(stamp for stamp in stamps if stamp is not None)
    gaps = _gaps(known)
    short = short or _missing_time(container, stream, known, gaps)
    ordered = plain and len(set(known)) == len(stamps)
    order = {stamp: number for number, stamp in enumerate(known)} if ordered else None
    has_end = short is not None and container.format.name == "avi" and _has_index(path, promised)
    return Scan(len(stamps), plain, order, short, gaps, has_end, promised == len(stamps))


def packets(container: Any, stream: Any) -> Iterator[Any]:
    """Each packet; where reading breaks off, a text that says why, as the last item."""
    import av

    try:
        yield from container.demux(stream)
    except av.error.FFmpegError as error:
        yield reason(error)
    except IndexError:
        yield "a stream begins that the header does not name"


def check_frames(path: Path, count: int, bound: int) -> None:
    """Refuse a video of more than ``bound`` frames."""
    if count > bound:
        raise TooLarge(
            f"{path}: {count:,} frames or more are above the bound of {bound:,}; "
            f"if that is meant, set dataset.max_video_frames={count}"
        )


def _gaps(stamps: list[int]) -> int:
    """Frames that rising stamps leave room for; 0 where the rate is not constant but for a few gaps."""
    steps = np.diff(stamps)
    usual = float(np.median(steps)) if len(steps) else 0.0
    if usual <= 0 or np.mean(np.abs(steps - usual) <= 1) <= 0.9:
        return 0
    return int(np.round(steps / usual - 1).clip(min=0).sum())


def _missing_time(container: Any, stream: Any, stamps: list[int], gaps: int) -> str | None:
    """Return why frames seem to be missing, in containers that give no frame count; None if they don't."""
    if len(stamps) < 2:
        return None
    if container.format.name.startswith("matroska"):
        promised = _seconds(stream.metadata.get("DURATION", ""))
        found = float((stamps[-1] + 1.5 * float(np.median(np.diff(stamps)))) * stream.time_base)
        return f"its header promises {promised:.2f} s" if promised > found else None
    # A transport stream has a constant rate; packets that were lost leave a gap and nothing else.
    if container.format.name == "mpegts" and gaps:
        return f"its stamps leave room for {gaps} more"
    return None


def _has_index(path: Path, frames: int) -> bool:
    """Return True if the index that ends an AVI is there; a file that was cut short has lost it."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        # 16 bytes an entry; four streams and more after the index at most.
        file.seek(max(0, size - (64 * frames + (1 << 16))))
        return b"idx1" in file.read()


def _seconds(tag: str) -> float:
    """Seconds of ``00:00:02.400000000``; 0 where the tag is none."""
    parts = tag.split(":")
    try:
        seconds: float = sum(float(part) * 60**power for power, part in enumerate(reversed(parts)))
        return seconds
    except ValueError:
        return 0.0


def reason(error: Exception) -> str:
    """Return what FFmpeg says, without the path that it repeats."""
    return getattr(error, "strerror", None) or str(error)
