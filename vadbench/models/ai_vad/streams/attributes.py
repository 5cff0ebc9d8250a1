"""The attributes of regions: velocity, pose and deep features, each made only if its stream is on.

Shape legend: N frames, M regions of all of them, H W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from vadbench.backbones.weights_file import WeightsFile
from vadbench.density.collecting import as_array
from vadbench.errors import ConfigError
from vadbench.models.ai_vad.streams.deep import DeepExtractor
from vadbench.models.ai_vad.streams.pose import PoseExtractor
from vadbench.models.ai_vad.streams.velocity import VelocityExtractor
from vadbench.models.ai_vad.tensors import is_tensor, to_frames
from vadbench.models.base import Features

if TYPE_CHECKING:
    import torch


class FeatureType(str, Enum):
    """The streams of features."""

    VELOCITY = "velocity"
    POSE = "pose"
    DEEP = "deep"


class FeatureExtractor:
    """The extractors of the streams that are on; those that are off are None and nothing is built for them.

    Parameters
    ----------
    n_velocity_bins: direction bins of the default velocity extractor.
    use_velocity_features, use_pose_features, use_deep_features: which streams are on; at least one.
    velocity, pose, deep: extractors to use in place of the default ones.
    """

    def __init__(
        self,
        n_velocity_bins: int = 8,
        use_velocity_features: bool = True,
        use_pose_features: bool = True,
        use_deep_features: bool = True,
        *,
        velocity: VelocityExtractor | None = None,
        pose: PoseExtractor | None = None,
        deep: DeepExtractor | None = None,
    ) -> None:
        self.velocity = (velocity or VelocityExtractor(n_velocity_bins)) if use_velocity_features else None
        self.pose = (pose or PoseExtractor()) if use_pose_features else None
        self.deep = (deep or DeepExtractor()) if use_deep_features else None
        if not self.streams:
            raise ConfigError(
                "Every stream is off. Switch on at least one of use_velocity_features, use_pose_features and "
                "use_deep_features."
            )

    @property
    def streams(self) -> tuple[FeatureType, ...]:
        """The streams that are on."""
        parts = {FeatureType.VELOCITY: self.velocity, FeatureType.POSE: self.pose, FeatureType.DEEP: self.deep}
        return tuple(stream for stream, part in parts.items() if part is not None)

    def __call__(
        self,
        frames: Any,
        flow: torch.Tensor | None,
        boxes: Sequence[Any],
        wanted: Sequence[FeatureType] | None = None,
        batch_size: int | None = None,
    ) -> Any:
        """Attributes of the regions of N frames; of tensors as :meth:`forward`.

        Parameters
        ----------
        frames: ``uint8 (N, H, W, 3)`` RGB, what pose and deep features are cropped from.
        flow: ``float32 (N, 2, H, W)`` in pixels; only velocity needs it.
        boxes: ``(M_i, 4)`` for each frame, in pixels.
        wanted: streams to make; None makes all that are on.
        batch_size: frames that the pose network sees at once; None: all. Deep features have a number of crops.

        Returns
        -------
        stream to its arrays, each with M rows in the order of the boxes.
        """
        if is_tensor(frames):
            return self.forward(frames, flow, boxes)
        made: dict[FeatureType, Features] = {}
        for stream in self.streams if wanted is None else wanted:
            if stream is FeatureType.VELOCITY and self.velocity is not None:
                if flow is None:
                    raise ValueError("velocity features need the flow")
                made[stream] = self.velocity.histograms(flow, boxes)
            elif stream is FeatureType.POSE and self.pose is not None:
                step = batch_size or max(1, len(frames))
                starts = range(0, max(1, len(frames)), step)
                made[stream] = concatenate([self.pose(frames[i : i + step], boxes[i : i + step]) for i in starts])
            elif stream is FeatureType.DEEP and self.deep is not None:
                made[stream] = self.deep(frames, boxes)
            else:
                raise ValueError(f"the {stream.value} stream is off")
        return made

    def forward(
        self, rgb_batch: torch.Tensor, flow_batch: torch.Tensor | None, regions: Sequence[Mapping[str, torch.Tensor]]
    ) -> list[dict[FeatureType, torch.Tensor]]:
        """Attributes of the regions of N frames, one dictionary for each frame, all in tensors.

        Parameters
        ----------
        rgb_batch: ``(N, 3, H, W)``, RGB in [0, 1] or bytes. flow_batch: ``(N, 2, H, W)`` in pixels; only velocity needs
            it. regions: for each frame a dictionary with its ``boxes (M_i, 4)``.

        Returns
        -------
        stream to ``float32 (M_i, D)``: D is the number of bins, 34 for pose, 512 for ViT-B/16.
        """
        import torch

        boxes = [as_array(one["boxes"]) for one in regions]
        made = self(to_frames(rgb_batch), flow_batch, boxes)
        vectors = {stream: arrays[stream.value] for stream, arrays in made.items() if stream.value in arrays}
        if self.velocity is not None:
            vectors[FeatureType.VELOCITY] = self.velocity.features(made[FeatureType.VELOCITY])
        counts = [len(part) for part in boxes]
        split = {
            stream: torch.split(torch.from_numpy(rows.astype(np.float32)).to(rgb_batch.device), counts)
            for stream, rows in vectors.items()
        }
        return [{stream: parts[i] for stream, parts in split.items()} for i in range(len(counts))]

    def spec(self, stream: FeatureType) -> dict[str, Any]:
        """Return what a stream depends on beside frames, flow and boxes."""
        part = getattr(self, stream.value)
        spec: dict[str, Any] = part.spec()
        return spec

    def weights(self) -> list[dict[str, Any]]:
        """``part``, ``name`` and ``digest`` of each set of weights."""
        return [entry for part in (self.pose, self.deep) if part is not None for entry in part.weights()]

    def files(self) -> list[WeightsFile]:
        """Return the files that the weights are in, here or not."""
        return [file for part in (self.pose, self.deep) if part is not None for file in part.files()]


def concatenate(parts: Sequence[Features]) -> Features:
    """Return the rows of all ``parts``, one or more, which have arrays of the same names."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
