"""The backbones without weights on real clips of UCSD Ped2, scored by principal components written out here."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.stats import rankdata

from vadbench.backbones import model_zoo

pytestmark = [pytest.mark.real, pytest.mark.slow]

TRAIN = [f"{i:02d}" for i in range(1, 13)]
TEST = ["01", "03", "05", "07", "09", "11"]


def clips(name: str, folder: Path) -> tuple[np.ndarray, np.ndarray, int]:
    """Flat features ``(N, D)``, the middle frame of each clip ``(N,)``, and the number of frames of one video."""
    config = model_zoo.load_config(name)
    bank = model_zoo.build(config)
    frames = [cv2.cvtColor(cv2.imread(str(p)), cv2.COLOR_BGR2RGB) for p in sorted(folder.glob("*.jpg"))]
    maps = [bank.per_frame(frame, before) for frame, before in zip(frames, [None, *frames[:-1]], strict=True)]
    starts = np.arange(0, len(frames) - config.clip_length + 1, config.clip_stride)
    stacked = np.stack([np.stack(maps[s : s + config.clip_length]) for s in starts])
    features = bank(stacked)[config.layer].reshape(len(starts), -1)
    return features, starts + config.clip_length // 2, len(frames)


def auroc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Area under the ROC curve by ranks, ties counted half."""
    ranks, n = rankdata(scores), int(labels.sum())
    return float((ranks[labels].sum() - n * (n + 1) / 2) / (n * (len(labels) - n)))


def frame_auroc(name: str, root: Path, level: float) -> float:
    """Micro AUROC of raw residual energies; a frame takes the score of the clip whose middle is nearest."""
    train = np.concatenate([clips(name, root / "ped2/training/frames" / v)[0] for v in TRAIN]).astype(np.float64)
    mean = train.mean(axis=0)
    _, singular, basis = np.linalg.svd(train - mean, full_matrices=False)
    kept = int(np.searchsorted(np.cumsum(singular**2) / np.sum(singular**2), level) + 1)
    ranges = re.findall(r"\[(\d+):(\d+)\]", next(root.rglob("UCSDped2.m")).read_text())
    scores, labels = [], []
    for video in TEST:
        features, targets, n_frames = clips(name, root / "ped2/testing/frames" / video)
        centred = features - mean
        energy = np.square(centred).sum(axis=1) - np.square(centred @ basis[:kept].T).sum(axis=1)
        scores.append(energy[np.abs(np.arange(n_frames)[:, None] - targets).argmin(axis=1)])
        first, last = map(int, ranges[int(video) - 1])
        anomalous = np.zeros(n_frames, bool)
        anomalous[first - 1 : last] = True
        labels.append(anomalous)
    assert sum(len(s) for s in scores) == 960
    return auroc(np.concatenate(scores), np.concatenate(labels))


def test_flow_grid_separates_ped2(shared: Path) -> None:
    assert frame_auroc("flow_grid", shared / "ucsd_ped2", 0.98) >= 0.95


def test_gradient3d_is_well_above_chance_and_below_flow(shared: Path) -> None:
    assert 0.8 <= frame_auroc("gradient3d", shared / "ucsd_ped2", 0.98) < 0.95
