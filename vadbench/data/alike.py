"""Whether the videos of a dataset are alike: one frame size, and training and test videos compressed in one way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from vadbench.data.readers.source import Encoding
from vadbench.data.video import Dataset, Video

_FACTOR = 2  # how far a test video's bit rate may lie outside those of the training videos


def sizes(dataset: Dataset) -> str | None:
    """``"640 x 360 in 14 videos, 320 x 240 in test door"`` where frames differ in size, None where they don't."""
    found: dict[tuple[int, int], list[str]] = defaultdict(list)
    for split, videos in (("train", dataset.train), ("test", dataset.test)):
        for video in videos:
            found[video.size].append(f"{split} {video.id}")
    if len(found) < 2:
        return None
    return _listed({f"{width} x {height}": names for (height, width), names in found.items()})


def encodings(dataset: Dataset) -> list[str]:
    """Say how the compression of test videos differs from that of training videos, a line each; none where it doesn't.

    Compared are codecs (all lossless ones are alike) and bits for each pixel: those of a test video should lie within
    half the least and twice the most of the training videos of its codec.
    """
    train, test = _by_codec(dataset.train), _by_codec(dataset.test)
    lines = []
    if train and test and train.keys() != test.keys():
        lines.append(
            f"training and test videos are compressed differently: training {_names(train)}; test {_names(test)}. "
            "Scores can rise for that alone"
        )
    for codec in train.keys() & test.keys():
        lines += _bit_rates(codec, train[codec], test[codec])
    return lines


def _bit_rates(codec: str, train: Mapping[str, Encoding], test: Mapping[str, Encoding]) -> list[str]:
    known = [each.bits_per_pixel for each in train.values() if each.bits_per_pixel is not None]
    if not known:
        return []
    low, high = min(known), max(known)
    far = {
        video: each.bits_per_pixel
        for video, each in test.items()
        if each.bits_per_pixel is not None and not low / _FACTOR <= each.bits_per_pixel <= high * _FACTOR
    }
    if not far:
        return []
    shown = ", ".join(f"{video} {bits:.2g}" for video, bits in list(far.items())[:5])
    more = f" and {len(far) - 5} more" if len(far) > 5 else ""
    span = f"{low:.2g}" if low == high else f"{low:.2g} to {high:.2g}"
    return [
        f"bit rates differ: test videos {shown}{more} bits for each pixel, training videos {span} ({codec}). "
        "Scores can rise for that alone"
    ]


def _by_codec(videos: Iterable[Video]) -> dict[str, dict[str, Encoding]]:
    """Codec to video id to encoding, where it is known; all lossless ones under one name."""
    found: dict[str, dict[str, Encoding]] = defaultdict(dict)
    for video in videos:
        encoding: Encoding | None = getattr(video.source, "encoding", None)
        if encoding is not None:
            found["lossless" if encoding.lossless else encoding.name][video.id] = encoding
    return found


def _names(by_codec: Mapping[str, Mapping[str, Encoding]]) -> str:
    """``"h264"``, or ``"h264 in 14 videos, JPEG in door"``."""
    if len(by_codec) == 1:
        return next(iter(by_codec))
    return _listed({codec: list(videos) for codec, videos in by_codec.items()})


def _listed(found: Mapping[str, Sequence[str]]) -> str:
    """Each kind with its videos, the most frequent one first; more than three are counted."""
    ordered = sorted(found.items(), key=lambda kind: -len(kind[1]))
    return ", ".join(
        f"{kind} in {', '.join(names) if len(names) <= 3 else f'{len(names)} videos'}" for kind, names in ordered
    )
