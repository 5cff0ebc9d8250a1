"""Tests of the data core."""
