"""The Gaussian mixture is scikit-learn's; a single Gaussian can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture

from vadbench.density.gmm import GMMEstimator
from vadbench.errors import DataError


def samples(n: int = 400) -> np.ndarray:
    rng = np.random.default_rng(1)
    return np.concatenate([rng.normal(0, 1, (n, 2)), rng.normal((5, -3), (0.5, 2), (n, 2))])


def test_score_is_the_negative_log_likelihood_of_scikit_learns_mixture() -> None:
    x = samples()
    ours = GMMEstimator(3, seed=7)
    ours.fit(x, np.zeros(len(x), int))
    theirs = GaussianMixture(3, random_state=7).fit(x)
    np.testing.assert_allclose(ours.raw(x[::5]), -theirs.score_samples(x[::5]), rtol=1e-12)


def test_one_gaussian_is_the_closed_form() -> None:
    x = samples()
    ours = GMMEstimator(1)
    ours.fit(x, np.zeros(len(x), int))
    covariance = np.cov(x.T, bias=True) + 1e-6 * np.eye(2)
    expected = -multivariate_normal(x.mean(0), covariance).logpdf(x)
    np.testing.assert_allclose(ours.raw(x), expected, rtol=1e-9)


def test_a_dimension_without_variance_is_as_surprising_as_the_floor_says() -> None:
    x = np.stack([np.random.default_rng(0).normal(0, 1, 200), np.zeros(200)], axis=1)
    surprise = {}
    for floor in (1e-6, 1e-2):
        estimator = GMMEstimator(1, covariance_floor=floor)
        estimator.fit(x, np.zeros(200, int))
        surprise[floor] = np.diff(estimator.raw(np.array([[0.0, 0.0], [0.0, 0.1]])))[0]
    # Half the squared distance over the variance: 0.1² / 2 / floor.
    assert surprise[1e-6] == pytest.approx(5000, rel=1e-6) and surprise[1e-2] == pytest.approx(0.5, rel=1e-6)


def test_training_scores_span_the_unit_interval_and_outliers_leave_it() -> None:
    x = samples()
    ours = GMMEstimator(2)
    ours.fit(x, np.zeros(len(x), int))
    scores = ours.score(x)
    assert scores.min() == 0 and scores.max() == 1
    assert ours.score(np.array([[40.0, 40.0]]))[0] > 5


def test_same_seed_same_scores() -> None:
    x = samples()
    first, second = GMMEstimator(4, seed=3), GMMEstimator(4, seed=3)
    for estimator in (first, second):
        estimator.fit(x, np.zeros(len(x), int))
    np.testing.assert_array_equal(first.score(x), second.score(x))


def test_nothing_to_score_is_no_score() -> None:
    estimator = GMMEstimator(2)
    estimator.fit(samples(), np.zeros(800, int))
    assert estimator.score(np.zeros((0, 2))).shape == (0,)


@pytest.mark.parametrize("n", [0, 2])
def test_too_few_samples_are_explained(n: int) -> None:
    with pytest.raises(DataError, match="at least 3 training samples"):
        GMMEstimator(3).fit(np.zeros((n, 1)), np.zeros(n, int))


def test_features_that_are_not_finite_are_refused() -> None:
    x = samples()
    x[17, 1] = np.nan
    with pytest.raises(DataError, match="not finite"):
        GMMEstimator(2).fit(x, np.zeros(len(x), int))
