"""Which video a label file means: by its name, with or without suffix, however the name was written down."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from pathlib import Path

from vadbench.errors import DataError, nearest


def plain(name: str) -> str:
    """``name`` with composed letters: file systems and editors write the same one differently."""
    return unicodedata.normalize("NFC", name)


class Names:
    """The videos of a folder by what label files call them.

    A video is called by its id, by its file name (``door.mp4``), or, where ids are numbers, by that number without
    leading zeros (spreadsheets drop them).
    """

    def __init__(self, train: Mapping[str, Path], test: Mapping[str, Path]) -> None:
        self._train, self._test = train, test

    def find(self, given: str, where: str) -> str | None:
        """Return the id of the test video called ``given``, None for a training video; DataError with the nearest
        names."""
        for videos in (self._test, self._train):
            found = _called(plain(given.strip()), videos)
            if len(found) > 1:
                raise DataError(f"{where}: {given!r} may be {' or '.join(found)}; write the name in full.")
            if found:
                return found[0] if videos is self._test else None
        raise DataError(f"{where}: there is no test video {given!r}. {nearest(given, self._test)}")


def _called(given: str, videos: Mapping[str, Path]) -> list[str]:
    if given in videos:
        return [given]
    by_file = [video for video, path in videos.items() if plain(path.name) == given]
    if by_file or not given.isdecimal():
        return by_file
    return [video for video in videos if video.isdecimal() and int(video) == int(given)]


def training_video(where: str, given: str) -> DataError:
    """Return the error for an anomaly in a training video."""
    return DataError(
        f"{where}: {given!r} is a training video, and those are normal by definition. Move the video to test/, or "
        "remove what marks it as anomalous."
    )
