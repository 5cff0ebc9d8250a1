"""AI-VAD: regions, flow, attributes and their densities. Names are imported when first asked for; `list` asks none."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vadbench.density.base import BaseDensityEstimator
    from vadbench.density.combined import CombinedDensityEstimator
    from vadbench.density.gmm import GMMEstimator
    from vadbench.density.knn import GroupedKNNEstimator
    from vadbench.models.ai_vad.clip_model import AiVadModel, InferenceBatch
    from vadbench.models.ai_vad.model import AiVad
    from vadbench.models.ai_vad.regions.detectors import NoDetector
    from vadbench.models.ai_vad.regions.region_extractor import ForegroundRules, RegionExtractor
    from vadbench.models.ai_vad.streams.attributes import FeatureExtractor, FeatureType
    from vadbench.models.ai_vad.streams.deep import DeepExtractor
    from vadbench.models.ai_vad.streams.flow import FlowExtractor
    from vadbench.models.ai_vad.streams.pose import PoseExtractor
    from vadbench.models.ai_vad.streams.velocity import VelocityExtractor
    from vadbench.models.one_class import LearningType

__all__ = [
    "AiVad",
    "AiVadModel",
    "BaseDensityEstimator",
    "CombinedDensityEstimator",
    "DeepExtractor",
    "FeatureExtractor",
    "FeatureType",
    "FlowExtractor",
    "ForegroundRules",
    "GMMEstimator",
    "GroupedKNNEstimator",
    "InferenceBatch",
    "LearningType",
    "NoDetector",
    "PoseExtractor",
    "RegionExtractor",
    "VelocityExtractor",
]

_MODULES = (
    "density.base",
    "density.gmm",
    "density.knn",
    "models.one_class",
    "models.ai_vad.model",
    "models.ai_vad.clip_model",
    "models.ai_vad.regions.detectors",
    "models.ai_vad.regions.region_extractor",
    "models.ai_vad.streams.velocity",
)


def __getattr__(name: str) -> Any:
    if name in __all__:
        for module in (importlib.import_module(f"vadbench.{place}") for place in _MODULES):
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
