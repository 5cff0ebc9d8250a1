"""Frames lost before or between others, under on_fault=skip: labels never move to other frames without a word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.unit.data.clips import box_masks, moving_clip, packets, write_images, write_video
from tests.unit.data.configs import config
from tests.unit.data.sites import write_lines
from vadbench.data.readers.source import Policy
from vadbench.data.readers.video_file import VideoFile
from vadbench.data.registry import load_dataset
from vadbench.data.video import Dataset

FRAMES = 60
SIZE = (144, 192)
SKIP = Policy("skip")
# name, codec, how packets are lost, whether the file says itself that some are missing
LOST = [
    ("l.ts", "libx264", "zeros", True),
    ("l.ts", "libx264", "cut out", True),
    ("m.ts", "mpeg2video", "zeros", True),
    ("l.avi", "mpeg4", "zeros", True),
    ("l.avi", "mpeg4", "cut out", True),
    ("l.mkv", "libx264", "zeros", False),
    ("l.mkv", "libx264", "cut out", False),
    ("l.flv", "flv", "zeros", False),
    ("l.mpg", "mpeg2video", "zeros", False),  # here it is the first half that is lost
]
WHOLE_TS = 188


def damaged(root: Path, name: str, codec: str, how: str) -> Path:
    """A site whose test video ``name`` has lost four packets in its middle, or its end; frames 30 to 39 are marked."""
    write_images(root / "train" / "monday", moving_clip(4, *SIZE), ".bmp")
    (root / "test").mkdir()
    path = write_video(root / "test" / name, moving_clip(FRAMES, *SIZE), codec, options={"g": "10", "bf": "0"})
    data, places = path.read_bytes(), [place for place, _ in packets(path)]
    step = WHOLE_TS if name.endswith(".ts") else 1
    first, last, end = (places[at] // step * step for at in (20, 24, 40))
    path.write_bytes(
        {
            "zeros": data[:first] + bytes(last - first) + data[last:],
            "cut out": data[:first] + data[last:],
            "end": data[:end],
            "nothing": data,
        }[how]
    )
    return root


def labelled(root: Path, kind: str, frames: int = FRAMES) -> None:
    labels = np.zeros(frames, int)
    labels[30:40] = 1
    if kind == "intervals":
        write_lines(root / "labels.csv", ["video,start,end", "l,30,40"])
    elif kind == "masks":
        (root / "masks").mkdir()
        np.save(root / "masks" / "l.npy", box_masks(frames, *SIZE, range(30, 40)))
    else:
        write_lines(root / "labels.txt", labels.tolist())


def load(root: Path) -> Dataset:
    return load_dataset(config("folder", root, on_fault="skip"))


@pytest.mark.parametrize(("name", "codec", "how", "said"), LOST)
def test_labels_of_a_video_that_lost_frames_inside_are_left_out_and_that_is_said(
    tmp_path: Path, name: str, codec: str, how: str, said: bool
) -> None:
    root = damaged(tmp_path, name, codec, how)
    labelled(root, "vector")
    data = load(root)
    [video] = data.test
    assert video.labels is None and 0 < video.n_frames < FRAMES
    lines = [line for line in data.warnings if "frames are lost in it" in line]
    assert len(lines) == 1 and str(root / "test" / name) in lines[0] and "are left out" in lines[0]
    assert lines[0] not in data.remarks
    source = VideoFile(root / "test" / name, SKIP)
    assert (source.lost_inside(None) is not None) == said
    assert source.lost_inside(source.n_frames) is None  # labels made of the file as it is fit it


@pytest.mark.parametrize("kind", ["intervals", "masks"])
@pytest.mark.parametrize(("name", "codec"), [("l.ts", "libx264"), ("l.avi", "mpeg4")])
def test_whatever_is_known_of_its_frames(tmp_path: Path, name: str, codec: str, kind: str) -> None:
    root = damaged(tmp_path, name, codec, "zeros")
    labelled(root, kind)
    write_lines(root / "tracks.csv", ["video,frame,track,x1,y1,x2,y2", "l,30,1,0,0,9,9"])
    [video] = load(root).test
    assert video.labels is None and video.masks is None and video.tracks is None


def test_labels_made_of_the_damaged_file_itself_are_kept(tmp_path: Path) -> None:
    root = damaged(tmp_path, "l.ts", "libx264", "zeros")
    labelled(root, "vector", VideoFile(root / "test" / "l.ts", SKIP).n_frames)
    [video] = load(root).test
    assert video.labels is not None and np.flatnonzero(video.labels).tolist() == [*range(30, 40)]


@pytest.mark.parametrize(("name", "codec"), [("l.avi", "mpeg4"), ("l.mkv", "libx264")])
def test_labels_of_a_file_whose_end_is_missing_are_those_of_its_first_frames(
    tmp_path: Path, name: str, codec: str
) -> None:
    root = damaged(tmp_path, name, codec, "end")
    labelled(root, "vector")
    data = load(root)
    [video] = data.test
    assert video.n_frames == 40 and video.labels is not None
    assert np.flatnonzero(video.labels).tolist() == [*range(30, 40)]
    assert any("60 labels for the 40 frames" in line for line in data.warnings)


def test_gaps_of_a_container_that_may_have_them_are_a_remark(tmp_path: Path) -> None:
    """A camera that drops still frames writes such a file too; intervals count its frames as they come."""
    root = damaged(tmp_path, "l.mkv", "libx264", "zeros")
    labelled(root, "intervals")
    data = load_dataset(config("folder", root))
    line = "l.mkv: its time stamps leave room for 10 more frames between those that are there"
    assert data.test[0].labels is not None and any(line in warning for warning in data.warnings)


@pytest.mark.parametrize(("name", "codec"), [("l.ts", "libx264"), ("l.avi", "mpeg4"), ("l.mkv", "libx264")])
def test_a_sound_file_has_lost_nothing(tmp_path: Path, name: str, codec: str) -> None:
    root = damaged(tmp_path, name, codec, "nothing")
    labelled(root, "intervals")
    [video] = load(root).test
    assert video.n_frames == FRAMES and video.labels is not None and video.labels.sum() == 10
    assert VideoFile(root / "test" / name, SKIP).lost_inside(None) is None
