"""What is done to every dataset alike: selection, max_frames, comparable, digests; and how quick the import is."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.unit.data.clips import box_masks, moving_clip
from tests.unit.data.configs import config
from tests.unit.data.trees import official_avenue, official_ped, shanghaitech
from vadbench import registry
from vadbench.config.compose import options
from vadbench.data.readers.masks import StackMasks
from vadbench.data.readers.source import ArraySource
from vadbench.data.registry import (
    counts,
    dataset_digest,
    faults,
    first_frames,
    label_digest,
    load_dataset,
    select,
)
from vadbench.data.video import Dataset, Video
from vadbench.errors import ConfigError, DataError


def test_every_name_has_a_file_of_values() -> None:
    assert set(registry.names("dataset")) <= set(options("dataset"))


def test_an_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean: avenue"):
        registry.get("dataset", "avenu")


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (["01"], ["01"]),
        (["1", "3"], ["01", "03"]),
        ([3, 1], ["01", "03"]),
        (["0[12]"], ["01", "02"]),
        (["*"], ["01", "02", "03"]),
        (["03", "0?"], ["01", "02", "03"]),
        (None, ["01", "02", "03"]),
    ],
)
def test_videos_are_chosen_by_id_or_glob(tmp_path: Path, wanted: Any, found: list[str]) -> None:
    loaded = load_dataset(config("ucsd_ped2", official_ped(tmp_path), test_videos=wanted))
    assert [v.id for v in loaded.test] == found and len(loaded.train) == 2


def test_ids_with_letters_are_matched_as_they_are(tmp_path: Path) -> None:
    base = shanghaitech(tmp_path)
    loaded = load_dataset(config("shanghaitech", base, test_videos=["01_*"], train_videos=["13_001"]))
    assert [v.id for v in [*loaded.train, *loaded.test]] == ["13_001", "01_0014", "01_0015"]


@pytest.mark.parametrize("key", ["train_videos", "test_videos"])
def test_a_choice_that_matches_nothing_is_an_error(tmp_path: Path, key: str) -> None:
    base = official_ped(tmp_path)
    with pytest.raises(DataError, match=rf"dataset\.{key}: '7' matches no video\. .*Available: 01, 02"):
        load_dataset(config("ucsd_ped2", base, **{key: ["01", "7"]}))
    with pytest.raises(DataError, match=rf"dataset\.{key}=\[\] selects nothing"):
        load_dataset(config("ucsd_ped2", base, **{key: []}))


def test_max_frames_cuts_frames_labels_and_masks(tmp_path: Path) -> None:
    loaded = load_dataset(config("avenue", official_avenue(tmp_path), max_frames=4))
    whole = load_dataset(config("avenue", tmp_path))
    for short, long in zip([*loaded.train, *loaded.test], [*whole.train, *whole.test], strict=True):
        assert short.n_frames == 4
        assert np.array_equal(np.stack(list(short.frames())), np.stack(list(long.frames()))[:4])
    assert [len(v.labels) for v in loaded.test if v.labels is not None] == [4, 4, 4]
    assert [len(v.masks) for v in loaded.test if v.masks is not None] == [4, 4, 4]
    assert dataset_digest(loaded) != dataset_digest(whole) and label_digest(loaded) != label_digest(whole)
    same = load_dataset(config("avenue", tmp_path, max_frames=1000))
    assert dataset_digest(same) == dataset_digest(whole)


def test_tracks_are_cut_with_the_frames() -> None:
    tracks = pd.DataFrame({"frame": [0, 3, 4], "track": 0, "x1": 0, "y1": 0, "x2": 2, "y2": 2})
    video = Video("a", ArraySource(moving_clip(8)), tracks=tracks)
    short = first_frames(video, 4)
    assert short.tracks is not None and short.tracks["frame"].tolist() == [0, 3]


def small(name: str = "made", **changes: Any) -> Dataset:
    """A dataset in memory whose official counts are its own."""
    masks = box_masks(6, 48, 64, range(2, 5))
    test = Video("01", ArraySource(moving_clip(6)), labels=masks.any(axis=(1, 2)), masks=StackMasks(masks))
    made = Dataset(name, train=(Video("01", ArraySource(moving_clip(5, seed=2))),), test=(test,))
    expected = {"train_videos": 1, "test_videos": 1, "test_frames": 6, "anomalous_frames": 3, "train_frames": 5}
    return replace(made, expected=expected, **changes)


def load_small(monkeypatch: pytest.MonkeyPatch, dataset: Dataset, **keys: Any) -> Dataset:
    part = replace(registry.get("dataset", "avenue"), build=lambda config: dataset)
    monkeypatch.setitem(registry._parts, ("dataset", "avenue"), part)
    return load_dataset(config("avenue", "anywhere", **keys))


def test_only_the_full_official_split_is_comparable(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = load_small(monkeypatch, small())
    assert whole.comparable and not whole.partial
    assert counts(whole) == {**whole.expected, "mask_videos": 1}
    for keys in ({"test_videos": ["01"]}, {"train_videos": ["*"]}, {"max_frames": 100}):  # all there is
        assert load_small(monkeypatch, small(), **keys).comparable
    assert not load_small(monkeypatch, small(), max_frames=3).comparable
    for key in ("train_videos", "test_videos", "train_frames", "test_frames", "anomalous_frames"):
        other = small()
        assert not load_small(monkeypatch, replace(other, expected={**other.expected, key: 2})).comparable
    assert not load_small(monkeypatch, replace(small(), expected={})).comparable


def test_faults_are_gathered_in_order_with_split_and_video(tmp_path: Path) -> None:
    base = official_ped(tmp_path)
    for name in ("Train/Train002/003.tif", "Test/Test001/009.tif", "Test/Test001/002.tif"):
        path = base / name
        path.write_bytes(path.read_bytes()[:300])
    loaded = load_dataset(config("ucsd_ped2", base, on_fault="skip"))
    assert faults(loaded) == ()  # nothing has been decoded yet, but headers have been looked at
    assert [w.partition(": frame")[0].rpartition("/")[2] for w in loaded.warnings] == ["003.tif", "002.tif", "009.tif"]
    for video in [*loaded.train, *loaded.test]:
        assert sum(1 for _ in video.frames()) == 12
    found = faults(loaded)
    assert [line.split(": ")[0] for line in found] == ["train 02", "test 01", "test 01"]
    assert "002.tif: frame 1: the file is cut short" in found[1]


def test_two_videos_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    twice = small()
    with pytest.raises(DataError, match="two test videos have one name"):
        load_small(monkeypatch, replace(twice, test=twice.test * 2))


def test_digests_change_with_whatever_they_stand_for() -> None:
    base = small()
    video = base.test[0]
    assert video.labels is not None
    variants = {
        "id": replace(video, id="02"),
        "frames": replace(video, source=ArraySource(moving_clip(6, seed=9))),
        "labels": replace(video, labels=~video.labels),
        "masks": replace(video, masks=StackMasks(box_masks(6, 48, 64, range(1, 5)))),
        "no masks": replace(video, masks=None),
        "tracks": replace(video, tracks=pd.DataFrame({"frame": [1], "track": [0]})),
    }
    frames, labels = dataset_digest(base), label_digest(base)
    for what, changed in variants.items():
        other = replace(base, test=(changed,))
        assert (dataset_digest(other) != frames) == (what in ("id", "frames")), what
        assert (label_digest(other) != labels) == (what != "frames"), what
    swapped = replace(base, train=base.test, test=base.train)
    assert dataset_digest(swapped) != frames
    assert (dataset_digest(small("other name")), label_digest(small("other name"))) == (frames, labels)


def test_select_keeps_the_order_of_the_data_set() -> None:
    videos = [Video(name, ArraySource(moving_clip(2))) for name in ("a", "b", "c")]
    assert [v.id for v in select(videos, ["c", "a"], "test_videos")] == ["a", "c"]


def test_the_import_is_light() -> None:
    code = (
        "import sys; import vadbench.data.registry, vadbench.data.check; "
        "print([m for m in ('torch', 'cv2', 'av', 'scipy', 'pandas', 'hydra', 'mlflow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_quick_check_imports_no_torch(tmp_path: Path) -> None:
    base = official_ped(tmp_path)
    code = (
        "import sys; from vadbench.cli.main import main; "
        f"main(['check', 'dataset=ucsd_ped2', 'dataset.root={base}']); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("False")
