"""Frames are decoded once for a detector and the baselines under it; the features are those of passes of their own."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.store.stand_in import Rows, video
from vadbench.data.video import Video
from vadbench.models.baselines import from_frames
from vadbench.store import FeatureStore, MemoryStore
from vadbench.store.one_pass import get_all


class Twice(Rows):
    """Reads the frames two times."""

    def extract(self, video, wanted, have):
        list(video.frames())
        return super().extract(video, wanted, have)


class FirstOnly(Rows):
    """Stops after the first frame."""

    def extract(self, video, wanted, have):
        frame = next(iter(video.frames()))
        return {name: {"features": np.full((6, 1), frame.mean(dtype=np.float32))} for name in wanted}


def _large() -> Video:
    """Large enough for optical flow."""
    from tests.unit.store.stand_in import ArraySource

    frames = np.random.default_rng(5).integers(0, 256, (6, 48, 64, 3), dtype=np.uint8)
    return Video("01", ArraySource(frames))


@pytest.mark.parametrize("kind", [Rows, Twice, FirstOnly])
@pytest.mark.parametrize("on_disk", [True, False])
def test_features_are_those_of_passes_of_their_own(tmp_path, kind, on_disk):
    others = [baseline.extractor for baseline in from_frames()]
    store = FeatureStore(tmp_path) if on_disk else MemoryStore()
    clip = _large()
    main = get_all(store, kind(), others, clip)
    np.testing.assert_array_equal(main["a"]["features"], MemoryStore().get(kind(), _large())["a"]["features"])
    read = clip.decoded.frames
    for other in others:
        for output, arrays in store.get(other, clip).items():
            alone = MemoryStore().get(other, _large())[output]
            assert sorted(arrays) == sorted(alone)
            for name in arrays:
                np.testing.assert_array_equal(arrays[name], alone[name])
                assert arrays[name].dtype == alone[name].dtype
    assert clip.decoded.frames == read  # they are all there


def test_one_pass_serves_all_and_a_second_call_none(tmp_path):
    others = [baseline.extractor for baseline in from_frames()]
    clip = _large()
    get_all(FeatureStore(tmp_path), Rows(), others, clip)
    assert clip.decoded.frames == clip.n_frames
    get_all(FeatureStore(tmp_path), Rows(), others, clip)
    assert clip.decoded.frames == clip.n_frames
    get_all(FeatureStore(tmp_path), Rows({"b": 2.0}), others, clip)
    assert clip.decoded.frames == 2 * clip.n_frames


def test_a_watcher_of_one_frame_and_of_none():
    for length in (1, 2):
        for baseline in from_frames():
            clip = Video("01", _large().source.__class__(np.full((length, 48, 64, 3), 9, np.uint8)))
            made = get_all(MemoryStore(), Rows(), [baseline.extractor], clip)
            assert len(made["a"]["features"]) == length
            assert baseline.score(clip, MemoryStore().get(baseline.extractor, clip)).scores.shape == (length,)


def test_the_small_video_of_other_tests_is_decoded_once(tmp_path):
    clip = video()
    get_all(FeatureStore(tmp_path), Rows(), [from_frames()[0].extractor], clip)
    assert clip.decoded.frames == clip.n_frames
