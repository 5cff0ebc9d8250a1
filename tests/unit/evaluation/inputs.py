"""Hypothesis strategies for scores, labels, maps and boxes, rich in ties and in the awkward corners of floats."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

TINY = float(np.nextafter(np.float32(1), np.float32(2)))
AWKWARD = [0.0, -0.0, 1.0, -1.0, 5e-324, 1e308, -1e308, 0.1 + 0.2, 0.3, TINY, 1 + 1e-10, 1 + 2e-10]
"""Signed zeros, neighbours in float32 and float64, the ends of the range."""

scores = st.one_of(
    st.sampled_from(AWKWARD),
    st.integers(-3, 3).map(float),
    st.floats(allow_nan=False, allow_infinity=False),
)


@st.composite
def frames(draw, min_size=1, max_size=24):
    """(scores float64 (T,), labels bool (T,)), possibly of one class."""
    n = draw(st.integers(min_size, max_size))
    values = draw(st.lists(scores, min_size=n, max_size=n))
    labels = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    return np.array(values, dtype=np.float64), np.array(labels, dtype=bool)


@st.composite
def videos(draw, max_videos=4):
    """Scores and labels of a few videos."""
    count = draw(st.integers(1, max_videos))
    pairs = [draw(frames(max_size=10)) for _ in range(count)]
    return {f"v{i}": s for i, (s, _) in enumerate(pairs)}, {f"v{i}": y for i, (_, y) in enumerate(pairs)}


@st.composite
def maps(draw, max_videos=3, levels=None):
    """Score maps and masks of a few small videos; few levels make many ties."""
    seed = draw(st.integers(0, 2**32 - 1))
    count = draw(st.integers(1, max_videos))
    levels = levels or draw(st.sampled_from([1, 2, 4, 1000]))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    density = draw(st.sampled_from([0.0, 0.1, 0.4, 1.0]))
    random = np.random.default_rng(seed)
    height, width = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    found, truth = {}, {}
    for i in range(count):
        shape = (draw(st.integers(1, 4)), height, width)
        values = random.integers(-levels, levels + 1, shape).astype(dtype) / dtype(levels)
        found[f"v{i}"] = np.where(values == 0, random.choice([0.0, -0.0], shape), values).astype(dtype)
        truth[f"v{i}"] = random.random(shape) < density * random.integers(0, 2, (shape[0], 1, 1))
    return found, truth
