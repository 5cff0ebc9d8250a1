"""What of a run reaches the evaluation: only the videos whose labels are known, maps, masks and boxes included."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd

from vadbench.data.readers.source import ArraySource
from vadbench.data.video import Dataset, Video
from vadbench.experiment.evaluate_run import assess
from vadbench.experiment.fit_and_score import Scored
from vadbench.models.base import VideoScores
from vadbench.store.features import MemoryStore

FRAMES = 12
BOXES = pd.DataFrame({"frame": [3, 4], "x1": 1.0, "y1": 1.0, "x2": 6.0, "y2": 6.0})


def found(ids: str) -> dict[str, object]:
    """The metrics of the videos ``ids``, all with detections; capitals have neither labels nor boxes."""
    rng = np.random.default_rng(0)
    videos, scores = [], []
    for name in ids:
        known = np.isin(np.arange(FRAMES), BOXES["frame"]) if name.islower() else None
        frames = ArraySource(rng.integers(0, 255, (FRAMES, 8, 8), dtype=np.uint8))
        boxes = None if known is None else BOXES.assign(track="1")
        videos.append(Video(name, frames, labels=known, tracks=boxes))
        values = np.random.default_rng(ord(name)).random(FRAMES)
        regions = BOXES.assign(score=values[BOXES["frame"]])
        scores.append(VideoScores(name, values, np.zeros(FRAMES, bool), regions=regions))
    dataset = Dataset("folder", (), tuple(videos))
    scored = Scored(scores, np.linspace(0, 1, 20), {}, {})
    result = assess(SimpleNamespace(), dataset, scored, MemoryStore(), "raw", 0)  # type: ignore[arg-type]
    return {name: entry["value"] for name, entry in result.metrics.items() if not np.isnan(entry["value"])}


def test_a_video_of_which_nothing_is_known_changes_no_metric_of_boxes() -> None:
    assert found("abX") == found("ab") and "rbdc" in found("ab")
