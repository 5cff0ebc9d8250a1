"""One run: load, extract, fit, score, evaluate, record, track. The only module that sees the whole."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import yaml
from filelock import FileLock
from tqdm import tqdm

from vadbench.assess import labelled, with_masks
from vadbench.config import RunConfig
from vadbench.data.catalog import dataset_digest, label_digest, load_dataset
from vadbench.data.video import Dataset, Video
from vadbench.errors import VadbenchError
from vadbench.models.base import Detector, VideoScores
from vadbench.models.baselines import FrameDifferenceEnergy
from vadbench.models.catalog import build
from vadbench.models.frame_scores import ClipMaps
from vadbench.provenance import now, peak_memory_mb, source_version
from vadbench.record import caveats, coverage, describe_dataset, fingerprint, names, score_table, weights
from vadbench.run_folder import RunFolder
from vadbench.store.features import FeatureStore, MemoryStore, Store, keys_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunResult:
    """Where a run is, what it recorded, and whether it was there already."""

    folder: RunFolder
    record: dict[str, Any]
    existed: bool


@dataclass
class Scored:
    """Scores of every test video and what it took to make them."""

    scores: list[VideoScores]
    timings: dict[str, float]
    summary: dict[str, Any]


def run(config: RunConfig, overrides: list[str] | None = None, dataset: Dataset | None = None) -> RunResult:
    """Run what ``config`` describes, or return the complete run that is there already.

    Everything that can be wrong with the configuration or the data is raised before any work. ``dataset``: what
    ``config.dataset`` describes, if it is loaded already.
    """
    started = time.perf_counter()
    dataset = dataset or load_dataset(config.dataset)
    detector = build(config)
    detector.extractor.prepare(dataset.train)
    folder = run_folder(config, dataset, detector)
    folder.path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.path.with_suffix(".lock")):
        if folder.complete and config.on_existing != "rerun":
            if config.on_existing == "error":
                raise VadbenchError(f"this run exists: {folder.path}. on_existing=skip reuses it, rerun replaces it.")
            return RunResult(folder, folder.read(), existed=True)
        folder.begin(_yaml(config), overrides or [])
        with _recorded(folder):
            timings = {"load": time.perf_counter() - started}
            record = _run(config, dataset, detector, folder, timings)
            folder.finish(record)
    track(folder, config)
    return RunResult(folder, folder.read(), existed=False)


def run_folder(config: RunConfig, dataset: Dataset, detector: Detector) -> RunFolder:
    """Where the run of ``config`` is or will be."""
    key = fingerprint(asdict(config), detector.extractor.outputs(), dataset_digest(dataset), label_digest(dataset))
    return RunFolder(Path(config.results) / "runs" / dataset.name / config.model.name / key)


def open_store(config: RunConfig) -> FeatureStore:
    """The feature store of ``config``."""
    limit = None if config.store.max_gb is None else int(config.store.max_gb * 1e9)
    path = config.store.path or Path(config.results) / "cache"
    return FeatureStore(path, config.store.dtype, limit, config.store.local)


def score_dataset(
    detector: Detector,
    dataset: Dataset,
    store: Store | None = None,
    keep: Callable[[VideoScores], VideoScores] = lambda scores: scores,
    progress: str = "off",
) -> Scored:
    """Fit ``detector`` on the training videos and score every test video; usable without any configuration.

    ``keep`` may move what a video's scores hold out of memory before the next video is scored.
    """
    store = store or MemoryStore()
    timings: dict[str, float] = {}
    with _timed(timings, "extract_train"):
        train = {v.id: store.get(detector.extractor, v) for v in _bar(dataset.train, "train", progress)}
    with _timed(timings, "fit"):
        spec = {"fit": detector.fit_spec(), "dtype": store.dtype}
        spec["features"] = [keys_of(detector.extractor, v, store.dtype) for v in dataset.train]
        detector.fit(train, lambda name, make: store.derived(name, spec, make))
    scores = []
    extracting = store.counts.extract_s
    with _timed(timings, "score"):
        for video in _bar(dataset.test, "test", progress):
            result = detector.score(video, store.get(detector.extractor, video))
            _check(video, result)
            scores.append(keep(result))
    timings["extract_test"] = store.counts.extract_s - extracting
    timings["score"] -= timings["extract_test"]
    return Scored(scores, timings, detector.summary())


def _run(
    config: RunConfig, dataset: Dataset, detector: Detector, folder: RunFolder, timings: dict[str, float]
) -> dict[str, Any]:
    """The work of one run; returns its record."""
    store = open_store(config)
    keep = lambda scores: maps_on_disk(scores, folder.path / "maps")  # noqa: E731
    scored = score_dataset(detector, dataset, store, keep, config.runtime.progress)
    timings |= scored.timings
    score_table(dataset.test, scored.scores).to_parquet(folder.path / "scores.parquet", index=False)
    with _timed(timings, "evaluate"):
        evaluation = _evaluate(config, dataset, detector, scored.scores, store, folder.path)
    with _timed(timings, "draw"):
        _draw(config, dataset, detector, scored.scores, folder.path)
    frames = sum(v.n_frames for v in (*dataset.train, *dataset.test))
    extracted = timings["extract_train"] + timings["extract_test"]
    record = {
        "fingerprint": folder.path.name,
        "created": now(),
        "names": names(config, detector),
        "seed": config.seed,
        "fit": scored.summary,
        "weights": weights(detector),
        "dataset": describe_dataset(dataset, dataset_digest(dataset), label_digest(dataset)),
        "coverage": coverage(scored.scores),
        **evaluation,
        "timings": {name: round(seconds, 3) for name, seconds in timings.items()},
        "frames_per_second": round(frames / extracted, 2) if store.counts.misses else None,
        "store": {"hits": store.counts.hits, "misses": store.counts.misses},
        "peak_memory_mb": round(peak_memory_mb(), 1),
        "provenance": source_version(),
    }
    return record | {"warnings": [*caveats(record), *dataset.warnings]}


def _evaluate(
    config: RunConfig, dataset: Dataset, detector: Detector, scores: list[VideoScores], store: Store, folder: Path
) -> dict[str, Any]:
    """Metrics, baselines and the per-video table, unless the evaluator is switched off or no label is known."""
    known, labels = labelled(dataset.test, scores)
    if not config.model.evaluator or not known:
        return {"metrics": {}, "baselines": {}}
    from vadbench.evaluation.evaluate import evaluate

    maps, masks = with_masks(dataset.test, scores)
    energy = FrameDifferenceEnergy()
    result = evaluate(
        known,
        labels,
        maps_by_video=maps,
        masks_by_video=masks,
        frame_energy={v.id: store.get(energy, v)["energy"]["energy"] for v in dataset.test if v.id in known},
        seed=config.seed,
    )
    result.per_video.to_parquet(folder / "per_video.parquet", index=False)
    return {"metrics": result.metrics, "baselines": result.baselines}


def _draw(config: RunConfig, dataset: Dataset, detector: Detector, scores: list[VideoScores], folder: Path) -> None:
    """Score curves and, where wanted, heat maps, unless the visualizer is switched off."""
    if not config.model.visualizer:
        return
    from vadbench.report import curves

    pictures = folder / "pictures"
    pictures.mkdir(exist_ok=True)
    title = f"{config.model.name} {config.backbone.name if config.backbone else ''} on {dataset.name}"
    curves.draw_curves(dataset.test, scores, pictures, title)
    count = getattr(config.model, "heatmap_frames", 0)
    if count:
        peak = curves.hottest(scores)
        for video, result in zip(dataset.test, scores, strict=True):
            curves.draw_heatmaps(video, result, count, peak, pictures)


def maps_on_disk(scores: VideoScores, folder: Path) -> VideoScores:
    """The same scores with their clip maps in a file, so that memory does not grow with the number of videos."""
    if not isinstance(scores.maps, ClipMaps):
        return scores
    folder.mkdir(exist_ok=True)
    path = folder / f"{quote(scores.video, safe=' ')}.npy"
    np.save(path, scores.maps.values, allow_pickle=False)
    return replace(scores, maps=replace(scores.maps, values=np.load(path, mmap_mode="r", allow_pickle=False)))


def track(folder: RunFolder, config: RunConfig) -> None:
    """Mirror a complete run to MLflow; whatever goes wrong there is a warning and the run stays."""
    if config.tracking.name == "none":
        return
    from vadbench.tracking.mlflow_mirror import log_run

    log_run(folder.path, config.tracking, Path(config.results))


@contextmanager
def _recorded(folder: RunFolder) -> Iterator[None]:
    """Keep the log of a run in its folder, and say there how it ended if it did not finish."""
    handler = logging.FileHandler(folder.path / "log.txt", mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        yield
    except KeyboardInterrupt:
        folder.end("interrupted")
        raise
    except BaseException as error:
        log.info("failed", exc_info=True)
        folder.end("failed", f"{type(error).__name__}: {error}")
        raise
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


def _yaml(config: RunConfig) -> str:
    return yaml.safe_dump(json.loads(json.dumps(asdict(config))), sort_keys=False)


def _bar(videos: tuple[Video, ...], what: str, progress: str) -> Iterator[Video]:
    """The videos, with a progress bar on a terminal."""
    disable = {"auto": None, "on": False, "off": True}[progress]
    return iter(tqdm(videos, desc=f"{what} videos", unit="video", disable=disable))


@contextmanager
def _timed(timings: dict[str, float], name: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    timings[name] = time.perf_counter() - started


def _check(video: Video, result: VideoScores) -> None:
    """A detector that breaks its contract is found out before its numbers are."""
    if result.scores.shape != (video.n_frames,) or result.filled.shape != (video.n_frames,):
        raise VadbenchError(
            f"the detector gave {result.scores.shape} scores for the {video.n_frames} frames of video {video.id!r}"
        )
    if not np.isfinite(result.scores).all():
        frame = int(np.flatnonzero(~np.isfinite(result.scores))[0])
        raise VadbenchError(f"the score of video {video.id!r}, frame {frame}, is not finite")
