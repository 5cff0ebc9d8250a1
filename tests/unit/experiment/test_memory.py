"""Peak memory of a run with a fixed number of components does not grow with the videos."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

# In a process of its own, whose peak is its own. Each clip has 0.3 MB of features. Blocks and chunks are made so small
# that the short videos fill them: what is measured is what grows beyond their bound.
_PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from vadbench.data.readers.source import ArraySource
from vadbench.data.video import Dataset, Video
from vadbench.density import decomposition, pca, spectrum
from vadbench.experiment.fit_and_score import maps_on_disk, score_dataset
from vadbench.models.clips.detector import ClipDensity
from vadbench.models.clips.extractor import ClipPlan
from vadbench.runs.provenance import forget_peak_memory, peak_memory_mb
from vadbench.store import arrays
from vadbench.store.features import FeatureStore

pca.BLOCK_BYTES, spectrum.BLOCK_BYTES = 2 << 20, 8 << 20
arrays._CHUNK = 1 << 18
decomposition._FLOAT64_VALUES, decomposition._CHUNK = 0, 8
folder, n_videos, n_frames = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])


class Wide:
    layers = ("wide",)
    needs_calibration = False
    def spec(self, layer): return {"backbone": "wide"}
    def weights_digest(self): return None
    def calibrate(self, clips): pass
    def per_frame(self, frame, previous): return frame
    def __call__(self, clips):
        rng = np.random.default_rng(int(clips.astype(np.int64).sum()))
        return {"wide": rng.standard_normal((len(clips), 64, 1, 34, 34), dtype=np.float32)}


def video(name):
    rng = np.random.default_rng(sum(name.encode()))
    return Video(name, ArraySource(rng.integers(0, 255, (n_frames, 16, 16, 3), np.uint8)))


def videos(split):
    return tuple(video(f"{split}{number}") for number in range(n_videos))


data = Dataset("wide", videos("train"), videos("test"))
detector = ClipDensity(pca.Pca(16), Wide(), clip=ClipPlan(1, 1, 1))
forget_peak_memory()
scored = score_dataset(detector, data, FeatureStore(folder / "store"), maps_on_disk(folder / "maps"))
assert sum(len(s.scores) for s in scored.scores) == n_videos * n_frames
print(peak_memory_mb())
"""


@cache
def _peak(folder: Path, n_videos: int, n_frames: int) -> float:
    words = [sys.executable, "-c", _PROGRAM, str(folder / f"{n_videos}x{n_frames}"), str(n_videos), str(n_frames)]
    return float(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize(("n_videos", "n_frames"), [(2, 80), (16, 10)], ids=["longer", "more"])
def test_eight_times_the_video_needs_at_most_a_twentieth_more_memory(
    tmp_path_factory: pytest.TempPathFactory, n_videos: int, n_frames: int
) -> None:
    folder = tmp_path_factory.getbasetemp()
    assert _peak(folder, n_videos, n_frames) <= 1.05 * _peak(folder, 2, 10)
