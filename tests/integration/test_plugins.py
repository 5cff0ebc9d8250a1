"""The examples of plug-ins run in every way in which built-in parts do."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from vadbench import registry
from vadbench.cli.main import main
from vadbench.config.compose import compose, compose_values
from vadbench.errors import ConfigError
from vadbench.experiment.record import plugins as plugins_of
from vadbench.models.base import specs_of

pytestmark = pytest.mark.usefixtures("own_registry")

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "plugins"
STEPS = "protocol.steps=[{kind: exponential, keep: 0.8}]"
SQUARES = ["dataset=squares", "dataset.n_test=5"]
CLIPS = ["model=fuvas", "backbone=patch_colours", "model.visualizer=false", STEPS, *SQUARES]
FRAMES = ["model=brightness", "density.floor=0.1", *SQUARES]


def load(*names: str, folder: Path = EXAMPLES) -> list[str]:
    return [word for name in names for word in ("--plugin", str(folder / f"{name}.py"))]


def records(results: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(results.glob("runs/*/*/*/run.json"))]


def scores(results: Path) -> list[list[float]]:
    paths = sorted(results.glob("runs/*/*/*/scores.parquet"))
    return sorted(pd.read_parquet(path)["score"].tolist() for path in paths)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda p: p.stem)
def test_an_example_is_short(path: Path) -> None:
    assert path.read_text().count("\n") <= 60


@pytest.mark.parametrize(
    ("words", "plugins", "kinds"),
    [
        (CLIPS, ["backbone", "dataset", "protocol_step"], ["backbone", "dataset", "protocol_step"]),
        (FRAMES, ["model", "density", "dataset"], ["dataset", "density", "model"]),
    ],
)
def test_a_sweep_with_two_workers_gives_the_scores_of_single_runs(
    words: list[str], plugins: list[str], kinds: list[str], tmp_path: Path
) -> None:
    common = [*words, "tracking=none", "runtime.threads=1"]
    assert main([*load(*plugins), *common, "dataset.max_frames=24", f"results={tmp_path / 'single'}"]) == 0
    assert main([*common, "dataset.max_frames=32", f"results={tmp_path / 'single'}", *load(*plugins)]) == 0
    sweep = ["-m", *common, "dataset.max_frames=24,32", "launcher.jobs=2", f"results={tmp_path / 'sweep'}"]
    assert main([*sweep, *load(*plugins)]) == 0
    assert scores(tmp_path / "single") == scores(tmp_path / "sweep") and len(scores(tmp_path / "sweep")) == 2
    (work,) = (tmp_path / "sweep" / "sweeps").glob("*/work.json")
    assert json.loads(work.read_text())["plugins"] == [str(EXAMPLES / f"{name}.py") for name in plugins]
    said = records(tmp_path / "sweep")[0]["plugins"]
    assert sorted(part.split()[0] for part in said) == kinds
    assert all(len(one["digest"]) == 64 and Path(one["origin"]).is_file() for one in said.values())


def test_a_new_metric_is_taken_of_the_scores_that_are_there(tmp_path: Path, capsys: Any) -> None:
    words = [*FRAMES, "tracking=none", f"results={tmp_path}"]
    plugins = load("model", "density", "dataset")
    assert main([*plugins, *words]) == 0
    (before,) = records(tmp_path)
    assert "separation" not in before["metrics"]
    assert main([*plugins, *load("metric"), *words]) == 0
    (after,) = records(tmp_path)
    assert after["created"] == before["created"] and after["fingerprint"] == before["fingerprint"]
    entry = after["metrics"]["separation"]
    assert entry["ci_low"] < entry["value"] < entry["ci_high"] and entry["higher_is_better"] is True
    assert entry["plugin"].endswith("metric.py")
    assert "separation" in capsys.readouterr().out
    assert main(["table", str(tmp_path)]) == 0
    assert "separation" in capsys.readouterr().out
    # The same number where it is there from the start.
    assert main([*plugins, *load("metric"), *words, "on_existing=rerun"]) == 0
    assert records(tmp_path)[0]["metrics"]["separation"] == entry


def test_a_changed_plug_in_is_another_run_and_one_that_is_not_used_is_none(tmp_path: Path) -> None:
    for name in ("model", "density", "dataset", "backbone"):
        shutil.copy(EXAMPLES / f"{name}.py", tmp_path / f"{name}.py")
    words = [*FRAMES, "tracking=none", f"results={tmp_path / 'results'}"]
    for changed, runs in ((None, 1), ("backbone", 1), ("density", 2)):
        if changed:
            with (tmp_path / f"{changed}.py").open("a") as file:
                file.write("# changed\n")
        forget()
        assert main([*load("model", "density", "dataset", "backbone", folder=tmp_path), *words]) == 0
        assert len(records(tmp_path / "results")) == runs


def forget() -> None:
    """Start anew, as another process would."""
    for key in [key for key, part in registry._parts.items() if not part.is_built_in]:
        del registry._parts[key]
    for path in registry.plugin_files():
        registry._loaded.pop(path, None)


def test_keys_defaults_and_mistakes_are_those_of_built_in_parts(tmp_path: Path) -> None:
    registry.add_plugins([str(EXAMPLES / f"{name}.py") for name in ("dataset", "backbone", "model", "density")])
    values = compose_values(["model=brightness", "dataset=squares"])
    assert values["model"] == {"name": "brightness", "bins": 16}
    assert values["density"] == {"name": "diagonal", "floor": 1e-6}
    assert values["dataset"]["n_test"] == 4 and values["dataset"]["max_frames"] is None
    clips = compose(["model=fuvas", "backbone=patch_colours", "dataset=squares"]).backbone
    assert (clips.patch, clips.clip_length, clips.precision) == (16, 4, "float32")
    for words, part in [
        (["model=brightness", "dataset=squares", "dataset.n_tests=3"], "Did you mean: dataset.n_test"),
        (["model=brightness", "dataset=squares", "model.bins=many"], "model.bins='many'"),
        (["model=brightness", "dataset=squares", "dataset.max_frames=0"], "dataset.max_frames=0"),
        (["model=brightnes", "dataset=squares"], "Did you mean: brightness"),
    ]:
        with pytest.raises(ConfigError) as caught:
            compose(words)
        assert part in str(caught.value)


def test_a_preset_of_the_users_own_takes_the_rest_from_the_plug_in(tmp_path: Path) -> None:
    registry.add_plugins([str(EXAMPLES / f"{name}.py") for name in ("dataset", "protocol_step")])
    for group, name, text in [
        ("dataset", "few", "name: squares\nn_test: 2\n"),
        ("dataset", "fewer", "defaults: [few, _self_]\nn_train: 1\n"),
        (
            "protocol",
            "mine",
            "name: mine\nversion: 1\nsource: here\nsteps: [{kind: exponential}]\nmacro: skip\ncausal: true\n"
            "looks_at_whole_video: false\nuses_test_labels: false\n",
        ),
    ]:
        (tmp_path / group).mkdir(exist_ok=True)
        (tmp_path / group / f"{name}.yaml").write_text(text)
    from vadbench.config.compose import user_config_dirs

    given = ["model=random", *user_config_dirs(["--config-dir", str(tmp_path)])]
    few, fewer = (compose([*given, f"dataset={name}", "protocol=mine"]) for name in ("few", "fewer"))
    assert (few.dataset.name, few.dataset.n_test, few.dataset.n_train) == ("squares", 2, 3)
    assert (fewer.dataset.n_test, fewer.dataset.n_train) == (2, 1)
    assert few.protocol.name == "mine" and few.protocol.steps[0].keep == 0.9


def test_a_plug_in_dataset_has_the_common_keys(tmp_path: Path) -> None:
    words = ["model=frame_difference", "dataset=squares", "tracking=none", f"results={tmp_path}"]
    assert main([*load("dataset"), *words, "dataset.max_frames=20", "dataset.test_videos=[run_1]"]) == 0
    (record,) = records(tmp_path)
    assert (record["dataset"]["test_videos"], record["dataset"]["test_frames"]) == (1, 20)


def test_list_shows_where_a_part_comes_from(capsys: Any) -> None:
    everything = load("backbone", "dataset", "density", "metric", "model", "protocol_step")
    assert main([*everything, "list"]) == 0
    said = capsys.readouterr().out
    for name in ("patch_colours", "squares", "diagonal", "separation", "brightness", "exponential"):
        assert f"plug-in {name}: {EXAMPLES}" in said


def test_a_fault_of_a_plug_in_is_one_message(tmp_path: Path, capsys: Any) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("from vadbench import nothing_of_this_name\n")
    assert main(["--plugin", str(broken), "list"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"{broken}, line 1" in said and "Traceback" not in said


METHOD = """
import numpy as np
from vadbench import plugins

FACTOR = 1.0

class Means:
    def prepare(self, train): ...
    def outputs(self):
        return {"mean": {"extractor": "means"}}
    def extract(self, video, wanted, have):
        return {"mean": {"mean": np.array([FACTOR * frame.mean() for frame in video.frames()])}}

@plugins.model("means")
class Method:
    def __init__(self, config, run):
        self.extractor = Means()
    def fit(self, features, remember):
        self.mean = np.mean([f["mean"]["mean"].mean() for f in features.values()])
    def fit_spec(self):
        return {}
    def score(self, video, features, remember=None):
        scores = np.abs(np.asarray(features["mean"]["mean"]) - self.mean)
        return plugins.VideoScores(video.id, scores, np.zeros(len(scores), dtype=bool))
    def summary(self):
        return {}
"""

DENSITY = """
import numpy as np
from vadbench import plugins

FACTOR = 1.0

@plugins.density("distance")
class Distance(plugins.BaseDensityEstimator):
    def __init__(self, config, seed): ...
    def fit_spec(self):
        return {"density": "distance"}
    def fit(self, features, groups, remember=None):
        def make():
            return {"mean": FACTOR * features.mean(axis=0)}
        self.mean = (make() if remember is None else remember("mean", make))["mean"]
    def raw(self, features):
        return np.abs(features - self.mean).sum(axis=1)
"""


@pytest.mark.parametrize(
    ("text", "words"),
    [(METHOD, ["model=means"]), (DENSITY, ["model=clip_density", "density=distance", "backbone=flow_grid"])],
)
def test_two_versions_of_a_plug_in_share_neither_features_nor_fits(text: str, words: list[str], tmp_path: Path) -> None:
    path = tmp_path / "mine.py"

    def score(version: str, results: str) -> list[list[float]]:
        path.write_text(version)
        forget()
        common = [*load("dataset"), "--plugin", str(path), *words, *SQUARES, "tracking=none"]
        assert main([*common, f"results={tmp_path / results}"]) == 0
        return scores(tmp_path / results)

    changed = text.replace("FACTOR = 1.0", "FACTOR = 3.0")  # of the same length, within the same second
    (first,), (alone,) = score(text, "shared"), score(changed, "alone")
    assert first != alone
    assert sorted([first, alone]) == score(changed, "shared")


def test_only_extractors_of_plug_ins_have_a_digest_in_their_key(tmp_path: Path) -> None:
    path = tmp_path / "means.py"
    path.write_text(METHOD)
    registry.add_plugins([str(path), str(EXAMPLES / "dataset.py")])
    from vadbench.experiment.run import prepare

    _, own = prepare(compose(["model=means", "dataset=squares"]))
    assert specs_of(own.extractor) == {"mean": {"extractor": "means", "plugin": registry.get("model", "means").digest}}
    _, built_in = prepare(compose(["model=fuvas", "backbone=flow_grid", "dataset=squares"]))
    assert specs_of(built_in.extractor) == built_in.extractor.outputs()


def test_a_density_from_outside_in_a_stream_of_ai_vad_is_in_the_key_and_the_record() -> None:
    registry.add_plugins([str(EXAMPLES / "density.py")])
    config = compose(["model=ai_vad", "dataset=synthetic", "density.velocity=diagonal"])
    assert list(plugins_of(config)) == ["density diagonal"]


def test_a_sweep_that_is_done_gets_a_new_metric_and_mlflow_its_interval(tmp_path: Path, caplog: Any) -> None:
    from mlflow.tracking import MlflowClient

    sweep = ["-m", "model=random", *SQUARES, "seed=0,1", f"results={tmp_path}"]
    assert main([*sweep, *load("dataset")]) == 0
    before = {record["seed"]: record["created"] for record in records(tmp_path)}
    with caplog.at_level("INFO"):
        assert main([*load("metric", "dataset"), *sweep]) == 0
    assert "2 complete, 0 to do" in caplog.text
    client = MlflowClient(f"sqlite:///{tmp_path}/tracking/mlflow.db")
    (experiment,) = [one for one in client.search_experiments() if one.name == "squares"]
    runs = {run.data.params.get("seed"): run for run in client.search_runs([experiment.experiment_id])}
    for record in records(tmp_path):
        assert record["created"] == before[record["seed"]]
        entry, run = record["metrics"]["separation"], runs[str(record["seed"])]
        shown = {
            key: run.data.metrics[f"separation{end}"]
            for key, end in (("value", ""), ("ci_low", "/ci_low"), ("ci_high", "/ci_high"))
        }
        assert shown == {key: entry[key] for key in shown}
        assert run.data.tags["mlflow.parentRunId"] == runs[None].info.run_id
    # sync brings it back from the folders, where the plug-in is not loaded.
    for seed in ("0", "1"):
        client.delete_run(runs[seed].info.run_id)
    forget()
    os.environ.pop(registry.VARIABLE)
    assert main(["sync", "--results", str(tmp_path)]) == 0
    found = [run.data.metrics for run in client.search_runs([experiment.experiment_id]) if run.data.params]
    assert len(found) == 2 and all({"separation", "separation/ci_low", "separation/ci_high"} <= set(m) for m in found)


def test_compare_and_table_show_a_metric_from_outside(tmp_path: Path, capsys: Any) -> None:
    for name in ("frame_difference", "position"):
        words = [f"model={name}", *SQUARES, "tracking=none", f"results={tmp_path}"]
        assert main([*load("metric", "dataset"), *words]) == 0
    first, second = (str(path.parent) for path in sorted(tmp_path.glob("runs/*/*/*/run.json")))
    values = [record["metrics"]["separation"]["value"] for record in records(tmp_path)]
    capsys.readouterr()
    for words in (["compare", first, second, *load("metric")], [*load("metric"), "compare", first, second]):
        assert main(words) == 0
        (line,) = [line for line in capsys.readouterr().out.splitlines() if "separation" in line and "!" not in line]
        assert line.split()[1:3] == [f"{value:.4f}" for value in values]
        assert "holds" in line and line.count("[") == 3
    # Where the plug-in is not loaded, the record says which it is.
    forget()
    os.environ.pop(registry.VARIABLE)
    assert main(["compare", first, second]) == 0
    said = capsys.readouterr().out
    assert f"separation is not compared: it is a metric of a plug-in ({EXAMPLES / 'metric.py'})" in said
    assert main(["table", str(tmp_path)]) == 0
    assert f"{values[0]:.4f} [" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "part"),
    [([], "No weights are needed."), (["backbone.weights=mine.pt"], "backbone.weights=mine.pt is left to its plug-in")],
)
def test_weights_of_a_backbone_from_outside_are_its_own_business(words: list[str], part: str, capsys: Any) -> None:
    assert main([*load("backbone"), "weights", "model=fuvas", "backbone=patch_colours", *words]) == 0
    assert part in capsys.readouterr().out


def test_check_takes_a_dataset_from_outside(capsys: Any) -> None:
    for words in ([*load("dataset"), "check", "squares"], ["check", "squares", *load("dataset")]):
        assert main(words) == 0
        assert capsys.readouterr().out.startswith("squares\n  tree")


def test_the_variable_does_what_the_option_does(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setenv(registry.VARIABLE, os.pathsep.join(str(EXAMPLES / f"{n}.py") for n in ("dataset", "metric")))
    words = ["model=random", *SQUARES, "tracking=none", f"results={tmp_path}"]
    assert main(["plan", "-m", *words]) == 0
    assert "1 absent" in capsys.readouterr().out
    assert main(words) == 0
    assert "separation" in records(tmp_path)[0]["metrics"]
    assert main(["plan", "-m", *words, *load("model", "density")]) == 0
    assert "1 complete" in capsys.readouterr().out


def test_a_part_whose_plug_in_is_not_loaded_is_asked_for(tmp_path: Path, capsys: Any) -> None:
    words = ["tracking=none", f"results={tmp_path}"]
    assert main([*load("model", "density", "dataset"), *FRAMES, *words]) == 0
    (folder,) = (str(path.parent) for path in tmp_path.glob("runs/*/*/*/run.json"))
    forget()
    os.environ.pop(registry.VARIABLE)
    capsys.readouterr()
    for command in (
        [*FRAMES, *words],
        ["model=fuvas", "backbone=patch_colours", "dataset=synthetic"],
        ["model=random", "dataset=squares"],
        ["-m", "model=random", "dataset=synthetic", "protocol.steps=[{kind: exponential}]"],
        ["check", "squares"],
    ):
        assert main(command) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and "--plugin FILE" in said, said
    # What was run with it stays readable.
    for command in (["table", str(tmp_path)], ["compare", folder, folder], ["report", folder]):
        assert main(command) == 0
    said = capsys.readouterr().out
    assert "brightness" in said and "the same settings" in said
