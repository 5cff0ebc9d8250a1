"""``plan -m OVERRIDES``: what a sweep would extract, fit and skip, and how long that should take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from vadbench.data.video import Video
from vadbench.experiment.run import open_store
from vadbench.models.base import Extractor, source_of, specs_of
from vadbench.store.features import FeatureStore
from vadbench.sweep.estimate import Experience, as_text, total
from vadbench.sweep.multirun import Sweep
from vadbench.sweep.passes import Pass, passes
from vadbench.sweep.points import expand

USAGE = """\
python -m vadbench plan -m OVERRIDES    the overrides of a sweep, as after -m

Prints the unique passes over the videos, how many of their features are stored already, how many points there are and
how many of them are complete, and the expected time where earlier runs tell it.
"""


@dataclass(frozen=True)
class PlannedPass:
    """One pass: what it makes, and what of it is missing."""

    one: Pass
    missing: tuple[Video, ...]
    seconds: float | None

    @property
    def missing_frames(self) -> int:
        """Frames still to be read."""
        return sum(video.n_frames for video in self.missing)


@dataclass(frozen=True)
class Plan:
    """What a sweep stands for.

    Attributes
    ----------
    points: points of the grid. states: runs by state (points with one fingerprint are one run).
    todo: runs that would be done.
    faults: label and reason of points that can't be run.
    seconds: expected time of the whole on one process, or None.
    """

    points: int
    states: dict[str, int]
    todo: int
    passes: tuple[PlannedPass, ...]
    point_seconds: float | None
    seconds: float | None
    faults: tuple[tuple[str, str], ...]


def make_plan(words: Sequence[str]) -> Plan:
    """Return the plan of the grid ``words``; reads data and hashes it, extracts and fits nothing."""
    sweep = Sweep(words, expand(words))
    store = open_store(sweep.config)
    todo = sweep.todo()
    experience = Experience(store.root, sweep.results)
    planned = tuple(_planned(one, store, experience) for one in passes(todo))
    each = total([experience.point(item.dataset.name, item.point.config.model.name) for item in todo if item.dataset])
    return Plan(
        points=len(sweep.items),
        states=dict(Counter(sweep.state(item) for item in sweep.unique)),
        todo=len(todo),
        passes=planned,
        point_seconds=None if each is None or not todo else each / len(todo),
        seconds=total([each, *(one.seconds for one in planned)]) if todo else 0.0,
        faults=tuple((item.point.label, item.fault) for item in sweep.unique if item.fault),
    )


def run(argv: Sequence[str]) -> int:
    """``plan -m OVERRIDES``: print the plan; 0, or 1 if a point can't be run."""
    words = [word for word in argv if word not in ("-m", "--multirun")]
    if not words or words[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0
    plan = make_plan(words)
    print(format_plan(plan))
    return 1 if plan.faults else 0


def format_plan(plan: Plan) -> str:
    """Return the plan as text."""
    runs = sum(plan.states.values())
    same = "" if runs == plan.points else f" ({plan.points - runs} are the same run as another)"
    states = ", ".join(f"{count} {state}" for state, count in sorted(plan.states.items()))
    lines = [f"{plan.points} points, {runs} runs{same}: {states}", f"to do: {plan.todo} fits"]
    lines.append(f"to extract: {sum(bool(one.missing) for one in plan.passes)} passes of {len(plan.passes)}")
    for one in plan.passes:
        videos = len(one.one.videos)
        need = f"{len(one.missing)} of {videos} videos ({one.missing_frames} frames), {as_text(one.seconds)}"
        lines.append(f"  {', '.join(one.one.outputs)}: {need if one.missing else f'all {videos} videos are stored'}")
    if plan.todo:
        lines.append(f"a fit: {as_text(plan.point_seconds)}")
        lines.append(f"expected on one process: {as_text(plan.seconds)}")
    lines += [f"can't run: {label}: {reason}" for label, reason in plan.faults]
    return "\n".join(lines)


def _planned(one: Pass, store: FeatureStore, experience: Experience) -> PlannedPass:
    missing = tuple(video for video in one.videos if not _stored(one.extractor, video, store))
    seconds = _seconds(one.extractor, missing, experience)
    source = source_of(one.extractor)
    if source is not None:
        first = [video for video in missing if not _stored(source, video, store)]
        seconds = total([seconds, _seconds(source, first, experience)])
    return PlannedPass(one, missing, seconds)


def _seconds(extractor: Extractor, videos: Sequence[Video], experience: Experience) -> float | None:
    frames = sum(video.n_frames for video in videos)
    return experience.extraction(specs_of(extractor), frames) if videos else 0.0


def _stored(extractor: Extractor, video: Video, store: FeatureStore) -> bool:
    return all(store.has(extractor, video).values())
