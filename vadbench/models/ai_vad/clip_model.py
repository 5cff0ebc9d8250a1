"""AI-VAD on clips as tensors, with the documented interface: for loops of one's own, without datasets and runs.

Shape legend: N clips, L frames of a clip, C = 3 channels, H W pixels, M regions of a frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vadbench.density.combined import CombinedDensityEstimator
from vadbench.errors import DataError
from vadbench.models.ai_vad.model import AiVad
from vadbench.models.ai_vad.regions.region_extractor import RegionExtractor
from vadbench.models.ai_vad.streams.attributes import FeatureExtractor, FeatureType
from vadbench.models.ai_vad.streams.flow import FlowExtractor
from vadbench.models.ai_vad.to_frames import MINIMUM

if TYPE_CHECKING:
    import torch


class InferenceBatch(NamedTuple):
    """What a model says of N clips.

    Attributes
    ----------
    pred_score: ``float32 (N,)``, of the last frame of each clip. anomaly_map: ``float32 (N, H, W)``.
    """

    pred_score: torch.Tensor
    anomaly_map: torch.Tensor


class AiVadModel:
    """Flow, regions, their features and their densities, for clips ``(N, L, C, H, W)``.

    While ``training`` (at first, and after :meth:`train`), a call returns the features of the regions, for
    ``density_estimator.update(features, video)``. After ``density_estimator.fit()`` and :meth:`eval` it returns
    scores. Only the first and the last frame of a clip are used. Parameters and defaults are the documented ones, of
    which three differ from those of :class:`AiVad`; the keywords are that class's.
    """

    def __init__(
        self,
        box_score_thresh: float = 0.8,
        persons_only: bool = False,
        min_bbox_area: int = 100,
        max_bbox_overlap: float = 0.65,
        enable_foreground_detections: bool = True,
        foreground_kernel_size: int = 3,
        foreground_binary_threshold: int = 18,
        n_velocity_bins: int = 8,
        use_velocity_features: bool = True,
        use_pose_features: bool = True,
        use_deep_features: bool = True,
        n_components_velocity: int = 5,
        n_neighbors_pose: int = 1,
        n_neighbors_deep: int = 1,
        *,
        detector: str = "maskrcnn_resnet50_fpn_v2",
        flow: str = "raft_large",
        region_extractor: RegionExtractor | None = None,
        flow_extractor: FlowExtractor | None = None,
        feature_extractor: FeatureExtractor | None = None,
        density_estimator: CombinedDensityEstimator | None = None,
        crop_frame: str = "last",
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        given = {name: value for name, value in locals().items() if name not in ("self", "density_estimator")}
        method = AiVad(**given, density=density_estimator)
        self.region_extractor = method.extractor.regions
        self.flow_extractor = method.extractor.flow
        self.feature_extractor = method.features
        self.density_estimator = method.density
        self.crop_frame = crop_frame
        self.training = True

    def train(self, mode: bool = True) -> AiVadModel:
        """From now on calls return features."""
        self.training = mode
        return self

    def eval(self) -> AiVadModel:
        """From now on calls return scores."""
        return self.train(False)

    def __call__(self, batch: torch.Tensor) -> InferenceBatch | list[dict[FeatureType, torch.Tensor]]:
        """As :meth:`forward`."""
        return self.forward(batch)

    def forward(self, batch: torch.Tensor) -> InferenceBatch | list[dict[FeatureType, torch.Tensor]]:
        """Features of the regions of each clip (see :meth:`FeatureExtractor.forward`), or scores and maps.

        ``batch (N, L, C, H, W)``: RGB in [0, 1] or bytes.
        """
        if batch.ndim != 5:
            raise DataError(f"a batch of shape {tuple(batch.shape)}: clips (N, L, 3, H, W) are expected")
        first, last = batch[:, 0], batch[:, -1]
        regions = self.region_extractor(first, last)
        flow = self.flow_extractor(first, last) if FeatureType.VELOCITY in self.feature_extractor.streams else None
        crops = last if self.crop_frame == "last" else first
        features = self.feature_extractor.forward(crops, flow, regions)
        return features if self.training else self._scores(features, regions)

    def _scores(
        self, features: list[dict[FeatureType, torch.Tensor]], regions: list[dict[str, torch.Tensor]]
    ) -> InferenceBatch:
        """No pixel is below the calibrated minimum, which pixels outside all regions have."""
        import torch

        frames, maps = [], []
        for vectors, found in zip(features, regions, strict=True):
            scores, frame = self.density_estimator.predict(vectors)
            painted = found["masks"][:, 0] * scores.to(found["masks"])[:, None, None]
            ground = painted.new_full((1, *painted.shape[1:]), MINIMUM)
            maps.append(torch.cat([ground, painted]).amax(0))
            frames.append(frame.to(ground))
        return InferenceBatch(torch.stack(frames), torch.stack(maps))
