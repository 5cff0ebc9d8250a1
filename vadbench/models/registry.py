"""Names of methods to what builds them from a configuration."""

from __future__ import annotations

from vadbench.config.schema import RunConfig
from vadbench.models.base import Detector
from vadbench.registry import Registry

MODELS = Registry(
    "model",
    {
        "fuvas": "vadbench.models.clips.fuvas:from_config",
        "ai_vad": "vadbench.models.ai_vad.build:from_config",
        "frame_difference": "vadbench.models.baselines:from_config",
        "flow_percentile": "vadbench.models.baselines:from_config",
        "position": "vadbench.models.baselines:from_config",
        "random": "vadbench.models.baselines:from_config",
    },
    "vadbench/models/registry.py",
)


def build(config: RunConfig) -> Detector:
    """The detector that ``config`` describes; everything wrong with the combination is raised here, before any work."""
    detector: Detector = MODELS.load(config.model.name)(config)
    return detector
