"""Calibration maps the training range to [0, 1] by the rule that was asked for."""

from __future__ import annotations

import numpy as np
import pytest

from vadbench.density.calibration import calibrate
from vadbench.errors import ConfigError

RAW = np.array([2.0, 4.0, 12.0, 6.0])


def test_max_maps_the_training_range_to_the_unit_interval_and_clamps_nothing() -> None:
    to_unit = calibrate(RAW)
    np.testing.assert_allclose(to_unit(np.array([2.0, 12.0, 7.0, 22.0, 0.0])), [0, 1, 0.5, 2, -0.2])


def test_percentile_is_numpys() -> None:
    raw = np.random.default_rng(0).standard_normal(5000)
    assert calibrate(raw, "p99.9").high == np.percentile(raw, 99.9) < raw.max()


def test_last_group_sees_only_the_scores_of_the_last_group() -> None:
    groups = np.array([0, 0, 1, 2])
    assert calibrate(RAW, "last_group", groups).high == 6.0
    assert calibrate(RAW, "max", groups).high == 12.0


def test_equal_scores_keep_their_unit(caplog: pytest.LogCaptureFixture) -> None:
    to_unit = calibrate(np.full(3, 5.0))
    np.testing.assert_array_equal(to_unit(np.array([5.0, 6.5])), [0, 1.5])
    assert "All training scores" in caplog.text


def test_nan_stays_nan() -> None:
    assert np.isnan(calibrate(RAW)(np.array([np.nan]))).all()


def test_unknown_rule_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"p99\.9"):
        calibrate(RAW, "p99")
