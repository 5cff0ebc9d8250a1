"""Features that come in pieces: the same entry to the byte, the memory of one piece, nothing left after a fault."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from tests.unit.store.stand_in import Rows, video
from vadbench.data.video import Video
from vadbench.errors import StoreError
from vadbench.models.base import joined
from vadbench.store import FeatureStore, MemoryStore
from vadbench.store.entry import entries
from vadbench.store.spool import spool


class InPieces(Rows):
    """``Rows`` of several dimensions, a few at a time."""

    def __init__(self, n: int = 10, row: tuple[int, ...] = (3, 2), size: int = 4, scale: float = 1.0) -> None:
        super().__init__({"a": scale})
        self.n, self.row, self.size = n, row, size

    def pieces(self, video, wanted, have):
        draw = np.random.default_rng(0)
        for start in range(0, self.n, self.size):
            count = min(self.size, self.n - start)
            features = draw.normal(size=(count, *self.row)).astype(np.float32) * np.float32(self.gains["a"])
            yield {"a": {"features": features, "starts": np.arange(start, start + count)}}

    def extract(self, video, wanted, have):
        return joined(self.pieces(video, wanted, have))


class Whole(InPieces):
    pieces = None

    def extract(self, video, wanted, have):
        return joined(InPieces.pieces(self, video, wanted, have))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("scale", [1.0, 1e6])  # 1e6 overflows float16, in some pieces only
def test_an_entry_is_the_same_to_the_byte_whether_it_came_in_pieces_or_whole(tmp_path, dtype, scale):
    files = []
    for name, kind in (("pieces", InPieces), ("whole", Whole)):
        store = FeatureStore(tmp_path / name, dtype)
        store.get(kind(scale=scale), video())
        (entry,) = entries(store.root)
        files.append((entry.key, entry.data.read_bytes(), entry.note()["arrays"], entry.note().get("kept_float32")))
    assert files[0] == files[1]
    memory = MemoryStore(dtype).get(InPieces(scale=scale), video())["a"]
    stored = store.get(Whole(scale=scale), video())["a"]
    for name in ("features", "starts"):
        assert stored[name].dtype == memory[name].dtype
        np.testing.assert_array_equal(stored[name], memory[name])


def _peak(root: Path, n: int) -> int:
    extractor, clip = InPieces(n=n, row=(64, 64)), video()
    tracemalloc.start()
    FeatureStore(root).get(extractor, clip)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_the_number_of_pieces(tmp_path):
    short, long = _peak(tmp_path / "short", 64), _peak(tmp_path / "long", 8 * 64)
    assert long <= 1.05 * short
    assert long < 64 * 64 * 64 * 4  # less than the features of the short video


def test_a_fault_in_the_middle_leaves_nothing(tmp_path):
    class Failing(InPieces):
        def pieces(self, video: Video, wanted, have):
            yield from list(super().pieces(video, wanted, have))[:1]
            raise RuntimeError("a damaged frame")

    store = FeatureStore(tmp_path)
    with pytest.raises(RuntimeError, match="a damaged frame"):
        store.get(Failing(), video())
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"] == []


def test_a_full_disk_while_pieces_come_says_so(tmp_path, monkeypatch):
    def full(self, piece):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vadbench.store.spool.Spool.add", full)
    with pytest.raises(StoreError, match="is full"):
        FeatureStore(tmp_path).get(InPieces(), video())


def test_pieces_that_do_not_go_together_are_refused(tmp_path):
    with spool(tmp_path) as spooled:
        spooled.add({"a": {"features": np.zeros((1, 3), np.float32)}})
        with pytest.raises(ValueError, match="does not go on"):
            spooled.add({"a": {"features": np.zeros((1, 4), np.float32)}})
        with pytest.raises(ValueError, match="does not go on"):
            spooled.add({"a": {"features": np.zeros((1, 3), np.float64)}})
