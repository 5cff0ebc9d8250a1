"""Dense flow between neighbouring frames, computed once a video for all that use it: flow features and a baseline.

A flow field takes 8 bytes a pixel, so what is kept of it is what is read: the maps that the backbone flow_grid makes
clips of, and the percentile of the speed in each frame.

Shape legend: T frames, K directions, h w grid of cells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from vadbench.backbones import model_zoo
from vadbench.backbones.flow_grid import FlowGrid
from vadbench.data.readers.prefetch import prefetch
from vadbench.data.video import Video
from vadbench.models.base import Features, joined

PERCENTILE = 99.5


class FlowMaps:
    """DIS flow from each frame, as it is, to the next: output "flow" with ``maps`` and ``speed``.

    ``maps``: ``float32 (T, K, h, w)``, those of the bank. ``speed``: ``float64 (T,)``, the 99.5th percentile (linear
    between pixels) of √(u² + v²) over the pixels of a frame, in pixels a frame. Frame 0 has no frame before it: its map
    is NaN and its speed that of frame 1 (0 in a video of one frame).

    bank: its preset, cells and directions; None takes those of ``backbone=flow_grid``.
    """

    def __init__(self, bank: FlowGrid | None = None) -> None:
        self.bank = bank or FlowGrid(model_zoo.load_config("flow_grid").options)

    def prepare(self, train: Sequence[Video]) -> None:
        """Nothing to prepare."""

    def outputs(self) -> dict[str, dict[str, Any]]:
        """One output."""
        spec = {"extractor": "flow_maps/1", "backbone": self.bank.spec(self.bank.layers[0]), "percentile": PERCENTILE}
        return {"flow": spec}

    def extract(self, video: Video, wanted: Sequence[str], have: Mapping[str, Features]) -> dict[str, Features]:
        """Compute the flow of one video, in one pass."""
        return joined(self.pieces(video, wanted, have))

    def pieces(
        self, video: Video, wanted: Sequence[str], have: Mapping[str, Features]
    ) -> Iterator[dict[str, Features]]:
        """Yield what :meth:`extract` returns, frame by frame; two frames are held at a time."""
        watcher = self.watcher()
        for frame in prefetch(video.frames()):
            watcher.see(frame)
            yield from watcher.taken()
        yield from watcher.taken(last=True)

    def watcher(self) -> _Watcher:
        """Return what makes the flow of a video from its frames as they go by."""
        return _Watcher(self.bank)


class _Watcher:
    def __init__(self, bank: FlowGrid) -> None:
        self._bank = bank
        self._before: np.ndarray | None = None
        self._pieces: list[tuple[np.ndarray, float | None]] = []  # of frame 0 the speed is that of frame 1

    def see(self, frame: np.ndarray) -> None:
        grey = self._bank.grey(frame)
        if self._before is None:
            self._pieces.append((self._bank.no_map(grey.shape), None))
        else:
            flow = self._bank.flow(grey, self._before)
            speed = float(np.percentile(np.hypot(flow[..., 0], flow[..., 1]), PERCENTILE))
            self._pieces.append((self._bank.pooled(flow), speed))
        self._before = grey

    def taken(self, last: bool = False) -> Iterator[dict[str, Features]]:
        """Yield, and forget, what is known by now."""
        if len(self._pieces) == 1 and self._pieces[0][1] is None and not last:
            return
        following = self._pieces[1][1] if len(self._pieces) > 1 else 0.0
        for maps, speed in self._pieces:
            known = np.array([following if speed is None else speed], dtype=np.float64)
            yield {"flow": {"maps": maps[None].astype(np.float32, copy=False), "speed": known}}
        self._pieces = []

    def features(self) -> dict[str, Features]:
        return joined(self.taken(last=True))
