"""Files of weights: where they may lie on this machine, whether they are whole, and fetching them. No torch here."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from vadbench import files
from vadbench.errors import WeightsError
from vadbench.files import cache_folder, fetching, file_state, replacing

log = logging.getLogger(__name__)

FOLDER = "VADBENCH_WEIGHTS"


@dataclass(frozen=True)
class WeightsFile:
    """One file that a part of a configuration needs.

    Attributes
    ----------
    part: what it is for, such as "backbone (x3d_s)".
    asked: the override that asks for it, such as "backbone.weights=pretrained".
    name: file name in a weights folder.
    url: where the publisher has it; None for a file of the user's own.
    sha256: leading hex digits of its SHA-256 as the publisher gives them; None where none are given.
    megabytes: its size, about, as the publisher gives it or as the number of parameters makes it; None: not known.
    elsewhere: paths where it may lie beside the weights folders.
    without: how to do without it, for the message.
    instead: other files that serve the same purpose.
    """

    part: str
    asked: str
    name: str
    url: str | None = None
    sha256: str | None = None
    megabytes: float | None = None
    elsewhere: tuple[Path, ...] = ()
    without: str = ""
    instead: tuple[WeightsFile, ...] = ()

    def here(self) -> tuple[WeightsFile, Path | None]:
        """Return the first on this machine of this file and those instead of it, and its path; else itself and None."""
        for file in (self, *self.instead):
            places = [*(folder / file.name for folder in search_folders() if file.url), *file.elsewhere]
            for place in places:
                if place.is_file():
                    return file, place
        return self, None


def search_folders() -> list[Path]:
    """List the folders of weights: $VADBENCH_WEIGHTS, then torch's hub cache ($TORCH_HOME or ~/.cache/torch)."""
    hub = Path(os.environ.get("TORCH_HOME") or cache_folder() / "torch") / "hub" / "checkpoints"
    own = os.environ.get(FOLDER)
    return [Path(own).expanduser(), hub] if own else [hub]


def obtain(asked: WeightsFile) -> Path:
    """Return the path of a file that is here, or else fetched, checked against its digest.

    Raises
    ------
    WeightsError: it is unavailable, with where to put it; a digest that differs.
    """
    file, path = asked.here()
    if path is not None:
        checked_digest(path, file)
        return path
    folder = search_folders()[0]
    try:
        return fetch(file, folder)
    except OSError as error:
        raise WeightsError(
            f"{file.asked}: {file.part} needs the file {file.name}, which is on this machine in none of "
            f"{', '.join(str(f) for f in search_folders())} and can't be fetched ({reason(error)}).\n"
            f"  Fetch it where there is a network: {file.url}\n"
            f"  and put it here: {folder / file.name} (or into a folder that the variable {FOLDER} names).\n"
            "  All files that a run needs at once: python -m vadbench weights OVERRIDES --fetch --to FOLDER\n"
            f"  Without it: {file.without}"
        ) from error


def fetch(asked: WeightsFile, folder: Path, progress: bool = False) -> Path:
    """Download a file, or the first of those instead of it that is available, into ``folder``.

    Raises
    ------
    OSError: no network, no such file, no place. WeightsError: another digest than the publisher's.
    """
    try:
        return _download(asked, folder, progress)
    except OSError:
        for file in asked.instead:
            with suppress(OSError):
                return _download(file, folder, progress)
        raise


def _download(file: WeightsFile, folder: Path, progress: bool) -> Path:
    """Fetch ``file``, which appears only when it is whole and has the right digest."""
    from tqdm import tqdm

    assert file.url is not None
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file.name
    log.info("fetching %s to %s", file.url, path)
    with replacing(path) as sink, fetching(file.url) as incoming:
        shown = None if progress else True
        with tqdm(total=incoming.total, desc=file.name, unit="B", unit_scale=True, disable=shown) as bar:
            for block in incoming.blocks:
                sink.write(block)
                bar.update(len(block))
        if incoming.total not in (None, sink.tell()):
            raise OSError(f"{sink.tell()} of {incoming.total} bytes came")
        sink.flush()
        checked_digest(Path(sink.name), file)
    return path


def reason(error: OSError) -> str:
    """Return why a download failed, in one line."""
    return " ".join(str(getattr(error, "reason", None) or error).split())[:200] or type(error).__name__


def checked_digest(path: Path, file: WeightsFile) -> str:
    """SHA-256 of what lies at ``path``; WeightsError if the publisher's digest differs."""
    digest = digest_of(path)
    if file.sha256 is None and file.url is not None:
        log.info("the publisher gives no digest for %s; its SHA-256 is %s", file.name, digest)
    if not digest.startswith(file.sha256 or ""):
        assert file.sha256 is not None
        raise WeightsError(
            f"{path}: its SHA-256 begins with {digest[: min(12, len(file.sha256))]}, the publisher's file with "
            f"{file.sha256[:12]}. It is damaged or another file: remove it and run again, or fetch {file.url}"
        )
    return digest


def digest_of(path: Path) -> str:
    """Hex SHA-256 of a file, read once for one state of it, however many runs of a sweep ask."""
    return _digest(path, file_state(path))


@lru_cache(maxsize=32)
def _digest(file: Path, state: tuple[int, ...]) -> str:
    return files.digest_of(file)
