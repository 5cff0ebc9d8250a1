"""AI-VAD: attributes of regions, one density for each attribute, the most anomalous region makes the frame.

Reiss and Hoshen: "An Attribute-based Method for Video Anomaly Detection", TMLR 2025 (arXiv 2212.00789). Written from
the papers and from anomalib's documentation; where these and the official code differ there is a switch.

Shape legend: T frames, R regions of a video, N training regions, D feature size.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vadbench.backbones.imports import torch_device
from vadbench.data.video import Video
from vadbench.density.base import Remember
from vadbench.density.combined import CombinedDensityEstimator
from vadbench.density.state import State, joined, part
from vadbench.errors import ConfigError, DataError, nearest
from vadbench.models.ai_vad.extractor import RegionAttributeExtractor
from vadbench.models.ai_vad.regions.coco import PERSON, category
from vadbench.models.ai_vad.regions.detectors import build_detector
from vadbench.models.ai_vad.regions.region_extractor import RegionExtractor
from vadbench.models.ai_vad.regions.region_set import unpack_boxes
from vadbench.models.ai_vad.streams.attributes import FeatureExtractor, FeatureType
from vadbench.models.ai_vad.streams.deep import DeepExtractor
from vadbench.models.ai_vad.streams.flow import FlowExtractor, default_size
from vadbench.models.ai_vad.streams.pose import PoseExtractor
from vadbench.models.ai_vad.to_frames import MINIMUM, REDUCTIONS, RegionMaps, reduce_frames
from vadbench.models.base import Features, VideoScores
from vadbench.models.one_class import OneClassMethod

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

WITHOUT_POSE = ("minimum", "raw_zero")


class AiVad(OneClassMethod):
    """AI-VAD with the documented names and defaults.

    Parameters
    ----------
    box_score_thresh: confidence from which a detection counts.
    persons_only, min_bbox_area, max_bbox_overlap, enable_foreground_detections: see :class:`RegionExtractor`.
    foreground_kernel_size, foreground_binary_threshold: see :class:`RegionExtractor`.
    n_velocity_bins: direction bins of the velocity feature.
    use_velocity_features, use_pose_features, use_deep_features: which streams are on; one that is off builds and
        downloads nothing.
    n_components_velocity: Gaussians of the velocity density. n_neighbors_pose, n_neighbors_deep: neighbours whose mean
        distance is the pose and the deep score.
    detector: a name of :mod:`vadbench.models.ai_vad.regions.detectors`, such as "none" for moving foreground only.
    flow: a method of :class:`FlowExtractor`, such as "dis", which needs no weights.
    region_extractor, flow_extractor, feature_extractor, density: ready parts, in place of the parameters above.
    frame_reduction: "sum_of_max" or "max_of_sum", see :func:`vadbench.models.ai_vad.to_frames.reduce_frames`.
    velocity_height_classes: labels (COCO numbers, 0 for foreground) whose velocity is divided by the height of their
        box; the official code does so on ShanghaiTech for persons and foreground.
    pose_persons_only: True gives a pose to persons only, as the official code has it; other regions count there as the
        calibrated minimum.
    without_pose: what the pose adds to a frame with no region that has one: "minimum", the calibrated minimum 0, or
        "raw_zero", what calibration makes of a distance of 0 (official code), which is below it.
    masks: whether maps colour the masks of regions or their boxes.
    frame_step, crop_frame, first_frames: see :class:`RegionAttributeExtractor`.
    post_processor, evaluator, visualizer: read by the evaluation: True for its own, False for none, or your own object,
        called as :func:`vadbench.experiment.run.run` says, which takes them too.
    seed, device, batch_size: of random weights, mixtures and draws; where, and how many frame pairs at once.
    """

    method_version = 1  # raised when scores change at the same features and densities

    def __init__(
        self,
        box_score_thresh: float = 0.7,
        persons_only: bool = False,
        min_bbox_area: int = 100,
        max_bbox_overlap: float = 0.65,
        enable_foreground_detections: bool = True,
        foreground_kernel_size: int = 3,
        foreground_binary_threshold: int = 18,
        n_velocity_bins: int = 1,
        use_velocity_features: bool = True,
        use_pose_features: bool = True,
        use_deep_features: bool = True,
        n_components_velocity: int = 2,
        n_neighbors_pose: int = 1,
        n_neighbors_deep: int = 1,
        *,
        detector: str = "maskrcnn_resnet50_fpn_v2",
        flow: str = "raft_large",
        region_extractor: RegionExtractor | None = None,
        flow_extractor: FlowExtractor | None = None,
        feature_extractor: FeatureExtractor | None = None,
        density: CombinedDensityEstimator | None = None,
        frame_reduction: str = "sum_of_max",
        velocity_height_classes: Sequence[int] = (),
        pose_persons_only: bool = False,
        without_pose: str = "minimum",
        masks: bool = True,
        frame_step: int = 1,
        crop_frame: str = "last",
        first_frames: str = "fill",
        post_processor: Any = True,
        evaluator: Any = True,
        visualizer: Any = True,
        seed: int = 0,
        device: str = "cpu",
        batch_size: int = 1,
    ) -> None:
        device = device if device == "cpu" else str(torch_device(device))
        if frame_reduction not in REDUCTIONS:
            raise ConfigError(f"Unknown frame reduction {frame_reduction!r}. Available: {', '.join(REDUCTIONS)}.")
        if without_pose not in WITHOUT_POSE:
            raise ConfigError(f"Unknown without_pose {without_pose!r}. {nearest(without_pose, WITHOUT_POSE)}")
        regions = region_extractor or RegionExtractor(
            box_score_thresh,
            persons_only,
            min_bbox_area,
            max_bbox_overlap,
            enable_foreground_detections,
            foreground_kernel_size,
            foreground_binary_threshold,
            detector=build_detector(detector, score_thresh=box_score_thresh, seed=seed, device=device),
        )
        self.features = feature_extractor or FeatureExtractor(
            n_velocity_bins,
            use_velocity_features,
            use_pose_features,
            use_deep_features,
            pose=PoseExtractor(seed=seed, device=device),
            deep=DeepExtractor(seed=seed, device=device),
        )
        flows = flow_extractor or FlowExtractor(flow, size=default_size(flow), seed=seed, device=device)
        self.extractor = RegionAttributeExtractor(
            regions, flows, self.features, frame_step, crop_frame, first_frames, batch_size
        )
        streams = self.features.streams
        self.density = density or CombinedDensityEstimator(
            FeatureType.POSE in streams,
            FeatureType.DEEP in streams,
            FeatureType.VELOCITY in streams,
            n_neighbors_pose,
            n_neighbors_deep,
            n_components_velocity,
            seed=seed,
            device=device,
        )
        self.frame_reduction = frame_reduction
        self.velocity_height_classes = tuple(velocity_height_classes)
        self.pose_persons_only = pose_persons_only
        self.without_pose = without_pose
        self.masks = masks
        self.post_processor = post_processor
        self.evaluator = evaluator
        self.visualizer = visualizer
        self._fitted: dict[str, Any] = {}
        self._groups: dict[str, int] = {}
        self._scored: dict[str, tuple[int, int, int]] = {}

    @property
    def uses_seed(self) -> bool:
        """Whether another seed can change the scores: it starts mixtures and k-means, and draws random weights."""
        return self.density.uses_seed or any(part["name"] == "random" for part in self.extractor.weights())

    @property
    def result_version(self) -> int:
        """Raised when scores change at the same configuration and features, with those of the densities."""
        return self.method_version + self.density.result_version - 1

    @property
    def result_note(self) -> str:
        """What changed when the version was last raised."""
        return self.density.result_note

    @property
    def frames_ahead(self) -> int:
        """How many later frames a score can depend on: the first frames may take the score of the first pair."""
        return self.extractor.frame_step if self.extractor.first_frames == "fill" else 0

    def fit(self, features: Mapping[str, Mapping[str, Features]], remember: Remember | None = None) -> None:
        """Fit one density for each stream that is on.

        ``features``: video id to the outputs of the extractor. Each video is a group of its own, numbered as it was
        loaded, which is the order of ``features``: the last one with regions is the one of "last_group". Samples come
        in the order of the ids. ``remember`` keeps distances to nearest neighbours, which every number of neighbours
        shares.

        Raises
        ------
        DataError: there are no regions to learn from, or pose or deep features of one video only.
        """
        videos = sorted(features)
        counts = [len(features[video]["regions"]["frame"]) for video in videos]
        if not sum(counts):
            raise DataError(
                f"No regions were found in the {len(videos)} training videos. Lower regions.box_score_thresh, "
                "regions.min_bbox_area or regions.foreground_binary_threshold, or switch the foreground on."
            )
        streams = [self._streams(features[video]) for video in videos]
        self._groups = {video: group for group, video in enumerate(features)}
        groups = np.repeat([self._groups[video] for video in videos], counts)
        joined = {}
        for name in self.density.estimators:
            joined[name] = np.concatenate([vectors.pop(name) for vectors in streams])
        self.density.fit(joined, groups, remember)
        self._scored = {}
        self._fitted = {
            "training_videos": len(videos),
            "training_videos_without_regions": int(sum(count == 0 for count in counts)),
            "training_regions": int(sum(counts)),
        }
        if self._training_step() > 1:
            self._fitted["training_frame_step"] = self._training_step()

    def fit_spec(self) -> dict[str, Any]:
        """Densities name what they cache by the digest of the vectors themselves."""
        return {"fit": "ai_vad/1"}

    def score(self, video: Video, features: Mapping[str, Features], remember: Remember | None = None) -> VideoScores:
        """Score of every frame, with maps and one row for each region. What is worth caching, densities cache by the
        digest of the vectors."""
        result = self._score(video, features, None)
        regions = features["regions"]["frame"]
        paired = self._source(video.n_frames) == np.arange(video.n_frames)
        self._scored[video.id] = (video.n_frames, len(regions), int((result.filled & paired).sum()))
        return result

    def score_training(
        self, video: Video, features: Mapping[str, Features], remember: Remember | None = None
    ) -> VideoScores:
        """Score of the frames of a training video as if the nearest-neighbour banks had never seen it: of all, or of
        frames evenly apart where calibration was bounded to a share of the regions (``calibration_samples="auto"``)."""
        without, step = self._groups[video.id], self._training_step()
        if step == 1:
            return self._score(video, features, without)
        frame = np.asarray(features["regions"]["frame"]).astype(np.int64)
        shown = self._source(video.n_frames)[::step]
        rows = np.isin(frame, shown)
        scores = self.density.score({name: all_[rows] for name, all_ in self._streams(features).items()}, without)
        frames = reduce_frames(
            frame[rows], scores, self.density.in_sum, video.n_frames, self.frame_reduction, self._missing()
        )
        return VideoScores(video.id, frames[shown], ~np.isin(shown, frame))

    def _training_step(self) -> int:
        return math.ceil(1 / self.density.share_calibrated)

    def _score(self, video: Video, features: Mapping[str, Features], without: int | None) -> VideoScores:
        regions = features["regions"]
        frame = np.asarray(regions["frame"]).astype(np.int64)
        scores = self.density.score(self._streams(features), without)
        total = self.density.total(scores)
        frames = reduce_frames(
            frame, scores, self.density.in_sum, video.n_frames, self.frame_reduction, self._missing()
        )
        source = self._source(video.n_frames)
        empty = np.bincount(frame, minlength=video.n_frames)[source] == 0
        paired = source == np.arange(video.n_frames)
        return VideoScores(
            video.id,
            frames[source],
            empty | ~paired,
            self.region_maps(video, regions, total),
            region_table(regions, scores, total),
        )

    def region_maps(self, video: Video, regions: Features, total: np.ndarray) -> RegionMaps:
        """Score maps of the frames of ``video`` from its regions and their scores ``float64 (R,)``; needs no fit."""
        return RegionMaps(regions, total, video.size, self._source(video.n_frames), self.masks)

    def summary(self) -> dict[str, Any]:
        """Return what the fit found, and what was seen of the videos scored since."""
        frames, regions, empty = np.sum([*self._scored.values(), (0, 0, 0)], axis=0).tolist()
        return {
            "learning_type": self.learning_type.value,
            "streams": [stream.value for stream in self.features.streams],
            "in_sum": list(self.density.in_sum),
            "frame_reduction": self.frame_reduction,
            **self._fitted,
            "density": self.density.summary(),
            "scored_frames": frames,
            "scored_regions": regions,
            "frames_without_regions": empty,
            "score_without_regions": sum(self._missing().get(stream, MINIMUM) for stream in self.density.in_sum),
        }

    def state(self) -> State:
        """Return the fit of every stream, and what was seen of the training videos."""
        return joined({"density": self.density.state(), "fitted": State({}, self._fitted)})

    def load_state(self, state: State) -> None:
        """Take over the fit of a detector with the same settings."""
        self.density.load_state(part(state, "density"))
        self._fitted, self._groups, self._scored = dict(part(state, "fitted").values), {}, {}

    def fit_videos(self, videos: Sequence[Video]) -> None:
        """Extract and fit in one go, features held in memory; what a script without a runner needs."""
        self.extractor.prepare(videos)
        self.fit({video.id: self._extract(video) for video in videos})

    def score_video(self, video: Video) -> VideoScores:
        """Extract and score one video."""
        return self.score(video, self._extract(video))

    def _extract(self, video: Video) -> dict[str, Features]:
        return self.extractor.extract(video, list(self.extractor.outputs()), {})

    def _missing(self) -> dict[str, float]:
        """Stream to the score of a frame with no region that has the feature, where that is not the minimum."""
        pose = self.density.estimators.get("pose")
        if self.without_pose == "minimum" or pose is None or pose.calibration is None:
            return {}
        return {"pose": float(pose.calibration(np.zeros(())))}

    def _source(self, n_frames: int) -> np.ndarray:
        """For each frame the one whose regions speak for it: its own, or the first that has a partner before it."""
        first = self.extractor.frame_step if self.extractor.first_frames == "fill" else 0
        return np.maximum(np.arange(n_frames), min(first, n_frames - 1))

    def _streams(self, features: Mapping[str, Features]) -> dict[str, np.ndarray]:
        """Return the vectors that the densities see: stream to ``(R, D)``."""
        vectors: dict[str, np.ndarray] = {}
        labels = np.asarray(features["regions"]["labels"])
        if self.features.velocity is not None:
            velocity = self.features.velocity.features(features["velocity"])
            if self.velocity_height_classes:
                corners = unpack_boxes(features["regions"])
                height = np.maximum(corners[:, 3] - corners[:, 1], 1.0)
                velocity /= np.where(np.isin(labels, self.velocity_height_classes), height, 1.0)[:, None]
            vectors["velocity"] = velocity
        if self.features.pose is not None:
            pose = np.asarray(features["pose"]["pose"], dtype=np.float32)
            vectors["pose"] = np.where((labels == PERSON)[:, None], pose, np.nan) if self.pose_persons_only else pose
        if self.features.deep is not None:
            vectors["deep"] = np.asarray(features["deep"]["deep"], dtype=np.float32)
        return vectors


def region_table(regions: Features, scores: Mapping[str, np.ndarray], total: np.ndarray) -> pd.DataFrame:
    """One row for each region: frame, x1, y1, x2, y2, class, detector_score, velocity, pose, deep, total, score.

    A stream that is off, or that a region has no feature of, is NaN. ``score`` is ``total`` under the name that region
    metrics read.
    """
    import pandas as pd

    boxes = unpack_boxes(regions)
    table = pd.DataFrame({"frame": np.asarray(regions["frame"], dtype=np.int64)})
    for i, column in enumerate(("x1", "y1", "x2", "y2")):
        table[column] = boxes[:, i].astype(np.float64)
    table["class"] = pd.Series([category(label) for label in regions["labels"]], dtype="str")
    table["detector_score"] = np.asarray(regions["scores"], dtype=np.float64)
    for stream in FeatureType:
        table[stream.value] = scores.get(stream.value, np.full(len(table), np.nan))
    table["total"] = total
    table["score"] = total
    return table
