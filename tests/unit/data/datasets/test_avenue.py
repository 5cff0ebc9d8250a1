"""Avenue from both trees, with labels from masks or from ``avenue.mat`` in its two forms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.unit.data.clips import write_images, write_video
from tests.unit.data.configs import config
from tests.unit.data.trees import (
    SIZE,
    avenue_clip,
    avenue_masks,
    copied_avenue,
    official_avenue,
    write_label_mat,
    write_ranges_mat,
)
from vadbench.data.registry import dataset_digest, label_digest, load_dataset
from vadbench.data.video import Video
from vadbench.errors import DataError


def frames_of(video: Video) -> np.ndarray:
    return np.stack(list(video.frames()))


def labels_of(video: Video) -> list[int]:
    assert video.labels is not None
    return np.flatnonzero(video.labels).tolist()


def test_the_official_tree(tmp_path: Path) -> None:
    loaded = load_dataset(config("avenue", official_avenue(tmp_path)))
    assert loaded.tree == "official (video files)" and loaded.label_source == "volLabel masks"
    assert [v.id for v in loaded.train] == ["01", "02"] and [v.id for v in loaded.test] == ["01", "02", "03"]
    for video in loaded.test:
        clip = int(video.id)
        assert np.array_equal(frames_of(video), avenue_clip("testing", clip))
        assert labels_of(video) == list(range(clip))
        assert video.masks is not None and len(video.masks) == 10
        assert np.array_equal(np.stack([video.masks[t] for t in range(10)]), avenue_masks(clip))
    assert np.array_equal(frames_of(loaded.train[1]), avenue_clip("training", 2))


@pytest.mark.parametrize("form", ["vectors", "ranges"])
def test_the_redistribution_with_either_label_file(tmp_path: Path, form: str) -> None:
    official = load_dataset(config("avenue", official_avenue(tmp_path / "a")))
    copied = load_dataset(config("avenue", copied_avenue(tmp_path / "b", form=form)))
    assert copied.tree == "redistribution (frames)" and copied.label_source == "avenue.mat"
    for one, other in zip([*official.train, *official.test], [*copied.train, *copied.test], strict=True):
        assert one.id == other.id and np.array_equal(frames_of(one), frames_of(other))
        assert one.labels is None or labels_of(one) == labels_of(other)
    assert all(video.masks is None for video in copied.test)


def test_copied_frames_with_the_official_masks(tmp_path: Path) -> None:
    copied = copied_avenue(tmp_path / "b")
    masks = official_avenue(tmp_path / "a") / "ground_truth_demo"
    loaded = load_dataset(config("avenue", copied, masks_root=str(masks)))
    assert loaded.label_source == "volLabel masks" and all(v.masks is not None for v in loaded.test)


def test_masks_go_before_the_list_that_differs(tmp_path: Path) -> None:
    official_avenue(tmp_path)
    write_ranges_mat(tmp_path / "avenue.mat", [[(1, 10)]] * 3)
    loaded = load_dataset(config("avenue", tmp_path))
    assert loaded.label_source == "volLabel masks" and labels_of(loaded.test[0]) == [0]


def test_a_clip_without_masks_takes_the_list_and_both_sources_are_named(tmp_path: Path) -> None:
    official_avenue(tmp_path)
    (tmp_path / "ground_truth_demo" / "testing_label_mask" / "2_label.mat").unlink()
    write_ranges_mat(tmp_path / "avenue.mat", [[(1, 10)], [(4, 5)], [(1, 10)]])
    loaded = load_dataset(config("avenue", tmp_path))
    assert loaded.label_source == "avenue.mat and volLabel masks"
    assert [labels_of(v) for v in loaded.test] == [[0], [3, 4], [0, 1, 2]]


def test_masks_converted_to_images(tmp_path: Path) -> None:
    official_avenue(tmp_path)
    folder = tmp_path / "ground_truth_demo" / "testing_label_mask"
    for clip in (1, 2, 3):
        (folder / f"{clip}_label.mat").unlink()
        write_images(folder / f"{clip}_label", avenue_masks(clip).astype(np.uint8), ".png", digits=4)
    loaded = load_dataset(config("avenue", tmp_path))
    assert [labels_of(v) for v in loaded.test] == [[0], [0, 1], [0, 1, 2]]


def test_videos_in_the_demo_folder_are_no_clips(tmp_path: Path) -> None:
    """The ground truth's demo asks its users to put the test videos into a folder of its own."""
    official_avenue(tmp_path)
    demo = tmp_path / "ground_truth_demo" / "testing_videos"
    demo.mkdir()
    write_video(demo / "01.avi", avenue_clip("testing", 9), "png", "rgb24")
    loaded = load_dataset(config("avenue", tmp_path))
    assert [v.id for v in loaded.test] == ["01", "02", "03"]
    assert np.array_equal(frames_of(loaded.test[0]), avenue_clip("testing", 1))
    with pytest.raises(DataError, match="does not look like avenue"):
        load_dataset(config("avenue", tmp_path / "ground_truth_demo"))


def test_avenue17_leaves_out_five_clips(tmp_path: Path) -> None:
    official_avenue(tmp_path, test=(1, 2, 3, 8, 9, 10))
    loaded = load_dataset(config("avenue17", tmp_path))
    assert [v.id for v in loaded.test] == ["03"] and loaded.name == "avenue17"
    assert (loaded.expected["test_videos"], loaded.expected["test_frames"]) == (16, 10622)
    assert len(loaded.train) == 2


@pytest.mark.parametrize("masks", [8, 12])
def test_a_mask_count_that_differs_by_either_policy(tmp_path: Path, masks: int) -> None:
    official_avenue(tmp_path)
    write_label_mat(tmp_path / "ground_truth_demo" / "testing_label_mask" / "2_label.mat", avenue_masks(2, masks))
    with pytest.raises(DataError, match=rf"02\.avi: {masks} labels for 10 frames.*dataset\.on_fault=skip"):
        load_dataset(config("avenue", tmp_path))
    loaded = load_dataset(config("avenue", tmp_path, on_fault="skip"))
    video = loaded.test[1]
    assert labels_of(video) == [0, 1] and video.labels is not None and len(video.labels) == 10
    assert video.masks is not None and len(video.masks) == 10 and video.masks[9].shape == SIZE
    assert any(f"{masks} masks for 10 frames" in warning for warning in loaded.warnings)
    assert not loaded.comparable


def test_masks_of_another_size_by_either_policy(tmp_path: Path) -> None:
    official_avenue(tmp_path)
    small = avenue_masks(2)[:, :15, :20]
    write_label_mat(tmp_path / "ground_truth_demo" / "testing_label_mask" / "2_label.mat", small)
    with pytest.raises(DataError, match=r"02\.avi: masks are 20 x 15, frames 40 x 30"):
        load_dataset(config("avenue", tmp_path))
    loaded = load_dataset(config("avenue", tmp_path, on_fault="skip"))
    assert loaded.test[1].masks is None and labels_of(loaded.test[1]) == [0, 1]


@pytest.mark.parametrize("content", [b"", b"no video at all"])
def test_an_unreadable_test_video_by_either_policy(tmp_path: Path, content: bytes) -> None:
    official_avenue(tmp_path)
    (tmp_path / "Avenue Dataset" / "testing_videos" / "02.avi").write_bytes(content)
    with pytest.raises(DataError, match=r"02\.avi"):
        load_dataset(config("avenue", tmp_path))
    loaded = load_dataset(config("avenue", tmp_path, on_fault="skip"))
    assert [v.id for v in loaded.test] == ["01", "03"]
    assert any("02.avi" in warning and "left out" in warning for warning in loaded.warnings)


def test_digests_do_not_depend_on_the_place(tmp_path: Path) -> None:
    official_avenue(tmp_path / "here")
    first = load_dataset(config("avenue", tmp_path / "here"))
    digests = dataset_digest(first), label_digest(first)
    assert [len(d) for d in digests] == [24, 24]
    (tmp_path / "here").rename(tmp_path / "there")
    moved = load_dataset(config("avenue", tmp_path / "there" / "Avenue Dataset", masks_root=str(tmp_path / "there")))
    assert (dataset_digest(moved), label_digest(moved)) == digests
    write_label_mat(tmp_path / "there" / "ground_truth_demo" / "testing_label_mask" / "2_label.mat", avenue_masks(4))
    changed = load_dataset(config("avenue", tmp_path / "there"))
    assert dataset_digest(changed) == digests[0] and label_digest(changed) != digests[1]
