"""One way to write a configuration: a value that only says what null stands for is null."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_STREAMS = ("velocity", "pose", "deep")


def without_written_out(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a plain configuration with null where a value writes out its default, so that both are one configuration.

    Defaults that follow from other keys: ``model.in_sum`` is all streams that are on, ``regions.foreground_min_area``
    is ``regions.min_bbox_area``. ``density.level`` goes where it repeats ``model.pca_level``, and the density of a
    stream where it is the documented one, which older records do not say.
    """
    model, regions = dict(config.get("model") or {}), dict(config.get("regions") or {})
    density = dict(config.get("density") or {})
    density = {key: value for key, value in density.items() if value is not None or key not in _STREAMS}
    if "pca_level" in model and density.get("level") in (None, model["pca_level"]):
        density.pop("level", None)
    if model.get("in_sum") == [stream for stream in _STREAMS if model.get(f"use_{stream}_features")]:
        model["in_sum"] = None
    if regions and regions.get("foreground_min_area") == regions.get("min_bbox_area"):
        regions["foreground_min_area"] = None
    groups = {"model": model, "regions": regions, "density": density}
    return {**config, **{name: values for name, values in groups.items() if values}}
