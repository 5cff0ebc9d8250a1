"""What the public classes of the methods say of themselves, as documented."""

from __future__ import annotations

from enum import Enum
from typing import Any


class LearningType(str, Enum):
    """What a method learns from; every method here learns from normal videos only."""

    ONE_CLASS = "one_class"


class OneClassMethod:
    """A method that is fitted once on normal videos, without gradients."""

    @property
    def learning_type(self) -> LearningType:
        """``LearningType.ONE_CLASS``."""
        return LearningType.ONE_CLASS

    @property
    def trainer_arguments(self) -> dict[str, Any]:
        """The documented arguments of a trainer: one pass over the training data, nothing clipped, nothing validated.

        Nothing here reads them; runs are made that way in any case.
        """
        return {"gradient_clip_val": 0, "max_epochs": 1, "num_sanity_val_steps": 0}
