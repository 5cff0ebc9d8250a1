"""AI-VAD: regions, flow, attributes and their densities."""

from vadbench.models.ai_vad.deep import DeepExtractor
from vadbench.models.ai_vad.features import FeatureExtractor, FeatureType
from vadbench.models.ai_vad.flow import FlowExtractor
from vadbench.models.ai_vad.model import AiVad
from vadbench.models.ai_vad.pose import PoseExtractor
from vadbench.models.ai_vad.regions import ForegroundRules, RegionExtractor
from vadbench.models.ai_vad.velocity import VelocityExtractor

__all__ = [
    "AiVad",
    "DeepExtractor",
    "FeatureExtractor",
    "FeatureType",
    "FlowExtractor",
    "ForegroundRules",
    "PoseExtractor",
    "RegionExtractor",
    "VelocityExtractor",
]
