"""Score curves over ground truth bands, and frames under their heat maps, as PNG files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from vadbench.data.video import Video
from vadbench.files import bounded
from vadbench.models.base import VideoScores

# At most this many curves in one picture; a dataset of 107 videos makes several pages.
_PER_PAGE = 12


def draw_curves(videos: Sequence[Video], scores: Sequence[VideoScores], folder: Path, title: str) -> list[Path]:
    """Raw frame scores of every video, anomalous frames shaded: ``scores_*.png`` in ``folder``."""
    from matplotlib.figure import Figure

    pairs = list(zip(videos, scores, strict=True))
    pages = [pairs[start : start + _PER_PAGE] for start in range(0, len(pairs), _PER_PAGE)]
    low, high = _limits(scores)
    paths = []
    for number, page in enumerate(pages, 1):
        columns = 2 if len(page) > 1 else 1
        rows = -(-len(page) // columns)
        width, height = 6.4 * columns, 1.9 * rows + 0.7
        figure = Figure(figsize=(width, height))
        # Margins in inches: a layout engine would draw every page twice.
        figure.subplots_adjust(0.65 / width, 0.45 / height, 1 - 0.15 / width, 1 - 0.75 / height, 0.06, 0.6)
        axes = np.atleast_1d(figure.subplots(rows, columns, sharey=True)).ravel()
        for axis, (video, result) in zip(axes, page, strict=False):
            _curve(axis, video, result)
            axis.set_ylim(low, high)
        for axis in axes[len(page) :]:
            axis.set_visible(False)
        of = f" ({number} of {len(pages)})" if len(pages) > 1 else ""
        heading = f"{title}{of}\nraw score per frame; shaded: anomalous by ground truth"
        figure.suptitle(heading, fontsize=10, y=1 - 0.08 / height)
        path = folder / f"scores_{number:02d}.png"
        figure.savefig(path, dpi=110)
        paths.append(path)
    return paths


def _curve(axis: object, video: Video, result: VideoScores) -> None:
    frames = np.arange(len(result.scores))
    axis.plot(frames, result.scores, linewidth=1.0, color="#1f4e79")  # type: ignore[attr-defined]
    if video.labels is not None:
        for start, stop in runs(video.labels):
            axis.axvspan(start - 0.5, stop - 0.5, color="#d1495b", alpha=0.25, linewidth=0)  # type: ignore[attr-defined]
    axis.set_title(f"video {video.id}", fontsize=9, loc="left")  # type: ignore[attr-defined]
    axis.set_xlim(0, max(len(frames) - 1, 1))  # type: ignore[attr-defined]
    axis.tick_params(labelsize=8)  # type: ignore[attr-defined]
    axis.set_xlabel("frame", fontsize=8)  # type: ignore[attr-defined]


def runs(labels: np.ndarray) -> list[tuple[int, int]]:
    """Half-open intervals of True in ``bool (T,)``."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], labels.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _limits(scores: Sequence[VideoScores]) -> tuple[float, float]:
    everything = np.concatenate([result.scores for result in scores])
    low, high = float(everything.min()), float(everything.max())
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin


def draw_heatmaps(video: Video, result: VideoScores, count: int, peak: float, folder: Path) -> list[Path]:
    """``count`` frames of one video, those with the highest scores, under their maps: ``heat_<video>_<frame>.png``.

    ``peak``: map value that is drawn as the hottest colour, the same for all frames so that they can be compared.
    """
    import cv2

    if result.maps is None or count == 0:
        return []
    paths = heatmap_paths(result, count, folder)
    for number, frame in enumerate(video.frames()):
        if number not in paths:
            continue
        heat = np.clip(result.maps.at_size(number, video.size) / peak, 0, 1)
        colours = cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
        alpha = (0.65 * heat)[..., None]
        blended = (1 - alpha) * frame[..., ::-1] + alpha * colours
        cv2.imwrite(str(paths[number]), blended.astype(np.uint8))
    return list(paths.values())


def heatmap_paths(result: VideoScores, count: int, folder: Path) -> dict[int, Path]:
    """Return the ``count`` frames of a video that are drawn, each with its file."""
    frames = sorted(_highest(result.scores, count))
    return {frame: folder / f"heat_{_plain(result.video)}_{frame:05d}.png" for frame in frames}


def hottest(scores: Iterable[VideoScores], share: float = 0.995) -> float:
    """Map value below which ``share`` of the highest value of every frame lies, over all videos."""
    peaks = [float(r.maps[t].max()) for r in scores if r.maps is not None for t in range(0, len(r.maps), 5)]
    return max(float(np.quantile(peaks, share)), 1e-30) if peaks else 1.0


def _highest(scores: np.ndarray, count: int) -> set[int]:
    """Return the frames with the highest scores, none within 10 frames of another, so that they show different
    moments."""
    chosen: list[int] = []
    for frame in np.argsort(-scores, kind="stable"):
        if all(abs(int(frame) - other) > 10 for other in chosen):
            chosen.append(int(frame))
        if len(chosen) == count:
            break
    return set(chosen)


def _plain(name: str) -> str:
    return bounded("".join(c if c.isalnum() or c in "-_." else "_" for c in name))
