"""Damaged and missing frames as lines: a gap is one, in the log, the record and the check."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.data.clips import moving_clip, write_images
from tests.unit.data.configs import config
from vadbench.data.check import check
from vadbench.data.readers.fault_lines import fault_lines
from vadbench.data.registry import all_warnings, faults, load_dataset


def test_neighbours_with_one_message_share_a_line() -> None:
    found = {n: f"a: frame {n} (after 3): missing" for n in (4, 5, 6)}
    found |= {7: "a: frame 7 (after 7): missing", 9: "b/9.png: frame 9: broken", 10: "b/10.png: frame 10: broken"}
    assert fault_lines(found) == [
        "a: frames 4 to 6 (after 3): missing",
        "a: frame 7 (after 7): missing",
        "b/9.png: frame 9: broken",
        "b/10.png: frame 10: broken",
    ]
    assert fault_lines({}) == []


def test_a_gap_of_ten_frames_is_one_line_everywhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for split in ("train", "test"):
        write_images(tmp_path / split / "door", moving_clip(60, 24, 32, seed=1))
    gone = sorted((tmp_path / "test" / "door").iterdir())[20:30]
    for path in gone:
        path.unlink()
    line = f"{tmp_path}/test/door: frames 20 to 29 (after 019.png): missing from the numbering"
    settings = config("folder", tmp_path, on_fault="skip")
    dataset = load_dataset(settings)
    said = f"{line}; the nearest good frame stands in for it"
    assert [w for w in dataset.warnings if "numbering" in w] == [said]
    with caplog.at_level(logging.WARNING):
        assert sum(1 for _ in dataset.test[0].frames()) == 60
    assert [record.getMessage() for record in caplog.records] == [said]
    assert faults(dataset) == (f"test door: {line}",)
    assert all_warnings(dataset) == dataset.warnings  # it is among them already
    assert all_warnings(replace(dataset, warnings=())) == (f"test door: {line}",)
    for deep in (False, True):
        assert [p for p in check(settings, deep).problems if "numbering" in p] == [said]


def test_a_gap_that_is_known_from_an_earlier_pass_is_one_line_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_images(tmp_path / "train" / "a", moving_clip(8, 24, 32, seed=1))
    write_images(tmp_path / "test" / "b", moving_clip(8, 24, 32, seed=2))
    source = load_dataset(config("folder", tmp_path, on_fault="skip")).test[0].source
    source.recall({3: "b: frame 3: broken", 4: "b: frame 4: broken"})
    assert [record.getMessage() for record in caplog.records] == [
        "b: frames 3 to 4: broken; the nearest good frame stands in for it"
    ]
