"""Which passes over the videos a sweep needs: layers of one backbone share a pass, everything else has its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vadbench.data.video import Dataset, Video
from vadbench.models.base import Extractor, merged, source_of, specs_of
from vadbench.models.baselines import from_frames
from vadbench.store.key import digest
from vadbench.sweep.inventory import Item


@dataclass(frozen=True)
class Pass:
    """One extractor over the videos of one dataset.

    Attributes
    ----------
    videos: those that it is run on.
    watching: extractors that take their frames of the labelled test videos from this pass.
    outputs: names of what it makes, for people.
    """

    extractor: Extractor
    videos: tuple[Video, ...]
    outputs: tuple[str, ...]
    watching: tuple[Extractor, ...] = ()

    @property
    def frames(self) -> int:
        """Frames that it reads."""
        return sum(video.n_frames for video in self.videos)


def passes(items: Sequence[Item]) -> list[Pass]:
    """Return the fewest passes that make all features of ``items``, in the order in which they are first needed."""
    found: dict[str, Pass] = {}
    for dataset, group in _by_dataset(items):
        wanted = any(getattr(item.point.config.model, "evaluator", True) for item in group)
        baselines = [baseline.extractor for baseline in from_frames()] if wanted else []
        on_the_way = set()
        for extractor in _joined([item.extractor for item in group if item.extractor is not None]):
            source, outputs = source_of(extractor), specs_of(extractor)
            on_the_way.add(digest(specs_of(source) if source is not None else None))
            if not outputs:
                continue
            videos = (*dataset.train, *dataset.test)
            one = Pass(extractor, videos, tuple(outputs), tuple(baselines))
            found.setdefault(digest([_key(dataset), outputs]), one)
        labelled = tuple(video for video in dataset.test if video.labels is not None)
        for extractor in baselines if labelled else ():
            outputs = specs_of(extractor)
            if digest(outputs) not in on_the_way:
                found.setdefault(digest([_key(dataset), outputs]), Pass(extractor, labelled, tuple(outputs)))
    return list(found.values())


def _by_dataset(items: Sequence[Item]) -> list[tuple[Dataset, list[Item]]]:
    groups: dict[str, tuple[Dataset, list[Item]]] = {}
    for item in items:
        if item.dataset is not None:
            groups.setdefault(_key(item.dataset), (item.dataset, []))[1].append(item)
    return list(groups.values())


def _key(dataset: Dataset) -> str:
    """Return what tells the videos of one dataset from those of another."""
    return digest([[v.id, v.source.digest(), v.source.decoder] for v in (*dataset.train, *dataset.test)])


def _joined(extractors: Sequence[Extractor]) -> list[Extractor]:
    """``extractors`` without repetitions, those that can share a pass merged."""
    groups: list[list[Extractor]] = []
    for extractor in {digest(specs_of(each)): each for each in extractors}.values():
        group = next((group for group in groups if merged(group[0], [extractor]) is not None), None)
        if group is None:
            groups.append([extractor])
        else:
            group.append(extractor)
    return [merged(group[0], group[1:]) or group[0] for group in groups]


def shares(videos: Sequence[Video], world: int) -> list[list[Video]]:
    """``videos`` split over ``world`` workers by number of frames: longest first, each to whoever has least so far."""
    parts: list[list[Video]] = [[] for _ in range(world)]
    loads = [0] * world
    for video in sorted(videos, key=lambda v: (-v.n_frames, v.id)):
        least = loads.index(min(loads))
        parts[least].append(video)
        loads[least] += video.n_frames
    return parts
