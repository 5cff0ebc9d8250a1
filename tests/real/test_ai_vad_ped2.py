"""AI-VAD on the real Ped2 clips without any pretrained network, through overrides on the command line.

Extraction is done once for the whole module; every test below reads from the same store.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest

from vadbench.config.compose import compose
from vadbench.data.registry import load_dataset
from vadbench.data.video import Dataset
from vadbench.evaluation.metrics.frame import frame_auroc, macro, micro
from vadbench.evaluation.protocols.protocol import apply, load_protocol
from vadbench.experiment.fit_and_score import Scored, score_dataset
from vadbench.models.ai_vad.streams.flow import FlowExtractor
from vadbench.models.registry import build
from vadbench.store.features import FeatureStore

pytestmark = [pytest.mark.real, pytest.mark.timeout(1800), pytest.mark.xdist_group("ai_vad_ped2")]

CLIPS = [
    "dataset.train_videos=['01','02','03','04','05','06','07','08','09','10','11','12']",
    "dataset.test_videos=['01','03','05','07','09','11']",
]
EVERY_PIXEL = ["model.velocity_crop_size=null"]
WITHOUT_WEIGHTS = ["regions=none", "flow=dis", "model.use_pose_features=false", "model.use_deep_features=false"]


class Bench:
    """Runs settings over one store and says what each of them extracted."""

    def __init__(self, root: Path, cache: Path) -> None:
        self.root = root
        self.store = FeatureStore(cache)

    def run(self, *words: str) -> tuple[Scored, Dataset, int]:
        config = compose(
            ["model=ai_vad", "dataset=ucsd_ped2", f"dataset.root={self.root}", *CLIPS, *WITHOUT_WEIGHTS,
             "runtime.device=cpu", "runtime.batch_size=8", *words]
        )  # fmt: skip
        dataset, before = load_dataset(config.dataset), self.store.counts.misses
        scored = score_dataset(build(config), dataset, self.store)
        return scored, dataset, self.store.counts.misses - before

    def aurocs(self, *words: str) -> tuple[float, float]:
        """Micro and macro (skip) frame AUROC at sigma 3."""
        return aurocs(*self.run(*words)[:2])


def aurocs(scored: Scored, dataset: Dataset) -> tuple[float, float]:
    raw = {result.video: result.scores for result in scored.scores}
    labels = {video.id: video.labels for video in dataset.test}
    smooth = apply(load_protocol("gaussian"), raw, labels, "ucsd_ped2").scores
    return micro(frame_auroc, smooth, labels), macro(frame_auroc, smooth, labels, "skip")


@pytest.fixture(scope="module")
def bench(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(shared / "ucsd_ped2", tmp_path_factory.mktemp("ai_vad_ped2"))


@pytest.fixture(scope="module")
def base(bench: Bench) -> tuple[Scored, Dataset, int]:
    """Velocity of every pixel of a box instead of its 224 x 224 crop, which takes a third of the time."""
    return bench.run(*EVERY_PIXEL)


def test_motion_alone_without_any_weights(base: tuple[Scored, Dataset, int]) -> None:
    scored, dataset, extracted = base
    found = aurocs(scored, dataset)
    assert min(found) >= 0.96
    # An independent trial of the same recipe (mean flow of each foreground box, two Gaussians) gave 0.977 and 0.990.
    np.testing.assert_allclose(found, (0.977, 0.990), atol=0.002)
    assert extracted == 2 * 18  # regions and velocity of 18 videos
    result = scored.scores[0]
    assert result.regions is not None and result.maps is not None
    assert result.filled.tolist() == [True] + [False] * 179


@pytest.mark.usefixtures("base")
def test_eight_directions_and_five_gaussians_are_worse_and_why(bench: Bench) -> None:
    eight = ["model.n_velocity_bins=8", "density.n_components_velocity=5", "model.velocity_normalisation=crop_mean"]
    scored, dataset, extracted = bench.run(*EVERY_PIXEL, *eight)
    assert extracted == 0  # from the stored fine histogram
    np.testing.assert_allclose(aurocs(scored, dataset), (0.883, 0.908), atol=0.01)
    # People walk left and right here: the other directions are empty in most training regions, their variance is the
    # floor, and a breath of motion in them outweighs any speed. A floor of (0.1 pixel)² brings the speed back.
    assert min(bench.aurocs(*EVERY_PIXEL, *eight, "density.covariance_floor_velocity=0.01")) > 0.95


@pytest.mark.slow
def test_the_documented_crop_changes_nothing_that_matters(bench: Bench, base: tuple[Scored, Dataset, int]) -> None:
    scored, dataset, extracted = bench.run()
    np.testing.assert_allclose(aurocs(scored, dataset), aurocs(*base[:2]), atol=0.002)
    assert extracted == 18  # velocity again, regions not


def test_settings_of_the_density_extract_nothing(bench: Bench, base: tuple[Scored, Dataset, int]) -> None:
    first, dataset, _ = base
    for words, same_order in (
        (["density.calibration_velocity=p99.9"], True),
        (["model.frame_reduction=max_of_sum"], True),
        (["density.n_components_velocity=5"], False),
        (["model.velocity_magnitude=l1"], False),
        (["model.velocity_height_classes=[0]"], False),
        (["seed=1", "density.n_components_velocity=5"], False),
    ):
        changed, _, extracted = bench.run(*EVERY_PIXEL, *words)
        assert extracted == 0, words
        ranks = [np.concatenate([r.scores for r in s.scores]).argsort(kind="stable") for s in (first, changed)]
        assert np.array_equal(*ranks) == same_order, words
        assert min(aurocs(changed, dataset)) > 0.9, words


@pytest.mark.slow
def test_a_real_detector_finds_the_regions(bench: Bench, shared: Path) -> None:
    yolox = ["regions=onnx", f"regions.weights={shared / 'weights/yolox_nano/yolox_nano.onnx'}"]
    scored, dataset, _ = bench.run(*yolox, *EVERY_PIXEL)
    classes = set().union(*(set(r.regions["class"]) for r in scored.scores if r.regions is not None))
    assert {"person", "foreground"} <= classes
    assert min(aurocs(scored, dataset)) > 0.9
    alone, _, _ = bench.run(*yolox, *EVERY_PIXEL, "regions.enable_foreground_detections=false")
    assert "foreground" not in set().union(*(set(r.regions["class"]) for r in alone.scores if r.regions is not None))


def percentile_scores(dataset: Dataset, preset: str) -> float:
    """Micro frame AUROC at sigma 3 of the 99.5th percentile of DIS speed in each frame."""
    flow = FlowExtractor("dis", size=None, preset=preset)
    scores, labels = {}, {}
    for video in dataset.test:
        pairs = itertools.pairwise(video.frames())
        speeds = [np.percentile(np.hypot(*flow(a[None], b[None])[0].numpy()), 99.5) for a, b in pairs]
        scores[video.id], labels[video.id] = np.array([speeds[0], *speeds]), video.labels
    return micro(frame_auroc, apply(load_protocol("gaussian"), scores, labels, "ucsd_ped2").scores, labels)


def test_a_percentile_of_the_flow_is_hard_to_beat_and_depends_on_the_flow(base: tuple[Scored, Dataset, int]) -> None:
    scored, dataset, _ = base
    # No regions and no fit: with the finer flow the six clips are nearly solved, with the coarser one they are not.
    coarse = 0.942 if int(cv2.__version__.split(".")[0]) >= 5 else 0.956  # OpenCV's DIS has changed in between
    assert percentile_scores(dataset, "fast") == pytest.approx(coarse, abs=0.01)
    assert percentile_scores(dataset, "medium") > 0.99 > aurocs(scored, dataset)[0]


def test_boxes_lie_on_what_moves(base: tuple[Scored, Dataset, int]) -> None:
    scored, dataset, _ = base
    result, video = scored.scores[0], dataset.test[0]
    frames = list(video.frames())
    assert result.regions is not None
    at = result.regions[result.regions["frame"] == 100]
    moving = cv2.absdiff(frames[99], frames[100]).max(axis=2) > 25
    inside = np.zeros_like(moving)
    for _, box in at.iterrows():
        inside[int(box.y1) : int(box.y2), int(box.x1) : int(box.x2)] = True
    assert moving[inside].mean() > 10 * moving[~inside].mean()


@pytest.mark.usefixtures("base")
def test_anomalous_pixels_have_higher_maps_than_the_rest_of_their_frames(bench: Bench) -> None:
    scored, dataset, _ = bench.run(*EVERY_PIXEL, "model.masks=false")
    anomalous, rest = [], []
    for result, video in zip(scored.scores, dataset.test, strict=True):
        assert result.maps is not None and video.masks is not None and video.labels is not None
        for frame in np.flatnonzero(video.labels)[::10]:
            plane, mask = result.maps[frame], video.masks[frame]
            if mask.any():
                anomalous.append(plane[mask].mean())
                rest.append(plane[~mask].mean())
    assert np.mean(anomalous) > 5 * np.mean(rest)
