"""Golden scores: what each built-in part makes of made-up inputs at its result version, and ``python -m tests.golden``.

The command writes tests/golden.json for parts that are new or whose version was raised. It refuses a part whose scores
changed under the same version: raise its result_version first, so that no run of before is served for the new scores.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tests.unit.data.clips import write_images, write_video
from vadbench import registry
from vadbench.config.compose import compose
from vadbench.data.readers.image_folder import ImageFolder
from vadbench.data.readers.source import ArraySource
from vadbench.data.readers.video_file import VideoFile
from vadbench.density.base import BaseDensityEstimator
from vadbench.evaluation import RESULT_VERSION, evaluate
from vadbench.evaluation.protocols.protocol import apply, load_protocol, protocol_names
from vadbench.experiment.fit_and_score import score_dataset
from vadbench.models.registry import build
from vadbench.testing import made_up
from vadbench.testing.variants import with_random_weights

FILE = Path(__file__).with_name("golden.json")
KEPT = 12
# Other processors and library versions sum in another order, and single pixels of optical flow may differ more.
RELATIVE, OF_LARGEST = 1e-3, 1e-4

VELOCITY = ["regions=none", "flow=dis", "regions.min_bbox_area=20", "model.velocity_crop_size=16"]
VELOCITY += ["model.use_pose_features=false", "model.use_deep_features=false", "model.n_velocity_bins=8"]
SMALL = {"ai_vad": VELOCITY, "fuvas": ["backbone=gradient3d"], "clip_density": ["backbone=gradient3d"]}
# A network of random weights: what is pinned is how clips are cut, frames prepared and features brought to maps.
NETWORK = ["backbone=x3d_xs", "backbone.clip_length=4", "backbone.size=[32,48]", "backbone.clip_stride=4"]

Made = tuple[int, np.ndarray]


def parts() -> dict[str, Callable[[], Made]]:
    """What to call for the version and the scores of each part, by its kind and name."""
    built_in = {kind: [p for p in registry.parts(kind) if p.is_built_in] for kind in ("density", "model", "backbone")}
    densities = [p for p in built_in["density"] if p.name != "attributes"]  # of AI-VAD, which is here as a model
    banks = [p for p in built_in["backbone"] if not p.facts["facts"].is_network]
    return {
        **{f"density {part.name}": partial(_density, part.name) for part in densities},
        **{f"model {part.name}": partial(_model, part.name) for part in built_in["model"]},
        **{f"backbone {part.name}": partial(_backbone, [f"backbone={part.name}"]) for part in banks},
        "backbone of a network": partial(_backbone, NETWORK),
        **{f"protocol {name}": partial(_protocol, name) for name in protocol_names() if name != "all"},
        "evaluation": _evaluation,
        **{f"decoder {name}": partial(_decoder, name) for name in ("array", "opencv", "pyav")},
    }


def _density(name: str) -> Made:
    config = compose(["model=clip_density", "dataset=synthetic", f"density={name}"]).density
    estimator: BaseDensityEstimator = registry.get("density", name).make(config, 0)
    train, groups, others = made_up.vectors()
    estimator.learn([train], groups)
    return estimator.result_version, np.concatenate([estimator.raw(others), estimator.raw_without(0, train[:15])])


def _model(name: str) -> Made:
    words = [f"model={name}", "dataset=synthetic", "runtime.device=cpu", *SMALL.get(name, [])]
    detector: Any = build(with_random_weights(compose(words)))
    scored = score_dataset(detector, made_up.dataset(20))
    return detector.result_version, np.concatenate([scored.training_scores, *(one.scores for one in scored.scores)])


def _backbone(words: list[str]) -> Made:
    config = with_random_weights(compose(["model=clip_density", "dataset=synthetic", "runtime.device=cpu", *words]))
    extractor: Any = build(config).extractor
    data = made_up.dataset(20)
    extractor.prepare(data.train)
    ((layer, spec),) = extractor.outputs().items()
    features = extractor.extract(data.test[0], [layer], {})[layer]["features"]
    return int(spec["backbone"]["version"]), features.mean(axis=0)


def _protocol(name: str) -> Made:
    protocol = load_protocol(name)
    applied = apply(protocol, *made_up.scores(), "avenue")
    return protocol.version, np.concatenate([applied.scores[video] for video in sorted(applied.scores)])


def _evaluation() -> Made:
    scores, labels = made_up.scores()
    scores |= {f"{video} backwards": values[::-1] ** 0.5 for video, values in scores.items()}
    labels |= {f"{video} backwards": truth[::-1] for video, truth in labels.items()}
    data = made_up.dataset(20)
    maps = {v.id: _blurred(np.stack([v.masks[t] for t in range(v.n_frames)])) for v in data.test if v.masks is not None}
    of_frames = evaluate(scores, labels, resamples=200)
    of_maps = evaluate(
        {video: found.max(axis=(1, 2)) for video, found in maps.items()},
        {video.id: video.labels for video in data.test},
        maps_by_video=maps,
        masks_by_video={video.id: video.masks for video in data.test if video.masks is not None},
        regions_from_maps=True,
        resamples=200,
    )
    found = []
    for evaluation in (of_frames, of_maps):
        entries = sorted({**evaluation.metrics, **evaluation.baselines}.items())
        found += [entry.get(end) for _, entry in entries for end in ("value", "ci_low", "ci_high")]
    return RESULT_VERSION, np.nan_to_num(np.array(found, dtype=np.float64), nan=-1)


def _blurred(masks: np.ndarray) -> np.ndarray:
    """Score maps that find the anomaly too far to the right, over a gradient; few values, so no near ties."""
    ramp = np.arange(masks.shape[2]) // 8 / 16
    return (np.roll(masks, 5, axis=2) * 0.75 + ramp).astype(np.float32)


def _decoder(name: str) -> Made:
    frames = np.stack(list(made_up.dataset(12).test[0].frames()))
    with TemporaryDirectory() as folder:
        source: Any = {
            "array": lambda: ArraySource(frames),
            "opencv": lambda: ImageFolder(write_images(Path(folder) / "a", frames)),
            "pyav": lambda: VideoFile(write_video(Path(folder) / "a.avi", frames, codec="ffv1")),
        }[name]()
        assert source.decoder.startswith(name)
        pixels = np.stack(list(source.frames())).astype(np.float64)
    return source.result_version, pixels.mean(axis=(1, 2)) + pixels[:, 20, 20]


def summary(scores: np.ndarray) -> list[float]:
    """Return a few of many numbers and what all of them come to: spread evenly, then mean, deviation and extremes."""
    flat = np.asarray(scores, dtype=np.float64).ravel()
    some = flat if flat.size <= 200 else flat[np.linspace(0, flat.size - 1, KEPT).round().astype(int)]
    return [float(f"{x:.7g}") for x in (*some, flat.mean(), flat.std(), flat.min(), flat.max())]


def fault(name: str, made: Made, golden: dict[str, Any]) -> str:
    """Return what is wrong with what a part made; empty where it is what the file says."""
    version, values = made[0], np.array(summary(made[1]))
    if name not in golden:
        return f"{name} has no golden scores yet: make golden"
    if golden[name]["version"] != version:
        known = golden[name]["version"]
        return f"the result version of {name} is {version} and its golden scores are of {known}: make golden"
    known = np.array(golden[name]["values"])
    largest = float(np.abs(known).max())
    if known.shape == values.shape and np.allclose(values, known, rtol=RELATIVE, atol=OF_LARGEST * largest):
        return ""
    return f"scores of {name} changed: raise its result_version (of a protocol: version), then make golden"


def renewed(golden: dict[str, Any], made: dict[str, Made]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the entries of the file as they are to be; SystemExit where scores changed under the same version."""
    for name, (version, scores) in made.items():
        found = fault(name, (version, scores), golden)
        if found.startswith("scores of"):
            sys.exit(found)
        yield name, {"version": version, "values": summary(scores)} if found else golden[name]


def main() -> None:
    golden = json.loads(FILE.read_text()) if FILE.exists() else {}
    entries = dict(sorted(renewed(golden, {name: make() for name, make in parts().items()})))
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries.items())
    FILE.write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    main()
