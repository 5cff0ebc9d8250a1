"""Why a frame got its score: which region and which stream made it, as a table and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vadbench.errors import DataError, VadbenchError, nearest
from vadbench.files import replacing
from vadbench.runs.run_folder import RunFolder
from vadbench.untrusted import damage, read_config, read_table

STREAMS = ("velocity", "pose", "deep")

_SCORES = {"video": "text", "frame": "number", "score": "number", "label": "flag"}
_COLORS = {"velocity": "#d1495b", "pose": "#edae49", "deep": "#1f4e79"}


@dataclass(frozen=True)
class Explanation:
    """One frame of one run.

    Attributes
    ----------
    video, frame: which. score: its raw score. label: True for anomalous by ground truth, None if unknown.
    source: the frame whose regions made the score; another one only where the score is interpolated.
    regions: its regions, most anomalous first: rank, class, detector_score, x1, y1, x2, y2, the streams that are on,
        total.
    made_by: stream to (rank of the region whose score counts, that score), for the streams in the sum.
    """

    video: str
    frame: int
    score: float
    label: bool | None
    source: int
    regions: list[dict[str, Any]]
    made_by: dict[str, tuple[int, float]]

    def sentence(self) -> str:
        """Return what made the score, as a sentence."""
        head = f"video {self.video}, frame {self.frame}: score {self.score:.4f}"
        if self.label is not None:
            head += " (anomalous by ground truth)" if self.label else " (normal by ground truth)"
        if not self.regions:
            return f"{head}. No region was found: the frame has the calibrated minimum."
        parts = [f"{stream} {value:.4f} of region {rank}" for stream, (rank, value) in self.made_by.items()]
        copied = f", taken from frame {self.source}" if self.source != self.frame else ""
        return f"{head} = {' + '.join(parts)}{copied}."


def explain(folder: Path, video: str, frame: int | None = None) -> Explanation:
    """Return the explanation of one frame, of the highest score in ``video`` if ``frame`` is None.

    Raises
    ------
    DataError: no complete run in ``folder``, one without regions, or no such video or frame.
    """
    with damage(folder):
        return _explained(folder, video, frame, *_read(folder))


def _explained(
    folder: Path, video: str, frame: int | None, record: dict[str, Any], scores: pd.DataFrame, regions: pd.DataFrame
) -> Explanation:
    ids = sorted(scores["video"].unique())
    if video not in ids:
        raise DataError(f"--video {video}: not a test video of this run. {nearest(video, ids)}")
    rows: Any = scores[scores["video"] == video].sort_values("frame").reset_index(drop=True)
    if frame is None:
        frame = int(rows["score"].argmax())
    if not 0 <= frame < len(rows):
        raise DataError(f"--frame {frame}: video {video} has frames 0 to {len(rows) - 1}")
    label = rows["label"][frame]
    source = _source(folder, frame, len(rows))
    fit = record["fit"]
    streams = [stream for stream in STREAMS if stream in fit.get("streams", STREAMS)]
    here = _ranked(regions[(regions["video"] == video) & (regions["frame"] == source)], streams)
    return Explanation(
        video,
        frame,
        float(rows["score"][frame]),
        None if pd.isna(label) else bool(label),
        source,
        here,
        _made_by(here, fit.get("in_sum", streams), fit.get("frame_reduction", "sum_of_max")),
    )


def load_frame(folder: Path, video: str, frame: int) -> np.ndarray:
    """One frame of the run's dataset, ``uint8 (H, W, 3)`` RGB, decoded as the run decoded it.

    Raises
    ------
    DataError: the dataset is not where the run found it.
    """
    from vadbench.config.schema import checked_part
    from vadbench.data.registry import load_dataset

    with damage(folder):
        values = dict(read_config(folder / "config.yaml")["dataset"])
    if values.get("made_in_python"):
        raise DataError(
            f"the picture needs the frames of video {video}, and the run was given a dataset that was made in Python "
            "(--no-picture prints without them)"
        )
    try:
        dataset = load_dataset(replace(checked_part("dataset", values), test_videos=[video]))
    except (VadbenchError, OSError, TypeError, ValueError) as error:
        raise DataError(
            f"{folder}: the picture needs the frames of video {video}: {error} (--no-picture prints without them)"
        ) from error
    for number, image in enumerate(dataset.test[0].frames()):
        if number == frame:
            return image
    raise DataError(f"video {video} now has fewer than {frame + 1} frames; the dataset has changed since the run")


def draw(found: Explanation, image: np.ndarray, path: Path, top: int = 8) -> None:
    """Draw the frame with its regions numbered, beside what each stream gave to each of them."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    shown = found.regions[:top]
    streams = [stream for stream in STREAMS if shown and stream in shown[0]]
    height, width = image.shape[:2]
    figure = Figure(figsize=(12, max(3.2, 7.5 * height / width + 0.6)), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[7.5, 4])
    left.imshow(image)
    left.set_axis_off()
    for row in shown:
        color = _COLORS[max(streams, key=lambda stream: row[stream] if row[stream] == row[stream] else -np.inf)]
        x, y, line = row["x1"] - 0.5, row["y1"] - 0.5, 2.5 if row["rank"] == 1 else 1.2
        box = Rectangle(
            (x, y), row["x2"] - row["x1"], row["y2"] - row["y1"], fill=False, edgecolor=color, linewidth=line
        )
        left.add_patch(box)
        text = {"facecolor": color, "edgecolor": "none", "pad": 1.0, "alpha": 0.85}
        left.text(x, y, str(row["rank"]), color="white", fontsize=8, va="bottom", bbox=text)
    _bars(right, shown, streams)
    figure.suptitle(found.sentence(), fontsize=9, wrap=True, parse_math=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        figure.savefig(file, dpi=110, format=path.suffix[1:] or "png")


def _bars(axis: Any, shown: Sequence[dict[str, Any]], streams: Sequence[str]) -> None:
    """Scores of each region, one bar a stream."""
    if not shown:
        axis.set_axis_off()
        return
    places = np.arange(len(shown))
    thickness = 0.8 / len(streams)
    for i, stream in enumerate(streams):
        offset = (i - (len(streams) - 1) / 2) * thickness
        widths = np.nan_to_num([row[stream] for row in shown])
        axis.barh(places + offset, widths, thickness * 0.9, color=_COLORS[stream], label=stream)
    axis.set_yticks(places, [f"{row['rank']}: {row['class']}" for row in shown], fontsize=8, parse_math=False)
    axis.invert_yaxis()
    axis.axvline(0, color="black", linewidth=0.6)
    axis.axvline(1, color="black", linewidth=0.6, linestyle=":")
    axis.set_xlabel("calibrated score; dotted: the most anomalous training region", fontsize=8)
    axis.tick_params(axis="x", labelsize=8)
    axis.legend(fontsize=8, loc="lower right")


def _read(folder: Path) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]:
    """Record, scores and regions of a complete run."""
    record = RunFolder(folder).read()
    if not (folder / "regions.parquet").is_file():
        raise DataError(
            f"{folder}: a run of {record['names']['model']}, which has no regions. explain is for model=ai_vad; the "
            "maps of another model are drawn with model.heatmap_frames=N."
        )
    return record, read_table(folder / "scores.parquet", _SCORES), read_table(folder / "regions.parquet")


def _source(folder: Path, frame: int, n_frames: int) -> int:
    """Return the frame whose regions made the score of ``frame``: a later one where it had no partner before it."""
    model = read_config(folder / "config.yaml")["model"]
    if model.get("first_frames") == "self":
        return frame
    return max(frame, min(int(model.get("frame_step", 1)), n_frames - 1))


def _ranked(regions: Any, streams: Sequence[str]) -> list[dict[str, Any]]:
    """Regions of a frame as plain rows, most anomalous first."""
    ordered = regions.sort_values("total", ascending=False, kind="stable")
    columns = ["class", "detector_score", "x1", "y1", "x2", "y2", *streams, "total"]
    return [{"rank": rank, **row} for rank, row in enumerate(ordered[columns].to_dict("records"), 1)]


def _made_by(regions: Sequence[dict[str, Any]], in_sum: Sequence[str], reduction: str) -> dict[str, tuple[int, float]]:
    """Stream to rank and score of the region that counted."""
    made = {}
    for stream in in_sum:
        having = [row for row in regions if not np.isnan(row[stream])]
        if reduction == "max_of_sum":
            having = [row for row in having if row["rank"] == 1]
        if having:
            worst = max(having, key=lambda row: row[stream])
            made[stream] = (int(worst["rank"]), float(worst[stream]))
    return made
