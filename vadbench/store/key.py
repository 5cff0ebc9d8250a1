"""The name of a stored entry: a digest of everything that its content depends on, and of nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

FORMAT = 1
"""Version of the entries on disk. Raise it when their layout changes; old entries are then no longer found."""


def canonical(value: Any) -> str:
    """``value`` as compact JSON with sorted keys; TypeError if it is not JSON-able, ValueError on NaN or infinity."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 hex digest (64 characters) of :func:`canonical` ``value``."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def feature_key(spec: Mapping[str, Any], video_digest: str, decoder: str, dtype: str) -> str:
    """Return the key of one extractor output of one video.

    Parameters
    ----------
    spec: what the output depends on but the video (``Extractor.outputs()[name]``): architecture, layer, weights and
        their digest, clip settings, precision.
    video_digest: digest of the bytes that the frames are decoded from.
    decoder: name and version of what decodes them.
    dtype: precision in which floating arrays are stored.
    """
    return digest(
        {"format": FORMAT, "spec": dict(spec), "video": video_digest, "decoder": decoder, "dtype": dtype},
    )


def derived_key(name: str, spec: Mapping[str, Any]) -> str:
    """Return the key of arrays that were computed from features, such as a decomposition; they are stored exactly."""
    return digest({"format": FORMAT, "derived": name, "spec": dict(spec)})
