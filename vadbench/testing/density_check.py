"""Conformance of densities.

Shape legend: N training samples, M samples to score, D feature size, L locations.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from typing import Any

import numpy as np

from vadbench import registry
from vadbench.config.compose import compose
from vadbench.density.base import BaseDensityEstimator, Remember
from vadbench.errors import ConfigError, DataError
from vadbench.testing import made_up
from vadbench.testing.require import (
    require,
    require_close,
    require_finite,
    require_same,
    run_checks,
    unchanged,
)
from vadbench.testing.variants import part_variants

_MAP = (3, 2, 2, 2)  # C t h w of a made-up vector


def check_density(name: str, *overrides: str, fixed: Collection[str] = ()) -> list[str]:
    """Return what holds of a registered density.

    Nonconformance where it does not: a finite score for each sample, the same to the bit for a seed, whatever is scored
    with it; inputs left as they are; leave-group-out scores, locations and a saved fit as the contract has them; and
    what is memoized under a spec (``fit_spec``) that names all keys that it depends on.

    Parameters
    ----------
    overrides: such as ``"density.n_neighbors=3"``, as on the command line.
    fixed: keys such as ``"density.bank"`` that are not varied.
    """
    config = compose(["model=clip_density", "dataset=synthetic", f"density={name}", *overrides]).density
    return run_checks(f"density {name!r}", lambda: _checks(registry.get("density", name), config, fixed))


def _checks(part: registry.Part, config: Any, fixed: Collection[str]) -> Iterable[str]:
    features, groups, new = made_up.vectors()

    def fitted(seed: int = 0, config: Any = config, remember: Remember | None = None) -> BaseDensityEstimator:
        density: BaseDensityEstimator = part.build(config, seed)
        density.learn([features], groups, remember)
        return density

    with unchanged({"the features that it is fitted on": features, "the groups": groups}):
        density = fitted()
    with unchanged({"the features that it scores": new}):
        scores = density.raw(new)
    require_finite(scores, (len(new),), f"the scores of {len(new)} samples")
    yield "one finite score for each sample"
    yield "changes none of its inputs"
    require_same(scores, density.raw(new), "is not deterministic: scoring the same samples again gives other scores")
    require_same(scores, fitted().raw(new), "is not deterministic: two fits with one seed give different scores")
    yield "the same scores to the bit for a seed"
    if not density.uses_seed:
        require_same(scores, fitted(seed=1).raw(new), "says uses_seed=False, and another seed changes its scores")
    require_close(scores[::-1], density.raw(new[::-1].copy()), "depends on the order of the samples that it scores")
    parts = np.concatenate([density.raw(new[:4]), density.raw(new[4:5]), density.raw(new[5:])])
    require_close(scores, parts, "depends on the batch size: samples get other scores when they are scored apart")
    yield "scores that depend neither on order nor on batch size"
    own = density.raw_without(1, features[groups == 1])
    require_finite(own, (int((groups == 1).sum()),), "the scores of a training video that was left out")
    _check_locations(part, config, density, scores)
    yield "leave-group-out scores and locations"
    _check_keys(config, density, fitted, fixed)
    yield "nothing memoized under a spec that leaves out a key"
    density.calibrate(features, groups)
    state, fresh = density.state(), part.build(config, 0)
    fresh.load_state(type(state)(state.arrays, json.loads(json.dumps(state.values))))
    require_same(density.score(new), fresh.score(new), "a fit that is saved and loaded (state, load_state) scores anew")
    yield "a fit that is saved and loaded scores the same to the bit"


def _check_locations(part: registry.Part, config: Any, density: BaseDensityEstimator, scores: np.ndarray) -> None:
    """Require maps that add up to the scores, and densities of locations that are each by itself."""
    features, groups, new = made_up.vectors()
    if density.has_location_energy:
        energy = density.location_energy(new, _MAP)
        require_finite(energy, (len(new), *_MAP[2:]), "the maps of location_energy")
        require_close(scores, np.sum(np.asarray(energy), axis=(1, 2)), "location_energy does not add up to the scores")
    cells: BaseDensityEstimator = part.build(config, 0)
    cells.fit_cells(np.stack([features[:, :12], features[:, 12:]]), groups)
    made = cells.raw_cells(np.stack([new[:, :12], new[:, 12:]]))
    for number, columns in enumerate((slice(12), slice(12, None))):
        alone: BaseDensityEstimator = part.build(config, 0)
        alone.learn([features[:, columns].copy()], groups)
        fault = "fit_cells and raw_cells do not give what one density for each location gives"
        require_close(alone.raw(new[:, columns].copy()), made[number], fault)


def _check_keys(
    config: Any, density: BaseDensityEstimator, fitted: Callable[..., BaseDensityEstimator], fixed: Collection[str]
) -> None:
    """Require that what one configuration memoizes does not change the scores of another."""
    new, memo = made_up.vectors()[2], {}

    def remember(spec: dict[str, Any] | None) -> Remember:
        def memoized(name: str, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
            key = json.dumps([spec, name], sort_keys=True)
            if key not in memo:
                memo[key] = make()
            return memo[key]

        return memoized

    fitted(remember=remember(density.fit_spec())).raw(new)
    for key, other in part_variants(config):
        if f"density.{key}" in fixed:
            continue
        try:
            alone = fitted(config=other)
        except (ConfigError, DataError):
            continue  # values that the key can't have beside the others
        shared = fitted(config=other, remember=remember(alone.fit_spec()))
        fault = f"the key {key} changes the scores but not the spec (fit_spec) under which parts of a fit are memoized"
        require_close(alone.raw(new), shared.raw(new), fault)
    require(density.fit_spec() is None or json.dumps(density.fit_spec()), "fit_spec is not JSON-able")
