"""Gradient energies of pictures whose gradients are known."""

from __future__ import annotations

import numpy as np
import pytest

from vadbench.backbones.gradient3d import Gradient3d, gradient


def ramp(dx: int, dy: int, offset: int = 0) -> np.ndarray:
    """``uint8 (16, 20)`` that rises by dx and dy grey levels a pixel."""
    y, x = np.mgrid[:16, :20]
    return (dx * x + dy * y + offset).astype(np.uint8)


def test_gradients_of_a_ramp_that_brightens() -> None:
    got = gradient(ramp(3, 2, offset=10), ramp(3, 2)) * 255
    np.testing.assert_allclose(got[0, :, 1:-1], 3, atol=1e-4)
    np.testing.assert_allclose(got[1, 1:-1, :], 2, atol=1e-4)
    np.testing.assert_allclose(got[2], 10, atol=1e-4)
    # The edge pixel is repeated, so the central difference sees half of the step there.
    np.testing.assert_allclose(got[0, :, 0], 1.5, atol=1e-4)


def test_space_gradients_come_from_the_mean_of_the_two_frames() -> None:
    got = gradient(ramp(4, 0), ramp(2, 0)) * 255
    np.testing.assert_allclose(got[0, :, 1:-1], 3, atol=1e-4)


@pytest.mark.parametrize(("measure", "power"), [("energy", 2), ("magnitude", 1)])
def test_cells_hold_means_of_energies_or_magnitudes(measure: str, power: int) -> None:
    bank = Gradient3d({"cell": 4, "measure": measure})
    rng = np.random.default_rng(0)
    grey = [rng.integers(0, 256, (10, 9), dtype=np.uint8) for _ in range(2)]
    frames = [np.repeat(g[..., None], 3, axis=2) for g in grey]
    got = bank.per_frame(frames[1], frames[0])
    assert got.shape == (3, 3, 3)
    now, before = grey[1] / 255.0, grey[0] / 255.0
    mean = (now + before) / 2
    for i in range(3):
        for j in range(3):
            sums, count = np.zeros(3), 0
            for y in range(4 * i, min(4 * i + 4, 10)):
                for x in range(4 * j, min(4 * j + 4, 9)):
                    gx = (mean[y, min(x + 1, 8)] - mean[y, max(x - 1, 0)]) / 2
                    gy = (mean[min(y + 1, 9), x] - mean[max(y - 1, 0), x]) / 2
                    sums += np.abs([gx, gy, now[y, x] - before[y, x]]) ** power
                    count += 1
            np.testing.assert_allclose(got[:, i, j], sums / count, rtol=1e-4, atol=1e-7)


def test_a_still_scene_has_no_energy_in_time() -> None:
    bank = Gradient3d({"cell": 5, "measure": "energy"})
    frame = np.random.default_rng(1).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    got = bank.per_frame(frame, frame)
    assert (got[2] == 0).all()
    assert (got[:2] > 0).all()
