"""One run: load, extract, fit, score, evaluate, draw, record, track. The only module that sees the whole."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from vadbench import registry
from vadbench.backbones.imports import torch_device
from vadbench.config.schema import RunConfig
from vadbench.data.alike import sizes
from vadbench.data.registry import all_warnings, dataset_digest, label_digest, load_dataset
from vadbench.data.video import Dataset
from vadbench.errors import ConfigError, VadbenchError
from vadbench.evaluation.own_objects import has_spec, identity
from vadbench.evaluation.protocols.protocol import effective
from vadbench.experiment.evaluate_run import assess, assess_scenes
from vadbench.experiment.fit_and_score import Scored, maps_on_disk, score_dataset, timed
from vadbench.experiment.record import (
    assumed_clips,
    caveats,
    coverage,
    describe_dataset,
    described,
    fingerprint,
    names,
    plugins,
    ran,
    score_table,
    weights,
)
from vadbench.files import is_full, require_writable, unwritable
from vadbench.models.base import Detector, specs_of, takes
from vadbench.models.baselines import from_frames
from vadbench.models.registry import build
from vadbench.runs.provenance import forget_peak_memory, now, peak_memory_mb, source_version
from vadbench.runs.run_folder import RunFolder, plain
from vadbench.store.features import FeatureStore

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
    folder = run_folder(config, dataset, detector, objects)
    require_writable(folder.path.parent)
    again = "visualizer" in own or not all(has_spec(thing) for thing in own.values())
    with folder.lock():
        if folder.complete and config.on_existing == "error":
            raise VadbenchError(f"this run exists: {folder.path}. on_existing=skip reuses it, rerun replaces it.")
        if folder.complete and config.on_existing == "skip" and not again:
            update(config, dataset, detector, folder)
            record = folder.read()
            others = [mark for mark in record.get("engines", {}) if not takes(detector.extractor, mark)]
            if others:
                log.warning(
                    "%s made this run; on_existing=rerun recomputes it with the engine asked for", ", ".join(others)
                )
            return RunResult(folder, record, existed=True)
        with _recorded(folder):
            folder.begin(_yaml(described(config, dataset, objects)), overrides or [])
            _log_into(folder.path)
            record = _work(config, dataset, detector, folder.path, {"load": time.perf_counter() - started})
            folder.finish(record | ({"objects": objects} if objects else {}))
    track(folder, config, sweep)
    return RunResult(folder, folder.read(), existed=False)


def check_device(name: str) -> None:
    """ConfigError where ``runtime.device=name`` is not on this machine, also for a method that would not use it."""
    if name not in ("auto", "cpu"):  # these are on every machine, and importing torch takes seconds
        torch_device(name)


def prepare(config: RunConfig, dataset: Dataset | None = None) -> tuple[Dataset, Detector]:
    """Return the dataset and the detector of ``config``; all that is wrong with either is raised here."""
    dataset = dataset or load_dataset(config.dataset)
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
    numbers = {part: said for part, said in (objects or {}).items() if part != "visualizer"}
    specs: dict[str, Any] = dict(specs_of(detector.extractor))
    version = getattr(detector, "result_version", 1)
    if version > 1:
        specs["result_version"] = version
    values = described(config, dataset, numbers)
    key = fingerprint(values, specs, dataset_digest(dataset), label_digest(dataset))
    return RunFolder(Path(config.results) / "runs" / dataset.name / config.model.name / key)


def open_store(config: RunConfig) -> FeatureStore:
    """Return the feature store of ``config``."""
    store = config.store
    path = store.path or Path(config.results) / "cache"
    max_bytes = None if store.max_gb is None else int(store.max_gb * 1e9)
    return FeatureStore(path, store.dtype, max_bytes, store.local)


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
        "fingerprint": folder.name,
        "created": now(),
        "names": names(config, dataset, detector),
        "seed": config.seed,
        "uses_seed": getattr(detector, "uses_seed", None),
        "result_version": getattr(detector, "result_version", 1),
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
        "provenance": source_version(),
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
def _recorded(folder: RunFolder) -> Iterator[None]:
    """Say in the folder how a run ended if it did not finish, and close its log."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):  # the latter is how a preempted Slurm task ends
        folder.end("interrupted")
        raise
    except BaseException as error:
        _log_traceback(error)
        with suppress(OSError):  # a folder that can't be written is what the error is about
            folder.end("failed", f"{type(error).__name__}: {error}")
        if isinstance(error, OSError) and is_full(error):
            raise unwritable(f"the run folder {folder.path}", error) from error
        raise
    finally:
        for handler in _run_logs():
            logging.getLogger().removeHandler(handler)
            with suppress(OSError):
                handler.close()


class _RunLog(logging.FileHandler):
    """The log of one run, log.txt in its folder; where the disk is full, that is said once and by the run itself."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Nothing: logging would print a traceback to the terminal."""


def _run_logs() -> list[_RunLog]:
    return [handler for handler in logging.getLogger().handlers if isinstance(handler, _RunLog)]


def _log_traceback(error: BaseException) -> None:
    """Into log.txt only: whoever catches the error says on the terminal what is wrong."""
    cause = (type(error), error, error.__traceback__)
    record = log.makeRecord(log.name, logging.ERROR, __file__, 0, "failed", (), cause)
    for handler in _run_logs():
        handler.handle(record)


def _log_into(folder: Path) -> None:
    handler = _RunLog(folder / "log.txt", mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)


def _yaml(values: Mapping[str, Any]) -> str:
    return yaml.safe_dump(json.loads(json.dumps(values)), sort_keys=False)
