"""Every fault that conformance must catch is caught by name; a broken plug-in is an example with one line changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vadbench.cli.main import main

pytestmark = pytest.mark.usefixtures("own_registry")

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "plugins"

RAW = "(np.square(features - self.mean) / self.variance).mean(axis=1)"
HISTOGRAM = 'scores = self.density.raw(np.asarray(features["histogram"]["histogram"]))'
SCORES = "return plugins.VideoScores(video.id, scores, np.zeros(len(scores), dtype=bool))"
CLIPS = "return dict.fromkeys(self.layers, np.ascontiguousarray(clips.transpose(0, 4, 1, 2, 3)))"
SEPARATION = "return (scores[labels].mean() - scores[~labels].mean()) / scores.std()"
SMOOTH = "smooth = scores.copy()"
SOURCE = "plugins.ArraySource(frames)"

MAPS = """class Maps:
    def __init__(self, n_frames, shape):
        self.n_frames, self.shape = n_frames, shape

    def __len__(self):
        return self.n_frames

    def __getitem__(self, frame):
        return np.zeros(self.shape, np.float32)

    def at_size(self, frame, size):
        return np.zeros((4, 4), np.float32)


@plugins.model("""

FLICKER = '''class Flicker(plugins.ArraySource):
    """Frames that are others at every pass."""

    passes = 0

    def frames(self):
        self.passes += 1
        for frame in super().frames():
            yield frame ^ np.uint8(self.passes)


class OneDigest(plugins.ArraySource):
    """A digest that says nothing of the frames."""

    def digest(self):
        return "0"


def _video('''

BROKEN = [
    # Densities.
    ("density", RAW, f"{RAW}[1:]", "the scores of 15 samples have the shape (14,), not (15,)"),
    ("density", RAW, f"np.where(np.arange(len(features)) == 3, np.nan, {RAW})", "hold nan at [3]"),
    ("density", RAW, f"{RAW} + np.random.rand(len(features))", "is not deterministic"),
    ("density", "self.mean = features.mean(", "self.mean = np.random.rand() + features.mean(", "is not deterministic"),
    ("density", RAW, f"{RAW} - np.arange(len(features))", "depends on the order of the samples"),
    ("density", RAW, f"{RAW} / len(features)", "depends on the batch size"),
    ("density", "self.mean = ", "features -= 1; self.mean = ", "changes its inputs: the features that it is fitted on"),
    ("density", f"return {RAW}", f"features *= 2; return {RAW}", "changes its inputs: the features that it scores"),
    (
        "density",
        "self.variance = features.var(axis=0, dtype=np.float64) + self.floor",
        """made = remember and remember("fit", lambda: {"variance": features.var(axis=0) + self.floor})
        self.variance = made["variance"] if made else features.var(axis=0) + self.floor

    def fit_spec(self):
        return {"density": "diagonal"}""",
        "the key floor changes the scores but not the spec",
    ),
    ("density", "self.floor = config.floor", "self.floor = config.floor + seed", "says uses_seed=False"),
    # Methods.
    ("model", SCORES, SCORES.replace("scores,", "scores[1:],"), "(11,) scores for the 12 frames of video 'test_0'"),
    ("model", SCORES, f"scores[2] = np.nan; {SCORES}", "the score of video 'test_0', frame 2, is not finite"),
    ("model", HISTOGRAM, f"{HISTOGRAM} + np.random.rand()", "is not deterministic: two runs with one seed"),
    (
        "model",
        SCORES,
        f"self.seen = getattr(self, 'seen', 0) + 1; scores = scores + self.seen; {SCORES}",
        "depends on the order of the test videos",
    ),
    (
        "model",
        "self.density.fit(np.concatenate(rows), groups)",
        "self.density.fit(rows[0], groups[: len(rows[0])])",
        "depends on the order of the training videos",
    ),
    (
        "model",
        "self.extractor, self.density = Histograms(config.bins), run.density",
        "self.extractor, self.density = Histograms(config.bins * (run.batch_size or 1)), run.density",
        "depends on the batch size (runtime.batch_size)",
    ),
    ("model", HISTOGRAM, f'features["histogram"]["histogram"][0] = 1; {HISTOGRAM}', "changes its inputs: the features"),
    (
        "model",
        SCORES,
        f"scores = scores + (0 if video.labels is None else video.labels.sum()); {SCORES}",
        "reads test labels",
    ),
    ("model", SCORES, f"video.labels.sum() if 'test' in video.id else 0; {SCORES}", "reads test labels"),
    (
        "model",
        '"""Nothing to prepare."""',
        "self.bins += sum(v.labels is not None for v in train)",
        "reads training labels",
    ),
    (
        "model",
        SCORES,
        f"scores = scores + scores[-1]; {SCORES}\n\n    frames_ahead = 1",
        "says frames_ahead=1, and scores depend on later frames",
    ),
    ("model", '{"extractor": "histograms", "bins": self.bins}', '{"extractor": "histograms"}', "the key model.bins"),
    (
        "model",
        "rows = [np.histogram(f,",
        "rows = [np.histogram(f.__imul__(2),",
        "changes its inputs: the frames of video",
    ),
    ("model", SCORES, SCORES.replace("=bool)", "=bool), Maps(len(scores) - 1, (4, 4))"), "are 11 for 12 frames"),
    ("model", SCORES, SCORES.replace("=bool)", "=bool), Maps(len(scores), (4, 4))"), "at the size (48, 64) have the"),
    # Backbones.
    ("backbone", CLIPS, CLIPS.replace("clips.tr", "clips[1:].tr"), "the features of 3 clips"),
    ("backbone", CLIPS, f"clips[0, 0, 0, 0] = np.nan; {CLIPS}", "hold nan"),
    ("backbone", CLIPS, f"clips = clips + np.float32(np.random.rand()); {CLIPS}", "is not deterministic"),
    ("backbone", CLIPS, f"clips = clips - clips.mean(); {CLIPS}", "depends on the batch size"),
    ("backbone", '"patch": self.patch, ', "", "the key backbone.patch changes the features but not the spec"),
    ("backbone", "p, (height", "frame[0] = 0; p, (height", "changes its inputs: the frames that it is given"),
    ("backbone", CLIPS, f"clips += 1; {CLIPS}", "changes its inputs: the clips"),
    # Datasets.
    ("dataset", SOURCE, "Flicker(frames)", "two passes differ in frame 0"),
    ("dataset", "default_rng([config.seed, *name.encode()])", "default_rng()", "two passes differ in frame 0"),
    ("dataset", "= labels[frame]", "= labels[frame - 1]", "masks contradict labels"),
    ("dataset", SOURCE, "OneDigest(frames)", "changes frames of train video 'walk_0' but not the digest"),
    # Metrics.
    ("metric", SEPARATION, f"{SEPARATION} + scores[0]", "depends on the order of the videos"),
    ("metric", SEPARATION, f"{SEPARATION} + np.random.rand()", "is not deterministic"),
    (
        "metric",
        SEPARATION,
        f"scores_by_video['video_0'] *= 2; {SEPARATION}",
        "changes its inputs: the scores of video_0",
    ),
    ("metric", SEPARATION, 'return float("nan")', "is nan where both classes are present"),
    ("metric", SEPARATION, "return scores", "returns ndarray and not one number"),
    (
        "metric",
        SEPARATION,
        f"assert not any('#' in video for video in scores_by_video); {SEPARATION}",
        "does not bear repeated videos under new ids",
    ),
    # Protocol steps.
    ("protocol_step", "return smooth", "return smooth[1:]", "have the shape (39,), not (40,)"),
    ("protocol_step", "return smooth", "return smooth * np.nan", "hold nan"),
    ("protocol_step", SMOOTH, "smooth = scores", "changes its inputs: the scores of video_0"),
    ("protocol_step", SMOOTH, "smooth = scores + np.random.rand()", "is not deterministic"),
    ("protocol_step", "return smooth", "return smooth[::-1].copy()", "says that a score depends on at most 0 later"),
]


@pytest.mark.parametrize(("example", "line", "broken", "fault"), BROKEN, ids=lambda value: value[:40])
def test_a_broken_part_is_caught_by_name(
    example: str, line: str, broken: str, fault: str, tmp_path: Path, capsys: Any
) -> None:
    text = (EXAMPLES / f"{example}.py").read_text()
    assert text.count(line) == 1
    text = text.replace(line, broken).replace("@plugins.model(", MAPS).replace("def _video(", FLICKER)
    path = tmp_path / "broken.py"
    path.write_text(f"import numpy as np\n{text}")
    words = ["check", "--plugin", str(path)]
    if example == "model":
        words += ["--plugin", str(EXAMPLES / "density.py")]
    assert main(words) == 1
    said = capsys.readouterr().out
    (failed,) = [one for one in said.splitlines() if ": fails: " in one]
    assert failed.startswith(example.replace("_", " ")) and str(path) in failed and fault in failed


def test_a_key_that_is_no_part_of_the_run_s_key_may_not_change_scores(tmp_path: Path, capsys: Any) -> None:
    text = (EXAMPLES / "model.py").read_text()
    text = text.replace(
        "bins: int = 16", "bins: int = 16\n    visualizer: bool = plugins.setting(default=True, in_key=False)"
    )
    text = text.replace("run.density\n", "run.density\n        self.factor = 2 - config.visualizer\n")
    text = text.replace(HISTOGRAM, f"{HISTOGRAM} * self.factor")
    path = tmp_path / "broken.py"
    path.write_text(text)
    assert main(["--plugin", str(path), "check", "--plugin", str(EXAMPLES / "density.py")]) == 1
    assert "the key model.visualizer changes the scores but not the key of the run" in capsys.readouterr().out


def test_a_part_that_can_not_be_built_is_said(capsys: Any) -> None:
    assert main(["check", "--plugin", str(EXAMPLES / "model.py")]) == 1
    assert "can't be checked as it comes: density=diagonal: there is no such density" in capsys.readouterr().out


def test_a_file_that_registers_nothing_is_said(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "nothing.py"
    path.write_text("")
    assert main(["check", "--plugin", str(path)]) == 2
    assert f"{path}: it registers nothing" in capsys.readouterr().err


def test_a_dataset_is_checked_as_ever_with_a_plug_in_given(tmp_path: Path, capsys: Any) -> None:
    assert main(["check", "squares", "--deep", "--plugin", str(EXAMPLES / "dataset.py")]) == 0
    said = capsys.readouterr().out
    assert said.startswith("squares\n") and "labels and masks agree in all 160 frames of 4 videos" in said
    assert main(["check", "--plugin", str(EXAMPLES / "dataset.py"), "--help"]) == 0
    assert "compare=labels.npy" in (said := capsys.readouterr().out) and "check --plugin FILE" in said


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_the_examples_conform(example: Path, capsys: Any) -> None:
    words = ["check", "--plugin", str(example)]
    if example.stem == "model":
        words += ["--plugin", str(EXAMPLES / "density.py")]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert f"({example}): holds\n  - " in said and "fails" not in said
