"""Conformance: whether a registered part keeps the contract of its kind, as functions for anyone's pytest.

Each takes the name of a registered part, runs it on small made-up inputs and returns what holds; what does not is an
``AssertionError`` of one sentence that names the fault. ``python -m vadbench check --plugin FILE`` runs them all.
"""

from vadbench.testing.backbone_check import check_backbone
from vadbench.testing.dataset_check import check_dataset
from vadbench.testing.density_check import check_density
from vadbench.testing.detector_check import check_detector
from vadbench.testing.metric_check import check_metric
from vadbench.testing.require import Nonconformance
from vadbench.testing.step_check import check_protocol_step

__all__ = [
    "Nonconformance",
    "check_backbone",
    "check_dataset",
    "check_density",
    "check_detector",
    "check_metric",
    "check_protocol_step",
]
