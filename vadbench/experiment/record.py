"""What a run's record says: its key, its scores, its data, its weights, its coverage."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vadbench import registry
from vadbench.backbones.imports import torch_device
from vadbench.config.defaults import without_written_out
from vadbench.config.parts import PartConfig, defaults
from vadbench.config.schema import PARTS, DatasetConfig, RunConfig, without
from vadbench.data.video import Dataset, Video
from vadbench.evaluation import RESULT_VERSION
from vadbench.evaluation.protocols.protocol import effective, named
from vadbench.models.base import Detector, VideoScores
from vadbench.runs.provenance import made_by
from vadbench.runs.run_folder import SCHEMA_VERSION

if TYPE_CHECKING:
    import pandas as pd

_SELECTION = ("train_videos", "test_videos", "max_frames", "max_pixels", "max_video_frames")


def fingerprint(
    config: Mapping[str, Any],
    specs: Mapping[str, Any],
    dataset_digest: str,
    label_digest: str,
    versions: Mapping[str, int] | None = None,
) -> str:
    """Return the key of a run: 16 hex digits over exactly what can change its result.

    Parameters
    ----------
    config: the whole configuration as a plain mapping. specs: the extractor's outputs. versions: result versions by
        what they are of; version 1 leaves the key as it was before there were versions.
    """
    raised = {name: version for name, version in (versions or {}).items() if version > 1}
    key = {
        "schema": SCHEMA_VERSION,
        "config": without(_without_selection(_without_layer(without_written_out(config), specs)), "in_key"),
        "features": {**specs, **raised},
        "dataset": dataset_digest,
        "labels": label_digest,
    }
    text = json.dumps(key, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _without_layer(config: Mapping[str, Any], specs: Mapping[str, Any]) -> Mapping[str, Any]:
    """``config`` with the layer left to the backbone's default where ``specs`` names the only one there is, so that a
    default that is written out makes no other run."""
    model = config.get("model") or {}
    return {**config, "model": {**model, "layer": None}} if [model.get("layer")] == list(specs) else config


def _without_selection(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """``config`` with the defaults of the keys that choose videos and frames: the digests say what was chosen. What is
    above a bound is refused, so that bounds change no result either."""
    given = config.get("dataset") or {}
    known = defaults(DatasetConfig)
    return {**config, "dataset": {**given, **{key: known[key] for key in _SELECTION if key in given}}}


def score_table(videos: Sequence[Video], scores: Sequence[VideoScores]) -> pd.DataFrame:
    """One row a frame: video, frame, score (raw), label (missing where unknown), filled."""
    import pandas as pd

    parts = []
    for video, result in zip(videos, scores, strict=True):
        labels = pd.array([pd.NA] * video.n_frames if video.labels is None else video.labels, dtype="boolean")
        frames = np.arange(video.n_frames)
        columns = {"video": video.id, "frame": frames, "score": result.scores, "label": labels, "filled": result.filled}
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def describe_dataset(dataset: Dataset, digest: str, labels: str) -> dict[str, Any]:
    """Return what was loaded, exactly, and what of the official split is missing."""
    anomalous = [int(video.labels.sum()) for video in dataset.test if video.labels is not None]
    return {
        "name": dataset.name,
        "digest": digest,
        "label_digest": labels,
        "label_source": dataset.label_source,
        "tree": dataset.tree,
        "train_videos": len(dataset.train),
        "test_videos": len(dataset.test),
        "train_frames": sum(video.n_frames for video in dataset.train),
        "test_frames": sum(video.n_frames for video in dataset.test),
        "anomalous_frames": sum(anomalous) if len(anomalous) == len(dataset.test) else None,
        "expected": dict(dataset.expected),
        "partial": dataset.partial,
        "comparable": dataset.comparable,
    }


def described(config: RunConfig, dataset: Dataset, objects: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration as it is recorded and keyed: what was used, under the name that is shown.

    A protocol whose steps are not those of its file is called so. ``dataset`` is only its name where no configuration
    says how to load it: the record holds what it was. ``objects``: what
    :func:`vadbench.evaluation.own_objects.identity` says of the user's objects, by the part that
    they stand in for.
    """
    values = asdict(config)
    values["protocol"]["name"] = named(config.protocol).name
    if dataset.loaded_from is None:
        values["dataset"] = {"name": dataset.name, "made_in_python": True}
    used = {part: said["digest"] for part, said in plugins(config).items()}
    return values | ({"plugins": used} if used else {}) | ({"objects": dict(objects)} if objects else {})


def with_used_seed(config: RunConfig, detector: Detector) -> RunConfig:
    """``config`` with seed 0 where the method says that it draws nothing, so that all seeds are one run."""
    return replace(config, seed=0) if getattr(detector, "uses_seed", None) is False else config


def provenance(config: RunConfig, dataset: Dataset) -> dict[str, Any]:
    """Return what makes a run's numbers beside what is in its key: source, packages, machine, how it runs."""
    return {**machine(config), "decoders": sorted({v.source.decoder for v in (*dataset.train, *dataset.test)})}


def machine(config: RunConfig) -> dict[str, Any]:
    """Return the source, the packages and the machine of this process, and how it runs networks."""
    runtime = config.runtime
    return made_by(runtime.device, runtime.batch_size, runtime.threads)


def result_versions(dataset: Dataset, detector: Detector) -> dict[str, int]:
    """Return the result versions of what makes a run's numbers: the method with its density, the evaluation and the
    decoders; those of backbones are in the specs of their features."""
    sources = [video.source for video in (*dataset.train, *dataset.test)]
    decoders = {source.decoder.partition("-")[0]: getattr(source, "result_version", 1) for source in sources}
    found = {"result_version": getattr(detector, "result_version", 1)}
    if getattr(detector, "evaluator", True) is True:
        found["evaluation_version"] = RESULT_VERSION
    return found | {f"{name}_decoder_version": version for name, version in sorted(decoders.items())}


def plugins(config: RunConfig) -> dict[str, dict[str, str]]:
    """Return the parts from outside that a run uses: ``"density my_knn"`` to their origin and digest."""
    groups = [(kind, part) for kind in PARTS if kind != "launcher" and (part := getattr(config, kind)) is not None]
    chosen = [(kind, part.name) for kind, part in groups]
    # Such as the densities of the streams of AI-VAD.
    chosen += [(kind, one.name) for kind, part in groups for one in vars(part).values() if isinstance(one, PartConfig)]
    steps = [("protocol_step", step.kind) for step in config.protocol.steps]
    found = [registry.get(kind, name) for kind, name in (*chosen, *steps)]
    return {f"{p.kind} {p.name}": {"origin": p.origin, "digest": p.digest} for p in found if not p.is_built_in}


def names(config: RunConfig, dataset: Dataset, detector: Detector) -> dict[str, Any]:
    """Return the choices that a table shows."""
    return {
        "model": config.model.name,
        "backbone": config.backbone.name if config.backbone else None,
        "layer": getattr(detector, "layer", None),
        "density": config.density.name if config.density else None,
        "dataset": dataset.name,
        "protocol": effective(config.protocol, getattr(detector, "post_processor", True)).name,
    }


def weights(detector: Detector) -> list[dict[str, Any]]:
    """Every set of weights that the features came from: part, name ("pretrained", "random", a path) and digest."""
    found = getattr(detector.extractor, "weights", list)
    return list(found())


def ran(detector: Detector, device: str) -> dict[str, Any]:
    """Return what the work of a run was done on and how much it was: device, threads, batch size (None where nothing
    was extracted) and what went through the networks or filters. ``device``: as configured."""
    extractor: Any = detector.extractor
    work = dict(getattr(extractor, "work", {}))
    size = None
    if any(work.values()):
        size = extractor.clips_at_once if hasattr(extractor, "clips_at_once") else extractor.batch_size
    if "torch" in sys.modules:
        import torch

        threads, device = torch.get_num_threads(), str(torch_device(device))
    else:  # then nothing ran on a GPU
        from threadpoolctl import threadpool_info

        threads, device = max((pool["num_threads"] for pool in threadpool_info()), default=1), "cpu"
    return {"runtime": {"device": device, "threads": threads, "batch_size": size}, "work": work}


def coverage(scores: Sequence[VideoScores]) -> dict[str, Any]:
    """Return how many frames were scored themselves and how many are interpolated."""
    frames = sum(len(result.scores) for result in scores)
    filled = sum(int(result.filled.sum()) for result in scores)
    return {"frames": frames, "filled": filled, "share": (frames - filled) / frames if frames else None}


def caveats(record: Mapping[str, Any]) -> list[str]:
    """Return what a reader must know before he compares the numbers of this run."""
    said = []
    data = record["dataset"]
    if data["partial"]:
        of = data["expected"]
        said.append(
            f"PARTIAL DATA: {data['train_videos']} of {of.get('train_videos')} training and {data['test_videos']} of "
            f"{of.get('test_videos')} test videos; not comparable with published numbers"
        )
    elif data["expected"] and not data["comparable"]:
        said.append("not the full official split with its official labels; not comparable with published numbers")
    said += [
        f"RANDOM WEIGHTS ({part['part']}): this is not a number of the published method"
        for part in record["weights"]
        if part["name"] == "random"
    ]
    if record["names"]["model"] == "fuvas" and _is_filter_bank(record["names"]["backbone"]):
        said.append(f"FUVAS on {record['names']['backbone']} features, not on a pretrained network")
    return said


def _is_filter_bank(backbone: str) -> bool:
    part = registry.find("backbone", backbone)
    return part is not None and part.is_built_in and not part.facts["facts"].is_network


def assumed_clips(config: RunConfig) -> list[str]:
    """Return what the protocol assumes of a run's clips where they differ; nothing for methods without clips."""
    protocol, backbone = config.protocol, config.backbone
    if protocol.assumes is None or backbone is None:
        return []
    target = getattr(config.model, "target_frame", None)
    plan = {
        "backbone.clip_length": (protocol.assumes.clip_length, backbone.clip_length),
        "backbone.frame_step": (protocol.assumes.frame_step, backbone.frame_step),
        "backbone.clip_stride": (protocol.assumes.clip_stride, backbone.clip_stride),
        "model.target_frame": (protocol.assumes.target_frame, target),
    }
    others = [f"{key}={assumed} (here {own})" for key, (assumed, own) in plan.items() if assumed != own]
    if not others:
        return []
    said = f"protocol {protocol.name} assumes {', '.join(others)}"
    return [f"{said}: the same frames count, with scores of other clips; not comparable with numbers of its source"]
