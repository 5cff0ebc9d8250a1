"""Baselines: the method of a name and the line under every run are one; flow is computed once a video, whoever asks."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from tests.baselines import BASELINES
from tests.stand_ins import RandomFilters, video
from vadbench.data.readers.source import ArraySource
from vadbench.data.video import Dataset, Video
from vadbench.experiment.evaluate_run import assess
from vadbench.experiment.fit_and_score import score_dataset
from vadbench.models.clips.extractor import ClipExtractor, ClipPlan, PreProcessor
from vadbench.models.clips.fuvas import Fuvas
from vadbench.store.features import FeatureStore, MemoryStore

N_TRAIN, N_TEST, N_FRAMES = 2, 2, 12
PAIRS = N_FRAMES - 1  # of neighbouring frames in a video


def dataset() -> Dataset:
    half = np.arange(N_FRAMES) >= N_FRAMES // 2
    train = tuple(video(f"train{i}", N_FRAMES, (40, 48)) for i in range(N_TRAIN))
    return Dataset("noise", train, tuple(video(f"test{i}", N_FRAMES, (40, 48), labels=half) for i in range(N_TEST)))


def assessed(detector: Any, store: Any, seed: int = 0) -> Any:
    data = dataset()
    scored = score_dataset(detector, data, store)
    return assess(detector, data, scored, store, "gaussian", seed, resamples=20, protocols=())


def on_flow(**clip: int) -> Fuvas:
    return Fuvas("flow_grid", None, clip=ClipPlan(**({"length": 4, "step": 1, "stride": 5} | clip)))


def without_flow() -> Fuvas:
    return Fuvas(RandomFilters(), clip=ClipPlan(4, 1, 2))


@pytest.fixture
def flows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One item for every frame pair whose DIS flow is computed: the preset."""
    found: list[int] = []
    create = cv2.DISOpticalFlow.create

    def counted(preset: int) -> Any:
        dis = create(preset)
        return SimpleNamespace(calc=lambda *pair: found.append(preset) or dis.calc(*pair))

    monkeypatch.setattr(cv2, "DISOpticalFlow", SimpleNamespace(create=counted))
    return found


@pytest.mark.parametrize("name", BASELINES)
def test_the_method_and_the_line_under_every_run_are_the_same_number(name: str) -> None:
    found = assessed(BASELINES[name](seed=3), MemoryStore(), seed=3)
    assert set(found.baselines) == set(BASELINES)
    assert found.metrics["frame_auroc_micro"]["value"] == found.baselines[name]["value"]


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_is_a_method_of_its_own(name: str) -> None:
    from vadbench.config.compose import compose
    from vadbench.models.registry import build

    assert build(compose([f"model={name}", "dataset=synthetic"])).name == name  # type: ignore[attr-defined]


def test_flow_percentile_is_that_of_the_speeds_of_a_frame() -> None:
    frames = dataset().test[0].source
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames.frames()]
    expected = []
    for before, after in itertools.pairwise(grey):
        flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(before, after, None)
        speeds = sorted((u * u + v * v) ** 0.5 for u, v in flow.reshape(-1, 2).astype(float))
        low, share = divmod(0.995 * (len(speeds) - 1), 1)
        expected.append(speeds[int(low)] * (1 - share) + speeds[int(low) + 1] * share)
    found = score_dataset(BASELINES["flow_percentile"](), Dataset("d", (), (Video("v", frames),))).scores[0]
    np.testing.assert_allclose(found.scores, [expected[0], *expected], rtol=1e-5)
    assert found.filled.tolist() == [True] + [False] * PAIRS


def test_one_frame_has_no_motion() -> None:
    single = Video("v", ArraySource(np.zeros((1, 8, 9, 3), np.uint8)))
    assert score_dataset(BASELINES["flow_percentile"](), Dataset("d", (), (single,))).scores[0].scores.tolist() == [0]


def test_flow_features_and_the_baseline_share_one_pass(flows: list[int], tmp_path: Any) -> None:
    store = FeatureStore(tmp_path)
    assessed(on_flow(), store)
    assert len(flows) == (N_TRAIN + N_TEST) * PAIRS
    assert len(set(flows)) == 1
    assessed(without_flow(), store)
    assessed(BASELINES["flow_percentile"](), store)
    assessed(on_flow(stride=1), store)
    assert len(flows) == (N_TRAIN + N_TEST) * PAIRS


@pytest.mark.parametrize("on_disk", [True, False])
def test_it_costs_once_a_video_in_whatever_order(on_disk: bool, flows: list[int], tmp_path: Any) -> None:
    store = FeatureStore(tmp_path) if on_disk else MemoryStore()
    for _ in range(2):
        assessed(without_flow(), store)
        assert len(flows) == N_TEST * PAIRS
    assessed(on_flow(), store)
    assert len(flows) == (N_TRAIN + N_TEST) * PAIRS


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("clip", [{}, {"length": 1, "stride": 1}, {"step": 2}, {"length": 15}])
def test_features_are_the_same_as_those_made_in_one_pass_over_the_frames(clip: dict[str, int], dtype: str) -> None:
    detector = on_flow(**clip)
    detector.extractor.short_videos = "pad"
    test = dataset().test[0]
    direct = detector.extractor.extract(test, ["grid"], {})["grid"]
    stored = MemoryStore(dtype).get(detector.extractor, test)["grid"]
    assert stored["features"].tobytes() == direct["features"].astype(dtype).tobytes()
    np.testing.assert_array_equal(stored["starts"], direct["starts"])


def test_flow_of_other_frames_is_not_shared() -> None:
    def source(size: Any = None, **clip: int) -> Any:
        bank = on_flow().extractor.backbone
        return ClipExtractor(
            bank, ClipPlan(**({"length": 4, "step": 1, "stride": 5} | clip)), PreProcessor(size, None, None)
        ).source

    assert source() is not None
    assert source(size=(20, 24)) is None and source(step=2) is None
    assert without_flow().extractor.source is None


def test_a_plan_expects_the_flow_that_a_pass_waits_for(tmp_path: Any) -> None:
    """The store notes the seconds of flow and clips apart, so that sums count nothing twice; a plan adds them."""
    from vadbench.cli.plan import make_plan
    from vadbench.config.compose import compose
    from vadbench.data.registry import load_dataset
    from vadbench.store.entry import entries

    words = ["model=fuvas", "backbone=flow_grid", "dataset=synthetic", "dataset.n_train=1", "dataset.n_test=1"]
    words += ["dataset.n_frames=30", "dataset.size=[64,64]", f"results={tmp_path}"]
    data = load_dataset(compose(words).dataset)
    store = FeatureStore(tmp_path / "cache")
    store.get(on_flow().extractor, data.train[0])
    seconds = sum(note["seconds"] for note in (entry.note() for entry in entries(store.root)) if note)
    assert store.counts.extract_s == pytest.approx(seconds, abs=2e-4)
    clips, energy = make_plan(words).passes
    assert (clips.one.outputs, energy.one.outputs) == (("grid",), ("energy",))
    assert clips.missing_frames == 30 and clips.seconds == pytest.approx(seconds)


@pytest.mark.parametrize("name", BASELINES)
def test_scores_that_changed_are_runs_of_their_own(name: str, tmp_path: Any) -> None:
    """What runs of random and position recorded before were other numbers than those printed under them."""
    from vadbench.config.compose import compose
    from vadbench.experiment.run import run_folder

    config, detector = compose([f"model={name}", "dataset=synthetic", f"results={tmp_path}"]), BASELINES[name]()
    now = run_folder(config, dataset(), detector).path
    detector.result_version = 1
    assert (run_folder(config, dataset(), detector).path != now) == (name in ("random", "position"))
