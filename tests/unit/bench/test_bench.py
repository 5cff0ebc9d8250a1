"""The bench measures whole commands and compares sides clip by clip; its times are not what is tested here."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from vadbench.bench import clips
from vadbench.bench.measure import Cost, cost, one_thread
from vadbench.bench.sides import SIZES, Measured, Side, largest_difference
from vadbench.cli.bench import as_markdown
from vadbench.cli.main import main
from vadbench.data import load
from vadbench.errors import VadbenchError


def test_a_command_that_works_costs_what_it_used(tmp_path: Path) -> None:
    work = "import time; t = time.process_time()\nwhile time.process_time() - t < 0.3: pass\nx = bytearray(50_000_000)"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {work!r}], check=True)"
    found = cost([sys.executable, "-c", child], one_thread(), tmp_path)
    assert found.cpu >= 0.3  # that of the child of the child
    assert found.wall > 0


def test_a_command_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(VadbenchError, match="no such thing"):
        cost([sys.executable, "-c", "raise SystemExit('no such thing')"], one_thread(), tmp_path)


def test_the_clips_are_a_dataset_and_the_same_bytes_at_every_call(tmp_path: Path) -> None:
    first, second = (clips.write(tmp_path / name, 16) for name in ("a", "b"))
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert len(files) == 4 * 16 + 2 * 16
    assert all((first / path).read_bytes() == (second / path).read_bytes() for path in files)
    dataset = load("ucsd_ped2", root=str(first))
    assert [video.n_frames for video in (*dataset.train, *dataset.test)] == [16] * 4
    for video in dataset.test:
        assert video.labels is not None
        assert video.labels.tolist() == [False] * 8 + [True] * 8


def _measured(small: list[float], large: list[float], scores: list[float]) -> Measured:
    costs = {
        frames: [Cost(cpu, cpu, 100.0) for cpu in cpus] for frames, cpus in zip(SIZES, (small, large), strict=True)
    }
    return Measured(costs, np.array(scores))


def test_the_cost_of_a_clip_is_the_slope_between_the_least_costs() -> None:
    one = _measured([12.0, 10.0], [30.0, 42.0], [1.0, 4.0])
    assert one.per_clip() == pytest.approx((30 - 10) / (96 - 32))
    other = _measured([10.0], [15.0], [1.0, 4.4])
    assert largest_difference(one, other) == pytest.approx(0.1)
    with pytest.raises(VadbenchError, match="2 and 1 test clips"):
        largest_difference(one, _measured([1.0], [2.0], [1.0]))
    page = as_markdown(
        {"float32 matrix product, GFLOP/s": 99.0},
        [Side("a", None), Side("b", ("x=1",))],
        {"a": one, "b": other},
        2,
    )
    assert "| a | 0.312 | 1.00 |" in page
    assert "| b | 0.078 | 4.00 |" in page
    assert "`b`: x=1" in page


def test_mistakes_are_said_before_anything_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--repetitions", "0"]) == 2
    assert main(["bench", "--side", "eager"]) == 2
    said = capsys.readouterr().err
    assert "at least 1" in said
    assert "NAME=OVERRIDES" in said
