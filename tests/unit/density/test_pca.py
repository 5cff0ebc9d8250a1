"""What the density makes of principal components, and which version its scores are of."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.stand_ins import RandomFilters, video
from tests.unit.density.test_decomposition import matrix, use_float32
from vadbench.config.compose import compose
from vadbench.data.video import Dataset
from vadbench.density.combined import CombinedDensityEstimator
from vadbench.density.device import Gpu
from vadbench.density.gmm import GMMEstimator
from vadbench.density.pca import Pca
from vadbench.density.state import State
from vadbench.experiment.run import run_folder
from vadbench.models.clips.detector import ClipDensity
from vadbench.models.clips.extractor import ClipPlan
from vadbench.models.clips.fuvas import Fuvas

ROWS, NEW = matrix(60, 240), matrix(9, 240, seed=1)
GROUPS = np.repeat(np.arange(3), 20)


def fitted(level: float = 0.9) -> Pca:
    density = Pca(level)
    density.learn([ROWS[:20], ROWS[20:]], GROUPS)
    return density


def test_a_fit_that_was_saved_by_version_1_scores_as_it_did() -> None:
    """Such a state has float64 chunks, all variances and no total."""
    density = fitted()
    arrays, values = density.state()
    for key in ("total", "computed"):
        del values["own"][key]
    old = Pca(0.9)
    old.load_state(State(arrays, json.loads(json.dumps(values))))
    np.testing.assert_array_equal(old.raw(NEW), density.raw(NEW))
    assert old.summary()["variance_share"] == pytest.approx(density.summary()["variance_share"])


def test_a_fit_in_float32_is_saved_and_loaded_to_the_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    use_float32(monkeypatch)
    density, fresh = fitted(), Pca(0.9)
    fresh.load_state(density.state())
    assert {chunk.dtype for chunk in fresh.decomposition.chunks} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(fresh.raw(NEW), density.raw(NEW))


def test_energies_of_locations_are_summed_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    use_float32(monkeypatch)
    density = fitted()
    found = density.location_energy(NEW, (4, 5, 3, 4))
    centred = NEW - ROWS.mean(axis=0, dtype=np.float64)
    kept = np.linalg.svd(ROWS - ROWS.mean(axis=0, dtype=np.float64), full_matrices=False)[2][: density.n_components]
    expected = np.square(centred - centred @ kept.T @ kept).reshape(9, 4, 5, 3, 4).sum(axis=(1, 2))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7 * expected.mean())


def test_fit_and_scores_run_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    products = []

    class Counted(Gpu):
        def subtract_product(self, target: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> None:
            products.append(type(right))
            super().subtract_product(target, left, right)

    monkeypatch.setattr("vadbench.density.pca.device_named", lambda name: Counted(torch.device("cpu")))
    found = fitted().raw(NEW)
    monkeypatch.undo()
    assert products == [torch.Tensor]
    np.testing.assert_allclose(found, fitted().raw(NEW), rtol=1e-6)
    assert Fuvas(RandomFilters(), clip=ClipPlan(4, 2, 3), device="cpu").pca.device == "cpu"


def test_the_version_of_a_density_is_that_of_the_run(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs with PCA are runs of their own since its scores moved; those of other densities keep their key."""
    plan, data = ClipPlan(4, 2, 3), Dataset("stand_in", (video("a", 30),), (video("b", 30),))
    config = compose(["model=fuvas", "dataset=synthetic", f"results={tmp_path}"])
    for density, name in ((Pca(0.9), "pca"), (GMMEstimator(1), "gmm")):
        detector = ClipDensity(density, RandomFilters(), clip=plan)
        now = run_folder(config, data, detector).path
        monkeypatch.setattr(type(density), "result_version", 1)
        assert (run_folder(config, data, detector).path == now) is (name == "gmm")
        monkeypatch.undo()


def test_a_raised_version_of_any_stream_raises_that_of_all() -> None:
    combined = CombinedDensityEstimator(estimators={"pose": Pca(2), "velocity": GMMEstimator(1)})
    assert combined.result_version == 2
    combined.estimators["velocity"].result_version = 2
    assert combined.result_version == 3
