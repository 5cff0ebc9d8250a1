"""UCSD Ped1 and Ped2 from both trees and from every sensible root."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.unit.data.clips import box_masks
from tests.unit.data.configs import config
from tests.unit.data.trees import SIZE, copied_ped, official_ped, ped_clip, write_list, write_ranges_mat
from vadbench.data.registry import dataset_digest, label_digest, load_dataset
from vadbench.errors import DataError


def frames_of(video: object) -> np.ndarray:
    return np.stack([frame[..., 0] for frame in video.frames()])  # type: ignore[attr-defined]


@pytest.mark.parametrize("depth", ["set", "parent", "grandparent"])
def test_the_official_tree_from_every_level(tmp_path: Path, depth: str) -> None:
    base = official_ped(tmp_path / "data" / "UCSD_Anomaly_Dataset.v1p2")
    official_ped(tmp_path / "data" / "UCSD_Anomaly_Dataset.v1p2", ped="1", test=(1,))  # beside it, as in the archive
    root = {"set": base, "parent": base.parent, "grandparent": base.parent.parent}[depth]
    loaded = load_dataset(config("ucsd_ped2", root))
    assert [v.id for v in loaded.train] == ["01", "02"] and [v.id for v in loaded.test] == ["01", "02", "03"]
    assert loaded.tree == "official (.tif)" and loaded.label_source == "UCSDped2.m"
    for video in loaded.test:
        clip = int(video.id)
        assert np.array_equal(frames_of(video), ped_clip("Test", clip))
        assert video.labels is not None and video.masks is not None
        assert np.flatnonzero(video.labels).tolist() == list(range(2, 3 + clip))
        wanted = box_masks(12, *SIZE, range(2, 3 + clip))
        assert np.array_equal(np.stack([video.masks[t] for t in range(12)]), wanted)
    assert all(video.labels is None and video.masks is None for video in loaded.train)
    assert loaded.partial and not loaded.comparable
    assert loaded.expected["anomalous_frames"] == 1648


@pytest.mark.parametrize("ped", ["1", "2"])
def test_both_trees_give_the_same_videos(tmp_path: Path, ped: str) -> None:
    official = load_dataset(config(f"ucsd_ped{ped}", official_ped(tmp_path / "a", ped)))
    copied = load_dataset(config(f"ucsd_ped{ped}", copied_ped(tmp_path / "b", ped)))
    assert copied.tree == "redistribution (.png)" and copied.label_source == f"ped{ped}.mat"
    for one, other in zip([*official.train, *official.test], [*copied.train, *copied.test], strict=True):
        assert one.id == other.id and np.array_equal(frames_of(one), frames_of(other))
        assert (one.labels is None) == (other.labels is None)
        assert one.labels is None or np.array_equal(one.labels, other.labels)  # type: ignore[arg-type]
    assert all(video.masks is None for video in copied.test)


def test_frames_of_the_copy_with_masks_of_the_official_tree_beside_it(tmp_path: Path) -> None:
    """Frames as they are passed around, masks from the archive, under one root or under two."""
    copied_ped(tmp_path / "both")
    base = official_ped(tmp_path / "both" / "UCSD_Anomaly_Dataset.v1p2")
    for folder in [*base.glob("Train/*"), *base.glob("Test/Test???")]:
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    loaded = load_dataset(config("ucsd_ped2", tmp_path / "both"))
    assert loaded.tree == "redistribution (.png)" and loaded.label_source == "UCSDped2.m"
    assert all(video.masks is not None for video in loaded.test)
    apart = copied_ped(tmp_path / "apart")
    two = load_dataset(config("ucsd_ped2", apart, masks_root=str(base.parent)))
    assert two.label_source == "UCSDped2.m" and dataset_digest(two) == dataset_digest(loaded)
    assert label_digest(two) == label_digest(loaded)
    alone = load_dataset(config("ucsd_ped2", apart))
    assert dataset_digest(alone) == dataset_digest(loaded) and label_digest(alone) != label_digest(loaded)


def test_list_order_is_clip_order_where_clips_are_missing(tmp_path: Path) -> None:
    copied_ped(tmp_path, test=(1, 2, 3, 4, 5, 6))
    for clip in ("02", "05"):
        folder = tmp_path / "ped2" / "testing" / "frames" / clip
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    loaded = load_dataset(config("ucsd_ped2", tmp_path))
    assert [v.id for v in loaded.test] == ["01", "03", "04", "06"]
    assert [int(v.labels.sum()) for v in loaded.test if v.labels is not None] == [2, 4, 5, 7]


def test_a_line_with_two_ranges(tmp_path: Path) -> None:
    base = official_ped(tmp_path, "1", test=(1,))
    for folder in base.glob("Test/*_gt"):
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    write_list(base / "Test" / "UCSDped1.m", [[(1, 2), (5, 6)]])
    loaded = load_dataset(config("ucsd_ped1", tmp_path))
    assert loaded.test[0].labels is not None
    assert np.flatnonzero(loaded.test[0].labels).tolist() == [0, 1, 4, 5]


def test_masks_of_some_clips_only(tmp_path: Path) -> None:
    base = official_ped(tmp_path, "1")
    folder = base / "Test" / "Test002_gt"
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    loaded = load_dataset(config("ucsd_ped1", tmp_path))
    assert [video.masks is not None for video in loaded.test] == [True, False, True]
    assert all(video.labels is not None for video in loaded.test)


def test_without_any_list_there_are_scores_only_and_that_is_said(tmp_path: Path) -> None:
    base = copied_ped(tmp_path)
    (base / "ped2.mat").unlink()
    loaded = load_dataset(config("ucsd_ped2", base))
    assert loaded.label_source == "none" and all(v.labels is None for v in loaded.test)
    assert loaded.warnings == ("neither UCSDped2.m nor ped2.mat found, and no masks: scores only",)


def test_clips_without_a_line_in_the_list_are_named(tmp_path: Path) -> None:
    base = copied_ped(tmp_path)
    write_ranges_mat(base / "ped2.mat", [[(1, 3)], [(2, 4)]])
    assert load_dataset(config("ucsd_ped2", base)).warnings == (
        "no labels for 1 of 3 test videos, which are left out of the metrics: 03",
    )


def test_a_masks_root_that_is_wrong(tmp_path: Path) -> None:
    base = copied_ped(tmp_path)
    with pytest.raises(DataError, match=r"dataset\.masks_root=.*mask: no such folder\. The nearest one that exists"):
        load_dataset(config("ucsd_ped2", base, masks_root=str(tmp_path / "mask")))
    (base / "ped2.mat").unlink()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"neither labels nor masks of ucsd_ped2 are in it"):
        load_dataset(config("ucsd_ped2", base, masks_root=str(tmp_path / "empty")))


@pytest.mark.parametrize("fault", ["damaged", "missing"])
def test_a_mask_that_cant_be_read_by_either_policy(tmp_path: Path, fault: str) -> None:
    base = official_ped(tmp_path)
    path = base / "Test" / "Test002_gt" / "006.bmp"
    path.write_bytes(b"BM") if fault == "damaged" else path.unlink()
    with pytest.raises(DataError, match=r"mask .*Test002_gt.*: frame 5"):
        load_dataset(config("ucsd_ped2", base))
    loaded = load_dataset(config("ucsd_ped2", base, on_fault="skip"))
    assert [v.masks is not None for v in loaded.test] == [True, False, True]
    assert any("masks of video 02 are not used" in warning for warning in loaded.warnings)


def test_the_other_set_is_named(tmp_path: Path) -> None:
    copied = copied_ped(tmp_path / "a", "1")
    with pytest.raises(DataError, match=r"this is UCSD Ped1\. Use dataset=ucsd_ped1"):
        load_dataset(config("ucsd_ped2", copied.rename(tmp_path / "frames_here")))
    with pytest.raises(DataError, match=r"this is UCSD Ped1\. Use dataset=ucsd_ped1"):
        load_dataset(config("ucsd_ped2", official_ped(tmp_path / "b", "1")))


def test_a_wrong_root_shows_what_is_there_and_what_was_expected(tmp_path: Path) -> None:
    (tmp_path / "holiday" / "beach").mkdir(parents=True)
    (tmp_path / "holiday" / "notes.txt").touch()
    with pytest.raises(DataError) as caught:
        load_dataset(config("ucsd_ped2", tmp_path / "holiday"))
    text = str(caught.value)
    assert f"{tmp_path}/holiday/\n  beach/\n    (empty)\n  notes.txt\n" in text
    assert "UCSD_Anomaly_Dataset.v1p2/UCSDped2/" in text and "ped2.mat" in text
    with pytest.raises(DataError, match="no such folder"):
        load_dataset(config("ucsd_ped2", tmp_path / "holidays"))
    with pytest.raises(DataError, match=r"dataset\.root is not set"):
        load_dataset(config("ucsd_ped2", None))


def test_stray_files_and_folders_are_no_clips(tmp_path: Path) -> None:
    base = official_ped(tmp_path)
    (base / "Train" / "._Train001").write_bytes(b"\0\5\x16\7")
    (base / "Train" / "__MACOSX").mkdir()
    (base / "Train" / ".AppleDouble").mkdir()
    (base / "Train" / "Train001" / "._001.tif").write_bytes(b"\0\5\x16\7")
    (base / "Test" / "Test001_gt" / "._001.bmp").write_bytes(b"\0\5\x16\7")
    loaded = load_dataset(config("ucsd_ped2", base))
    assert [v.id for v in loaded.train] == ["01", "02"]
    assert loaded.train[0].n_frames == 12 and loaded.test[0].masks is not None and len(loaded.test[0].masks) == 12
    assert loaded.warnings == ("Train001: 1 stray entries left out (._001.tif)",)


def test_an_unreadable_frame_by_either_policy(tmp_path: Path) -> None:
    """As Test017/142.tif of Ped1."""
    base = official_ped(tmp_path, "1")
    (base / "Test" / "Test002" / "008.tif").write_bytes(b"II*\0" + bytes(40))
    loaded = load_dataset(config("ucsd_ped1", base))
    with pytest.raises(DataError, match=r"Test002/008\.tif: frame 7: .*dataset\.on_fault=skip"):
        frames_of(loaded.test[1])
    mended = load_dataset(config("ucsd_ped1", base, on_fault="skip")).test[1]
    wanted = ped_clip("Test", 2)[[0, 1, 2, 3, 4, 5, 6, 6, 8, 9, 10, 11]]
    assert np.array_equal(frames_of(mended), wanted)
    assert mended.labels is not None and len(mended.labels) == 12
    assert "008.tif" in mended.source.faults[7]  # type: ignore[attr-defined]


def test_a_mat_with_other_ranges_is_used_only_where_there_is_no_list(tmp_path: Path) -> None:
    copied_ped(tmp_path)
    base = official_ped(tmp_path / "UCSD_Anomaly_Dataset.v1p2")
    write_ranges_mat(tmp_path / "ped2" / "ped2.mat", [[(1, 12)]] * 3)
    assert load_dataset(config("ucsd_ped2", tmp_path)).test[0].labels.sum() == 2  # type: ignore[union-attr]
    (base / "Test" / "UCSDped2.m").unlink()
    loaded = load_dataset(config("ucsd_ped2", tmp_path))
    assert loaded.label_source == "ped2.mat" and loaded.test[0].labels.sum() == 12  # type: ignore[union-attr]


def test_without_any_list_labels_come_from_the_masks(tmp_path: Path) -> None:
    base = official_ped(tmp_path)
    listed = load_dataset(config("ucsd_ped2", base))
    (base / "Test" / "UCSDped2.m").unlink()
    loaded = load_dataset(config("ucsd_ped2", base))
    assert loaded.label_source == "Test*_gt masks" and not loaded.comparable
    for video, same in zip(loaded.test, listed.test, strict=True):
        assert video.labels is not None and np.array_equal(video.labels, same.labels)  # type: ignore[arg-type]
    said = "neither UCSDped2.m nor ped2.mat found: labels come from the masks (any pixel)"
    assert loaded.warnings == loaded.remarks == (said,)
    shutil.rmtree(base / "Test" / "Test002_gt")
    some = load_dataset(config("ucsd_ped2", base))
    assert [video.labels is None for video in some.test] == [False, True, False]


def test_damaged_masks_give_no_labels(tmp_path: Path) -> None:
    base = official_ped(tmp_path)
    (base / "Test" / "UCSDped2.m").unlink()
    (base / "Test" / "Test002_gt" / "004.bmp").write_bytes(b"")
    with pytest.raises(DataError, match=r"Test002_gt/004\.bmp: mask of frame 3"):
        load_dataset(config("ucsd_ped2", base))
    loaded = load_dataset(config("ucsd_ped2", base, on_fault="skip"))
    assert [video.labels is None for video in loaded.test] == [False, True, False]
    assert any("masks of video 02 are not used" in warning for warning in loaded.warnings)
