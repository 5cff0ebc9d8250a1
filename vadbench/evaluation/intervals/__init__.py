"""Confidence intervals over videos."""
