"""vadbench: an experiment and benchmarking harness for video anomaly detection."""

__version__ = "0.1.0"
