"""Which rank of how many: as told by the caller, torchrun, a Slurm step or a Slurm array."""

from __future__ import annotations

import pytest

from vadbench.cli.extract import place
from vadbench.errors import ConfigError


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (0, 1)),
        ({"RANK": "2", "WORLD_SIZE": "4"}, (2, 4)),
        ({"SLURM_PROCID": "3", "SLURM_NTASKS": "8"}, (3, 8)),
        ({"SLURM_ARRAY_TASK_ID": "12", "SLURM_ARRAY_TASK_MIN": "10", "SLURM_ARRAY_TASK_COUNT": "5"}, (2, 5)),
        # A step of one task inside an array: the array says.
        (
            {"SLURM_PROCID": "0", "SLURM_NTASKS": "1", "SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "3"},
            (1, 3),
        ),
        (
            {
                "SLURM_ARRAY_TASK_ID": "14",
                "SLURM_ARRAY_TASK_MIN": "10",
                "SLURM_ARRAY_TASK_STEP": "2",
                "SLURM_ARRAY_TASK_COUNT": "5",
            },
            (2, 5),
        ),
    ],
)
def test_told_by_the_environment(environment, expected):
    assert place(None, None, environment) == expected


def test_told_by_the_caller():
    assert place(1, 3, {"RANK": "0", "WORLD_SIZE": "9"}) == (1, 3)


@pytest.mark.parametrize(("rank", "world"), [(3, 3), (-1, 2), (1, None), (None, 2), (0, 0)])
def test_what_makes_no_sense_is_refused(rank, world):
    with pytest.raises(ConfigError, match="--rank"):
        place(rank, world, {})
