"""Tests of the metrics, protocols and intervals."""
