"""What every detector promises beside its scores: how far ahead it looks, and a fit that is saved and loaded."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from tests.baselines import BASELINES
from tests.stand_ins import video
from tests.unit.models.ai_vad.moving import street
from vadbench.data.readers.source import ArraySource
from vadbench.data.video import Video
from vadbench.density.gmm import GMMEstimator
from vadbench.density.knn import GroupedKNNEstimator
from vadbench.density.state import State
from vadbench.models.ai_vad.model import AiVad

TRAIN = [street(f"t{i}", 10, (1.5 + i / 10, -2.0)) for i in range(3)]
NEW = street("new", 9, (1.8, -6.0))


def velocity_only(**options: Any) -> AiVad:
    from vadbench.density.combined import CombinedDensityEstimator

    if "estimator" in options:
        options["density"] = CombinedDensityEstimator(estimators={"velocity": options.pop("estimator")})
    return AiVad(
        detector="none", flow="dis", min_bbox_area=20, use_pose_features=False, use_deep_features=False, **options
    )


def scores(model: Any, one: Video) -> np.ndarray:
    found: np.ndarray = model.score(one, model.extractor.extract(one, list(model.extractor.outputs()), {})).scores
    return found


@pytest.mark.parametrize("estimator", [lambda: GMMEstimator(2), GroupedKNNEstimator])
def test_ai_vad_is_loaded_to_the_bit(estimator: Any) -> None:
    fitted, fresh = velocity_only(estimator=estimator()), velocity_only(estimator=estimator())
    fitted.fit_videos(TRAIN)
    arrays, values = fitted.state()
    fresh.load_state(State(arrays, json.loads(json.dumps(values))))
    np.testing.assert_array_equal(scores(fresh, NEW), scores(fitted, NEW))
    assert fresh.summary() == fitted.summary()


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_have_nothing_to_load(name: str) -> None:
    fitted, fresh = BASELINES[name](), BASELINES[name]()
    one = video("one", 8, (40, 48))
    fresh.load_state(fitted.state())
    np.testing.assert_array_equal(scores(fresh, one), scores(fitted, one))


@pytest.mark.parametrize(
    ("make", "ahead"),
    [
        (velocity_only, 1),
        (lambda: velocity_only(frame_step=3), 3),
        (lambda: velocity_only(first_frames="self"), 0),
        (lambda: BASELINES["random"](), 0),
        (lambda: BASELINES["position"](), 0),
        (lambda: BASELINES["frame_difference"](), 1),
        (lambda: BASELINES["flow_percentile"](), 1),
    ],
)
def test_no_frame_beyond_frames_ahead_changes_a_score(make: Any, ahead: int) -> None:
    model = make()
    if isinstance(model, AiVad):
        model.fit_videos(TRAIN)
    frames = np.stack(list(NEW.frames()))
    before, reached = scores(model, NEW), 0
    for first in range(1, len(frames)):
        changed = frames.copy()
        changed[first:] = np.random.default_rng(0).integers(0, 256, changed[first:].shape)
        differs = np.flatnonzero(scores(model, Video("new", ArraySource(changed))) != before)
        reached = max(reached, first - differs.min(initial=first))
    assert reached == model.frames_ahead == ahead
