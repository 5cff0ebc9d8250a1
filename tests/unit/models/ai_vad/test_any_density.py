"""Each stream of AI-VAD takes any density by its name."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.models.ai_vad.moving import street
from vadbench.config.compose import compose
from vadbench.density.base import BaseDensityEstimator
from vadbench.density.gmm import GMMEstimator
from vadbench.density.knn import GroupedKNNEstimator
from vadbench.density.pca import Pca
from vadbench.errors import ConfigError
from vadbench.models.registry import build

WORDS = [
    *("model=ai_vad", "dataset=synthetic", "regions=none", "flow=dis", "regions.min_bbox_area=20"),
    *("model.use_pose_features=false", "model.use_deep_features=false", "model.n_velocity_bins=4"),
]
TRAIN = [street(f"t{i}", 10, (1.5 + i / 10, -2.0)) for i in range(3)]
NEW = street("new", 9, (1.8, -6.0))


def scores(*words: str) -> np.ndarray:
    model = build(compose([*WORDS, *words]))
    model.fit_videos(TRAIN)
    found: np.ndarray = model.score_video(NEW).scores
    return found


@pytest.mark.parametrize(
    ("given", "estimator"),
    [
        ("knn", GroupedKNNEstimator),
        ("{name: knn, n_neighbors: 3}", lambda: GroupedKNNEstimator(3)),
        ("{name: gmm, n_components: 1, calibration: p99.9}", lambda: GMMEstimator(1, calibration="p99.9")),
        ("{name: pca, level: 2}", lambda: Pca(2)),
    ],
)
def test_a_stream_is_scored_by_the_density_that_it_names(given: str, estimator) -> None:
    model = build(compose([*WORDS, f"density.velocity={given}"]))
    features = {v.id: model.extractor.extract(v, list(model.extractor.outputs()), {}) for v in (*TRAIN, NEW)}
    model.fit({v.id: features[v.id] for v in TRAIN})
    vectors = {name: model._streams(f)["velocity"] for name, f in features.items()}
    alone: BaseDensityEstimator = estimator()
    groups = np.repeat(np.arange(3), [len(vectors[v.id]) for v in TRAIN])
    rows = np.concatenate([vectors[v.id] for v in TRAIN])
    alone.learn([rows], groups)
    alone.calibrate(rows, groups)
    found = model.score(NEW, features["new"]).regions["velocity"]
    np.testing.assert_array_equal(found, alone.score(vectors["new"]))


def test_the_documented_density_by_its_name_is_the_same_to_the_bit() -> None:
    np.testing.assert_array_equal(scores("density.velocity={name: gmm, n_components: 2}"), scores())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("{name: knnn}", r"density\.velocity.*knnn.*knn"),
        ("{name: knn, n_neighbor: 3}", r"density\.velocity.*n_neighbor"),
        ("{name: attributes}", "a stream takes one density"),
        ("knnn", r"density\.velocity.*knnn.*knn"),
        ("3", r"density\.velocity"),
    ],
)
def test_what_is_no_density_is_refused(given: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(compose([*WORDS, f"density.velocity={given}"]))
