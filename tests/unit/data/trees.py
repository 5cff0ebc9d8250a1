"""Small datasets in the trees that people have, made of moving clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.io

from tests.unit.data.clips import box_masks, moving_clip, write_images, write_video

SIZE = (30, 40)


def ped_clip(split: str, number: int, frames: int = 12) -> np.ndarray:
    """Grey as UCSD is, different for every clip."""
    return moving_clip(frames, *SIZE, seed=number + 100 * (split == "Test"))[..., 0]


def official_ped(
    root: Path, ped: str = "2", train: tuple[int, ...] = (1, 2), test: tuple[int, ...] = (1, 2, 3)
) -> Path:
    """``UCSDped2/`` with TIFFs, masks of every test clip and the list; clip n is anomalous in frames 3 to 3 + n."""
    base = root / f"UCSDped{ped}"
    for split, clips in (("Train", train), ("Test", test)):
        for clip in clips:
            write_images(base / split / f"{split}{clip:03d}", ped_clip(split, clip), ".tif", first=1)
    for clip in test:
        masks = (box_masks(12, *SIZE, range(2, 3 + clip)) * 255).astype(np.uint8)
        write_images(base / "Test" / f"Test{clip:03d}_gt", masks, ".bmp", first=1)
    write_list(base / "Test" / f"UCSDped{ped}.m", [[(3, 3 + clip)] for clip in range(1, max(test) + 1)])
    return base


def write_list(path: Path, clips: list[list[tuple[int, int]]]) -> None:
    lines = ["TestVideoFile = {};"]
    for ranges in clips:
        inside = ", ".join(f"{first}:{last}" for first, last in ranges)
        lines.append(f"TestVideoFile{{end+1}}.gt_frame = [{inside}];")
    path.write_text("\n".join(lines) + "\n")


def copied_ped(
    root: Path, ped: str = "2", train: tuple[int, ...] = (1, 2), test: tuple[int, ...] = (1, 2, 3), suffix: str = ".png"
) -> Path:
    """``ped2/`` as it is redistributed, counting from 0; lossless here so that frames can be compared."""
    base = root / f"ped{ped}"
    for folder, split, clips in (("training", "Train", train), ("testing", "Test", test)):
        for clip in clips:
            write_images(base / folder / "frames" / f"{clip:02d}", ped_clip(split, clip), suffix)
    write_ranges_mat(base / f"ped{ped}.mat", [[(3, 3 + clip)] for clip in range(1, max(test) + 1)])
    return base


def write_ranges_mat(path: Path, clips: list[list[tuple[int, int]]]) -> None:
    """The form with a cell ``gt`` of 2 x n matrices."""
    cell = np.empty((1, len(clips)), object)
    for number, ranges in enumerate(clips):
        cell[0, number] = np.array(ranges, np.uint8).T.reshape(2, -1)
    scipy.io.savemat(path, {"gt": cell})


def avenue_masks(clip: int, frames: int = 10) -> np.ndarray:
    """Clip n is anomalous in its first n frames."""
    return box_masks(frames, *SIZE, range(clip))


def write_label_mat(path: Path, masks: np.ndarray) -> None:
    """``volLabel``, a 1 x T cell of H x W."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cell = np.empty((1, len(masks)), object)
    for t, mask in enumerate(masks):
        cell[0, t] = mask.astype(np.uint8)
    scipy.io.savemat(path, {"volLabel": cell}, do_compression=True)


def avenue_clip(split: str, number: int, frames: int = 10) -> np.ndarray:
    return moving_clip(frames, *SIZE, seed=200 + number + 100 * (split == "testing"))


def official_avenue(root: Path, train: tuple[int, ...] = (1, 2), test: tuple[int, ...] = (1, 2, 3)) -> Path:
    """The official tree; the AVIs are lossless here."""
    base = root / "Avenue Dataset"
    for split, clips in (("training", train), ("testing", test)):
        (base / f"{split}_videos").mkdir(parents=True)
        for clip in clips:
            write_video(base / f"{split}_videos" / f"{clip:02d}.avi", avenue_clip(split, clip), "png", "rgb24")
    for clip in test:
        write_label_mat(root / "ground_truth_demo" / "testing_label_mask" / f"{clip}_label.mat", avenue_masks(clip))
    return root


def copied_avenue(
    root: Path, train: tuple[int, ...] = (1, 2), test: tuple[int, ...] = (1, 2, 3), form: str = "vectors"
) -> Path:
    """``avenue/`` as it is redistributed, with ``avenue.mat`` in either form."""
    base = root / "avenue"
    for split, clips in (("training", train), ("testing", test)):
        for clip in clips:
            write_images(base / split / "frames" / f"{clip:02d}", avenue_clip(split, clip), ".png", digits=4)
    if form == "vectors":
        labels = {f"{clip:02d}": avenue_masks(clip).any(axis=(1, 2)).astype(np.int32) for clip in test}
        scipy.io.savemat(base / "avenue.mat", {name: values[None] for name, values in labels.items()})
    else:
        write_ranges_mat(base / "avenue.mat", [[(1, clip)] for clip in range(1, max(test) + 1)])
    return base


SHANGHAITECH_TEST = {"01_0014": 6, "01_0015": 5, "02_0128": 7}
SHANGHAITECH_TRAIN = {"01_001": 5, "02_002": 6, "13_001": 4}


def shanghaitech_clip(name: str, frames: int) -> np.ndarray:
    return moving_clip(frames, *SIZE, seed=300 + int(name.replace("_", "")) % 997)


def shanghaitech(root: Path, pixel_masks: bool = True) -> Path:
    """Training AVIs, test frames and both kinds of masks; each test clip is anomalous in frames 2 and 3."""
    base = root / "shanghaitech"
    (base / "training" / "videos").mkdir(parents=True)
    for name, frames in SHANGHAITECH_TRAIN.items():
        clip = shanghaitech_clip(name, frames)
        write_video(base / "training" / "videos" / f"{name}.avi", clip, "png", "rgb24")
    for kind in ("test_frame_mask", "test_pixel_mask"):
        (base / "testing" / kind).mkdir(parents=True)
    for name, frames in SHANGHAITECH_TEST.items():
        write_images(base / "testing" / "frames" / name, shanghaitech_clip(name, frames), ".png")
        masks = box_masks(frames, *SIZE, range(2, 4))
        np.save(base / "testing" / "test_frame_mask" / f"{name}.npy", masks.any(axis=(1, 2)).astype(np.uint8))
        if pixel_masks:
            np.save(base / "testing" / "test_pixel_mask" / f"{name}.npy", masks.astype(np.uint8))
    return base
