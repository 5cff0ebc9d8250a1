"""Each way in which a label file can be wrong is one error that names file and line; nothing else than that happens."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.data.clips import box_masks, moving_clip, write_images, write_video
from tests.unit.data.configs import config
from tests.unit.data.sites import runs, write_lines
from vadbench.data.labels.frame_labels import spans
from vadbench.data.labels.label_files import read_labels
from vadbench.data.labels.label_names import Names
from vadbench.data.labels.label_table import read_table
from vadbench.data.registry import label_digest, load_dataset
from vadbench.data.video import Dataset
from vadbench.errors import DataError

SIZE = (24, 32)
FRAMES = {"door": 10, "gate 2": 8, "07": 6}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three test videos of 10, 8 and 6 frames, one of them a file, and a training video."""
    root = tmp_path_factory.mktemp("site")
    write_images(root / "train" / "monday", moving_clip(4, *SIZE), ".bmp")
    for name in ("door", "07"):
        write_images(root / "test" / name, moving_clip(FRAMES[name], *SIZE), ".bmp")
    write_video(root / "test" / "gate 2.avi", moving_clip(FRAMES["gate 2"], *SIZE), "png", "rgb24")
    return root


def load(site: Path, base: Path, **keys: Any) -> Dataset:
    return load_dataset(config("folder", site, masks_root=str(base), **keys))


def labels_of(data: Dataset) -> dict[str, list[int] | None]:
    """Anomalous frames by video, None where nothing is known."""
    return {v.id: None if v.labels is None else np.flatnonzero(v.labels).tolist() for v in data.test}


def put(folder: Path, name: str, content: str | bytes) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


BOXES = "video,frame,track,x1,y1,x2,y2\n"


def frames_csv(video: str, count: int, anomalous: int = -1) -> str:
    return "video,frame,label\n" + "".join(f"{video},{t},{int(t == anomalous)}\n" for t in range(count))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("video,start,end\ndoor,2,5\n", {"door": [2, 3, 4], "gate 2": None, "07": None}),
        (
            "video,start,end\ndoor,2,5\ndoor,5,6\ngate 2.avi,0,8\n07,,\n",
            {"door": [2, 3, 4, 5], "gate 2": [*range(8)], "07": []},
        ),
        ("\ufeffVideo ; Start;END\r\n door ;9;10\r\n\r\n", {"door": [9], "gate 2": None, "07": None}),
        ('video,start,end\n"gate 2","1","2"\n7,0,1\n', {"door": None, "gate 2": [1], "07": [0]}),
        ("video,start,end,what\ndoor,,,nothing\n07,2.0,3.0,a bag\n", {"door": [], "gate 2": None, "07": [2]}),
        ("video,start,end\nmonday,,\ndoor,0,1\n", {"door": [0], "gate 2": None, "07": None}),
        ("video,start,end\n", {"door": None, "gate 2": None, "07": None}),
        (frames_csv("door", 10, 3), {"door": [3], "gate 2": None, "07": None}),
        (
            frames_csv("7", 6, 5) + "".join(f"monday,{t},0\n" for t in range(4)),
            {"door": None, "gate 2": None, "07": [5]},
        ),
    ],
)
def test_tables_of_all_videos(site: Path, tmp_path: Path, content: str, expected: dict[str, Any]) -> None:
    put(tmp_path, "labels.csv", content)
    data = load(site, tmp_path)
    assert labels_of(data) == expected
    unlisted = [name for name in expected if expected[name] is None]
    said = " ".join(data.warnings)
    assert all(name in said for name in unlisted)
    assert ("dataset.unlisted=normal" in said) == (bool(unlisted) and "start" in content.lower())
    assert ("left out of the metrics" in said) == (0 < len(unlisted) < 3)


def test_a_video_that_the_table_does_not_name_is_normal_only_where_that_is_said(site: Path, tmp_path: Path) -> None:
    """Silence used to mean normal: a new video whose labels nobody had made yet counted against the method."""
    put(tmp_path, "labels.csv", "video,start,end\ndoor,2,5\n07,,\n")
    data = load(site, tmp_path)
    assert labels_of(data) == {"door": [2, 3, 4], "gate 2": None, "07": []}
    assert data.warnings == data.remarks
    row = "a row 'gate 2,,' or dataset.unlisted=normal"
    assert data.warnings == (
        f"labels.csv has no row of gate 2. If all is normal there, say so: {row}",
        "no labels for 1 of 3 test videos, which are left out of the metrics: gate 2",
    )
    meant = load(site, tmp_path, unlisted="normal")
    assert labels_of(meant) == {"door": [2, 3, 4], "gate 2": [], "07": []}
    assert meant.warnings == (
        "labels.csv has no row of gate 2: all frames there count as normal (dataset.unlisted=normal)",
    )
    put(tmp_path, "labels.csv", "video,start,end\ndoor,2,5\n07,,\ngate 2,,\n")
    assert label_digest(load(site, tmp_path)) == label_digest(meant) != label_digest(data)


def test_the_first_source_that_names_a_video_labels_it(site: Path, tmp_path: Path) -> None:
    put(tmp_path, "labels.csv", "video,start,end\ndoor,2,5\n")
    put(tmp_path, "tracks.csv", BOXES + "07,1,a,0,0,4,4\n")
    assert labels_of(load(site, tmp_path)) == {"door": [2, 3, 4], "gate 2": None, "07": [1]}


def test_intervals_from_one_include_their_end(site: Path, tmp_path: Path) -> None:
    put(tmp_path, "labels.csv", "video,start,end\ndoor,1,1\ndoor,3,5\n07,6,6\n")
    data = load(site, tmp_path, intervals="from_1_inclusive")
    assert labels_of(data) == {"door": [0, 2, 3, 4], "gate 2": None, "07": [5]}
    assert data.label_source == "labels.csv (intervals from 1, ends included)"
    with pytest.raises(
        DataError, match=r"labels\.csv, line 2: the interval from 1 to 1 is empty; .*dataset\.intervals"
    ):
        load(site, tmp_path)


# what is written, and what the error must say of it
WRONG: dict[str, tuple[dict[str, str | bytes], str]] = {
    "empty table": ({"labels.csv": ""}, r"labels\.csv: it does not say which video"),
    "typo in a column": ({"labels.csv": "video,strat,end\n"}, r"labels\.csv, line 1: .*strat.*Did you mean: start\?"),
    "no names": ({"labels.csv": "start,end\n1,2\n"}, r"labels\.csv: it does not say which video.*columns start, end"),
    "column twice": ({"labels.csv": "video,start,start\n"}, r"labels\.csv, line 1: two columns are named 'start'"),
    "unknown video": (
        {"labels.csv": "video,start,end\ndoor,1,2\ndoro,1,2\n"},
        r"line 3: .*'doro'. Did you mean: door\?",
    ),
    "cell missing": ({"labels.csv": "video,start,end\ndoor,1\n"}, r"labels\.csv, line 2: it has 2 cells, the header 3"),
    "no number": ({"labels.csv": "video,start,end\ndoor,one,2\n"}, r"line 2: start is 'one', which is not a number"),
    "infinite": ({"labels.csv": "video,start,end\ndoor,1,inf\n"}, r"line 2: end is 'inf', which is not a number"),
    "huge": ({"labels.csv": "video,start,end\ndoor,1,1e300\n"}, r"line 2: end is '1e300', which is not a whole number"),
    "half a frame": ({"labels.csv": "video,start,end\ndoor,1,2.5\n"}, r"line 2: end is '2.5', which is not a whole"),
    "negative": ({"labels.csv": "video,start,end\ndoor,-1,2\n"}, r"line 2: start -1 is before the first frame"),
    "empty interval": ({"labels.csv": "video,start,end\ndoor,4,4\n"}, r"line 2: the interval from 4 to 4 is empty"),
    "backwards": ({"labels.csv": "video,start,end\ndoor,4,2\n"}, r"line 2: the interval from 4 to 2 is empty"),
    "overlap": ({"labels.csv": "video,start,end\ndoor,5,8\n07,1,2\ndoor,2,6\n"}, r"line 4: it overlaps .* line 2"),
    "twice": ({"labels.csv": "video,start,end\ndoor,5,8\ndoor,5,8\n"}, r"line 3: it overlaps the interval in line 2"),
    "normal and not": (
        {"labels.csv": "video,start,end\ndoor,,\ndoor,5,8\n"},
        r"line 2: no interval here, but one in line 3",
    ),
    "beyond": ({"labels.csv": "video,start,end\ndoor,5,11\n"}, r"line 2: frames 5 to 10 .*door has 10 frames"),
    "far beyond": ({"labels.csv": "video,start,end\ndoor,5,9000000000000\n"}, r"line 2: .*door has 10 frames"),
    "training": ({"labels.csv": "video,start,end\nmonday,1,2\n"}, r"line 2: 'monday' is a training video"),
    "not text": ({"labels.csv": b"video,start,end\nT\xfcr,1,2\n"}, r"labels\.csv, line 2: it is not UTF-8"),
    "quote left open": (
        {"labels.csv": 'video,start,end\n"door,1,2\n'},
        r"labels\.csv, line 2: it can't be read as csv",
    ),
    "frame twice": ({"labels.csv": frames_csv("door", 10) + "door,4,1\n"}, r"line 12: frame 4 has a label in line 6"),
    "frame missing": ({"labels.csv": "video,frame,label\ndoor,0,0\ndoor,2,1\n"}, r"line 3: .*frame 1 has no label"),
    "from one": (
        {"labels.csv": "video,frame,label\ndoor,1,0\n"},
        r"line 2: frame 1 is there, but frame 0 has no label",
    ),
    "frame negative": ({"labels.csv": "video,frame,label\ndoor,-1,0\n"}, r"line 2: frame -1 is negative"),
    "label of two": ({"labels.csv": "video,frame,label\ndoor,0,2\n"}, r"line 2: the label is '2'; it must be 0"),
    "too few": ({"labels.csv": frames_csv("door", 9)}, r"labels\.csv, line 10: 9 labels for the 10 frames of .*door"),
    "too many": ({"labels.csv": frames_csv("07", 8)}, r"labels\.csv, line 8: 8 labels for the 6 frames of .*07"),
    "training frames": ({"labels.csv": frames_csv("monday", 4, 2)}, r"line 4: 'monday' is a training video"),
    "own txt": ({"labels/door.txt": "0\n1\n# note\nx\n"}, r"door\.txt, line 4: the label is 'x'"),
    "own txt, short": ({"labels/door.txt": "0\n1\n"}, r"door\.txt, line 2: 2 labels for the 10 frames of .*door"),
    "own txt, empty": ({"labels/door.txt": ""}, r"door\.txt: 0 labels for the 10 frames"),
    "own csv": ({"labels/door.csv": "label\n0\n5\n"}, r"door\.csv, line 3: the label is '5'"),
    "own csv, columns": ({"labels/door.csv": "frame,lable\n0,1\n"}, r"door\.csv, line 1: .*Did you mean: label\?"),
    "own csv, empty": ({"labels/door.csv": ""}, r"door\.csv: it is empty"),
    "own csv, other": (
        {"labels/door.csv": "video,start,end\n07,1,2\n"},
        r"door\.csv, line 2: a row of '07' in the file",
    ),
    "of nothing": ({"labels/dor.csv": "label\n0\n"}, r"labels/dor\.csv: .*'dor'. Did you mean: door\?"),
    "of training": ({"labels/monday.txt": "0 0 0 1"}, r"monday\.txt, line 1: 'monday' is a training video"),
    "no label files": ({"labels/note.md": "hello"}, r"labels: no labels of a test video in it"),
    "two for one": (
        {"labels/door.csv": "label\n" + "0\n" * 10, "labels/door.txt": "0 " * 10},
        r"door\.csv and .*door\.txt",
    ),
    "two by number": ({"labels/7.txt": "0 " * 6, "labels/07.txt": "0 " * 6}, r"07\.txt and .*7\.txt are both labels"),
    "two places": (
        {"labels/door.txt": "0 " * 10, "labels.csv": "video,start,end\n"},
        r"labels and .*labels\.csv are both",
    ),
    "two tables": ({"labels.txt": "0", "labels.csv": "video,start,end\n"}, r"labels\.csv and .*labels\.txt are both"),
    "one txt for many": ({"labels.txt": "0 1"}, r"labels\.txt: it does not say which video it is about"),
    "damaged npy": ({"labels/door.npy": b"\x93NUMPY no"}, r"door\.npy: "),
    "mask folder empty": ({"masks/door/note.txt": "x"}, r"masks/door: no mask images in it"),
    "mask unknown": ({"masks/dor/000.png": b""}, r"masks/dor: .*'dor'. Did you mean: door\?"),
    "mask of training": ({"masks/monday/000.png": b""}, r"masks/monday: 'monday' is a training video"),
    "mask damaged": ({f"masks/door/{t}.png": b"no image" for t in range(10)}, r"masks/door/0\.png"),
    "mat damaged": ({"masks/door.mat": b"MATLAB 5.0 MAT-file"}, r"door\.mat: not a little-endian MATLAB"),
    "box columns": (
        {"tracks.csv": "video,frame,x1,y1,x2,z2\n"},
        r"tracks\.csv, line 1: .*z2\. Did you mean: .*Expected",
    ),
    "box number": ({"tracks.csv": BOXES + "door,1,1,0,0,nan,4\n"}, r"line 2: x2 is 'nan', which"),
    "box empty": ({"tracks.csv": BOXES + "door,1,1,4,0,4,4\n"}, r"line 2: the box is empty"),
    "box negative": ({"tracks.csv": BOXES + "door,-2,1,3,0,4,4\n"}, r"line 2: the frame is negative"),
    "box late": ({"tracks.csv": BOXES + "door,10,1,3,0,4,4\n"}, r"line 2: frame 10, .*10 frames"),
    "box outside": ({"tracks.csv": BOXES + "door,1,1,32,0,40,4\n"}, r"line 2: a box .*32 x 24"),
    "box twice": (
        {"tracks.csv": BOXES + "door,1,a,0,0,4,4\n07,1,a,0,0,2,2\ndoor,1,a,1,1,4,4\n"},
        r"line 4: track a has a box in frame 1 in line 2 already",
    ),
    "box nameless": ({"tracks.csv": BOXES + "door,1,,3,0,4,4\n"}, r"line 2: the track has no name"),
    "box of nobody": ({"tracks.csv": BOXES + "dor,1,1,3,0,4,4\n"}, r"line 2: .*Did you mean: door"),
    "box of training": ({"tracks.csv": BOXES + "monday,1,1,3,0,4,4\n"}, r"line 2: 'monday' is a tr"),
    "tracks twice": ({"tracks.csv": "", "tracks/door.csv": ""}, r"tracks and .*tracks\.csv are both there"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named_by_file_and_line(site: Path, tmp_path: Path, name: str) -> None:
    files, message = WRONG[name]
    for file, content in files.items():
        put(tmp_path, file, content)
    with pytest.raises(DataError, match=message) as caught:
        load(site, tmp_path)
    assert str(tmp_path) in str(caught.value)


def npy_files(folder: Path) -> Iterator[tuple[str, np.ndarray, str]]:
    yield "labels/door.npy", np.zeros(9), r"door\.npy: 9 labels for the 10 frames of .*door"
    yield "labels/door.npy", np.zeros((10, 2)), r"door\.npy: labels must be a vector"
    yield "labels/door.npy", np.arange(10), r"door\.npy: labels must be 0 or 1"
    yield "masks/door.npy", np.zeros((9, *SIZE)), r"door\.npy: 9 masks for the 10 frames of .*door"
    yield "masks/door.npy", np.zeros((10, 30, 32)), r"door\.npy: the masks are 32 x 30, the frames of .*door 32 x 24"
    yield "masks/door.npy", np.zeros((10, 24)), r"door\.npy: masks must be \(frames, height, width\)"


@pytest.mark.parametrize("case", range(6))
def test_arrays_that_do_not_fit(site: Path, tmp_path: Path, case: int) -> None:
    name, values, message = list(npy_files(tmp_path))[case]
    (tmp_path / name).parent.mkdir()
    np.save(tmp_path / name, values)
    with pytest.raises(DataError, match=message):
        load(site, tmp_path)


class Armed:
    """An object that writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.write_text, (self.path, "it ran")


@pytest.mark.parametrize("name", ["labels/door.npy", "masks/door.npy"])
def test_a_pickled_file_is_refused_unread_and_the_advice_works(site: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir()
    armed = np.empty(1, object)
    armed[0] = Armed(tmp_path / "ran")
    np.save(path, armed, allow_pickle=True)
    with pytest.raises(DataError, match=rf"{name}: it holds pickled .*can run code"):
        load(site, tmp_path)
    assert not (tmp_path / "ran").exists()
    assert pickle.dumps(armed[0])  # it is armed indeed
    masks = box_masks(10, *SIZE, range(2, 4))
    values = np.empty(10, object)
    values[:] = list(masks.any(axis=(1, 2))) if "labels" in name else list(masks)
    np.save(path, values, allow_pickle=True)
    with pytest.raises(DataError) as caught:
        load(site, tmp_path)
    command = str(caught.value).partition('python -c "')[2].rpartition('"')[0]
    subprocess.run([sys.executable, "-c", command], cwd=path.parent, check=True)
    (path.parent / "masks.npy").replace(path)
    assert labels_of(load(site, tmp_path))["door"] == [2, 3]


def test_masks_of_a_video_that_the_table_of_intervals_does_not_name(site: Path, tmp_path: Path) -> None:
    put(tmp_path, "labels.csv", "video,start,end\ngate 2,0,1\n")
    (tmp_path / "masks").mkdir()
    np.save(tmp_path / "masks" / "door.npy", np.zeros((10, *SIZE), bool))
    assert labels_of(load(site, tmp_path)) == {"door": [], "gate 2": [0], "07": None}
    np.save(tmp_path / "masks" / "door.npy", box_masks(10, *SIZE, range(3, 5)))
    assert labels_of(load(site, tmp_path)) == {"door": [3, 4], "gate 2": [0], "07": None}
    with pytest.raises(
        DataError, match=r"masks/door\.npy: frame 3 of 'door' is marked, but .*/labels\.csv has no interval"
    ):
        load(site, tmp_path, unlisted="normal")
    data = load(site, tmp_path, on_fault="skip", unlisted="normal")
    assert labels_of(data)["door"] == [3, 4] and any("the masks count" in warning for warning in data.warnings)


def test_masks_of_two_kinds_for_one_video_are_refused(site: Path, tmp_path: Path) -> None:
    masks = box_masks(10, *SIZE, range(3, 5))
    write_images(tmp_path / "masks" / "door", masks.astype(np.uint8))
    np.save(tmp_path / "masks" / "door.npy", masks)
    with pytest.raises(DataError, match=r"masks/door and .*masks/door\.npy are both masks of 'door'"):
        load(site, tmp_path)


def test_the_most_direct_labels_count(site: Path, tmp_path: Path) -> None:
    """A label file, else masks, else boxes."""
    put(tmp_path, "tracks.csv", BOXES + "07,1,a,0,0,4,4\ndoor,2,b,0,0,4,4\ngate 2,0,c,1,1,2,2\n")
    data = load(site, tmp_path)
    assert labels_of(data) == {"door": [2], "gate 2": [0], "07": [1]} and data.label_source == "tracks.csv"
    (tmp_path / "masks").mkdir()
    np.save(tmp_path / "masks" / "door.npy", box_masks(10, *SIZE, range(5, 7)))
    data = load(site, tmp_path)
    assert labels_of(data) == {"door": [5, 6], "gate 2": [0], "07": [1]}
    assert data.label_source == "masks and tracks.csv"
    put(tmp_path, "labels/07.txt", "0 0 0 1 1 1")
    data = load(site, tmp_path)
    assert labels_of(data) == {"door": [5, 6], "gate 2": [0], "07": [3, 4, 5]}
    assert data.label_source == "labels/*.txt and masks and tracks.csv"


def test_huge_numbers_in_boxes_stay_what_they_are(site: Path, tmp_path: Path) -> None:
    put(tmp_path, "tracks.csv", f"{BOXES}door,1,{'9' * 30},0,0,{'9' * 30},4\n")
    tracks = load(site, tmp_path, test_videos=["door"]).test[0].tracks
    assert tracks is not None and tracks["track"].tolist() == ["9" * 30] and tracks["x2"].tolist() == [1e30]


def test_boxes_without_tracks_and_videos_without_boxes(site: Path, tmp_path: Path) -> None:
    put(tmp_path, "tracks.csv", "frame,video,x1,y1,x2,y2,kind\n3,door,1.5,0,4,4,bag\n3,door,7.25,-2,9,4,\n")
    data = load(site, tmp_path)
    door, gate = data.test[0].tracks, data.test[1].tracks
    assert [video.id for video in data.test] == ["door", "gate 2", "07"] and door is not None and gate is not None
    assert door["track"].nunique() == 2 and door["frame"].tolist() == [3, 3]
    assert (
        door["x1"].tolist() == [1.5, 7.25] and door["y1"].tolist() == [0, -2] and door["kind"].tolist() == ["bag", ""]
    )
    assert list(gate) == ["frame", "track", "x1", "y1", "x2", "y2"] and len(gate) == 0
    assert labels_of(data) == {"door": [3], "gate 2": None, "07": None}
    assert any(w.startswith("tracks.csv has no row of gate 2, 07. If all is normal there") for w in data.warnings)
    meant = load(site, tmp_path, unlisted="normal")
    assert labels_of(meant) == {"door": [3], "gate 2": [], "07": []}
    assert "tracks.csv has no row of gate 2, 07: all frames there count as normal" in " ".join(meant.warnings)


@pytest.mark.parametrize("name", ["beyond", "far beyond", "too few", "too many", "box late", "box outside"])
def test_skip_takes_what_fits_and_says_so(site: Path, tmp_path: Path, name: str) -> None:
    files, message = WRONG[name]
    for file, content in files.items():
        put(tmp_path, file, content)
    data = load(site, tmp_path, on_fault="skip")
    assert len([w for w in data.warnings if re.search(message, w)]) == 1
    expected = {"beyond": [*range(5, 10)], "far beyond": [*range(5, 10)]}.get(name, [])
    labels = labels_of(data)["07" if name == "too many" else "door"]
    assert labels == expected
    assert [video.n_frames for video in data.test] == [10, 8, 6]


def test_jpeg_masks_are_read_with_a_warning(site: Path, tmp_path: Path) -> None:
    write_images(tmp_path / "masks" / "door", np.zeros((10, *SIZE), np.uint8), ".jpg")
    assert any("JPEG masks (door)" in warning for warning in load(site, tmp_path).warnings)


def test_other_files_are_left_out_by_name(site: Path, tmp_path: Path) -> None:
    put(tmp_path, "labels/door.txt", "0 " * 10)
    for name in ("labels/door.json", "labels/.DS_Store", "masks/readme.md"):
        put(tmp_path, name, "x")
    said = " ".join(load(site, tmp_path).warnings)
    assert "labels: left out: door.json" in said and "masks: left out: readme.md" in said and "DS_Store" not in said


@pytest.mark.parametrize("name", ["labels.mat", "labels.xlsx", "Labels.csv", "label.csv"])
def test_a_file_that_is_called_like_labels_and_is_not_read_is_named(tmp_path: Path, name: str) -> None:
    for split, video in (("train", "monday"), ("test", "door")):
        write_images(tmp_path / split / video, moving_clip(2, *SIZE), ".bmp")
    put(tmp_path, name, "video,start,end\ndoor,0,1\n")
    data = load_dataset(config("folder", tmp_path))
    said = f"{tmp_path / name}: it is not read. Frame labels are read from labels.csv, labels.npy, labels.txt or a fold"
    assert sum(warning.startswith(said) for warning in data.warnings) == 1
    assert not any(warning.startswith(said) for warning in data.remarks)  # so that check exits with 1
    put(tmp_path, "labels.csv", "video,start,end\ndoor,1,2\n")
    data = load_dataset(config("folder", tmp_path))
    assert labels_of(data) == {"door": [1]} and any(warning.startswith(said) for warning in data.warnings)


def test_labels_beside_the_videos_are_named_where_another_place_is_read(tmp_path: Path) -> None:
    write_images(tmp_path / "site" / "train" / "monday", moving_clip(2, *SIZE), ".bmp")
    write_images(tmp_path / "site" / "test" / "door", moving_clip(2, *SIZE), ".bmp")
    put(tmp_path, "site/labels.csv", "video,start,end\ndoor,0,1\n")
    put(tmp_path, "other/masks/.keep", "")
    with pytest.raises(DataError, match="neither labels nor masks of folder"):
        load(tmp_path / "site", tmp_path / "other")
    put(tmp_path, "other/labels.txt", "0 1")
    data = load(tmp_path / "site", tmp_path / "other")
    assert labels_of(data) == {"door": [1]}
    assert any(w.startswith(f"{tmp_path}/site/labels.csv: it is not read.") for w in data.warnings)


def test_labels_from_elsewhere(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "second try.csv", "video,start,end\ndoor,0,1\n")
    put(tmp_path, "labels.csv", "video,start,end\ndoor,5,6\n")  # not read then
    for path in (str(tmp_path / "second try.csv"), "second try.csv"):
        data = load(site, tmp_path, labels=path)
        assert labels_of(data)["door"] == [0] and data.label_source.startswith("second try.csv")
    with pytest.raises(DataError, match=r"dataset\.labels=third\.csv: neither in"):
        load(site, tmp_path, labels="third.csv")
    monkeypatch.chdir(site)
    put(tmp_path / "other", "second try.csv", "video,start,end\n")
    monkeypatch.chdir(tmp_path / "other")
    with pytest.raises(DataError, match=r"dataset\.labels=second try\.csv: .* are both there"):
        load(site, tmp_path, labels="second try.csv")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.booleans(), max_size=40), st.booleans(), st.randoms(use_true_random=False))
def test_intervals_of_any_pattern_read_back(labels: list[bool], one_based: bool, rng: Any) -> None:
    found = runs(np.array(labels, bool))
    rows = [(line, str(a + one_based), str(b)) for line, (a, b) in enumerate(found, 2)]
    rng.shuffle(rows)
    table = read_only("video,start,end\n")
    assert [(a, b) for _, a, b in spans(table, rows, one_based)] == found


def read_only(content: str) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        put(Path(folder), "t.csv", content)
        return read_table(Path(folder) / "t.csv")


CELLS = st.sampled_from(
    ["video", "start", "end", "frame", "label", "door", "7", "0", "1", "-1", "5", "1e9", "", " ", '"', "é"]
)


@settings(max_examples=250, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=60),
        st.lists(st.lists(CELLS, max_size=4).map(",".join), max_size=6).map(lambda rows: "\n".join(rows).encode()),
        st.lists(st.lists(CELLS, min_size=3, max_size=3).map(",".join), max_size=6).map(
            lambda rows: "\n".join(["video,start,end", *rows]).encode()
        ),
    ),
    st.sampled_from(["labels.csv", "labels/door.csv", "labels/door.txt", "labels/door.npy", "tracks.csv"]),
)
@example(b"video,start,end\ndoor,1,2\x00\n", "labels.csv")
@example(b"\xff\xfev\x00i\x00", "labels.csv")
@example(b'video,start,end\n"a\nb",1,2\n', "labels.csv")
def test_whatever_is_in_a_label_file_it_is_read_or_a_data_error(content: bytes, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_images(root / "train" / "monday", moving_clip(1, *SIZE), ".bmp")
        for video in ("door", "07"):
            write_images(root / "test" / video, moving_clip(3, *SIZE), ".bmp")
        put(root, name, content)
        try:
            data = load_dataset(config("folder", root))
        except DataError as error:
            assert str(root) in str(error)
        else:
            assert all(v.labels is None or v.labels.shape == (3,) for v in data.test)


@pytest.mark.bench
def test_a_long_table_is_read_in_a_few_seconds(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "t.csv", ["video,frame,label", *(f"door,{t},0" for t in range(100_000))])
    started = time.process_time()
    found = read_labels(path, Names({}, {"door": Path("door")}), False, None, [])
    assert len(found.by_video["door"].fit(100_000, "door")[0]) == 100_000
    assert time.process_time() - started < 4
