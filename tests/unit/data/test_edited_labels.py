"""Label files that are not the official ones any more: recognised by what they say, called edited, not comparable."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.unit.data.clips import write_images
from tests.unit.data.configs import config
from tests.unit.data.trees import copied_ped, write_ranges_mat
from vadbench.data.check import check, format_report
from vadbench.data.datasets.known_labels import edited, official_labels
from vadbench.data.registry import load_dataset
from vadbench.data.video import Dataset
from vadbench.evaluation.score_files.known_sets import KNOWN, label_bits_digest

SETS = ["ucsd_ped1", "ucsd_ped2", "avenue", "shanghaitech"]


@pytest.mark.parametrize("dataset", SETS)
def test_the_table_holds_the_official_labels(dataset: str) -> None:
    """Against digests that were made apart from it."""
    known = next(each for each in KNOWN if each.dataset == dataset)
    found = official_labels(dataset)
    assert tuple(found) == known.clips and tuple(map(len, found.values())) == known.lengths
    assert label_bits_digest(list(found.values())) == known.digests[0]


def test_which_frames_differ() -> None:
    official = official_labels("ucsd_ped2")
    changed = {clip: labels.copy() for clip, labels in official.items() if clip in ("03", "04", "09")}
    assert edited("ucsd_ped2", changed) == {}
    changed["03"][:4] = False
    changed["09"][[5, 7]] ^= True
    assert edited("ucsd_ped2", changed) == {"03": 4, "09": 2}
    assert edited("ucsd_ped2", {"03": np.zeros(12, bool)}) == {}  # of another length: no official clip at all
    assert edited("folder", changed) == {} and edited("avenue17", official_labels("avenue")) == {}


def ped2(root: Path, ranges: list[list[tuple[int, int]]]) -> Dataset:
    """All frames of clip 03 of Ped2, very small, with this ``ped2.mat``."""
    base = copied_ped(root, test=(3,))
    write_images(base / "testing" / "frames" / "03", np.zeros((150, 4, 4), np.uint8), ".png")
    write_ranges_mat(base / "ped2.mat", ranges)
    return load_dataset(config("ucsd_ped2", base))


def test_an_edited_label_file_is_called_that(tmp_path: Path) -> None:
    """One that is passed around has starts of 1 changed to 5."""
    whole = ped2(tmp_path / "official", [[(61, 180)], [(95, 180)], [(1, 146)]])
    assert whole.label_source == "ped2.mat" and not any("edited" in warning for warning in whole.warnings)
    changed = ped2(tmp_path / "edited", [[(61, 180)], [(95, 180)], [(5, 146)]])
    assert changed.label_source == "ped2.mat (edited: 4 frames differ from the official labels)"
    said = "ped2.mat: edited, 4 frames differ from the official labels (03: 4); not comparable with published numbers"
    assert said in changed.warnings and not changed.comparable
    report = check(config("ucsd_ped2", tmp_path / "edited"))
    assert said in report.problems and "(edited: 4 frames differ" in format_report(report)


def test_edits_that_leave_the_count_as_it_is_are_not_comparable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vadbench.data.registry._is_official", lambda dataset: True)
    assert ped2(tmp_path / "official", [[], [], [(1, 146)]]).comparable
    assert not ped2(tmp_path / "moved", [[], [], [(5, 150)]]).comparable
