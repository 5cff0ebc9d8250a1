"""What storing features in float16 does to the numbers on real clips."""

from __future__ import annotations

import numpy as np
import pytest

from vadbench.config.compose import compose
from vadbench.evaluation.metrics.frame import frame_auroc
from vadbench.experiment.fit_and_score import score_dataset
from vadbench.experiment.run import prepare
from vadbench.store import MemoryStore

pytestmark = pytest.mark.real


class Remembered:
    """An extractor that makes the features of a video once, however many stores ask."""

    def __init__(self, extractor) -> None:
        self._extractor = extractor
        self._made: dict[str, dict] = {}
        self.prepare, self.outputs = extractor.prepare, extractor.outputs

    def extract(self, video, wanted, have):
        digest = video.source.digest()
        if digest not in self._made:
            self._made[digest] = self._extractor.extract(video, wanted, have)
        return dict(self._made[digest])


def test_float16_features_move_auroc_on_ped2_by_less_than_half_a_thousandth(shared):
    """FUVAS on flow features, four training and six test clips; scores keep their order to a rank correlation."""
    root = shared / "ucsd_ped2"
    words = ["model=fuvas", "dataset=ucsd_ped2", f"dataset.root={root}", "backbone=flow_grid", "model.pca_level=0.9"]
    dataset, detector = prepare(compose([*words, "dataset.train_videos=[01,02,03,04]"]))
    detector.extractor = Remembered(detector.extractor)
    aurocs, scores = {}, {}
    for dtype in ("float32", "float16"):
        scored = score_dataset(detector, dataset, MemoryStore(dtype))
        scores[dtype] = np.concatenate([result.scores for result in scored.scores])
        aurocs[dtype] = frame_auroc(scores[dtype], np.concatenate([video.labels for video in dataset.test]))
    ranks = [np.argsort(np.argsort(one)) for one in scores.values()]
    assert not np.array_equal(scores["float32"], scores["float16"])
    assert np.corrcoef(ranks)[0, 1] > 0.999
    assert aurocs["float32"] > 0.9
    assert abs(aurocs["float32"] - aurocs["float16"]) < 0.0005, aurocs
