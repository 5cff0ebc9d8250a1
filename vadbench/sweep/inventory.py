"""What each point of a sweep needs and where it is kept: its data, its extractor, its run folder."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from vadbench.data.registry import load_dataset
from vadbench.data.video import Dataset
from vadbench.errors import VadbenchError
from vadbench.experiment.record import with_used_seed
from vadbench.experiment.run import prepare, run_folder
from vadbench.models.base import Detector, Extractor
from vadbench.runs.run_folder import RunFolder
from vadbench.sweep.points import Point

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Item:
    """A point with what it stands for.

    Attributes
    ----------
    dataset, extractor, folder, detector: None if the point can't be run.
    fault: why it can't be run, or an empty string.
    """

    point: Point
    dataset: Dataset | None = None
    extractor: Extractor | None = None
    folder: RunFolder | None = None
    fault: str = ""
    detector: Detector | None = None

    @property
    def fingerprint(self) -> str | None:
        """The key of the run, None if the point can't be run."""
        return self.folder.path.name if self.folder else None


class Inventory:
    """Loads each dataset once, however many points use it."""

    def __init__(self) -> None:
        self._datasets: dict[str, Dataset] = {}

    def dataset(self, point: Point) -> Dataset:
        """Return the dataset of a point."""
        key = json.dumps(asdict(point.config.dataset), sort_keys=True, default=str)
        if key not in self._datasets:
            self._datasets[key] = load_dataset(point.config.dataset)
        return self._datasets[key]

    def item(self, point: Point) -> Item:
        """Return a point with its data, extractor and folder, or with the reason why there are none."""
        try:
            dataset, detector = prepare(point.config, self.dataset(point))
            folder = run_folder(point.config, dataset, detector)
            point = replace(point, config=with_used_seed(point.config, detector))
        except VadbenchError as error:
            return Item(point, fault=str(error))
        except Exception as error:  # a fault of the program at one point must not keep the others from running
            log.error("%s", point.label, exc_info=True)
            return Item(point, fault=f"{type(error).__name__}: {error}")
        return Item(point, dataset, detector.extractor, folder, detector=detector)

    def items(self, points: Sequence[Point]) -> list[Item]:
        """All points; those with the same fingerprint are one run."""
        return [self.item(point) for point in points]
