"""experiment=fuvas_anomalib against anomalib's steps, written out in torch, with the same random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pytorchvideo.models import hub
from torch.nn.functional import interpolate
from torchvision.models.feature_extraction import create_feature_extractor

from tests.stand_ins import video
from vadbench.config.compose import compose
from vadbench.config.schema import RunConfig
from vadbench.data.video import Dataset, Video
from vadbench.density.pca import PcaConfig
from vadbench.evaluation.protocols.protocol import apply, load_protocol
from vadbench.experiment.fit_and_score import score_dataset
from vadbench.experiment.record import assumed_clips
from vadbench.models.clips.fuvas import FuvasConfig
from vadbench.models.registry import build

PRESET = ["experiment=fuvas_anomalib", "dataset=ucsd_ped2", "dataset.root=/data"]
SIZE = (48, 40)  # one side of the videos below grows, one shrinks
MEAN, STD = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


def test_the_preset_is_the_script_behind_the_public_number() -> None:
    config = compose(PRESET)
    assert isinstance(config.model, FuvasConfig) and isinstance(config.density, PcaConfig) and config.backbone
    backbone = config.backbone
    assert (backbone.name, config.model.layer or backbone.layer) == ("x3d_s", "blocks.4")
    assert (backbone.clip_length, backbone.frame_step, backbone.clip_stride) == (13, 1, 10)
    assert (backbone.size, backbone.resize) == ((448, 512), "antialiased")
    assert (backbone.mean, backbone.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert (config.model.target_frame, config.model.pca_level, config.model.pooling_kernel_size) == ("last", 0.98, 1)
    assert (config.density.components, config.protocol.name) == ("one_fewer", "anomalib_fuvas")
    assert assumed_clips(config) == []


@torch.no_grad()
def anomalib_scores(train: list[Video], test: Video, network: torch.nn.Module) -> tuple[np.ndarray, np.ndarray, int]:
    """Score ``(N,)`` and map ``(N, h, w)`` of each clip of ``test``, and the number of components."""
    extractor = create_feature_extractor(network, return_nodes=["blocks.4"])

    def maps(one: Video) -> torch.Tensor:
        frames = torch.from_numpy(np.stack(list(one.frames()))).permute(0, 3, 1, 2) / 255
        frames = (interpolate(frames, SIZE, mode="bilinear", antialias=True) - MEAN) / STD
        clips = [frames[start : start + 13] for start in range(0, len(frames) - 12, 10)]
        return extractor(torch.stack(clips).permute(0, 2, 1, 3, 4))["blocks.4"]

    rows = torch.cat([maps(one).flatten(1) for one in train]).double()
    mean = rows.mean(dim=0)
    _, singular, basis = torch.linalg.svd(rows - mean, full_matrices=False)
    share = torch.cumsum(singular.square(), 0) / singular.square().sum()
    count = int(torch.nonzero(share >= 0.98)[0])  # an index taken for a count: one component too few
    found = maps(test)
    centred = found.flatten(1).double() - mean
    energy = (centred - centred @ basis[:count].T @ basis[:count]).square().reshape(found.shape).sum(dim=(1, 2))
    return energy.sum(dim=(1, 2)).numpy(), energy.numpy(), count


def test_scores_maps_and_components_agree_with_anomalib_s_steps(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = hub.x3d_s(pretrained=False).eval()
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    train = [video(f"train{i}", 33, (40, 56)) for i in range(2)]
    test = video("test", 47, (40, 56), labels=np.arange(47) > 20)
    detector = build(compose([*PRESET, f"backbone.weights={tmp_path / 'weights.pt'}", f"backbone.size={list(SIZE)}"]))
    scored = score_dataset(detector, Dataset("ucsd_ped2", tuple(train), (test,))).scores[0]
    scores, energy, count = anomalib_scores(train, test, network)
    applied = apply(load_protocol("anomalib_fuvas"), {"test": scored.scores}, {"test": test.labels})
    assert applied.frames["test"].tolist() == [12, 22, 32, 42]
    np.testing.assert_allclose(applied.scores["test"], scores, rtol=1e-5)
    assert detector.n_components == count
    for number, frame in enumerate(applied.frames["test"]):
        np.testing.assert_allclose(scored.maps[frame], energy[number], rtol=1e-5)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["backbone.clip_stride=1"], ["backbone.clip_stride=10 (here 1)"]),
        (["model.target_frame=mid", "backbone.clip_length=16"], ["clip_length=13 (here 16)", "=last (here mid)"]),
        (["protocol=anomalib"], ["anomalib assumes backbone.clip_length=2 (here 13)"]),
    ],
)
def test_a_protocol_says_where_the_clips_are_other_ones_than_it_assumes(words: list[str], parts: list[str]) -> None:
    (said,) = assumed_clips(compose([*PRESET, *words]))
    assert all(part in said for part in parts), said
    assert "frame_step" not in said, "what is as assumed is not named"


def test_nothing_is_said_of_protocols_and_methods_without_clips() -> None:
    def said(*words: str) -> list[str]:
        config: RunConfig = compose(["dataset=synthetic", *words])
        return assumed_clips(config)

    assert said("model=fuvas", "protocol=gaussian") == []
    assert said("model=random", "protocol=anomalib_fuvas") == said("model=ai_vad", "protocol=anomalib") == []
