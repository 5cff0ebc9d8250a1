"""The runs of a sweep in MLflow: one writer for all workers, a parent for the sweep, and never a reason to stop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from vadbench.config.schema import RunConfig
from vadbench.sweep.sweep_folder import SweepFolder


class SweepMirror:
    """Mirrors runs as they are completed. After a first failure it stays quiet; ``sync`` brings the rest.

    Attributes
    ----------
    mirrored: the store in which the whole sweep is, as the sweep's record says; None if it is not there.
    """

    def __init__(self, folder: SweepFolder, config: RunConfig, results: Path) -> None:
        from vadbench.tracking.mlflow_mirror import tracking_uri

        self._config = config.tracking
        self._results = results
        self._sweep = folder.id
        self._uri = tracking_uri(config.tracking, results)
        self._put: set[Path] = set()
        self._failed = config.tracking.name == "none"
        record = folder.read()
        self.mirrored: str | None = record.get("mirrored")
        self._known = {p["fingerprint"] for p in record.get("points", []) if p["state"] == "complete"}

    def put(self, folders: Sequence[Path]) -> None:
        """Mirror the complete runs among ``folders`` that this start has not mirrored yet."""
        from vadbench.tracking.mlflow_mirror import opened

        new = [folder for folder in folders if folder not in self._put]
        if self._failed or not new:
            return
        with opened(self._config, self._results) as mirror:
            if mirror is None:
                self._failed = True
                return
            self._failed = not mirror.put_all(new, self._sweep, self._config.run_name)
            self._put.update(new)

    def finish(self, folders: Sequence[Path], states: Mapping[str, int], words: Sequence[str]) -> None:
        """Mirror what is left, failures too, and close the sweep; does nothing if all of it is there already."""
        from vadbench.tracking.mlflow_mirror import opened

        done = {folder.name for folder in folders}
        if self._config.name == "none" or (
            self.mirrored == self._uri and set(states) <= {"complete"} and done <= self._known and not self._put
        ):
            return
        self.put(folders)
        if self._failed:
            self.mirrored = None
            return
        with opened(self._config, self._results) as mirror:
            if mirror is not None:
                mirror.close_sweep(self._sweep, states, " ".join(words))
                self.mirrored = self._uri
