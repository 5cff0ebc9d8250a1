"""Connected anomalous regions of masks: in each frame apart (2-D), or through time (3-D), a frame at a time.

Shape legend: T frames, H W pixels.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from scipy import ndimage

from vadbench.errors import one_of

Components = Literal["2d", "3d"]
"""8-connected regions of each frame, or 26-connected regions of the whole video."""

_EIGHT = np.ones((3, 3), dtype=np.int8)


class RegionLabels:
    """Numbers the regions of one video's masks while they come in, frame after frame.

    Regions of successive frames that touch (26-connectivity) are the same region if ``components`` is ``"3d"``; which
    numbers belong together is known at the end of the video only, so :meth:`roots` is asked then.
    """

    def __init__(self, components: Components) -> None:
        self._linked = one_of("components", components, get_args(Components)) == "3d"
        self._parent: list[int] = []
        self._previous: np.ndarray | None = None

    def add(self, mask: np.ndarray) -> tuple[np.ndarray, tuple[slice, slice]]:
        """Provisional region numbers (from 1; 0 is normal) inside the returned window of the next frame.

        ``mask (H, W) bool``. The window is the bounding box of the anomaly, empty if there is none.
        """
        window = _bounds(mask)
        numbers, count = ndimage.label(mask[window], structure=_EIGHT)
        numbers = np.where(numbers > 0, numbers.astype(np.int64) + len(self._parent), 0)
        self._parent.extend(range(len(self._parent), len(self._parent) + count))
        if self._linked:
            self._link(numbers, window, mask.shape)
        return numbers, window

    def roots(self) -> np.ndarray:
        """Return ``(number of provisional numbers + 1,) int64``: provisional number to the region's final number."""
        return np.array([0] + [self._find(i) + 1 for i in range(len(self._parent))], dtype=np.int64)

    def _link(self, numbers: np.ndarray, window: tuple[slice, slice], shape: tuple[int, ...]) -> None:
        """Join the regions of this frame with those of the last frame that they touch."""
        if self._previous is not None and numbers.any():
            rows, columns = window
            pairs = []
            for dy in range(3):
                for dx in range(3):
                    moved = self._previous[rows.start + dy : rows.stop + dy, columns.start + dx : columns.stop + dx]
                    both = (numbers > 0) & (moved > 0)
                    pairs.append(numbers[both] * (1 << 32) + moved[both])
            for pair in np.unique(np.concatenate(pairs)).tolist():
                self._join((pair >> 32) - 1, (pair & 0xFFFFFFFF) - 1)
        self._previous = None
        if numbers.any():
            # One cell of border, so that a shift by one never leaves the array.
            self._previous = np.zeros((shape[0] + 2, shape[1] + 2), dtype=np.int64)
            self._previous[1:-1, 1:-1][window] = numbers

    def _find(self, i: int) -> int:
        while self._parent[i] != i:
            self._parent[i] = self._parent[self._parent[i]]
            i = self._parent[i]
        return i

    def _join(self, a: int, b: int) -> None:
        a, b = self._find(a), self._find(b)
        self._parent[max(a, b)] = min(a, b)


def _bounds(mask: np.ndarray) -> tuple[slice, slice]:
    """Return the bounding box of True, empty if there is none."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not rows.size:
        return slice(0, 0), slice(0, 0)
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
