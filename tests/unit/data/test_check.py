"""What check says: recognised trees, counts, agreement, what is missing, damage, certified bytes, digests."""

from __future__ import annotations

import hashlib
import lzma
from pathlib import Path

import numpy as np
import pytest

from tests.unit.data.clips import box_masks, write_images
from tests.unit.data.configs import config
from tests.unit.data.trees import (
    SIZE,
    avenue_masks,
    copied_ped,
    official_avenue,
    official_ped,
    shanghaitech,
    write_label_mat,
    write_list,
    write_ranges_mat,
)
from vadbench.cli.check import run
from vadbench.data.check import check, format_report
from vadbench.data.datasets import official_files
from vadbench.data.datasets.official_files import certify, clip_lengths
from vadbench.data.datasets.official_files import official_files as table_of
from vadbench.data.registry import dataset_digest, label_digest, load_dataset
from vadbench.errors import ConfigError, DataError


def test_the_report_of_a_partial_set(tmp_path: Path) -> None:
    base = official_ped(tmp_path)
    report = check(config("ucsd_ped2", base))
    assert (report.tree, report.label_source, report.comparable) == ("official (.tif)", "UCSDped2.m", False)
    assert report.counts == {
        "train_videos": (2, 16),
        "test_videos": (3, 12),
        "train_frames": (24, 2550),
        "test_frames": (36, 2010),
        "anomalous_frames": (9, 1648),
        "mask_videos": (3, 12),
    }
    assert report.problems == ["14 of 16 train videos are missing: 03-16", "9 of 12 test videos are missing: 04-12"]
    assert "labels and masks agree in all 36 frames of 3 videos" in report.remarks
    loaded = load_dataset(config("ucsd_ped2", base))
    assert report.digests == {"labels": label_digest(loaded), "frames": dataset_digest(loaded)}
    text = format_report(report)
    assert text.startswith(f"ucsd_ped2: {base}\n  tree           official (.tif)\n")
    assert "  test videos                      3        12   differs\n" in text
    assert text.count("\n") < 30 and report.digests["labels"] in text


def test_videos_that_the_data_set_does_not_have(tmp_path: Path) -> None:
    base = copied_ped(tmp_path)
    write_images(base / "testing" / "frames" / "13", box_masks(4, *SIZE, range(4)).astype(np.uint8))
    problems = check(config("ucsd_ped2", base)).problems
    assert "test videos that the dataset does not have: 13" in problems
    assert "8 of 12 test videos are missing" in problems


def test_missing_clips_of_avenue17_are_those_of_avenue17(tmp_path: Path) -> None:
    problems = check(config("avenue17", official_avenue(tmp_path))).problems
    assert problems == ["14 of 16 train videos are missing: 03-16", "15 of 16 test videos are missing: 04-07, 11-21"]


def test_missing_clips_of_shanghaitech_are_those_with_labels(tmp_path: Path) -> None:
    base = shanghaitech(tmp_path)
    (base / "testing" / "frames" / "01_0015").rename(tmp_path / "lost")
    report = check(config("shanghaitech", base))
    assert report.problems == ["327 of 330 train videos are missing", "105 of 107 test videos are missing"]


def test_labels_that_disagree_with_the_masks_are_a_problem(tmp_path: Path) -> None:
    base = official_ped(tmp_path)
    write_list(base / "Test" / "UCSDped2.m", [[(3, 4)], [(3, 9)], [(1, 6)]])
    problems = check(config("ucsd_ped2", base)).problems
    assert "labels and masks disagree in 6 frames (02: 4, 03: 2)" in problems


def test_single_class_videos_are_named(tmp_path: Path) -> None:
    base = copied_ped(tmp_path)
    write_ranges_mat(base / "ped2.mat", [[(1, 12)], [], [(2, 3)]])
    remarks = check(config("ucsd_ped2", base)).remarks
    assert "every frame is anomalous in 01: no AUROC of its own for such a video" in remarks
    assert "every frame is normal in 02: no AUROC of its own for such a video" in remarks


@pytest.mark.parametrize("deep", [False, True])
def test_damage_that_a_header_shows_is_found_at_once(tmp_path: Path, deep: bool) -> None:
    base = official_ped(tmp_path)
    (base / "Train" / "Train002" / "004.tif").write_bytes(b"")
    report = check(config("ucsd_ped2", base), deep)
    assert sum("Train002/004.tif: frame 3: the file is empty" in problem for problem in report.problems) == 1
    assert ("59 frames decoded" in report.remarks) == deep


def test_damage_in_the_pixels_is_found_by_a_deep_check_which_goes_on(tmp_path: Path) -> None:
    official_avenue(tmp_path)
    path = tmp_path / "Avenue Dataset" / "testing_videos" / "02.avi"
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 200] = bytes(200)
    path.write_bytes(data)
    assert not any("02.avi" in problem for problem in check(config("avenue", tmp_path)).problems)
    deep = check(config("avenue", tmp_path), deep=True)
    assert sum("test 02: " in problem and "02.avi: frame" in problem for problem in deep.problems) == 1
    assert "49 frames decoded" in deep.remarks


def test_several_kinds_of_damage_are_told_at_once(tmp_path: Path) -> None:
    official_avenue(tmp_path)
    videos = tmp_path / "Avenue Dataset" / "testing_videos"
    data = (videos / "01.avi").read_bytes()
    (videos / "01.avi").write_bytes(data[: len(data) // 2])
    (videos / "02.avi").write_bytes(b"")
    write_label_mat(tmp_path / "ground_truth_demo" / "testing_label_mask" / "3_label.mat", avenue_masks(3, 8))
    problems = "\n".join(check(config("avenue", tmp_path)).problems)
    assert "01.avi: cut short" in problems and "02.avi" in problems and "video 02 is left out" in problems
    assert "03.avi: 8 labels for 10 frames" in problems


def test_a_frame_of_another_size_is_found_at_once(tmp_path: Path) -> None:
    base = official_ped(tmp_path)
    write_images(base / "Train" / "Train001", np.zeros((1, 20, 20), np.uint8), ".tif", first=7)
    assert "train 01: 1 frames are not 40 x 30" in check(config("ucsd_ped2", base)).problems


def test_a_deep_check_counts_what_it_decodes(tmp_path: Path) -> None:
    report = check(config("shanghaitech", shanghaitech(tmp_path)), deep=True)
    assert report.counts["train_frames"] == (15, 274515) and report.counts["test_frames"] == (18, 40791)
    assert "33 frames decoded" in report.remarks
    assert "labels and masks agree in all 18 frames of 3 videos" in report.remarks


def test_large_stacks_are_left_to_the_deep_check_and_that_is_said(tmp_path: Path) -> None:
    remarks = check(config("shanghaitech", shanghaitech(tmp_path))).remarks
    assert "masks of 3 videos not compared with their labels (--deep does)" in remarks


def test_label_files_of_other_origin_are_compared_in_numbers(tmp_path: Path) -> None:
    base = official_avenue(tmp_path)
    labels = np.concatenate([box_masks(10, *SIZE, range(n)).any(axis=(1, 2)) for n in (1, 2, 3)])
    labels[[5, 6]] = True
    np.save(tmp_path / "frame_labels_avenue.npy", labels[None].astype(np.int8))
    write_ranges_mat(tmp_path / "avenue.mat", [[(1, 1)], [(1, 2)], [(1, 3)]])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    np.save(elsewhere / "mine.npy", np.zeros(7))
    remarks = check(config("avenue", base), compare=[elsewhere / "mine.npy"]).remarks
    assert "frame_labels_avenue.npy: 2 of 30 frames differ (6.7%), 8 anomalous against 6; most in 01: 2" in remarks
    assert "avenue.mat: equals the official labels, 6 anomalous against 6" in remarks
    assert "mine.npy: of other clips, its frames are not the 30 of these 3" in remarks


def test_official_labels_cover_clips_whose_frames_are_not_there(tmp_path: Path) -> None:
    """Six of twelve clips, and the label file of all twelve is still told apart."""
    base = copied_ped(tmp_path, test=(1, 3))
    write_list(tmp_path / "UCSDped2.m", [[(1, 10)]] * 12)
    lengths = clip_lengths("ucsd_ped2_tif", "Test")
    labels = np.concatenate([np.arange(n) < 10 for n in lengths.values()])
    np.save(tmp_path / "frame_labels_ped2.npy", labels)
    remarks = check(config("ucsd_ped2", base, masks_root=str(tmp_path))).remarks
    assert "frame_labels_ped2.npy: equals the official labels, 120 anomalous against 120" in remarks


def test_the_official_list_of_ped2() -> None:
    lengths = clip_lengths("ucsd_ped2_tif", "Test")
    assert list(lengths.values()) == [180, 180, 150, 180, 150, 180, 180, 180, 120, 150, 180, 180]
    train = clip_lengths("ucsd_ped2_tif", "Train")
    assert (len(train), sum(train.values())) == (16, 2550)
    assert len(table_of("ucsd_ped2_tif")) == 4560


def test_original_bytes_are_certified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = official_ped(tmp_path / "set", train=(1,), test=(1,))
    files = sorted(base.glob("T*/T*[0-9]/*.tif"))
    rows = ["path\tbytes\tsha256"]
    for file in files:
        data = file.read_bytes()
        rows.append(f"{file.relative_to(base).as_posix()}\t{len(data)}\t{hashlib.sha256(data).hexdigest()}")
    (tmp_path / "ucsd_ped2_tif.tsv.xz").write_bytes(lzma.compress("\n".join(rows).encode()))
    monkeypatch.setattr(official_files.resources, "files", lambda package: tmp_path)
    table_of.cache_clear()
    try:
        whole = check(config("ucsd_ped2", base), deep=True).remarks
        assert "24 of 24 official TIFFs are byte for byte the published ones" in whole
        (base / "Train" / "Train001" / "003.tif").write_bytes(b"II*\0" + bytes(300))
        (base / "Test" / "Test001" / "012.tif").unlink()
        same, differ, absent = certify(base, "ucsd_ped2_tif")
        assert (same, differ, absent) == (22, ["Train/Train001/003.tif"], ["Test/Test001/012.tif"])
    finally:
        table_of.cache_clear()


def test_copies_as_jpeg_are_not_called_original(tmp_path: Path) -> None:
    remarks = check(config("ucsd_ped2", copied_ped(tmp_path)), deep=True).remarks
    assert not any("official TIFFs" in remark for remark in remarks)


def test_a_wrong_root_is_an_error_with_both_trees(tmp_path: Path) -> None:
    write_images(tmp_path / "frames", box_masks(2, *SIZE, range(1)).astype(np.uint8))
    with pytest.raises(DataError, match=r"(?s)does not look like shanghaitech.*frames/.*Expected:.*training/videos"):
        check(config("shanghaitech", tmp_path))


def test_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = official_ped(tmp_path)
    assert run(["dataset=ucsd_ped2", f"dataset.root={base}", "--deep"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("ucsd_ped2: ") and "60 frames decoded" in out
    assert run(["--help"]) == 0 and "compare=" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="Did you mean: --deep"):
        run(["dataset=ucsd_ped2", "--depe"])
    with pytest.raises(DataError, match=r"compare=.*labls\.npy: no such file"):
        run(["dataset=ucsd_ped2", f"compare={tmp_path}/labls.npy"])
