"""The networks of AI-VAD by other engines: the same tensors, unchanged keys, and a record of what ran."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.models.ai_vad.moving import street
from tests.unit.models.ai_vad.test_ai_vad_config import PED2, composed, detector
from vadbench.backbones.engines.runner import Runner
from vadbench.experiment.record import fingerprint
from vadbench.models.ai_vad.regions.detectors import TorchvisionDetector
from vadbench.models.ai_vad.streams.deep import DeepExtractor
from vadbench.models.ai_vad.streams.flow import FlowExtractor
from vadbench.models.ai_vad.streams.pose import PoseExtractor

pytest.importorskip("openvino")

FRAMES = np.random.default_rng(0).integers(0, 256, (2, 90, 120, 3), dtype=np.uint8)
BOXES = [np.array([[5, 5, 60, 80], [30, 10, 100, 70.0]], np.float32)] * 2
RAFT = ["model=ai_vad", PED2, "regions.detector=none", "flow=raft_small", "flow.weights=random", "flow.updates=1",
        "flow.size=[128,128]", "model.use_pose_features=false", "model.use_deep_features=false"]  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def flow(method: str, runner: Runner) -> Any:
    extractor = FlowExtractor(method, "random", size=(128, 136), updates=2, runner=runner)
    return lambda: extractor(FRAMES[:1], FRAMES[1:])


def pose(runner: Runner) -> Any:
    extractor = PoseExtractor("random", min_size=64, runner=runner)
    return lambda: torch.from_numpy(extractor(FRAMES, BOXES)["confidence"])


def deep(runner: Runner) -> Any:
    extractor = DeepExtractor("ViT-B-32", "random", runner=runner)
    return lambda: torch.from_numpy(extractor(FRAMES, BOXES)["deep"])


def regions(architecture: str, runner: Runner) -> Any:
    """What the parts of a detector that engines run returned, as long as nothing depends on a choice before."""
    extractor = TorchvisionDetector(architecture, "random", 0.0, min_size=64, runner=runner)
    network: Any = extractor._built()

    def tensors() -> torch.Tensor:
        extractor(FRAMES)
        images = torch.zeros(1, 3, 64, 96).uniform_(-1, 1, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            maps = list(network.backbone(images).values())
            found = network.rpn.head(maps) if hasattr(network, "rpn") else network.head(maps).values()
        flat = torch.utils._pytree.tree_leaves([maps, *found])
        return torch.cat([x.flatten() / x.norm() for x in flat])

    return tensors


@pytest.mark.parametrize(
    "network",
    [
        lambda runner: flow("raft_small", runner),
        lambda runner: regions("fasterrcnn_mobilenet_v3_large_320_fpn", runner),
        pytest.param(lambda runner: flow("raft_large", runner), marks=pytest.mark.slow),
        pytest.param(lambda runner: regions("maskrcnn_resnet50_fpn_v2", runner), marks=pytest.mark.slow),
        pytest.param(lambda runner: regions("fcos_resnet50_fpn", runner), marks=pytest.mark.slow),
        pytest.param(lambda runner: regions("retinanet_resnet50_fpn_v2", runner), marks=pytest.mark.slow),
        pytest.param(pose, marks=pytest.mark.slow),
        pytest.param(deep, marks=pytest.mark.slow),
    ],
    ids=["raft_small", "mobilenet", "raft_large", "maskrcnn", "fcos", "retinanet", "pose", "deep"],
)
def test_openvino_gives_the_tensors_of_eager(network: Any) -> None:
    eager, fast = Runner("eager"), Runner("openvino")
    expected, found = network(eager)(), network(fast)()
    assert float((found - expected).norm() / expected.norm()) < 2e-5
    assert eager.marks == {"eager"}
    assert [mark.partition(" ")[0] for mark in fast.marks] == ["openvino"]


def test_the_engine_is_in_no_key_and_the_precision_is() -> None:
    def key(*words: str) -> tuple[Any, str]:
        made = detector(*RAFT, *words)
        return made.extractor.outputs(), fingerprint(
            asdict(composed(*RAFT, *words)), made.extractor.outputs(), "data", "labels"
        )

    plain = key()
    assert all(key(f"model.engine={engine}") == plain for engine in ("eager", "openvino", "compile"))
    assert "precision" not in plain[0]["velocity"]["flow"]
    low = key("model.precision=bfloat16")
    assert low[0]["velocity"]["flow"]["precision"] == "bfloat16"
    assert low[0]["regions"] == plain[0]["regions"], "no network finds these regions"
    assert low[1] != plain[1]


def test_the_extractor_says_what_ran_and_what_it_takes() -> None:
    extractor = detector(*RAFT, "model.engine=openvino").extractor
    assert extractor.engine is None
    assert not extractor.takes("eager")
    assert not extractor.takes("mixed (eager, openvino 1)")
    assert extractor.takes("openvino 1")
    video = street("a")
    extractor.prepare([video])
    extractor.extract(video, ["regions", "velocity"], {})
    assert str(extractor.engine).startswith("openvino ")
    assert not extractor.remarks
    extractor.flow.runner.marks.add("eager")  # type: ignore[union-attr]
    assert str(extractor.engine).startswith("mixed (eager, openvino ")
    assert detector(*RAFT).extractor.takes("mixed (eager, openvino 1)")


def test_without_networks_there_is_no_engine_to_record() -> None:
    assert not hasattr(detector(*RAFT, "flow=dis").extractor, "engine")
