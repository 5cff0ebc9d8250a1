"""AI-VAD for compare_anomalib.py: the parts of experiment=ai_vad_anomalib beside those of anomalib's AiVad.

Each part is given what it reads: frames, detections, flow, boxes, attributes; networks have the same random weights.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from vadbench.models.ai_vad.model import AiVad

INPUTS = (
    "AI-VAD (`experiment=ai_vad_anomalib`): made frames, detections, flow and attributes; Keypoint R-CNN, CLIP and "
    "RAFT untrained, with the same parameters on both sides."
)
SIZE = (120, 190)  # factors 6.667 and 6.663 to the input of Keypoint R-CNN
BINS = (1, 3, 8)
LOADED = ("2", "10", "1")  # training videos in the order in which they are loaded, which is not that of their names
TESTED = 6
N_DETECTED = 5
DEEP_MODEL = "ViT-B-16-quickgelu"


def write_inputs(folder: Path) -> None:
    """given.npz: two pairs of frames with moved squares and noise, detections, flow, and attributes of videos."""
    import cv2

    rng = np.random.default_rng(0)
    ground = cv2.resize(rng.integers(60, 200, (12, 19, 3), dtype=np.uint8), SIZE[::-1])
    first, last = (np.stack([ground, ground]) for _ in range(2))
    for pair in range(2):
        for x, y, side, shift in rng.integers((0, 0, 6, -6), (150, 90, 30, 6), (8, 4)):
            body = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
            first[pair, y : y + side, x : x + side] = body[: SIZE[0] - y]
            start = max(0, x + shift)
            last[pair, y : y + side, start : start + side] = body[: SIZE[0] - y]
    noise = rng.normal(0, 5, (2, 2, *SIZE, 3))
    given: dict[str, np.ndarray] = {
        "first": (first + noise[0]).clip(0, 255).astype(np.uint8),
        "last": (last + noise[1]).clip(0, 255).astype(np.uint8),
        "flow": np.stack([cv2.resize(rng.normal(0, 6, (6, 9, 2)), SIZE[::-1]).transpose(2, 0, 1) for _ in range(2)]),
    }
    # Eight fields beside each other, each of one direction that lies on the border of two bins; lengths 1 and 1.5.
    turn = np.arange(8) * np.pi / 4
    steps = np.round([np.cos(turn), np.sin(turn)], 12) * np.where(np.arange(8) % 2, 1.5, 1)
    given["border flow"] = np.broadcast_to(steps.repeat(20, axis=1)[None, :, None], (1, 2, 20, 160))
    given["border boxes"] = np.array([[20 * k + 4, 4, 20 * k + 16, 16] for k in range(8)], float)
    corner = rng.uniform(0, (150, 90), (2, N_DETECTED, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(4, 40, (2, N_DETECTED, 2))], axis=2).clip(
        0, [190, 120, 190, 120]
    )
    boxes[:, :2] = boxes[:, :2].round()  # corners on borders of pixels
    boxes[:, 3] = boxes[:, 2] + [1, 1, -2, -2]  # covered by another
    given["boxes"] = np.round(boxes * 256) / 256  # vadbench keeps corners on this grid
    given["scores"] = rng.uniform(0.7, 1, (2, N_DETECTED))
    for video in (*LOADED, "test"):
        n = int(rng.integers(20, 40))
        spread = 1 + len(video) * (video == "1")  # the last one loaded holds neither the smallest nor the largest
        # Two speeds far apart: any start of a mixture ends at the same two Gaussians.
        speed = np.where(np.arange(n) % 3, rng.normal(0.5, 0.1, n), rng.normal(4, 0.3, n))
        given[f"{video} velocity"] = speed[:, None] + 0.3 * (video == "test")
        for stream, width in {"pose": 34, "deep": 512}.items():
            given[f"{video} {stream}"] = rng.normal(0.5, 0.2 / spread, (n, width)) + 0.1 * (video == "10")
    given["test frame"] = np.sort(rng.integers(1, TESTED, len(given["test pose"])))
    kept = {n: x.astype(np.float32) if x.dtype == np.float64 and n != "test frame" else x for n, x in given.items()}
    np.savez(folder / "given.npz", **kept)


def peer(folder: Path) -> None:
    """What anomalib makes of the inputs: peer.npz, and the weights of the networks."""
    os.environ["TORCHDYNAMO_DISABLE"] = "1"  # without its operators, torchvision would compile others, for minutes
    from functools import partial

    import torch
    from anomalib.models.video.ai_vad import density, features, flow, regions
    from anomalib.models.video.ai_vad.clip.model import CLIP
    from torchvision.models import WeightsEnum, detection, optical_flow

    given = {name: torch.from_numpy(x) for name, x in np.load(folder / "given.npz").items()}
    first, last = (given[name].permute(0, 3, 1, 2) / 255 for name in ("first", "last"))
    torch.manual_seed(0)
    state: dict[str, torch.Tensor] = {}
    WeightsEnum.get_state_dict = lambda self, *args, **kwargs: state  # in place of what would be fetched
    # No box is larger than the crop: one sample a cell is what torchvision would take too.
    features.roi_align = partial(features.roi_align, sampling_ratio=1)
    clip = CLIP(512, 224, 12, 768, 16, 77, 49408, 512, 8, 12).eval()
    features.clip.load = lambda name: (clip, None)
    torch.save(clip.state_dict(), folder / "deep.pt")

    def random_weights(network: torch.nn.Module, name: str) -> None:
        state.clear()
        state.update({k: v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")})
        torch.save(dict(state), folder / name)

    class Detections(torch.nn.Module):
        def forward(self, frames: torch.Tensor) -> list[dict[str, torch.Tensor]]:
            labels, masks = torch.arange(1, N_DETECTED + 1), torch.ones(N_DETECTED, 1, *SIZE)
            parts = zip(given["boxes"], given["scores"], strict=True)
            return [{"boxes": b, "labels": labels, "scores": s, "masks": masks} for b, s in parts]

    regions.maskrcnn_resnet50_fpn_v2 = lambda **options: Detections()
    extractor = regions.RegionExtractor(box_score_thresh=0.7)
    found: dict[str, Any] = {}
    for frame, region in enumerate(extractor(first, last)):
        for name in ("boxes", "labels", "scores"):
            found[f"{name} {frame}"] = region[name].numpy()
    boxes = [torch.from_numpy(found[f"boxes {frame}"]) for frame in range(2)]
    rois = torch.cat([torch.cat([torch.full((len(b), 1), i), b], 1) for i, b in enumerate(boxes)])
    borders = torch.cat([torch.zeros(8, 1), given["border boxes"]], 1)
    found["velocity on borders"] = features.VelocityExtractor(8)(given["border flow"], borders).numpy()
    # Summed in double precision, and distances below from doubles: in single, anomalib's sums of 50,176 vectors and its
    # distances by a matrix product are off by some 1e-5 themselves.
    histogram = torch.histogram
    torch.histogram = lambda input, weight=None, **options: histogram(
        input.double(), weight=None if weight is None else weight.double(), **options
    )
    for bins in BINS:
        found[f"velocity {bins}"] = features.VelocityExtractor(bins)(given["flow"], rois).numpy()
    random_weights(detection.keypointrcnn_resnet50_fpn(weights=None, weights_backbone=None), "pose.pt")
    with torch.no_grad():
        found["pose"] = torch.cat(features.PoseExtractor().eval()(first, boxes)).numpy()
        found["deep"] = features.DeepExtractor().eval()(first, rois, 16).numpy()
        random_weights(optical_flow.raft_large(weights=None), "flow.pt")
        found["flow"] = flow.FlowExtractor().eval()(first[:1], last[:1]).numpy()
    velocity, pose, deep = (features.FeatureType(stream) for stream in ("velocity", "pose", "deep"))

    def attributes(video: str) -> dict[features.FeatureType, torch.Tensor]:
        made = {pose: given[f"{video} pose"].double(), deep: given[f"{video} deep"].double()}
        return {velocity: given[f"{video} velocity"], **made}

    estimator = density.CombinedDensityEstimator(use_velocity_features=True, n_components_velocity=2)
    for video in LOADED:
        estimator.update(attributes(video), video)
    estimator.fit()
    estimator.eval()
    parts = attributes("test")
    found |= {
        "score velocity": estimator.velocity_estimator.predict(parts[velocity]).numpy(),
        "score pose": estimator.pose_estimator.predict(parts[pose]).numpy(),
        "score deep": estimator.appearance_estimator.predict(parts[deep]).numpy(),
        "score total": estimator(parts)[0].numpy(),
    }
    busy = given["test frame"].unique()
    of_frame = [estimator({name: x[given["test frame"] == t] for name, x in parts.items()})[1] for t in busy]
    found["frame"] = torch.stack(of_frame).numpy()
    np.savez(folder / "peer.npz", **found)


def pairs(folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What is compared: (anomalib, vadbench)."""
    import torch

    given, theirs = (dict(np.load(folder / name)) for name in ("given.npz", "peer.npz"))
    weights = [f"model.{s}_weights={folder / f'{s}.pt'}" for s in ("pose", "deep")] + [
        f"flow.weights={folder / 'flow.pt'}", f"model.deep_model={DEEP_MODEL}",
    ]  # fmt: skip
    model = preset(*weights)
    model.extractor.regions.detector = Given(given["boxes"], given["scores"])
    result: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    found = model.extractor.regions(given["first"], given["last"])
    for name in ("boxes", "labels", "scores"):
        ours = np.concatenate([in_order(getattr(r, name), r.boxes) for r in found])
        peers = np.concatenate([in_order(theirs[f"{name} {i}"], theirs[f"boxes {i}"]) for i in range(2)])
        result[f"regions of given detections and frames: {name}"] = peers, ours

    boxes = [theirs["boxes 0"], theirs["boxes 1"]]
    for bins in BINS:
        velocity = preset(f"model.n_velocity_bins={bins}").features.velocity
        assert velocity is not None
        name = f"velocity of given flow and boxes, {bins} bin{'s' * (bins > 1)}"
        result[name] = theirs[f"velocity {bins}"], velocity(torch.from_numpy(given["flow"]), boxes)
    velocity = preset("model.n_velocity_bins=8").features.velocity
    assert velocity is not None
    ours = velocity(torch.from_numpy(given["border flow"]), [given["border boxes"]])
    result["velocity of vectors on the borders of 8 bins"] = theirs["velocity on borders"], ours
    frames = given[model.extractor.crop_frame]
    assert model.features.pose is not None and model.features.deep is not None
    result["pose of given frames and boxes"] = theirs["pose"], model.features.pose(frames, boxes)["pose"]
    result["deep features of given frames and boxes"] = theirs["deep"], model.features.deep(frames, boxes)["deep"]
    flow = model.extractor.flow(given["first"][:1], given["last"][:1])
    result["flow of given frames"] = theirs["flow"], flow.numpy()

    model.fit({video: attributes(given, video) for video in LOADED})
    video: Any = SimpleNamespace(id="test", n_frames=TESTED, size=SIZE)
    scored = model.score(video, attributes(given, "test", given["test frame"]))
    assert scored.regions is not None
    for stream in ("velocity", "pose", "deep", "total"):
        result[f"score of given {stream} features"] = theirs[f"score {stream}"], scored.regions[stream].to_numpy()
    result["score of a frame"] = theirs["frame"], scored.scores[np.unique(given["test frame"])]
    return result


def preset(*words: str) -> AiVad:
    """The detector of the preset."""
    from vadbench.config.compose import compose
    from vadbench.models.registry import build

    return build(compose(["experiment=ai_vad_anomalib", "dataset=ucsd_ped2", "runtime.device=cpu", *words]))  # type: ignore[return-value]


class Given:
    """A detector that returns the given boxes (2, M, 4) and scores (2, M) in place of a network's."""

    def __init__(self, boxes: np.ndarray, scores: np.ndarray) -> None:
        self.boxes, self.scores = boxes, scores

    def __call__(self, frames: np.ndarray) -> list[Any]:
        from vadbench.models.ai_vad.regions.region_set import RegionSet

        labels, masks = np.arange(1, N_DETECTED + 1, dtype=np.int16), (None,) * N_DETECTED
        return [RegionSet(b, labels, s, masks) for b, s in zip(self.boxes, self.scores, strict=True)]

    def spec(self) -> dict[str, Any]:
        return {"detector": "given"}

    def weights(self) -> list[dict[str, Any]]:
        return []


def in_order(rows: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """``rows`` in the order of the corners of their boxes; anomalib sorts regions by area, vadbench leaves them."""
    return np.asarray(rows)[np.lexsort(boxes.T)]


def attributes(given: dict[str, np.ndarray], video: str, frame: np.ndarray | None = None) -> dict[str, Any]:
    """The outputs of the extractor for a video, made of given attributes."""
    from vadbench.models.ai_vad.regions.region_set import RegionSet, pack

    velocity = given[f"{video} velocity"]
    n = len(velocity)
    boxes = np.tile(np.float32([0, 0, 20, 20]), (n, 1))
    frames = np.ones(n, np.int64) if frame is None else frame
    sets = [
        RegionSet(boxes[rows], np.ones(rows.sum(), np.int16), np.ones(rows.sum(), np.float32), (None,) * rows.sum())
        for rows in (frames == t for t in np.unique(frames))
    ]
    return {
        "regions": pack(np.unique(frames).tolist(), sets),
        "velocity": {"l2": velocity, "l1": velocity, "share": np.ones_like(velocity)},
        "pose": {"pose": given[f"{video} pose"]},
        "deep": {"deep": given[f"{video} deep"]},
    }


if __name__ == "__main__":
    peer(Path(sys.argv[1]))
