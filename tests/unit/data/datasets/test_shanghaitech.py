"""ShanghaiTech: training AVIs, test frames, both kinds of masks, scenes. No pixels of it are at hand: all made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.unit.data.clips import box_masks
from tests.unit.data.configs import config
from tests.unit.data.trees import SHANGHAITECH_TEST, SHANGHAITECH_TRAIN, SIZE, shanghaitech, shanghaitech_clip
from vadbench.data.registry import load_dataset
from vadbench.data.video import Video
from vadbench.errors import ConfigError, DataError


def frames_of(video: Video) -> np.ndarray:
    return np.stack(list(video.frames()))


def test_all_scenes(tmp_path: Path) -> None:
    loaded = load_dataset(config("shanghaitech", shanghaitech(tmp_path)))
    assert loaded.tree == "training video files, testing frames" and loaded.label_source == "test_frame_mask"
    assert [(v.id, v.scene) for v in loaded.train] == [("01_001", "01"), ("02_002", "02"), ("13_001", "13")]
    assert [(v.id, v.scene) for v in loaded.test] == [("01_0014", "01"), ("01_0015", "01"), ("02_0128", "02")]
    for video in [*loaded.train, *loaded.test]:
        frames = {**SHANGHAITECH_TRAIN, **SHANGHAITECH_TEST}[video.id]
        assert np.array_equal(frames_of(video), shanghaitech_clip(video.id, frames))
    for video in loaded.test:
        assert video.labels is not None and np.flatnonzero(video.labels).tolist() == [2, 3]
        assert video.masks is not None
        assert np.array_equal(video.masks[3], box_masks(5, *SIZE, range(2, 4))[3])
    assert loaded.partial and not loaded.comparable


def test_the_data_set_from_the_folder_above(tmp_path: Path) -> None:
    shanghaitech(tmp_path)
    assert len(load_dataset(config("shanghaitech", tmp_path)).test) == 3


def test_some_scenes(tmp_path: Path) -> None:
    base = shanghaitech(tmp_path)
    loaded = load_dataset(config("shanghaitech", base, scenes=[1]))
    assert [v.id for v in [*loaded.train, *loaded.test]] == ["01_001", "01_0014", "01_0015"]
    assert "scenes [1]" in loaded.tree and not loaded.comparable
    without = load_dataset(config("shanghaitech", base, scenes=[13]))
    assert without.test == () and without.warnings == ("scene 13 has no test clips",)
    with pytest.raises(DataError, match=r"dataset\.scenes=\[1, 4\]: no clips of scene 4\. Scenes found: 1, 2, 13"):
        load_dataset(config("shanghaitech", base, scenes=[1, 4]))


def test_scenes_is_a_key_of_this_data_set_only() -> None:
    from vadbench.config.compose import compose

    with pytest.raises((ConfigError, Exception), match="scenes"):
        compose(["dataset=avenue", "dataset.scenes=[1]"])


def test_labels_from_the_pixel_masks_where_there_are_no_frame_masks(tmp_path: Path) -> None:
    base = shanghaitech(tmp_path)
    for path in (base / "testing" / "test_frame_mask").iterdir():
        path.unlink()
    loaded = load_dataset(config("shanghaitech", base))
    assert loaded.label_source == "test_pixel_mask"
    assert all(np.flatnonzero(v.labels).tolist() == [2, 3] for v in loaded.test if v.labels is not None)


def test_masks_of_their_own_root(tmp_path: Path) -> None:
    base = shanghaitech(tmp_path)
    (base / "testing" / "test_frame_mask").rename(tmp_path / "test_frame_mask")
    (base / "testing" / "test_pixel_mask").rename(tmp_path / "test_pixel_mask")
    bare = load_dataset(config("shanghaitech", base))
    assert bare.label_source == "none"
    assert bare.warnings == ("neither test_frame_mask nor test_pixel_mask found: scores only",)
    loaded = load_dataset(config("shanghaitech", base, masks_root=str(tmp_path)))
    assert loaded.label_source == "test_frame_mask" and loaded.test[0].masks is not None


@pytest.mark.parametrize(("kind", "named"), [("test_frame_mask", "labels"), ("test_pixel_mask", "masks")])
@pytest.mark.parametrize("difference", [-1, 1])
def test_off_by_one_between_frames_and_masks_is_found(tmp_path: Path, kind: str, named: str, difference: int) -> None:
    base = shanghaitech(tmp_path)
    path = base / "testing" / kind / "01_0015.npy"
    array = np.load(path)
    np.save(path, array[:difference] if difference < 0 else np.concatenate([array, array[-1:]]))
    count = 5 + difference
    with pytest.raises(DataError, match=rf"01_0015: {count} {named} for 5 frames"):
        load_dataset(config("shanghaitech", base))
    loaded = load_dataset(config("shanghaitech", base, on_fault="skip"))
    video = loaded.test[1]
    assert video.labels is not None and len(video.labels) == 5 and video.masks is not None and len(video.masks) == 5
    assert any(f"{count} {named} for 5 frames" in warning for warning in loaded.warnings)


def test_pixel_masks_are_memory_mapped(tmp_path: Path) -> None:
    loaded = load_dataset(config("shanghaitech", shanghaitech(tmp_path)))
    assert isinstance(loaded.test[0].masks._stack, np.memmap)  # type: ignore[union-attr]


def test_a_tree_without_pixel_masks(tmp_path: Path) -> None:
    loaded = load_dataset(config("shanghaitech", shanghaitech(tmp_path, pixel_masks=False)))
    assert loaded.label_source == "test_frame_mask" and all(v.masks is None for v in loaded.test)
