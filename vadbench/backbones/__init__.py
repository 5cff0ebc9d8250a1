"""Frozen networks and filter banks that turn a clip into feature maps."""
