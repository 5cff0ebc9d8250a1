"""Videos and datasets: what is loaded, frame by frame, and what is known exactly about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vadbench.data.video import Dataset


def load(name: str, root: str | None = None, **settings: Any) -> Dataset:
    """Return the dataset ``name`` from Python: ``load("ucsd_ped2", root="/data/ucsd")``; settings as in
    conf/dataset."""
    from vadbench.config.compose import compose
    from vadbench.data.registry import load_dataset

    chosen = {"root": root, **settings}
    words = [f"dataset.{key}={'null' if value is None else value}" for key, value in chosen.items()]
    return load_dataset(compose([f"dataset={name}", "model=random", *words]).dataset)
