"""A dataset in the official UCSD tree, small enough for sweeps in tests: squares that walk, and one that runs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

TRAIN, TEST, FRAMES, SIZE = 3, 2, 24, (48, 64)


def write_small_ped2(root: Path) -> Path:
    """Write ``UCSDped2`` under ``root``: three normal videos and two in which frames 12 to 17 are anomalous."""
    rng = np.random.default_rng(0)
    for split, count in (("Train", TRAIN), ("Test", TEST)):
        for number in range(1, count + 1):
            anomalous = range(12, 18) if split == "Test" else range(0)
            _write_video(root / "UCSDped2" / split, f"{split}{number:03d}", anomalous, rng)
    labels = "TestVideoFile = {};\n" + "TestVideoFile{end+1}.gt_frame = [13:18];\n" * TEST
    (root / "UCSDped2" / "Test" / "UCSDped2.m").write_text(labels)
    return root


def _write_video(folder: Path, name: str, anomalous: range, rng: np.random.Generator) -> None:
    (folder / name).mkdir(parents=True)
    ground = rng.integers(90, 130, SIZE, dtype=np.uint8)
    start = int(rng.integers(0, 20))
    for frame in range(FRAMES):
        image, mask = ground.copy(), np.zeros(SIZE, np.uint8)
        x = (start + frame) % (SIZE[1] - 6)
        image[20:30, x : x + 5] = 220
        if frame in anomalous:
            x = (5 * frame) % (SIZE[1] - 8)
            image[36:44, x : x + 8] = 20
            mask[36:44, x : x + 8] = 255
        cv2.imwrite(str(folder / name / f"{frame + 1:03d}.tif"), image)
        if folder.name == "Test":
            (folder / f"{name}_gt").mkdir(exist_ok=True)
            cv2.imwrite(str(folder / f"{name}_gt" / f"{frame + 1:03d}.bmp"), mask)
