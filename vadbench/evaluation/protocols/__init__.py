"""Protocols: what is done to raw scores before a metric."""
