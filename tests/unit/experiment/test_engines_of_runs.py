"""What ran the network is in the record and in what is printed, and in no key."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vadbench.backbones.engines import choice, openvino
from vadbench.config.compose import compose
from vadbench.errors import ConfigError
from vadbench.experiment import run as run_module
from vadbench.experiment.run import RunResult, run
from vadbench.report.result import format_result

TINY = ["backbone.clip_length=4", "backbone.size=[32,48]", "backbone.weights=random", "model.layer=blocks.0"]
DATA = ["dataset=synthetic", "dataset.n_train=1", "dataset.n_test=1", "dataset.n_frames=24", "dataset.size=[48,64]"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(run_module, "assess", partial(run_module.assess, resamples=20))


def fuvas(results: Path, *words: str) -> RunResult:
    fixed = ["model=fuvas", "backbone=x3d_xs", "tracking=none", "model.visualizer=false", f"results={results}"]
    return run(compose([*fixed, *TINY, *DATA, *words]))


def scores(found: RunResult) -> np.ndarray:
    return pd.read_parquet(found.folder.path / "scores.parquet")["score"].to_numpy()


def printed(found: RunResult) -> str:
    return format_result(found.record, found.folder.path, found.existed, None)


def test_runs_of_two_engines_have_one_key_and_scores_equal_up_to_rounding(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("openvino")
    eager = fuvas(tmp_path / "a")
    assert eager.record["engines"] == {"eager": 2}, "so small a run is not worth a conversion"
    assert "network run by eager" in printed(eager)
    fast = fuvas(tmp_path / "b", "backbone.engine=openvino")
    mark = f"openvino {openvino.installed_version('openvino')}"
    assert fast.record["engines"] == {mark: 2}
    assert f"network run by {mark}" in printed(fast)
    assert fast.folder.path.name == eager.folder.path.name
    np.testing.assert_allclose(scores(fast), scores(eager), rtol=1e-3)
    assert not np.array_equal(scores(fast), scores(eager))

    again = fuvas(tmp_path / "b", "backbone.engine=eager")
    assert again.existed
    assert f"{mark} made this run; on_existing=rerun recomputes it with the engine asked for" in caplog.text
    redone = fuvas(tmp_path / "b", "backbone.engine=eager", "on_existing=rerun")
    assert redone.record["engines"] == {"eager": 2}
    np.testing.assert_array_equal(scores(redone), scores(eager))


def test_a_fallback_is_among_the_warnings_of_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: object) -> None:
        raise RuntimeError("no rule for aten::odd")

    monkeypatch.setattr(openvino, "_convert", broken)
    monkeypatch.setattr(choice, "installed", lambda: True)
    monkeypatch.setattr(choice, "WORTH_CONVERTING", 1)
    found = fuvas(tmp_path, "backbone.engine=auto")
    assert found.record["engines"] == {"eager": 2}
    (said,) = [warning for warning in found.record["warnings"] if "engine" in warning]
    assert "openvino can't run x3d_xs up to blocks.0" in said
    assert "no rule for aten::odd" in said
    with pytest.raises(ConfigError, match=r"backbone\.engine=openvino can't run .*aten::odd"):
        fuvas(tmp_path, "backbone.engine=openvino", "on_existing=rerun")


def test_filter_banks_have_no_engine(tmp_path: Path) -> None:
    fixed = ["model=fuvas", "tracking=none", "model.visualizer=false", f"results={tmp_path}", *DATA]
    assert "engines" not in run(compose([*fixed, "backbone=gradient3d"])).record
    with pytest.raises(ConfigError, match=r"backbone\.engine='openvino'.*works with backbone\.engine=auto only"):
        run(compose([*fixed, "backbone=gradient3d", "backbone.engine=openvino"]))
