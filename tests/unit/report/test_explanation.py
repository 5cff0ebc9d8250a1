"""Explanations against the run they explain, made for real on a small street of moving squares."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml

from tests.records import smallest
from tests.unit.models.ai_vad.moving import street
from vadbench.cli.explain import run
from vadbench.config.compose import compose
from vadbench.errors import DataError
from vadbench.experiment.run import run as run_config
from vadbench.report.explanation import Explanation, _made_by, draw, explain
from vadbench.runs.run_folder import RunFolder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run of AI-VAD on a folder of images in the layout of UCSD."""
    root = tmp_path_factory.mktemp("explain")
    for split, names in (("Train", ("Train001", "Train002")), ("Test", ("Test001", "Test002"))):
        for name in names:
            speeds = (2.0, -9.0) if name == "Test002" else (1.7, -2.0)
            frames = list(street(name, 9, speeds).frames())
            place = root / "UCSDped2" / split / name
            place.mkdir(parents=True)
            for number, frame in enumerate(frames, 1):
                cv2.imwrite(str(place / f"{number:03d}.tif"), frame[..., ::-1])
    words = [
        "model=ai_vad", "dataset=ucsd_ped2", f"dataset.root={root}", "regions=none", "flow=dis",
        "regions.min_bbox_area=20", "model.use_pose_features=false", "model.use_deep_features=false",
        "model.velocity_crop_size=null",
        "runtime.device=cpu", "tracking=none", f"results={root / 'results'}",
    ]  # fmt: skip
    made = run_config(compose(words)).folder
    made.write({key: value for key, value in made.read().items() if key != "files"})  # its files are edited below
    return made.path


def test_the_sentence_says_which_region_and_stream_made_the_score(folder: Path) -> None:
    found = explain(folder, "02")
    scores = pd.read_parquet(folder / "scores.parquet").query("video == '02'")
    assert found.score == scores["score"].max() and found.frame == scores["score"].argmax()
    rank, value = found.made_by["velocity"]
    assert rank == 1 and value == pytest.approx(found.score) == found.regions[0]["total"]
    assert found.regions[0]["y1"] > 20  # the fast square is in the second lane
    assert f"velocity {found.score:.4f} of region 1" in found.sentence()
    totals = [row["total"] for row in found.regions]
    assert totals == sorted(totals, reverse=True) and [row["rank"] for row in found.regions] == [
        *range(1, len(totals) + 1)
    ]


def test_a_filled_frame_says_where_its_score_is_from(folder: Path) -> None:
    found = explain(folder, "02", 0)
    assert found.source == 1 and found.score == explain(folder, "02", 1).score
    assert "taken from frame 1" in found.sentence()


def test_verb_prints_and_draws(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "why.png"
    assert run([str(folder), "--video", "02", "--frame", "4", "--top", "1", "--out", str(picture)]) == 0
    out = capsys.readouterr().out
    assert "video 02, frame 4: score" in out and "foreground" in out and out.strip().endswith(str(picture))
    image = cv2.imread(str(picture))
    assert image.shape[1] > 1000
    # The box is drawn in the colour of its stream, and nowhere without a box.
    red = np.all(np.abs(image[..., ::-1].astype(int) - (209, 73, 91)) < 12, axis=-1)
    assert red[:, : image.shape[1] // 2].sum() > 200
    assert run([str(folder), "--video", "02", "--frame", "4", "--no-picture"]) == 0


def test_frames_without_regions_are_explained_and_drawn(tmp_path: Path) -> None:
    nothing = Explanation("a", 3, 0.0, None, 3, [], {})
    assert "No region was found" in nothing.sentence()
    draw(nothing, np.zeros((40, 60, 3), np.uint8), tmp_path / "empty.png")
    assert (tmp_path / "empty.png").stat().st_size > 1000


def test_mistakes_are_explained(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Available: 01, 02"):
        explain(folder, "2x")
    with pytest.raises(DataError, match="frames 0 to 8"):
        explain(folder, "02", 9)
    with pytest.raises(DataError, match="no complete run"):
        explain(tmp_path, "02")
    other = RunFolder(tmp_path / "other")
    other.begin("", [])
    other.finish(smallest() | {"names": smallest()["names"] | {"model": "fuvas"}})
    with pytest.raises(DataError, match="a run of fuvas, which has no regions"):
        explain(tmp_path / "other", "02")


def test_a_data_set_that_has_gone_leaves_the_words(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = folder / "config.yaml"
    text = config.read_text()
    config.write_text(text.replace("\n  root: ", "\n  root: /absent"))
    try:
        with pytest.raises(DataError, match="--no-picture prints without them"):
            run([str(folder), "--video", "02", "--frame", "4"])
        assert "video 02, frame 4: score" in capsys.readouterr().out
    finally:
        config.write_text(text)


def test_a_run_with_objects_or_a_data_set_of_your_own(folder: Path, tmp_path: Path) -> None:
    config = folder / "config.yaml"
    text = config.read_text()
    words = [str(folder), "--video", "02", "--frame", "4", "--out", str(tmp_path / "why.png")]
    try:
        config.write_text(f"{text}objects:\n  evaluator:\n    object: mine.share\n")
        assert run(words) == 0
        values = yaml.safe_load(text) | {"dataset": {"name": "mine", "made_in_python": True}}
        config.write_text(yaml.safe_dump(values))
        with pytest.raises(DataError, match=r"made in Python.*--no-picture"):
            run(words)
    finally:
        config.write_text(text)


def test_streams_count_by_the_reduction_of_the_run() -> None:
    regions = [
        {"rank": 1, "velocity": 0.9, "pose": 0.2, "deep": 0.1},
        {"rank": 2, "velocity": 0.1, "pose": float("nan"), "deep": 0.8},
    ]
    own = _made_by(regions, ["velocity", "pose", "deep"], "sum_of_max")
    assert own == {"velocity": (1, 0.9), "pose": (1, 0.2), "deep": (2, 0.8)}
    assert _made_by(regions, ["velocity", "deep"], "max_of_sum") == {"velocity": (1, 0.9), "deep": (1, 0.1)}
    assert _made_by(regions[1:], ["pose"], "sum_of_max") == {}
