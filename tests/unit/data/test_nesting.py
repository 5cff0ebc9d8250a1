"""A root or a video that lies one folder too high or too low: the message names the folder that was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.data.clips import moving_clip, write_images
from tests.unit.data.configs import config
from tests.unit.data.trees import official_avenue, shanghaitech
from vadbench.data.registry import load_dataset
from vadbench.errors import DataError


def said_of(name: str, root: Path) -> str:
    """The first line of the message for ``root``."""
    with pytest.raises(DataError) as caught:
        load_dataset(config(name, root))
    return str(caught.value).splitlines()[0]


def site(root: Path, train: str = "train/monday", test: str = "test/door") -> Path:
    for place in (train, test):
        write_images(root / place, moving_clip(4, 24, 32, seed=1))
    return root


def test_a_root_above_the_folder_that_was_meant(tmp_path: Path) -> None:
    site(tmp_path / "data" / "site")
    assert f"Did you mean dataset.root={tmp_path}/data/site?" in said_of("folder", tmp_path / "data")


@pytest.mark.parametrize("below", ["train", "test", "train/monday"])
def test_a_root_below_the_folder_that_was_meant(tmp_path: Path, below: str) -> None:
    root = site(tmp_path / "site") / below
    assert f"Did you mean dataset.root={tmp_path}/site?" in said_of("folder", root)


def test_images_one_folder_too_deep(tmp_path: Path) -> None:
    root = site(tmp_path, "train/monday/frames", "test/door/frames")
    assert f"move those of {root}/train/monday/frames to {root}/train/monday, and so on" in said_of("folder", root)


def test_videos_one_folder_too_deep(tmp_path: Path) -> None:
    root = site(tmp_path, "train/frames/monday", "test/frames/door")
    said = said_of("folder", root)
    assert f"The videos lie directly in {root}/train: move what is in {root}/train/frames there" in said


def test_splits_of_other_names(tmp_path: Path) -> None:
    root = site(tmp_path, "training/monday", "testing/door")
    assert f"Rename {root}/training to train and {root}/testing to test" in said_of("folder", root)


def test_where_nothing_fits_nothing_is_suggested(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    said = said_of("folder", tmp_path)
    assert "Did you mean" not in said and "Rename" not in said


def test_known_data_sets(tmp_path: Path) -> None:
    official_avenue(tmp_path / "a")
    meant = tmp_path / "a" / "Avenue Dataset"
    assert f"Did you mean dataset.root={meant}?" in said_of("avenue", meant / "training_videos")
    root = shanghaitech(tmp_path / "s")
    assert f"Did you mean dataset.root={root}?" in said_of("shanghaitech", root / "training")
    write_images(tmp_path / "u" / "UCSDped2" / "Train" / "Train001", moving_clip(4, 24, 32, seed=1), ".tif")
    write_images(tmp_path / "u" / "UCSDped2" / "Test" / "Test001", moving_clip(4, 24, 32, seed=2), ".tif")
    meant = tmp_path / "u" / "UCSDped2"
    assert f"Did you mean dataset.root={meant}?" in said_of("ucsd_ped2", meant / "Test" / "Test001")
