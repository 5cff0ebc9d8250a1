"""What the packets of a video file say: how many there are, in which order they are shown, whether some are missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vadbench.data.image import check_pixels
from vadbench.data.source import Policy, TooLarge

# Each packet of these holds exactly one picture, so counting packets counts frames without decoding any.
_ONE_TO_ONE = {"mpeg4", "mjpeg", "h264", "hevc", "ffv1", "rawvideo", "png", "huffyuv", "ffvhuff", "utvideo"}
# A smaller packet may be a placeholder without a picture (an uncoded MPEG-4 VOP): such a file is counted by decoding.
_SMALLEST_PICTURE = 32


@dataclass(frozen=True)
class Scan:
    """What the packets of a file say.

    ``order`` maps the presentation stamp of each packet to its frame number, where stamps order the frames; only their
    order is used.
    """

    packets: int
    one_to_one: bool
    order: dict[int, int] | None
    short: str | None  # why the file seems cut short


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
    short = short or _missing_time(container, stream, known)
    ordered = plain and len(set(known)) == len(stamps)
    order = {stamp: number for number, stamp in enumerate(known)} if ordered else None
    return Scan(len(stamps), plain, order, short)


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


def reason(error: Exception) -> str:
    """What FFmpeg says, without the path that it repeats."""
    return getattr(error, "strerror", None) or str(error)
