"""The real clips pass the checks of datasets: a few of them, their first frames."""

from __future__ import annotations

from pathlib import Path

import pytest

from vadbench import testing
from vadbench.config.compose import compose
from vadbench.data.registry import load_dataset

pytestmark = pytest.mark.real


@pytest.mark.parametrize(
    ("name", "folder"), [("ucsd_ped1", "ucsd_ped1"), ("ucsd_ped2", "ucsd_ped2"), ("avenue", "avenue_mini")]
)
def test_a_real_dataset_conforms(shared: Path, name: str, folder: str) -> None:
    words = [f"dataset.root={shared / folder}", "dataset.max_frames=40"]
    data = load_dataset(compose([f"dataset={name}", "model=random", *words]).dataset)
    for split in ("train", "test"):
        ids = [video.id for video in getattr(data, split)][:2]
        words.append(f"dataset.{split}_videos=[{','.join(ids)}]")
    assert len(testing.check_dataset(name, *words)) == 4
