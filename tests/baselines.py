"""The baselines by name."""

from __future__ import annotations

from vadbench.models.baselines import Baseline

BASELINES = {baseline.name: baseline for baseline in Baseline.__subclasses__()}
