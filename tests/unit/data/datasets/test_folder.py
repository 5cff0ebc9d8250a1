"""Your own folder: mixes of files and frame folders, names, what is refused and why, damage, and whole runs."""

from __future__ import annotations

import json
import re
import shutil
import struct
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.data.clips import box_masks, moving_clip, write_images, write_video
from tests.unit.data.configs import config
from vadbench.data.check import check, format_report
from vadbench.data.readers.source import TooLarge
from vadbench.data.registry import dataset_digest, faults, label_digest, load_dataset
from vadbench.data.video import Dataset, Video
from vadbench.errors import DataError, VadbenchError

SIZE = (24, 32)
CARD = Path(__file__).parents[4] / "datasets" / "folder.md"


def mixed(root: Path) -> Path:
    """Two training and three test videos, files and folders, with spaces and letters of several alphabets."""
    write_images(root / "train" / "tuesday", clip(1, 7), ".png")
    write_video(root / "train" / "montag früh.mkv", clip(2, 7), "ffv1", "bgr0")
    (root / "test").mkdir()
    write_video(root / "test" / "ворота 2.avi", clip(3), "png", "rgb24")
    write_video(root / "test" / "cam.1.mkv", clip(4), "ffv1", "gray")
    write_images(root / "test" / "cam.2", clip(5)[..., 0], ".tif")
    return root


def clip(seed: int, frames: int = 8) -> np.ndarray:
    return moving_clip(frames, *SIZE, seed=seed)


def stack(video: Video) -> np.ndarray:
    return np.stack(list(video.frames()))


def load(root: Path, **keys: Any) -> Dataset:
    return load_dataset(config("folder", root, **keys))


def test_a_mix_of_files_and_folders(tmp_path: Path) -> None:
    data = load(mixed(tmp_path))
    assert [v.id for v in data.train] == ["montag früh", "tuesday"]
    assert [v.id for v in data.test] == ["cam.1", "cam.2", "ворота 2"]
    assert data.tree == "train: 1 video file, 1 folder of images; test: 2 video files, 1 folder of images"
    assert np.array_equal(stack(data.test[2]), clip(3))
    assert np.array_equal(stack(data.test[1]), np.repeat(clip(5)[..., :1], 3, axis=3))
    assert (data.label_source, data.comparable, data.partial, data.expected) == ("none", False, False, {})
    assert data.warnings == ("no labels, masks or tracks: scores only, no metrics",)


def test_where_the_folder_is_plays_no_part(tmp_path: Path) -> None:
    (mixed(tmp_path / "a") / "labels.csv").write_text("video,start,end\ncam.1,2,3\n")
    shutil.copytree(tmp_path / "a", tmp_path / "b c")
    one, other = load(tmp_path / "a"), load(tmp_path / "b c")
    assert (dataset_digest(one), label_digest(one)) == (dataset_digest(other), label_digest(other))


def test_names_are_the_same_however_their_letters_are_composed(tmp_path: Path) -> None:
    """Some file systems take ``é`` apart; tables that people type hold it in one piece, or the other way round."""
    apart, whole = unicodedata.normalize("NFD", "café"), unicodedata.normalize("NFC", "café")
    for name, written in ((apart, whole), (whole, apart)):
        root = tmp_path / str(len(name))
        write_images(root / "train" / "monday", clip(1))
        write_images(root / "test" / name, clip(2))
        (root / "labels.csv").write_text(f"video,start,end\n{written},2,3\n", encoding="utf-8")
        video = load(root).test[0]
        assert video.id == whole and video.labels is not None and video.labels.sum() == 1


@pytest.mark.parametrize("split", ["train", "test"])
def test_two_videos_of_one_name_are_refused_by_both_names(tmp_path: Path, split: str) -> None:
    root = mixed(tmp_path)
    write_images(root / split / "twice", clip(1))
    write_video(root / split / "twice.avi", clip(1))
    with pytest.raises(DataError, match=rf"{split}/twice and .*{split}/twice\.avi are both called 'twice'"):
        load(root)


def test_one_name_in_both_splits_is_two_videos(tmp_path: Path) -> None:
    root = mixed(tmp_path)
    write_images(root / "train" / "cam.2", clip(9))
    (root / "labels.csv").write_text("video,start,end\ncam.2,2,3\n")
    data = load(root)
    assert data.train[0].id == data.test[1].id == "cam.2" and data.train[0].labels is None
    assert data.test[1].labels is not None and data.test[1].labels.sum() == 1


def test_a_root_that_is_not_there_or_not_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"dataset\.root is not set\. .*\n.*site/\n +train/"):
        load_dataset(config("folder", None))
    with pytest.raises(DataError, match=r"no such folder\. The nearest one that exists:\n(.*\n)+Expected:"):
        load(tmp_path / "no" / "where")
    with pytest.raises(DataError, match=r"dataset\.masks_root=.*no such folder"):
        load(mixed(tmp_path), masks_root=str(tmp_path / "none"))


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_split_that_is_missing_or_empty_shows_what_is_there(tmp_path: Path, split: str) -> None:
    root = mixed(tmp_path)
    (root / split).rename(root / "videos")
    with pytest.raises(
        DataError, match=rf"there is no folder {split}/ in it\. It holds:\n(.*\n)+.*videos/\n(.*\n)+Exp"
    ):
        load(root)
    (root / split).mkdir()
    (root / split / "notes.txt").write_text("nothing yet")
    with pytest.raises(
        DataError, match=rf"{split}: no video files and no folders of images in it\. It holds:\n(.*\n)+"
    ):
        load(root)


def test_frames_that_lie_in_the_split_itself_are_told_where_to_go(tmp_path: Path) -> None:
    root = mixed(tmp_path)
    write_images(root / "test", clip(1))
    with pytest.raises(DataError, match=r"test/000\.png: an image beside the videos\. Put the frames"):
        load(root)


def test_what_is_no_video_is_left_out_by_name(tmp_path: Path) -> None:
    root = mixed(tmp_path)
    (root / "test" / "notes.txt").write_text("x")
    (root / "test" / "Thumbs.db").write_text("x")
    (root / "test" / "._cam.1.mkv").write_text("x")
    (root / "train" / "empty folder").mkdir()
    data = load(root)
    said = [w for w in data.warnings if "left out" in w]
    assert [re.sub(r".*/", "", w) for w in said] == [
        "train: neither video files nor folders of images, left out: empty folder",
        "test: neither video files nor folders of images, left out: notes.txt",
    ]


def test_only_chosen_videos_are_looked_at(tmp_path: Path) -> None:
    """A damaged video that is not chosen stops nothing; labels of videos that are not chosen are no mistake."""
    root = mixed(tmp_path)
    (root / "test" / "broken.mp4").write_bytes(b"no video")
    (root / "labels.csv").write_text("video,start,end\nbroken,2,3\ncam.1,1,2\ncam.2,,\n")
    with pytest.raises(DataError, match=r"broken\.mp4: it can't be opened"):
        load(root)
    data = load(root, test_videos=["cam.*"], max_frames=4)
    assert [v.id for v in data.test] == ["cam.1", "cam.2"] and [v.n_frames for v in data.test] == [4, 4]
    assert [None if v.labels is None else v.labels.tolist() for v in data.test] == [
        [False, True, False, False],
        [False] * 4,
    ]
    with pytest.raises(DataError, match=r"dataset\.test_videos: 'dor' matches no video"):
        load(root, test_videos=["dor"])


def test_check_says_what_it_found(tmp_path: Path) -> None:
    root = mixed(tmp_path)
    (root / "masks").mkdir()
    np.save(root / "masks" / "cam.1.npy", box_masks(8, *SIZE, range(2, 6)))
    (root / "labels.csv").write_text("video,start,end\ncam.1,3,6\ncam.2,,\nворота 2,,\n", encoding="utf-8")
    report = check(config("folder", root), deep=True)
    assert report.counts["train_frames"] == (14, None) and report.counts["test_frames"] == (24, None)
    assert report.counts["anomalous_frames"] == (3, None) and report.counts["mask_videos"] == (1, None)
    assert report.problems == ["labels and masks disagree in 1 frames (cam.1: 1)"]
    text = format_report(report)
    assert "labels.csv (intervals from 0, half-open)" in text and "38 frames decoded" in text
    assert "every frame is normal in cam.2, ворота 2" in text


# Damage. Each is caused for real; the message names the file, and under `skip` the rest goes on with a record.


def damaged(root: Path, kind: str) -> Path:
    """A site whose test video ``door`` is damaged in the way of ``kind``; the file."""
    mixed(root)
    (root / "labels.csv").write_text("video,start,end\ncam.1,3,6\n")
    path = root / "test" / "door.avi"
    if kind.startswith("image"):
        path = write_images(root / "test" / "door", moving_clip(12, 48, 64)) / "005.png"
        content = path.read_bytes()
        path.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "text": b"hello"}[kind.split()[1]])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "no video":
        path.write_bytes(b"not a video at all" * 50)
    else:
        write_video(path, moving_clip(30, 96, 128), "mpeg4", options={"g": "1"})
        content = bytearray(path.read_bytes())
        if kind == "cut":
            content = content[: len(content) * 2 // 3]
        else:  # a packet in the middle overwritten
            at = content.rindex(b"\x00\x00\x01\xb6", 0, len(content) // 2)
            content[at : at + 400] = b"\xff" * 400
        path.write_bytes(content)
    return path


def read_all(data: Dataset) -> list[int]:
    return [sum(1 for _ in video.frames()) for video in data.test]


@pytest.mark.parametrize("kind", ["empty", "no video", "cut", "packet", "image cut", "image empty", "image text"])
def test_damage_is_an_error_that_names_the_file_or_is_skipped_with_a_record(tmp_path: Path, kind: str) -> None:
    path = damaged(tmp_path, kind)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(DataError, match=rf"{re.escape(str(path))}: .*") as caught:
        read_all(load(tmp_path, unlisted="normal"))
    if kind in ("packet", "image cut", "image empty", "image text"):
        assert re.search(r"frame \d+", str(caught.value))
    data = load(tmp_path, on_fault="skip", unlisted="normal")
    counted = read_all(data)
    left_out = kind in ("empty", "no video")
    assert [v.id for v in data.test] == ["cam.1", "cam.2", *([] if left_out else ["door"]), "ворота 2"]
    assert counted == [v.n_frames for v in data.test] and all(v.labels is not None for v in data.test)
    assert all(len(v.labels) == v.n_frames for v in data.test if v.labels is not None)
    record = [line for line in (*data.warnings, *faults(data)) if str(path.parent if "image" in kind else path) in line]
    assert record, (data.warnings, faults(data))
    if kind in ("packet", "image cut", "image empty", "image text"):
        assert counted[2] == (30 if kind == "packet" else 12)  # no frame number moved
    assert before == {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}  # nothing was written


def tiff_of(height: int, width: int) -> bytes:
    """A TIFF whose header promises a picture of this size; a few bytes on disk."""
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8),
               (277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, 4)]  # fmt: skip
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<I", 12) + b"\0\0\0\0" + directory + struct.pack("<I", 0)


@pytest.mark.parametrize("on_fault", ["error", "skip"])
@pytest.mark.parametrize("where", ["frames", "masks"])
def test_a_tiff_of_100_000_by_100_000_is_refused_by_its_header(tmp_path: Path, where: str, on_fault: str) -> None:
    root = mixed(tmp_path)
    folder = root / "test" / "cam.2" if where == "frames" else root / "masks" / "cam.2"
    if where == "masks":
        write_images(folder, np.zeros((8, *SIZE), np.uint8), ".tif")
    (folder / "000.tif").write_bytes(tiff_of(100_000, 100_000))
    with pytest.raises(
        TooLarge if where == "frames" else DataError, match=r"000\.tif.*100000 x 100000 = 10,000,000,000"
    ):
        read_all(load(root, on_fault=on_fault))


@pytest.mark.parametrize("on_fault", ["error", "skip"])
def test_too_many_frames_are_refused_and_the_bound_can_be_raised(tmp_path: Path, on_fault: str) -> None:
    root = mixed(tmp_path)
    (root / "labels.csv").write_text("video,start,end\n")
    with pytest.raises(TooLarge, match=r"cam\.2: 8 frames .*bound of 7; .*dataset\.max_video_frames=8"):
        load(root, on_fault=on_fault, max_video_frames=7)
    shutil.rmtree(root / "test" / "cam.2")
    with pytest.raises(TooLarge, match=r"cam\.1\.mkv: 8 frames .*bound of 7; .*dataset\.max_video_frames=8"):
        load(root, on_fault=on_fault, max_video_frames=7)
    assert read_all(load(root, on_fault=on_fault, max_video_frames=8)) == [8, 8]


# Whole runs through the command line.


def run(root: Path, results: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[str, dict[str, Any]]:
    """What a run prints and records; FUVAS on flow needs no weights."""
    from vadbench.cli.main import main

    base = ["model=fuvas", "backbone=flow_grid", "dataset=folder", f"dataset.root='{root}'", "tracking=none"]
    status = main([*base, f"results='{results}'", "runtime=cpu", *words])
    printed = capsys.readouterr()
    assert status == 0, printed.err
    folder = Path(printed.out.strip().splitlines()[-1].partition("run folder:")[2].strip())
    return printed.out, json.loads((folder / "run.json").read_text())


@pytest.fixture
def runnable(tmp_path: Path) -> Path:
    """Clips long enough for one clip of frames, in a folder whose name has a space."""
    root = tmp_path / "my site"
    write_images(root / "train" / "tuesday", moving_clip(20, 48, 64, seed=1))
    (root / "test").mkdir()
    write_video(root / "test" / "door.mkv", moving_clip(20, 48, 64, seed=2), "ffv1", "bgr0")
    write_images(root / "test" / "gate 2", moving_clip(16, 48, 64, seed=3))
    return root


def test_a_run_without_labels_gives_scores_and_no_metrics(
    runnable: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import pandas as pd

    printed, record = run(runnable, tmp_path / "results", capsys)
    assert record["metrics"] == {} and record["dataset"]["label_source"] == "none"
    assert "no metrics" in printed and "scores only" in printed
    assert "(36 frames, not all labelled)" in printed and "None" not in printed
    table = pd.read_parquet(next((tmp_path / "results" / "runs").rglob("scores.parquet")))
    assert table.groupby("video").size().to_dict() == {"door": 20, "gate 2": 16}
    assert np.isfinite(table["score"]).all() and table["label"].isna().all()


def test_a_run_with_labels_masks_and_tracks_has_metrics(
    runnable: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, without = run(runnable, tmp_path / "results", capsys)
    (runnable / "labels.csv").write_text("video,start,end\ndoor,5,12\ngate 2,,\n")
    (runnable / "masks").mkdir()
    np.save(runnable / "masks" / "door.npy", box_masks(20, 48, 64, range(5, 12)))
    (runnable / "tracks.csv").write_text("video,frame,track,x1,y1,x2,y2\ndoor,6,1,3,2,12,9\n")
    printed, record = run(runnable, tmp_path / "results", capsys)
    assert record["dataset"]["anomalous_frames"] == 7 and record["dataset"]["test_frames"] == 36
    assert "frame_auroc_micro" in record["metrics"] and any("pixel" in name for name in record["metrics"])
    assert without["fingerprint"] != record["fingerprint"] and "frame AUROC, micro" in printed
    assert record["store"]["misses"] <= 2  # features are those of the run without labels; only baselines look again


def test_a_new_video_without_labels_changes_no_metric(
    runnable: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (runnable / "labels.csv").write_text("video,start,end\ndoor,5,12\ngate 2,3,6\n")
    _, before = run(runnable, tmp_path / "results", capsys)
    write_images(runnable / "test" / "new", moving_clip(18, 48, 64, seed=9)[:, ::-1])
    printed, after = run(runnable, tmp_path / "results", capsys)
    assert after["metrics"] == before["metrics"] and after["coverage"]["frames"] == 54
    assert "a row 'new,,' or dataset.unlisted=normal" in printed
    _, meant = run(runnable, tmp_path / "results", capsys, "dataset.unlisted=normal")
    assert meant["metrics"] != before["metrics"] and meant["fingerprint"] != after["fingerprint"]
    (runnable / "labels.csv").write_text("video,start,end\ndoor,5,12\ngate 2,3,6\nnew,,\n")
    _, by_row = run(runnable, tmp_path / "results", capsys)
    assert by_row["fingerprint"] == meant["fingerprint"]


def test_where_labels_lie_does_not_make_another_run(
    runnable: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.csv").write_text("video,start,end\ndoor,5,12\n")
    _, one = run(runnable, tmp_path / "results", capsys, f"dataset.labels='{tmp_path / 'mine.csv'}'")
    (tmp_path / "mine.csv").rename(runnable / "labels.csv")
    _, other = run(runnable, tmp_path / "results", capsys)
    assert one["fingerprint"] == other["fingerprint"]


def test_a_video_with_fewer_frames_than_a_clip(
    runnable: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from vadbench.config.compose import compose
    from vadbench.experiment.run import run as run_config

    write_images(runnable / "test" / "short", moving_clip(3, 48, 64))
    words = ["model=fuvas", "backbone=flow_grid", "dataset=folder", f"dataset.root='{runnable}'", "tracking=none"]
    with pytest.raises(VadbenchError, match=r"short.*3 frames"):
        run_config(compose([*words, f"results='{tmp_path / 'r'}'", "runtime=cpu", "model.short_videos=error"]))
    assert not list((tmp_path / "r" / "runs").rglob("run.json"))
    _, record = run(runnable, tmp_path / "r", capsys, "model.short_videos=pad")
    assert record["coverage"]["frames"] == 39


def test_the_card_shows_the_tree_that_is_read(tmp_path: Path) -> None:
    """The smallest example of the card, built as its tree says."""
    text = CARD.read_text(encoding="utf-8")
    tree = text.partition("```\n")[2].partition("```")[0]
    names = re.findall(r"^ *(\S+)", tree, flags=re.MULTILINE)
    assert names[:1] == ["site/"] and {"train/", "test/", "labels.csv"} <= set(names)
    root = tmp_path / "site"
    write_images(root / "train" / "tuesday", clip(1))
    write_images(root / "test" / "gate", moving_clip(400, 8, 8))
    rows = re.search(r"```csv\n(video,start,end\n.*?)```", text, flags=re.DOTALL)
    assert rows is not None
    (root / "labels.csv").write_text(rows[1].replace("door", "gate"))
    video = load(root).test[0]
    assert video.labels is not None and video.labels.any()
