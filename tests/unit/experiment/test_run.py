"""What a run records is what was used: its protocol, its dataset, and the objects of the user's own."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.stand_ins import video
from vadbench.config.compose import compose, user_config_dirs
from vadbench.config.schema import RunConfig
from vadbench.data import load
from vadbench.data.video import Dataset
from vadbench.errors import ConfigError, DataError, VadbenchError
from vadbench.evaluation import apply, frame_auroc, load_protocol, macro, micro
from vadbench.evaluation.protocols.steps import GaussianStep
from vadbench.experiment import run as run_module
from vadbench.experiment.run import RunResult, run
from vadbench.report.pages import page
from vadbench.report.result import format_result
from vadbench.report.rows import rows
from vadbench.tracking.run_entry import read_entry

SMALL = ["dataset.n_train=1", "dataset.n_test=1", "dataset.n_frames=24", "dataset.size=[48,64]"]


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is about intervals, which are most of the time of so small a run."""
    monkeypatch.setattr(run_module, "assess", partial(run_module.assess, resamples=20))


def data() -> Dataset:
    """Two test videos, of which the second is anomalous throughout."""
    half = np.arange(20) >= 10
    tests = (video("one", labels=half), video("two", labels=np.ones(20, bool)))
    return Dataset("stand_in", (video("train"),), tests)


def config(results: Path, *words: str) -> RunConfig:
    return compose(
        ["model=random", "dataset=synthetic", "tracking=none", "model.visualizer=false", f"results={results}", *words]
    )


def value(found: RunResult, name: str = "frame_auroc_micro") -> float:
    return float(found.record["metrics"][name]["value"])


def raw_scores(found: RunResult) -> tuple[dict[str, Any], dict[str, Any]]:
    import pandas as pd

    table = pd.read_parquet(found.folder.path / "scores.parquet")
    groups = list(table.groupby("video"))
    return {v: t["score"].to_numpy() for v, t in groups}, {v: t["label"].to_numpy(bool) for v, t in groups}


def test_the_steps_that_were_composed_are_those_that_run(tmp_path: Path) -> None:
    words = ["protocol=gaussian", "protocol.steps=[{kind:gaussian,sigma:50}]", "protocol.macro=one"]
    plain = run(config(tmp_path, "protocol=gaussian"), dataset=data())
    found = run(config(tmp_path, *words), dataset=data())
    scores, labels = raw_scores(found)
    wanted = replace(load_protocol("gaussian"), steps=[GaussianStep(kind="gaussian", sigma=50.0)])
    applied = apply(wanted, scores, labels, "stand_in")
    assert value(found) == micro(frame_auroc, applied.scores, labels)
    assert value(found, "frame_auroc_macro") == macro(frame_auroc, applied.scores, labels, "one")
    assert value(found) != value(plain)
    assert plain.record["names"]["protocol"] == "gaussian"


def test_a_protocol_that_is_not_its_file_is_called_so_everywhere(tmp_path: Path) -> None:
    found = run(config(tmp_path, "protocol=gaussian", "protocol.macro=one"), dataset=data())
    called = "gaussian (modified)"
    assert found.record["names"]["protocol"] == called
    assert {m["protocol"] for name, m in found.record["metrics"].items() if name.startswith("frame_")} == {called}
    assert {m["protocol"] for m in found.record["baselines"].values()} == {called}
    assert f"under protocol {called}" in format_result(found.record, found.folder.path, False, None)
    card = json.loads((found.folder.path / "card.json").read_text())
    assert [row["macro"] for row in card if row["protocol"] == called] == ["one"]
    assert [row["macro"] for row in card if row["protocol"] == "gaussian"] == ["skip"]
    assert called in (found.folder.path / "card.txt").read_text()
    assert called in page(found.folder.path)
    assert [row.names["protocol"] for row in rows([found.folder.path])] == [called]
    entry = read_entry(found.folder.path)
    assert entry is not None and entry.params["protocol"] == called


def test_no_result_of_before_is_served_for_a_modified_protocol(tmp_path: Path) -> None:
    """Runs that ignored the modification are under the key that has the plain name."""
    from dataclasses import asdict

    from vadbench.data.registry import dataset_digest, label_digest
    from vadbench.experiment.record import fingerprint

    changed = config(tmp_path, *SMALL, "protocol=gaussian", "protocol.macro=one")
    plain = config(tmp_path, *SMALL, "protocol=gaussian")
    for one, same in ((changed, False), (plain, True)):
        found = run(one)
        loaded = load("synthetic", n_train=1, n_test=1, n_frames=24, size="[48,64]")
        before = fingerprint(asdict(one), {"result_version": 2}, dataset_digest(loaded), label_digest(loaded))
        assert (found.folder.path.name == before) is same


@pytest.mark.parametrize("words", [[], ["protocol.macro=skip"]])
def test_a_protocol_of_your_own(tmp_path: Path, words: list[str]) -> None:
    text = (
        "name: mine\nversion: 1\nsource: me\nsteps: [{kind: drop, first: 5}]\nmacro: one\ncausal: true\n"
        "looks_at_whole_video: false\nuses_test_labels: false\n"
    )
    (tmp_path / "protocol").mkdir()
    (tmp_path / "protocol" / "mine.yaml").write_text(text)
    given = user_config_dirs(["--config-dir", str(tmp_path), "protocol=mine", *words])
    found = run(config(tmp_path / "results", *given), dataset=data())
    called = "mine (modified)" if words else "mine"
    assert found.record["names"]["protocol"] == called
    scores, labels = raw_scores(found)
    late = {v: s[5:] for v, s in scores.items()}
    assert value(found) == micro(frame_auroc, late, {v: y[5:] for v, y in labels.items()})
    card = json.loads((found.folder.path / "card.json").read_text())
    assert [row["n_frames"] for row in card if row["protocol"] == called] == [30]


def test_what_a_run_was_given_is_recorded_and_not_what_its_configuration_names(tmp_path: Path) -> None:
    found = run(config(tmp_path), dataset=data())
    assert found.record["names"]["dataset"] == found.record["dataset"]["name"] == "stand_in"
    assert found.folder.path.parent == tmp_path / "runs" / "stand_in" / "random"
    written = yaml.safe_load((found.folder.path / "config.yaml").read_text())["dataset"]
    assert written == {"name": "stand_in", "made_in_python": True}
    other = replace(data(), test=data().test[:1])
    assert run(config(tmp_path), dataset=other).folder.path != found.folder.path
    assert run(config(tmp_path), dataset=data()).existed
    # What the configuration would have loaded is no part of it.
    assert run(config(tmp_path, "dataset.seed=5"), dataset=data()).existed


def test_a_data_set_that_was_loaded_counts_as_what_it_was_loaded_from(tmp_path: Path) -> None:
    loaded = load("synthetic", n_train=1, n_test=1, n_frames=24, size="[48,64]")
    first = run(config(tmp_path, *SMALL))
    assert run(config(tmp_path), dataset=loaded).folder.path == first.folder.path
    changed = replace(loaded, comparable=True)
    assert changed.loaded_from is None
    other = run(config(tmp_path), dataset=changed)
    assert other.folder.path != first.folder.path and other.record["dataset"]["comparable"] is False


class Turned:
    """A post-processor that says what it depends on."""

    def __init__(self, sign: int) -> None:
        self.sign, self.calls = sign, 0

    def __call__(self, scores: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.calls += 1
        for values in scores.values():
            values *= self.sign  # in place: the raw scores must not be these arrays
        return scores

    def spec(self) -> dict[str, int]:
        return {"sign": self.sign}


def test_a_post_processor_reaches_a_run_and_its_record(tmp_path: Path) -> None:
    plain = run(config(tmp_path, "protocol=gaussian"), dataset=data())
    found = run(config(tmp_path, "protocol=gaussian"), dataset=data(), post_processor=Turned(-1))
    scores, labels = raw_scores(found)
    assert value(found) == micro(frame_auroc, {v: -s for v, s in scores.items()}, labels)
    assert found.record["names"]["protocol"] == "post_processor Turned"
    assert found.record["metrics"]["frame_auroc_micro"]["protocol"] == "post_processor Turned"
    name = f"{__name__}.Turned"
    assert found.record["objects"] == {"post_processor": {"object": name, "spec": {"sign": -1}}}
    assert yaml.safe_load((found.folder.path / "config.yaml").read_text())["objects"] == found.record["objects"]
    # The card is of the raw scores, and the baselines never met the object.
    cards = [json.loads((one.folder.path / "card.json").read_text()) for one in (plain, found)]
    assert cards[0] == cards[1]
    assert {entry["protocol"] for entry in found.record["baselines"].values()} == {"raw"}
    assert "micro under protocol raw" in format_result(found.record, found.folder.path, False, None)


def test_an_object_is_never_served_the_result_of_another(tmp_path: Path) -> None:
    first = run(config(tmp_path), dataset=data(), post_processor=Turned(-1))
    other = run(config(tmp_path), dataset=data(), post_processor=Turned(1))
    assert other.folder.path != first.folder.path and value(other) != value(first)
    same = Turned(-1)
    again = run(config(tmp_path), dataset=data(), post_processor=same)
    assert again.existed and same.calls == 0

    factor = 1.0

    def without_spec(scores: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {v: factor * s for v, s in scores.items()}

    found = [run(config(tmp_path), dataset=data(), post_processor=without_spec)]
    factor = -1.0  # the source is the same, and what it does is not
    found.append(run(config(tmp_path), dataset=data(), post_processor=without_spec))
    assert [one.existed for one in found] == [False, False] and value(found[0]) != value(found[1])
    with pytest.raises(VadbenchError, match="this run exists"):
        run(config(tmp_path, "on_existing=error"), dataset=data(), post_processor=without_spec)


def test_an_evaluator_reaches_a_run_its_record_and_its_reports(tmp_path: Path) -> None:
    plain = run(config(tmp_path), dataset=data())

    def share(scores: dict[str, Any], labels: dict[str, Any]) -> dict[str, Any]:
        return {"share": np.mean(labels["one"]), "best": {"value": scores["one"].max(), "unit": "raw"}}

    found = run(config(tmp_path), dataset=data(), evaluator=share)
    metrics = found.record["metrics"]
    assert metrics["share"]["value"] == 0.5 and metrics["share"]["n_videos"] == 2
    assert metrics["best"]["unit"] == "raw" and found.folder.path != plain.folder.path
    text = format_result(found.record, found.folder.path, False, None)
    assert "share" in text and "0.5000" in text and "baselines" not in text
    assert "share" in page(found.folder.path)
    assert len(rows([plain.folder.path, found.folder.path])) == 2


def test_a_visualizer_is_called_also_where_the_numbers_are_there(tmp_path: Path) -> None:
    plain = run(config(tmp_path), dataset=data())
    seen: list[Any] = []

    def draw(videos: Any, scores: Any, folder: Path) -> None:
        seen.append(([v.id for v in videos], [s.video for s in scores]))
        (folder / "mine.txt").write_text("drawn")

    found = run(config(tmp_path), dataset=data(), visualizer=draw)
    assert found.folder.path == plain.folder.path and found.record["metrics"] == plain.record["metrics"]
    assert seen == [(["one", "two"], ["one", "two"])]
    assert (found.folder.path / "pictures" / "mine.txt").is_file()


@pytest.mark.parametrize("part", ["post_processor", "evaluator", "visualizer"])
def test_false_switches_a_part_off_as_the_configuration_does(tmp_path: Path, part: str) -> None:
    base = ["protocol=gaussian", "model.visualizer=true"]
    found = run(config(tmp_path, *base), dataset=data(), **{part: False})
    assert run(config(tmp_path, *base, f"model.{part}=false"), dataset=data()).existed
    assert "objects" not in found.record
    if part == "post_processor":
        assert found.record["names"]["protocol"] == "raw"
        assert found.record["metrics"]["frame_auroc_micro"]["protocol"] == "raw"
    elif part == "evaluator":
        assert found.record["metrics"] == {}
    else:
        assert not (found.folder.path / "pictures").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"evaluator": "auroc"}, "evaluator='auroc': takes True, False or something that can be called"),
        ({"evaluator": lambda scores, labels: 0.5}, "returned float; it must return a mapping"),
        ({"evaluator": lambda scores, labels: {"a": "high"}}, "returned 'high' for 'a'"),
        ({"post_processor": lambda scores: {}}, "scores for the videos that it was given"),
        ({"post_processor": lambda scores: {v: s[1:] for v, s in scores.items()}}, "has 20 frames, it returned"),
    ],
)
def test_what_an_object_must_do_is_said(tmp_path: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        run(config(tmp_path), dataset=data(), **given)


def test_a_spec_that_no_key_can_hold_is_refused(tmp_path: Path) -> None:
    turned = Turned(1)
    turned.spec = lambda: {"sign": object()}  # type: ignore[method-assign, dict-item, assignment, return-value]
    with pytest.raises(ConfigError, match=r"spec\(\) of .*Turned must return what JSON can hold"):
        run(config(tmp_path), dataset=data(), post_processor=turned)
