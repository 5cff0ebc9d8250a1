"""A method: the histogram of pixel values of every frame under any density. Run it with density.py."""

from dataclasses import dataclass

import numpy as np

from vadbench import plugins


@dataclass
class BrightnessConfig:
    bins: int = 16


class Histograms:
    """Extractor: output "histogram", ``{"histogram": float64 (T, bins)}``."""

    def __init__(self, bins):
        self.bins = bins

    def prepare(self, train):
        """Nothing to prepare."""

    def outputs(self):
        """Return the output with all that it depends on."""
        return {"histogram": {"extractor": "histograms", "bins": self.bins}}

    def extract(self, video, wanted, have):
        """Return the histograms of one video."""
        rows = [np.histogram(f, self.bins, (0, 255), density=True)[0] for f in video.frames()]
        return {"histogram": {"histogram": np.array(rows)}}


@plugins.model("brightness", config=BrightnessConfig, density="diagonal")
class Brightness:
    """Histograms of pixel values under a density."""

    def __init__(self, config, run):
        self.extractor, self.density = Histograms(config.bins), run.density

    def fit(self, features, remember=None):
        """Fit the density on the frames of all training videos."""
        rows = [np.asarray(f["histogram"]["histogram"]) for f in features.values()]
        groups = np.repeat(np.arange(len(rows)), [len(r) for r in rows])
        self.density.fit(np.concatenate(rows), groups)

    def fit_spec(self):
        """Nothing goes through ``remember``."""
        return {}

    def score(self, video, features, remember=None):
        """Return one score a frame."""
        scores = self.density.raw(np.asarray(features["histogram"]["histogram"]))
        return plugins.VideoScores(video.id, scores, np.zeros(len(scores), dtype=bool))

    def summary(self):
        """Nothing to record."""
        return {}
