"""Outputs of an extractor that are made already: given to a store as they are, or checked as they come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vadbench.data.video import Video
from vadbench.errors import StoreError
from vadbench.models.base import Extractor, Features


class Made:
    """An extractor whose outputs for one video exist already."""

    def __init__(self, extractor: Extractor, made: Mapping[str, Features]) -> None:
        self.outputs = extractor.outputs
        self._made = made

    def prepare(self, train: Sequence[Video]) -> None:
        """Nothing to prepare."""

    def extract(self, video: Video, wanted: Sequence[str], have: Mapping[str, Features]) -> dict[str, Features]:
        return {name: self._made[name] for name in wanted}


def checked(made: Mapping[str, Features], wanted: list[str], video: Video) -> None:
    """StoreError if an extractor did not return what it was asked for."""
    absent = [name for name in wanted if name not in made]
    if absent:
        raise StoreError(
            f"The extractor returned {sorted(made)} for video {video.id}, but {absent} was asked for. "
            "extract() must return every output named in wanted."
        )
