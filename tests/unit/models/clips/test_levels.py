"""Scaling a frame of bytes by a table of its 256 levels gives the same floats, to the bit, as doing the sum."""

from __future__ import annotations

import numpy as np

from vadbench.models.clips.extractor import PreProcessor


def test_bytes_are_scaled_to_the_bit_as_floats_are():
    frame = np.random.default_rng(0).integers(0, 256, (37, 51, 3), dtype=np.uint8)
    mean, std = (0.45, 0.44, 0.43), (0.225, 0.224, 0.223)
    prepared = PreProcessor(None, mean, std)(frame)
    expected = (frame.astype(np.float32) / np.float32(255) - np.array(mean, np.float32)) / np.array(std, np.float32)
    assert prepared.dtype == np.float32
    np.testing.assert_array_equal(prepared, expected)
    np.testing.assert_array_equal(PreProcessor(None, mean, std)(frame.astype(np.float32)), expected)
