"""FUVAS and clips for compare_anomalib.py: experiment=fuvas_anomalib beside anomalib's Fuvas, with one random network.

anomalib's half goes through its own datamodule, Engine and metrics.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

INPUTS = (
    "FUVAS (`experiment=fuvas_anomalib`): an untrained x3d_s, seed 0, with the same parameters on both sides; one "
    "training and two test videos of made frames in the UCSD tree, clips of 13 frames every 10 frames."
)
SIZE = (448, 512)
FRAMES = {"Train/Train001": 63, "Test/Test001": 43, "Test/Test002": 33}
FRAME_SIZE = (120, 160)
GIVEN = {"both sides grow": (60, 90), "both sides shrink": (480, 640), "one grows, one shrinks": (480, 360)}


def write_inputs(folder: Path) -> None:
    """Frames of three sizes in given.npz, and a small dataset in the UCSD tree."""
    import cv2

    rng = np.random.default_rng(0)
    np.savez(folder / "given.npz", **{n: rng.integers(0, 256, (2, *s, 3), dtype=np.uint8) for n, s in GIVEN.items()})
    for name, count in FRAMES.items():
        path = folder / "UCSDped2" / name
        path.mkdir(parents=True)
        ground = cv2.resize(rng.integers(60, 180, (12, 16), dtype=np.uint8), FRAME_SIZE[::-1])
        for frame in range(count):
            image, mask = ground.copy(), np.zeros(FRAME_SIZE, np.uint8)
            image[60:84, 2 * frame : 2 * frame + 10] = 30
            if name.startswith("Test") and frame >= count // 2:
                place = np.s_[20:40, 3 * frame % 130 : 3 * frame % 130 + 24]
                image[place] += 12
                mask[place] = 255
            image = (image + rng.normal(0, 4, FRAME_SIZE)).clip(0, 255).astype(np.uint8)
            cv2.imwrite(str(path / f"{frame + 1:03d}.tif"), image)
            if name.startswith("Test"):
                path.with_name(f"{path.name}_gt").mkdir(exist_ok=True)
                cv2.imwrite(str(path.with_name(f"{path.name}_gt") / f"{frame + 1:03d}.bmp"), mask)
    ranges = [f"TestVideoFile{{end+1}}.gt_frame = [{n // 2 + 1}:{n}];" for name, n in FRAMES.items() if "Test" in name]
    (folder / "UCSDped2/Test/UCSDped2.m").write_text("TestVideoFile = {};\n" + "\n".join(ranges) + "\n")


def peer(folder: Path) -> None:
    """What anomalib makes of the inputs: weights.pt and peer.npz."""
    import torch
    from pytorchvideo.models import hub

    def untrained(repository: str, model: str, pretrained: bool = False) -> torch.nn.Module:
        torch.manual_seed(0)
        return getattr(hub, model)(pretrained=False)

    torch.hub.load = untrained  # anomalib fetches the network's code even where no weights are wanted
    from anomalib.data import UCSDped
    from anomalib.engine import Engine
    from anomalib.models import Fuvas
    from anomalib.models.video.fuvas.torch_model import FUVASModel

    torch.save(untrained("", "x3d_s").state_dict(), folder / "weights.pt")
    prepare = Fuvas.configure_pre_processor(image_size=SIZE)
    model = Fuvas(pre_trained=False, pre_processor=prepare, visualizer=False)
    given = {name: torch.from_numpy(x).permute(0, 3, 1, 2) / 255 for name, x in np.load(folder / "given.npz").items()}
    found: dict[str, Any] = {f"prepared, {name}": prepare.transform(x).numpy() for name, x in given.items()}

    # Raw scores and maps, before anomalib's post-processing changes them in place.
    results, forward = [], FUVASModel.forward

    def keep(self: FUVASModel, batch: torch.Tensor) -> Any:
        result = forward(self, batch)
        results.append((result.pred_score.clone(), result.anomaly_map[:, 0].clone()))
        return result

    FUVASModel.forward = keep
    data = UCSDped(
        root=folder, category="UCSDped2", clip_length_in_frames=13, frames_between_clips=10, train_batch_size=2,
        eval_batch_size=1, num_workers=0,
    )  # fmt: skip
    engine = Engine(accelerator="cpu", devices=1, logger=False, default_root_dir=folder / "engine",
                    enable_progress_bar=False, enable_model_summary=False)  # fmt: skip
    engine.fit(model=model, datamodule=data)
    results.clear()
    metrics = engine.test(model=model, datamodule=data, verbose=False)[0]
    post = model.post_processor
    items = [data.test_data[i] for i in range(len(data.test_data))]
    found |= {
        "features": model.model.get_features(prepare.transform(data.train_data[0].image[None]))[0].numpy(),
        "frames": np.array([int(item.frames) for item in items]),
        "labels": np.array([int(item.gt_label) for item in items]),
        "components": int(model.model.pca_model.num_components),
        "scores": torch.cat([score for score, _ in results]).numpy(),
        "maps": torch.cat([maps for _, maps in results]).numpy(),
        "frame AUROC": float(metrics["image_AUROC"]),
        "threshold, lowest, highest": [float(x) for x in (post.image_threshold, post.image_min, post.image_max)],
    }
    np.savez(folder / "peer.npz", **found)


def pairs(folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What is compared: (anomalib, vadbench)."""
    from vadbench.config.compose import compose
    from vadbench.data.registry import load_dataset
    from vadbench.evaluation.metrics.frame import frame_auroc, micro
    from vadbench.evaluation.protocols.protocol import apply
    from vadbench.experiment.fit_and_score import score_dataset
    from vadbench.models.registry import build
    from vadbench.store.features import MemoryStore

    words = ["experiment=fuvas_anomalib", "dataset=ucsd_ped2", f"dataset.root={folder}"]
    config = compose([*words, f"backbone.weights={folder / 'weights.pt'}", "runtime.device=cpu"])
    dataset, detector = load_dataset(config.dataset), build(config)
    store = MemoryStore()
    scored = score_dataset(detector, dataset, store)
    raw = {s.video: s.scores for s in scored.scores}
    kept = apply(config.protocol, raw, {v.id: v.labels for v in dataset.test}, dataset.name)
    shown = [(s.maps, frame) for s in scored.scores for frame in kept.frames[s.video]]
    prepare, theirs = detector.extractor.pre_processor, np.load(folder / "peer.npz")

    ours: dict[str, Any] = {
        f"prepared, {name}": np.stack([prepare(frame) for frame in frames]).transpose(0, 3, 1, 2)
        for name, frames in np.load(folder / "given.npz").items()
    }
    ours["features"] = store.get(detector.extractor, dataset.train[0])[detector.layer]["features"][0].reshape(1, -1)
    ours["frames"] = np.concatenate(list(kept.frames.values()))
    ours["labels"] = np.concatenate(list(kept.labels.values()))
    ours["components"] = detector.n_components
    ours["scores"] = np.concatenate(list(kept.scores.values()))
    ours["maps"] = np.stack([maps.at_size(frame, SIZE) for maps, frame in shown])
    # anomalib's metrics see scores clamped by a threshold and a range of the test set.
    threshold, lowest, highest = theirs["threshold, lowest, highest"]
    clamped = {v: np.clip((s - threshold) / (highest - lowest) + 0.5, 0, 1) for v, s in kept.scores.items()}
    ours["frame AUROC"] = micro(frame_auroc, clamped, kept.labels)
    unclamped = micro(frame_auroc, kept.scores, kept.labels)
    text = {
        "features": "features of a clip (x3d_s, blocks.4)",
        "frames": "frames that count",
        "labels": "labels of these frames",
        "components": "principal components",
        "scores": "raw scores of these frames",
        "maps": f"anomaly maps at {SIZE[0]} x {SIZE[1]}",
        "frame AUROC": f"frame AUROC of scores that anomalib clamps (of raw scores: {unclamped:.3f})",
    }
    return {text.get(name, name): (theirs[name], ours[name]) for name in ours}


if __name__ == "__main__":
    peer(Path(sys.argv[1]))
