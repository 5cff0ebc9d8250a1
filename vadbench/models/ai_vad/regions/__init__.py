"""Regions of a frame: detected objects and moving foreground."""
