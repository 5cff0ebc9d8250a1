"""Folders of one's own videos for tests: a clip in every form of video, labels, masks and tracks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.io

from tests.unit.data.clips import write_images, write_video


def lossless(codec: str, pixels: str, **options: str) -> Callable[[Path, np.ndarray], Path]:
    """A writer of video files."""
    return lambda path, clip: write_video(path, clip, codec, pixels, options)


def varied(path: Path, clip: np.ndarray) -> Path:
    """A variable frame rate with long gaps."""
    stamps = np.cumsum([1 + 7 * (t % 3 == 0) + 90 * (t == 5) for t in range(len(clip))]).tolist()
    return write_video(path, clip, "ffv1", "bgr0", stamps=stamps)


def turned(path: Path, clip: np.ndarray) -> Path:
    """Stored on its side with a flag that says so, as telephones do."""
    aside = np.ascontiguousarray(np.rot90(clip, -1, axes=(1, 2)))
    return write_video(path, aside, "libx264rgb", "rgb24", {"qp": "0"}, rotation=90)


def images(suffix: str, first: int = 0, digits: int = 3) -> Callable[[Path, np.ndarray], Path]:
    """A writer of folders of images."""
    return lambda path, clip: write_images(path, clip, suffix, first, digits)


def with_alpha(path: Path, clip: np.ndarray) -> Path:
    return write_images(path, np.concatenate([clip, np.full_like(clip[..., :1], 90)], axis=3), ".png")


def sixteen_bits(path: Path, clip: np.ndarray) -> Path:
    return write_images(path, clip.astype(np.uint16) * 257, ".tif")


# name in test/ to a writer; all give the clip back to the bit
LOSSLESS: dict[str, Callable[[Path, np.ndarray], Path]] = {
    "ffv1.mkv": lossless("ffv1", "bgr0"),
    "png.mov": lossless("png", "rgb24"),
    "png.avi": lossless("png", "rgb24"),
    "raw.avi": lossless("rawvideo", "bgr24"),
    "huffyuv.avi": lossless("huffyuv", "bgra"),
    "h264.mp4": lossless("libx264rgb", "rgb24", qp="0"),
    "h264.MKV": lossless("libx264rgb", "rgb24", qp="0", bf="3"),
    "nut.nut": lossless("ffv1", "bgr0"),
    "varied.mkv": varied,
    "turned.mp4": turned,
    "Straße 監視 1.mkv": lossless("ffv1", "bgr0"),
    "png": images(".png"),
    "bmp": images(".bmp", first=1),
    "tif": images(".tif", digits=1),
    "with alpha": with_alpha,
    "sixteen bits": sixteen_bits,
}

# name to a writer, and how far (grey levels, on average) a frame may be off
LOSSY: dict[str, tuple[Callable[[Path, np.ndarray], Path], float]] = {
    "jpg": (images(".jpg"), 4.0),
    "h264.mp4": (lossless("libx264", "yuv420p", crf="12"), 6.0),
    "mpeg4.avi": (lossless("mpeg4", "yuv420p", qscale="2", flags="+qscale", global_quality="236"), 6.0),
    "mjpeg.avi": (lossless("mjpeg", "yuvj420p", qscale="2", flags="+qscale", global_quality="236"), 6.0),
    "vp9.webm": (lossless("libvpx-vp9", "yuv420p", crf="10"), 6.0),
}


def runs(labels: np.ndarray) -> list[tuple[int, int]]:
    """Half-open intervals of True, one frame at a time."""
    found: list[tuple[int, int]] = []
    for t, anomalous in enumerate(labels):
        if anomalous and found and found[-1][1] == t:
            found[-1] = (found[-1][0], t + 1)
        elif anomalous:
            found.append((t, t + 1))
    return found


def write_lines(path: Path, lines: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def _folder(base: Path) -> Path:
    (base / "labels").mkdir(parents=True, exist_ok=True)
    return base / "labels"


def _npy(base: Path, video: str, values: np.ndarray) -> None:
    np.save(_folder(base) / f"{video}.npy", values)


Writer = Callable[[Path, str, np.ndarray], Any]

# how labels of one video are written below a folder
LABELS: dict[str, Writer] = {
    "intervals": lambda base, video, labels: write_lines(
        base / "labels.csv", ["video,start,end", *(f"{video},{a},{b}" for a, b in runs(labels))]
    ),
    "intervals from 1": lambda base, video, labels: write_lines(
        base / "labels.csv", ["video;start;end", *(f"{video};{a + 1};{b}" for a, b in runs(labels))]
    ),
    "intervals with a blank": lambda base, video, labels: (
        write_lines(
            base / "labels.csv",
            ["kind,end,start,video", *(f"x,{b},{a}.0,{video}" for a, b in runs(labels) or [("", "")])],
        )
        if labels.any()
        else write_lines(base / "labels.csv", ["video,start,end", f"{video},,"])
    ),
    "frames": lambda base, video, labels: write_lines(
        base / "labels.csv",
        ["video,frame,label", *(f"{video},{t},{int(v)}" for t, v in reversed(list(enumerate(labels))))],
    ),
    "frames by pandas": lambda base, video, labels: pd.DataFrame(
        {"video": video, "frame": np.arange(len(labels)), "label": labels}
    ).to_csv(base / "labels.csv"),
    "own csv": lambda base, video, labels: write_lines(_folder(base) / f"{video}.csv", ["label", *labels.astype(int)]),
    "own csv, frames": lambda base, video, labels: write_lines(
        _folder(base) / f"{video}.csv", ["frame\tlabel", *(f"{t}\t{float(v)}" for t, v in enumerate(labels))]
    ),
    "own csv, intervals": lambda base, video, labels: write_lines(
        _folder(base) / f"{video}.csv", ["start,end", *(f"{a},{b}" for a, b in runs(labels))]
    ),
    "own csv, no header": lambda base, video, labels: write_lines(
        _folder(base) / f"{video}.csv", [*labels.astype(int)]
    ),
    "own txt": lambda base, video, labels: write_lines(_folder(base) / f"{video}.txt", [*labels.astype(int)]),
    "own txt by numpy": lambda base, video, labels: np.savetxt(
        _folder(base) / f"{video}.txt", labels.astype(float), header="labels"
    ),
    "own txt, one line": lambda base, video, labels: write_lines(
        _folder(base) / f"{video}.txt", [" ".join(str(int(v)) for v in labels)]
    ),
    "own npy": lambda base, video, labels: _npy(base, video, labels),
    "own npy, column": lambda base, video, labels: _npy(base, video, labels[:, None].astype(np.float32)),
    "the only npy": lambda base, video, labels: np.save(base / "labels.npy", labels.astype(np.int64)),
    "the only txt": lambda base, video, labels: write_lines(base / "labels.txt", [*labels.astype(int)]),
}


def _mat(base: Path, video: str, masks: np.ndarray, cell: bool) -> None:
    values: Any = np.moveaxis(masks, 0, 2).astype(np.uint8)
    if cell:
        values = np.empty((1, len(masks)), object)
        for t, mask in enumerate(masks):
            values[0, t] = mask.astype(np.uint8)
    (base / "masks").mkdir(parents=True)
    scipy.io.savemat(base / "masks" / f"{video}.mat", {"masks": values}, do_compression=cell)


def _stack(base: Path, video: str, masks: np.ndarray) -> None:
    (base / "masks").mkdir(parents=True)
    np.save(base / "masks" / f"{video}.npy", masks)


MASKS: dict[str, Writer] = {
    "png": lambda base, video, masks: write_images(base / "masks" / video, masks.astype(np.uint8) * 255),
    "bmp": lambda base, video, masks: write_images(base / "masks" / video, masks.astype(np.uint8), ".bmp", first=1),
    "colour tif": lambda base, video, masks: write_images(
        base / "masks" / video, masks[..., None] * np.array([0, 200, 0], np.uint8), ".tif"
    ),
    "npy": _stack,
    "npy of floats": lambda base, video, masks: _stack(base, video, masks[..., None].astype(np.float32)),
    "mat, cell": lambda base, video, masks: _mat(base, video, masks, True),
    "mat, stack": lambda base, video, masks: _mat(base, video, masks, False),
}


def _tracks(path: Path, table: pd.DataFrame, **keys: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, **keys)


TRACKS: dict[str, Callable[[Path, str, pd.DataFrame], Any]] = {
    "tracks.csv": lambda base, video, table: _tracks(base / "tracks.csv", table.assign(video=video), index=False),
    "shuffled": lambda base, video, table: _tracks(
        base / "tracks.csv", table.assign(video=video).sample(frac=1, random_state=0), sep=";"
    ),
    "own csv": lambda base, video, table: _tracks(base / "tracks" / f"{video}.csv", table, index=False),
}
