"""Videos that are not alike: frames of several sizes, training and test videos compressed in different ways."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.unit.data.clips import moving_clip, write_images, write_video
from tests.unit.data.configs import config
from tests.unit.data.trees import official_ped
from vadbench.cli.main import main
from vadbench.config.compose import compose
from vadbench.data.alike import encodings, sizes
from vadbench.data.check import check
from vadbench.data.readers.source import Encoding, Policy, Source
from vadbench.data.readers.video_file import VideoFile
from vadbench.data.registry import load_dataset
from vadbench.data.video import Dataset, Video
from vadbench.sweep.inventory import Inventory
from vadbench.sweep.points import Point


def mixed(root: Path) -> Path:
    """Two videos of 64 x 48 for training and one for testing, and a test video of 80 x 64."""
    write_images(root / "train" / "monday", moving_clip(16, 48, 64, seed=1), ".bmp")
    write_images(root / "train" / "tuesday", moving_clip(16, 48, 64, seed=2), ".bmp")
    write_images(root / "test" / "door", moving_clip(16, 48, 64, seed=3), ".bmp")
    write_images(root / "test" / "gate", moving_clip(16, 64, 80, seed=4), ".bmp")
    return root


MIXED = "64 x 48 in train monday, train tuesday, test door, 80 x 64 in test gate"


def test_mixed_sizes_are_known_at_load_and_said_by_check(tmp_path: Path) -> None:
    data = load_dataset(config("folder", mixed(tmp_path)))
    line = f"frames differ in size: {MIXED}"
    assert line in data.warnings and all(video.source.decoded == 0 for video in data.test)  # type: ignore[attr-defined]
    report = check(config("folder", tmp_path))
    assert line in report.remarks and not report.problems  # a network brings all to one size
    alike = load_dataset(config("folder", tmp_path, test_videos=["door"]))
    assert sizes(alike) is None and not any("size" in warning for warning in alike.warnings)


def test_mixed_sizes_of_an_official_set_are_a_problem(tmp_path: Path) -> None:
    base = official_ped(tmp_path)
    write_images(base / "Train" / "Train003", np.zeros((12, 20, 20), np.uint8), ".tif", first=1)
    problems = check(config("ucsd_ped2", base)).problems
    assert "frames differ in size: 40 x 30 in 5 videos, 20 x 20 in train 03" in problems


def words(root: Path, results: Path) -> list[str]:
    given = ["model=fuvas", "backbone=flow_grid", "dataset=folder", f"dataset.root='{root}'", "tracking=none"]
    return [*given, f"results='{results}'", "runtime=cpu"]


def test_a_method_that_needs_one_size_stops_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = words(mixed(tmp_path / "site"), tmp_path / "results")
    point = Point(tuple(given), "the point", compose(given), {})
    assert "frames differ in size" in Inventory().item(point).fault
    with monkeypatch.context() as patched:
        patched.setattr(Source, "frames", undecoded)
        assert main(given) == 2
    said = capsys.readouterr().err
    assert f"model=fuvas compares features place by place: {MIXED}" in said and "backbone.size=[HEIGHT,WIDTH]" in said
    assert main([*given, "backbone.size=[48,64]"]) == 0


def undecoded(self: Source) -> Iterator[np.ndarray]:
    raise AssertionError(f"{self.name} was decoded")


class Coded(Source):
    """A source of which only the encoding is asked."""

    def __init__(self, encoding: Encoding | None) -> None:
        super().__init__("coded", Policy())
        self._encoding = encoding

    encoding = property(lambda self: self._encoding)  # type: ignore[assignment]
    n_frames, size, decoder = 1, (1, 1), "none"  # type: ignore[assignment]

    def _pictures(self) -> Iterator[np.ndarray]:
        yield from ()

    def _bytes(self) -> Iterator[bytes]:
        yield b""


def of(train: list[Encoding | None], test: list[Encoding | None]) -> Dataset:
    made = [[Video(f"{n}", Coded(each)) for n, each in enumerate(split)] for split in (train, test)]
    return Dataset("folder", tuple(made[0]), tuple(made[1]))


def h264(bits: float | None) -> Encoding:
    return Encoding("h264", False, bits)


JPEG, PNG, FFV1 = Encoding("JPEG", False, 2.0), Encoding("PNG", True, None), Encoding("ffv1", True, None)


@pytest.mark.parametrize(
    ("train", "test", "expected"),
    [
        ([h264(0.2), h264(0.3)], [h264(0.11), h264(0.6)], []),  # from half the least to twice the most
        ([h264(0.2), h264(0.3)], [h264(0.09)], ["test videos 0 0.09 bits for each pixel, training videos 0.2 to 0.3"]),
        ([h264(0.2)], [h264(0.2), h264(0.41)], ["test videos 1 0.41 bits for each pixel, training videos 0.2 (h264)"]),
        ([h264(0.2)], [h264(None)], []),
        ([h264(None)], [h264(0.2)], []),
        ([PNG], [FFV1], []),  # both give the same pixels
        ([h264(0.2)], [JPEG], ["training h264; test JPEG"]),
        ([h264(0.2)], [PNG], ["training h264; test lossless"]),
        (
            [h264(0.2), h264(0.2)],
            [h264(0.2), JPEG, h264(9.0)],
            ["training h264; test h264 in 0, 2, JPEG in 1", "test videos 2 9 bits for each pixel, training"],
        ),
        ([None], [JPEG], []),
        ([], [JPEG], []),
    ],
)
def test_which_encodings_differ(train: list[Encoding], test: list[Encoding], expected: list[str]) -> None:
    lines = encodings(of(train, test))
    assert len(lines) == len(expected) and all(want in line for want, line in zip(expected, lines, strict=True))
    assert all("Scores can rise for that alone" in line for line in lines)


def test_encodings_are_those_of_the_files(tmp_path: Path) -> None:
    clip = moving_clip(30, 96, 128)
    made = {
        name: VideoFile(write_video(tmp_path / name, clip, codec, pixels, options)).encoding
        for name, codec, pixels, options in (
            ("fine.mp4", "libx264", "yuv420p", {"crf": "10"}),
            ("coarse.mkv", "libx264", "yuv420p", {"crf": "40"}),
            ("old.avi", "mpeg4", "yuv420p", {}),
            ("exact.mkv", "ffv1", "bgr0", {}),
        )
    }
    assert {name: (e.name, e.lossless) for name, e in made.items() if e} == {
        "fine.mp4": ("h264", False),
        "coarse.mkv": ("h264", False),
        "old.avi": ("mpeg4", False),
        "exact.mkv": ("ffv1", True),
    }
    for name in ("fine.mp4", "coarse.mkv", "old.avi"):
        bits = made[name].bits_per_pixel  # type: ignore[union-attr]
        assert bits == pytest.approx(8 * (tmp_path / name).stat().st_size / clip[..., 0].size, rel=0.05)


def test_a_test_video_compressed_in_another_way_is_remarked_in_every_run(tmp_path: Path) -> None:
    clip = moving_clip(30, 96, 128)
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
    write_video(tmp_path / "train" / "monday.mp4", clip, "libx264", options={"crf": "10"})
    write_video(tmp_path / "test" / "door.mp4", clip, "libx264", options={"crf": "40"})
    write_images(tmp_path / "test" / "gate", clip, ".jpg")
    data = load_dataset(config("folder", tmp_path, max_frames=20))
    said = [line for line in data.warnings if "rise for that alone" in line]
    assert "training h264; test h264 in door, JPEG in gate" in said[0] and "test videos door" in said[1]
    report = check(config("folder", tmp_path))
    assert set(said) <= set(report.remarks) and not report.problems
