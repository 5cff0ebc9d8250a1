"""One way to write a configuration: what only says what null stands for is null, what has no effect is its default."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from vadbench import registry
from vadbench.config.parts import defaults
from vadbench.config.schema import keys_in

_STREAMS = ("velocity", "pose", "deep")


def without_written_out(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a plain configuration with null where a value writes out its default, and with its default where a value
    has no effect, so that configurations with one result are one.

    Defaults that follow from other keys: ``model.in_sum`` is all streams that are on, ``regions.foreground_min_area``
    is ``regions.min_bbox_area``. ``density.level`` goes where it repeats ``model.pca_level``, and the density of a
    stream where it is the documented one, which older records do not say.
    """
    config = _without_effect(config)
    model, regions = dict(config.get("model") or {}), dict(config.get("regions") or {})
    density = dict(config.get("density") or {})
    density = {key: value for key, value in density.items() if value is not None or key not in _STREAMS}
    if "pca_level" in model and density.get("level") in (None, model["pca_level"]):
        density.pop("level", None)
    if model.get("in_sum") == [stream for stream in _STREAMS if model.get(f"use_{stream}_features")]:
        model["in_sum"] = None
    protocol = config.get("protocol") or {}
    if model.get("post_processor") is False and protocol.get("name") == "raw":  # which does nothing either
        model["post_processor"] = True
    if regions and regions.get("foreground_min_area") == regions.get("min_bbox_area"):
        regions["foreground_min_area"] = None
    groups = {"model": model, "regions": regions, "density": density}
    return {**config, **{name: values for name, values in groups.items() if values}}


def _without_effect(config: Mapping[str, Any]) -> dict[str, Any]:
    """``config`` with the defaults of the keys that its model says are without effect beside the others."""
    changed = dict(config)
    part = registry.find("model", str((config.get("model") or {}).get("name")))
    for pattern in part.facts["without_effect"](config) if part and "without_effect" in part.facts else ():
        group, _, keys = pattern.partition(".")
        values = changed.get(group)
        known = keys_in(group, str(values.get("name"))) if isinstance(values, Mapping) else None
        if values and known is not None:
            reset = {key: value for key, value in defaults(known).items() if fnmatchcase(key, keys) and key in values}
            changed[group] = {**values, **reset}
    return changed
