"""Metrics, protocols and intervals: pure functions over arrays."""
