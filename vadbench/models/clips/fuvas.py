"""FUVAS: features of a frozen 3-D backbone, principal components of normal clips, residual energy as anomaly.

Jiang, Ndiour, Subedar, Tickoo: "FUVAS: Few-shot Unsupervised Video Anomaly Segmentation via Low-Rank Factorization of
Spatio-Temporal Features", ICASSP 2025. One flattened feature vector a clip; the frame score is the squared norm of what
the components do not explain, the anomaly map the same energy summed over channels and time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from vadbench import registry
from vadbench.backbones.base import Backbone
from vadbench.config.schema import BackboneConfig
from vadbench.density.decomposition import Decomposition
from vadbench.density.pca import Pca, PcaConfig
from vadbench.errors import ConfigError
from vadbench.models.clips.detector import ClipDensity, common
from vadbench.models.clips.keys import FuvasConfig, without_effect
from vadbench.models.registry import ModelRun


class Fuvas(ClipDensity):
    """FUVAS with the documented names and defaults: :class:`ClipDensity` with principal components of whole clips.

    Parameters
    ----------
    pca_level: at most 1 the explained variance ratio to keep, above 1 the number of components.
    components: "enough" keeps the fewest components that reach the level, "one_fewer" one less, as anomalib does.
    others, ``more`` among them: see :class:`ClipDensity`.
    """

    def __init__(
        self,
        backbone: str | BackboneConfig | Backbone = "x3d_s",
        layer: str | None = "blocks.4",
        pre_trained: bool = True,
        spatial_pool: bool = True,
        pooling_kernel_size: int = 1,
        pca_level: float = 0.98,
        pre_processor: bool | Callable[[np.ndarray], np.ndarray] = True,
        post_processor: Any = True,
        evaluator: Any = True,
        visualizer: Any = True,
        *,
        components: str = "enough",
        **more: Any,
    ) -> None:
        if pca_level <= 0 or (pca_level > 1 and pca_level != int(pca_level)):
            raise ConfigError(
                f"pca_level={pca_level}: an explained variance ratio up to 1, or a whole number of components above 1"
            )
        self.pca = Pca(pca_level, components)
        self.pca.device = more.get("device", "cpu")
        super().__init__(
            self.pca,
            backbone,
            layer,
            pre_trained,
            spatial_pool,
            pooling_kernel_size,
            pre_processor,
            post_processor,
            evaluator,
            visualizer,
            **more,
        )

    @property
    def pca_level(self) -> float:
        """The explained variance ratio to keep, or the number of components."""
        return self.pca.level

    @property
    def decomposition(self) -> Decomposition | None:
        """What the fit found."""
        return self.pca.decomposition

    @property
    def n_components(self) -> int:
        """Components kept."""
        return self.pca.n_components


@registry.model("fuvas", config=FuvasConfig, backbone="x3d_s", density="pca", without_effect=without_effect)
def from_config(model: FuvasConfig, run: ModelRun) -> Fuvas:
    """FUVAS (Jiang et al., ICASSP 2025): PCA residual energy of clip features of a frozen backbone."""
    density = run.config.density
    if not isinstance(density, PcaConfig):
        raise ConfigError(
            "model=fuvas is principal components: it takes density=pca. model=clip_density takes any density."
        )
    if density.level not in (None, model.pca_level):
        raise ConfigError(
            f"density.level={density.level} contradicts model.pca_level={model.pca_level}: model=fuvas has its level "
            "in model.pca_level; leave density.level out."
        )
    return Fuvas(pca_level=model.pca_level, components=density.components, **common(model, run))
