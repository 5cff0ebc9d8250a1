"""Which passes over the videos a sweep needs: layers of one backbone share a pass, everything else has its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vadbench.data.video import Dataset, Video
from vadbench.models.base import Extractor, source_of
from vadbench.models.baselines import from_frames
from vadbench.models.clips.extractor import ClipExtractor
from vadbench.store.key import digest
from vadbench.sweep.inventory import Item


@dataclass(frozen=True)
class Pass:
    """One extractor over the videos of one data set.

    Attributes
    ----------
    videos: those that it is run on.
    outputs: names of what it makes, for people.
    """

    extractor: Extractor
    videos: tuple[Video, ...]
    outputs: tuple[str, ...]

    @property
    def frames(self) -> int:
        """Frames that it reads."""
        return sum(video.n_frames for video in self.videos)


def passes(items: Sequence[Item]) -> list[Pass]:
    """The fewest passes that make all features of ``items``, in the order in which they are first needed."""
    found: dict[str, Pass] = {}
    for dataset, group in _by_dataset(items):
        on_the_way = set()
        for extractor in _joined([item for item in group if item.extractor is not None]):
            source, outputs = source_of(extractor), extractor.outputs()
            on_the_way.add(digest(source.outputs() if source is not None else None))
            if not outputs:
                continue
            videos = (*dataset.train, *dataset.test)
            found.setdefault(digest([_key(dataset), outputs]), Pass(extractor, videos, tuple(outputs)))
        if any(getattr(item.point.config.model, "evaluator", True) for item in group):
            labelled = tuple(video for video in dataset.test if video.labels is not None)
            for extractor in [baseline.extractor for baseline in from_frames() if labelled]:
                outputs = extractor.outputs()
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
    """What tells the videos of one data set from those of another."""
    return digest([[v.id, v.source.digest(), v.source.decoder] for v in (*dataset.train, *dataset.test)])


def _joined(items: Sequence[Item]) -> list[Extractor]:
    """The extractors of ``items``, those that differ in the layer only made one."""
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(_pass_key(item), []).append(item)
    joined: list[Extractor] = []
    for group in groups.values():
        single = {digest(item.extractor.outputs()): item.extractor for item in group if item.extractor is not None}
        together = _one_pass(group) if len(single) > 1 else None
        joined += [together] if together is not None else list(single.values())
    return joined


def _pass_key(item: Item) -> str:
    """What extractors must share to be tried in one pass."""
    extractor = item.extractor
    if not isinstance(extractor, ClipExtractor):
        return digest(extractor.outputs() if extractor is not None else None)
    clips = [vars(extractor.plan), extractor.pre_processor.spec(), extractor.short_videos]
    return digest([clips, item.point.config.seed, str(item.point.config.backbone)])


def _one_pass(group: Sequence[Item]) -> ClipExtractor | None:
    """One extractor for all layers of ``group``; None if it would not make exactly what the single ones make."""
    from vadbench.backbones import model_zoo

    first, config = group[0].extractor, group[0].point.config
    assert isinstance(first, ClipExtractor)
    assert config.backbone is not None
    specs: dict[str, object] = {}
    for item in group:
        assert item.extractor is not None
        specs.update(item.extractor.outputs())
    backbone = model_zoo.build(config.backbone, tuple(specs), config.seed, config.runtime.device)
    together = ClipExtractor(backbone, first.plan, first.pre_processor, first.batch_size, first.short_videos)
    assert group[0].dataset is not None
    together.prepare(group[0].dataset.train)
    # The specs are the cache keys: only if they agree is what one pass makes found by the single points.
    return together if together.outputs() == specs else None


def shares(videos: Sequence[Video], world: int) -> list[list[Video]]:
    """``videos`` split over ``world`` workers by number of frames: longest first, each to whoever has least so far."""
    parts: list[list[Video]] = [[] for _ in range(world)]
    loads = [0] * world
    for video in sorted(videos, key=lambda v: (-v.n_frames, v.id)):
        least = loads.index(min(loads))
        parts[least].append(video)
        loads[least] += video.n_frames
    return parts
