"""One run: load, extract, fit, score, evaluate, draw, record, track. The only module that sees the whole."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from vadbench import registry
from vadbench.backbones.imports import torch_device
from vadbench.config.schema import RunConfig
from vadbench.data.alike import sizes
from vadbench.data.registry import all_warnings, dataset_digest, label_digest, load_dataset
from vadbench.data.video import Dataset
from vadbench.errors import ConfigError, DataError, StoreError, VadbenchError
from vadbench.evaluation.own_objects import has_spec, identity
from vadbench.evaluation.protocols.protocol import effective
from vadbench.experiment.allocator import release_freed_memory
from vadbench.experiment.evaluate_run import assess, assess_scenes
from vadbench.experiment.fit_and_score import Scored, maps_on_disk, score_dataset, timed
from vadbench.experiment.record import (
    assumed_clips,
    caveats,
    coverage,
    describe_dataset,
    described,
    fingerprint,
    machine,
    names,
    plugins,
    provenance,
    ran,
    result_versions,
    score_table,
    weights,
    with_used_seed,
)
from vadbench.experiment.run_log import logged_into
from vadbench.files import is_full, require_writable, unwritable
from vadbench.models.base import Detector, specs_of, takes
from vadbench.models.baselines import from_frames
from vadbench.models.registry import build
from vadbench.runs.provenance import differences, forget_peak_memory, now, peak_memory_mb, same_source, source_version
from vadbench.runs.run_folder import RunFolder, plain
from vadbench.store.features import FeatureStore
from vadbench.untrusted import component, require_plain

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunResult:
    """Where a run is, what it recorded, and whether it was there already."""

    folder: RunFolder
    record: dict[str, Any]
    existed: bool


def run(
    config: RunConfig,
    overrides: list[str] | None = None,
    sweep: str | None = None,
    dataset: Dataset | None = None,
    *,
    post_processor: Any = None,
    evaluator: Any = None,
    visualizer: Any = None,
) -> RunResult:
    """Run what ``config`` describes, or return the complete run that is there already.

    Everything that can be wrong with the configuration or the data is raised before any work.

    Parameters
    ----------
    overrides: what ``config`` was composed from, for the record. sweep: id of the sweep that the run belongs to, for
        tracking.
    dataset: takes the place of ``config.dataset``: one that was loaded already, or one made in Python. The record, the
        key and the folder are those of the dataset that was used.
    post_processor: ``f(scores) -> scores``, both video id to ``float64 (T,)``; it stands in for the protocol.
    evaluator: ``f(scores, labels) -> metrics``, of the labelled test videos (labels ``bool (T,)``); metrics are name to
        number, or to an entry as in run.json.
    visualizer: ``f(videos, scores, folder)``, the test videos, their ``VideoScores`` and the folder to draw into.

    The last three: None for what ``config.model`` says, True, False, or an object that can be called. An object is part
    of the record and, but for the visualizer, which changes no number, of the key. If it has a method ``spec()`` that
    returns, JSON-able, everything that its result depends on, a complete run with the same one is returned; without it
    nobody can tell whether the object is the same, so the run is recomputed. So it is with a visualizer, which is there
    to be called::

        def share(scores, labels):
            return {"share_above_half": np.mean([(s > 0.5).mean() for s in scores.values()])}

        run(compose(["model=position", "dataset=synthetic"]), evaluator=share).record["metrics"]
    """
    started = time.perf_counter()
    release_freed_memory()  # what an earlier run of this process freed is no part of this one
    forget_peak_memory()
    check_device(config.runtime.device)
    given = {"post_processor": post_processor, "evaluator": evaluator, "visualizer": visualizer}
    switches = {part: thing for part, thing in given.items() if isinstance(thing, bool)}
    own = {part: thing for part, thing in given.items() if thing is not None and part not in switches}
    objects = {part: identity(part, thing) for part, thing in own.items()}
    model: Any = config.model
    config = replace(config, model=replace(model, **switches))
    if dataset is not None and dataset.loaded_from is not None:
        config = replace(config, dataset=dataset.loaded_from)
    dataset, detector = prepare(config, dataset)
    for part, thing in own.items():
        setattr(detector, part, thing)
    given_seed, config = config.seed, with_used_seed(config, detector)
    if config.seed != given_seed:
        log.info("seed has no effect on model=%s, which draws nothing: this is its run of seed 0", config.model.name)
    folder = run_folder(config, dataset, detector, objects)
    again = "visualizer" in own or not all(has_spec(thing) for thing in own.values())
    try:
        require_writable(folder.path.parent)
    except StoreError as error:
        if again or not _serves(folder, config):
            raise
        log.warning("this run exists, and nothing can be added to it: %s", error)
        return _existing(folder, detector)
    with folder.lock():
        folder.clear_rerun()
        require_plain(folder.path)
        if _serves(folder, config) and not again:
            if differ := differences(folder.read()["provenance"], provenance(config, dataset)):
                log.warning("this run exists, %s", differ)
            update(config, dataset, detector, folder)
            return _existing(folder, detector)
        if folder.damage:
            log.warning("%s is recomputed: it is damaged: %s", folder.path, folder.damage)
        place = folder.rerun if folder.complete else folder
        with _recorded(place, folder):
            place.begin(_yaml(described(config, dataset, objects)), overrides or [])
            with logged_into(place.path):
                record = _work(config, dataset, detector, place.path, {"load": time.perf_counter() - started})
            place.finish({"fingerprint": folder.path.name, **record, **({"objects": objects} if objects else {})})
        if place is not folder:
            folder.replace()
    track(folder, config, sweep)
    return RunResult(folder, folder.read(), existed=False)


def _serves(folder: RunFolder, config: RunConfig) -> bool:
    """Whether the run is there and is not to be recomputed; VadbenchError for ``on_existing=error``."""
    if folder.complete and config.on_existing == "error":
        raise VadbenchError(f"this run exists: {folder.path}. on_existing=skip reuses it, rerun replaces it.")
    return folder.complete and config.on_existing != "rerun" and not other_source(config, folder)


def _existing(folder: RunFolder, detector: Detector) -> RunResult:
    """Return the run that is there; a warning says where its features are those of other engines."""
    record = folder.read()
    others = [mark for mark in record.get("engines", {}) if not takes(detector.extractor, mark)]
    if others:
        log.warning("%s made this run; on_existing=rerun recomputes it with the engine asked for", ", ".join(others))
    return RunResult(folder, record, existed=True)


def other_source(config: RunConfig, folder: RunFolder) -> bool:
    """Whether ``on_existing=same_code`` is to make a complete run again: another state of the source made it."""
    if config.on_existing != "same_code" or not folder.complete:
        return False
    return not same_source(folder.read().get("provenance", {}), source_version())


def check_device(name: str) -> None:
    """ConfigError where ``runtime.device=name`` is not on this machine, also for a method that would not use it."""
    if name not in ("auto", "cpu"):  # these are on every machine, and importing torch takes seconds
        torch_device(name)


def prepare(config: RunConfig, dataset: Dataset | None = None) -> tuple[Dataset, Detector]:
    """Return the dataset and the detector of ``config``; all that is wrong with either is raised here."""
    dataset = dataset or load_dataset(config.dataset)
    for split, videos in (("training", dataset.train), ("test", dataset.test)):
        if not videos:
            raise DataError(f"dataset {dataset.name}: it has no {split} videos. A run needs at least one.")
    if dataset.loaded_from is None:  # whatever it says of itself: nobody has compared it with the official split
        dataset = replace(dataset, comparable=False)
    detector = build(config, lambda: open_store(config))
    found = sizes(dataset) if getattr(detector, "needs_one_size", False) else None
    if found is not None:
        raise ConfigError(
            f"frames differ in size, and model={config.model.name} compares features place by place: {found}. "
            "Bring all to one size with backbone.size=[HEIGHT,WIDTH], or choose some (dataset.train_videos, "
            "dataset.test_videos)."
        )
    detector.extractor.prepare(dataset.train)
    return dataset, detector


def run_folder(
    config: RunConfig, dataset: Dataset, detector: Detector, objects: Mapping[str, Any] | None = None
) -> RunFolder:
    """Where the run of ``config`` on ``dataset`` is or will be; ``objects`` as in the record."""
    config = with_used_seed(config, detector)
    numbers = {part: said for part, said in (objects or {}).items() if part != "visualizer"}
    values, specs = described(config, dataset, numbers), specs_of(detector.extractor)
    digests = dataset_digest(dataset), label_digest(dataset)
    key = fingerprint(values, specs, *digests, result_versions(dataset, detector))
    return RunFolder(Path(config.results) / "runs" / component(dataset.name) / component(config.model.name) / key)


def open_store(config: RunConfig) -> FeatureStore:
    """Return the feature store of ``config``."""
    store = config.store
    path = store.path or Path(config.results) / "cache"
    max_bytes = None if store.max_gb is None else int(store.max_gb * 1e9)
    return FeatureStore(path, store.dtype, max_bytes, store.local, partial(machine, config))


def track(folder: RunFolder, config: RunConfig, sweep: str | None = None) -> None:
    """Mirror a complete run to MLflow; whatever goes wrong there is a warning and the run stays."""
    if config.tracking.name == "none":
        return
    from vadbench.tracking.mlflow_mirror import log_run

    log_run(folder.path, config.tracking, Path(config.results), sweep)


def _work(
    config: RunConfig, dataset: Dataset, detector: Detector, folder: Path, timings: dict[str, float]
) -> dict[str, Any]:
    """Do the work of one run and return its record."""
    remarks = assumed_clips(config)
    for remark in remarks:
        log.warning(remark)
    store = open_store(config)
    used = plugins(config)
    fitted = {part: said["digest"] for part, said in used.items() if part.startswith(("model ", "density "))}
    watching = [] if getattr(detector, "evaluator", True) is False else [b.extractor for b in from_frames()]
    keep = maps_on_disk(folder / "maps")
    before = decoded(dataset)
    scored = score_dataset(detector, dataset, store, keep, config.runtime.progress, watching, fitted)
    timings |= scored.timings
    write_scores(folder, dataset, scored)
    with timed(timings, "evaluate"):
        pixels = config.evaluation.pixels or "exact"
        options = {"regions_from_maps": config.regions_from_maps, "pixels": pixels}
        evaluation = assess(detector, dataset, scored, store, config.protocol, config.seed, **options)
        found = _write_evaluation(folder, evaluation)
        found["scenes"] = assess_scenes(detector, dataset, scored, config.protocol, config.seed)
    with timed(timings, "draw"):
        _draw(config, dataset, detector, scored, folder)
    frames = sum(v.n_frames for v in (*dataset.train, *dataset.test))
    extracted = timings["extract_train"] + timings["extract_test"]
    record = {
        "created": now(),
        "names": names(config, dataset, detector),
        "seed": config.seed,
        "uses_seed": getattr(detector, "uses_seed", None),
        "result_version": getattr(detector, "result_version", 1),
        "result_versions": result_versions(dataset, detector),
        "fit": scored.summary,
        "weights": weights(detector),
        "dataset": describe_dataset(dataset, dataset_digest(dataset), label_digest(dataset)),
        "coverage": coverage(scored.scores),
        **found,
        "timings": {name: round(seconds, 3) for name, seconds in timings.items()},
        "frames_per_second": round(frames / extracted, 2) if store.counts.misses else None,
        "store": asdict(store.counts),
        "frames_decoded": decoded(dataset) - before,
        **ran(detector, config.runtime.device),
        "peak_memory_mb": round(peak_memory_mb(), 1),
        "provenance": provenance(config, dataset),
    }
    if used:
        record["plugins"] = used
    if scored.engines:
        record["engines"] = scored.engines
    remarks += getattr(detector.extractor, "remarks", [])
    return record | {"warnings": [*caveats(record), *remarks, *all_warnings(dataset)]}


def decoded(dataset: Dataset) -> int:
    """Return how many frames of the dataset were read in this process so far."""
    return sum(video.decoded.frames for video in (*dataset.train, *dataset.test))


def write_scores(folder: Path, dataset: Dataset, scored: Scored) -> None:
    """scores.parquet, and regions.parquet where the method has regions."""
    import pandas as pd

    score_table(dataset.test, scored.scores).to_parquet(folder / "scores.parquet", index=False)
    regions = [r.regions.assign(video=r.video) for r in scored.scores if r.regions is not None]
    if regions:
        table = pd.concat(regions, ignore_index=True)
        table[["video", *(c for c in table if c != "video")]].to_parquet(folder / "regions.parquet", index=False)


def _write_evaluation(folder: Path, evaluation: Any) -> dict[str, Any]:
    """per_video.parquet and the protocol card; returns what of the evaluation goes into the record."""
    if evaluation is None:
        return {"metrics": {}, "baselines": {}}
    if isinstance(evaluation, dict):  # an evaluator of the user's own
        return {"metrics": evaluation, "baselines": {}}
    from vadbench.evaluation.protocols.card import format_card

    evaluation.per_video.to_parquet(folder / "per_video.parquet", index=False)
    (folder / "card.json").write_text(json.dumps(plain(evaluation.card), indent=1))
    (folder / "card.txt").write_text(format_card(evaluation.card) + "\n")
    how = {"pixels": evaluation.pixels} if evaluation.pixels else {}
    return {"metrics": evaluation.metrics, "baselines": evaluation.baselines, **how}


def _draw(config: RunConfig, dataset: Dataset, detector: Detector, scored: Scored, folder: Path) -> None:
    """Score curves and, where wanted, heat maps; the detector's ``visualizer`` switches it off or replaces it."""
    visualizer = getattr(detector, "visualizer", True)
    if visualizer is False:
        return
    pictures = folder / "pictures"
    pictures.mkdir(exist_ok=True)
    if callable(visualizer):
        visualizer(dataset.test, scored.scores, pictures)
        return
    from vadbench.report import curves

    title = f"{config.model.name} {config.backbone.name if config.backbone else ''} on {dataset.name}"
    curves.draw_curves(dataset.test, scored.scores, pictures, title)
    count = getattr(config.model, "heatmap_frames", 0)
    if count:
        peak = curves.hottest(scored.scores)
        for video, result in zip(dataset.test, scored.scores, strict=True):
            curves.draw_heatmaps(video, result, count, peak, pictures)


def update(config: RunConfig, dataset: Dataset, detector: Detector, folder: RunFolder) -> None:
    """Add what a complete run is asked for and does not have yet: heat maps, better pixel metrics, and metrics
    of plug-ins."""
    require_plain(folder.path)
    draw_missing(config, dataset, detector, folder.path)
    evaluated = getattr(detector, "evaluator", True) is True
    if evaluated:
        from vadbench.experiment.redraw import better_pixels

        wanted = config.evaluation.pixels or "exact"
        if better_pixels(folder, dataset, detector, open_store(config), wanted, config.seed):
            track(folder, config)
    if registry.outside("metric") and evaluated:
        from vadbench.experiment.redraw import add_metrics

        protocol = effective(config.protocol, getattr(detector, "post_processor", True))
        if add_metrics(folder, dataset, protocol, config.seed):
            track(folder, config)


def draw_missing(config: RunConfig, dataset: Dataset, detector: Detector, folder: Path) -> None:
    """Draw the heat maps that a complete run is asked for and does not have yet."""
    count = getattr(config.model, "heatmap_frames", 0)
    if count and getattr(detector, "visualizer", True) is True:
        from vadbench.experiment.redraw import draw_missing_heatmaps

        draw_missing_heatmaps(folder, dataset, detector, open_store(config), count)


@contextmanager
def _recorded(place: RunFolder, folder: RunFolder) -> Iterator[None]:
    """Say in ``place`` how the work there ended if it did not finish, and what is left of a complete ``folder``."""
    try:
        yield
    except BaseException as error:
        stopped = isinstance(error, (KeyboardInterrupt, SystemExit))  # the latter is how a preempted Slurm task ends
        with suppress(OSError):  # a folder that can't be written is what the error is about
            place.end(*(["interrupted"] if stopped else ["failed", f"{type(error).__name__}: {error}"]))
        if place is not folder:
            log.error("the run was not replaced: the old result stays in %s, the log is in %s", folder.path, place.path)
        misplaced = isinstance(error, IsADirectoryError | NotADirectoryError)  # in the place of a file of the run
        if isinstance(error, OSError) and (misplaced or is_full(error)):
            raise unwritable(f"the run folder {place.path}", error) from error
        raise


def _yaml(values: Mapping[str, Any]) -> str:
    return yaml.safe_dump(json.loads(json.dumps(values)), sort_keys=False)
