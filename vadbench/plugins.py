"""What a plug-in imports: the decorators that register a part, and the contracts that a part keeps.

Nothing of vadbench imports this module; the decorators are those of the built-in parts. See docs/extending.md.
"""

from vadbench.backbones.base import Backbone
from vadbench.config.parts import setting
from vadbench.data.readers.source import ArraySource
from vadbench.data.video import Dataset, Video
from vadbench.density.base import BaseDensityEstimator
from vadbench.models.base import Detector, Extractor, VideoScores
from vadbench.registry import backbone, dataset, density, launcher, metric, model, protocol_step

__all__ = [
    "ArraySource",
    "Backbone",
    "BaseDensityEstimator",
    "Dataset",
    "Detector",
    "Extractor",
    "Video",
    "VideoScores",
    "backbone",
    "dataset",
    "density",
    "launcher",
    "metric",
    "model",
    "protocol_step",
    "setting",
]
