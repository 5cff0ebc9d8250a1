"""The backbone object around a network: weights in, feature maps out, the same on every call."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.backbones import FACTS
from vadbench.backbones import architecture, model_zoo
from vadbench.backbones.network import Network, run_until
from vadbench.config.schema import BackboneConfig
from vadbench.errors import ConfigError, WeightsError

LAYERS = ("blocks.2", "blocks.4")


def small(name: str = "x3d_xs", **changes: Any) -> BackboneConfig:
    return replace(model_zoo.load_config(name), clip_length=4, size=(32, 48), **{"weights": "random", **changes})


def clips(n: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, 4, 32, 48, 3), dtype=np.float32)


@pytest.fixture(scope="module")
def random_network() -> Network:
    network = model_zoo.build(small(), LAYERS, seed=3)
    assert isinstance(network, Network)
    network.calibrate(clips(5, seed=1))
    return network


def test_features_have_the_listed_shapes_for_every_clip(random_network: Network) -> None:
    features = random_network(clips())
    shapes = {layer.name: layer.shape for layer in model_zoo.layers(small())}
    assert tuple(features) == LAYERS
    for layer in LAYERS:
        assert features[layer].shape == (3, *shapes[layer])
        assert features[layer].dtype == np.float32
        assert np.isfinite(features[layer]).all()
        assert features[layer].std() > 0.01


def test_the_same_seed_gives_the_same_bits_and_leaves_the_global_random_state(random_network: Network) -> None:
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    again, other = (model_zoo.build(small(), LAYERS, seed=seed) for seed in (3, 4))
    for network in (again, other):
        network.calibrate(clips(5, seed=1))
    expected = random_network(clips())
    for layer, maps in again(clips()).items():
        np.testing.assert_array_equal(maps, expected[layer])
    assert not np.array_equal(other(clips())["blocks.4"], expected["blocks.4"])
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_layer_alone_gives_the_bits_that_it_gives_among_others(random_network: Network) -> None:
    alone = model_zoo.build(small(), ("blocks.2",), seed=3)
    alone.calibrate(clips(5, seed=1))
    np.testing.assert_array_equal(alone(clips())["blocks.2"], random_network(clips())["blocks.2"])


def test_a_clip_does_not_depend_on_its_batch(random_network: Network) -> None:
    together = random_network(clips())
    for i in range(3):
        for layer, maps in random_network(clips()[i : i + 1]).items():
            assert np.linalg.norm(maps[0] - together[layer][i]) < 1e-4 * np.linalg.norm(maps[0])


def test_calibration_is_the_mean_over_clips_of_their_statistics(random_network: Network) -> None:
    module = random_network._network()
    conv, norm = module.get_submodule("blocks.0.conv"), module.get_submodule("blocks.0.norm")
    means, variances = [], []
    with torch.inference_mode():
        for clip in clips(5, seed=1):
            x = torch.from_numpy(clip).permute(3, 0, 1, 2)[None]
            for part in conv.children():
                x = part(x)
            values = x.double().numpy()[0].reshape(x.shape[1], -1)
            means.append(values.mean(axis=1))
            variances.append(values.var(axis=1, ddof=1))
    np.testing.assert_allclose(norm.running_mean.numpy(), np.mean(means, axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(norm.running_var.numpy(), np.mean(variances, axis=0), rtol=1e-4)
    assert not norm.training


def test_calibration_without_clips_is_an_error() -> None:
    with pytest.raises(ConfigError, match="at least one training clip"):
        model_zoo.build(small(), ("blocks.0",)).calibrate([])


def test_what_needs_calibration_is_known_before_anything_is_built() -> None:
    assert model_zoo.build(small()).needs_calibration
    assert not model_zoo.build(small("swin3d_t")).needs_calibration


def stand_in(folder: Path, name: str, file: str, wrap: str | None) -> torch.nn.Module:
    """A whole network with its weights saved as the publisher of ``name`` saves them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        network = architecture.bare_network(FACTS[name])
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    state = network.state_dict()
    torch.save(state if wrap is None else {wrap: state, "epoch": 1}, folder / file)
    return network


def test_a_zoo_checkpoint_is_loaded_checked_and_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VADBENCH_WEIGHTS", str(tmp_path))
    whole = stand_in(tmp_path, "x3d_xs", "X3D_XS.pyth", "model_state")
    seen: list[torch.Tensor] = []
    whole.get_submodule("blocks.4").register_forward_hook(lambda m, i, o: seen.append(o))
    network = model_zoo.build(small(weights="pretrained"), ("blocks.4",))
    assert isinstance(network, Network)
    features = network(clips(1))["blocks.4"]
    with torch.inference_mode(), pytest.raises(RuntimeError):  # the head needs a larger clip
        whole(torch.from_numpy(clips(1)).permute(0, 4, 1, 2, 3))
    np.testing.assert_allclose(features, seen[0].numpy(), rtol=1e-4, atol=1e-4 * float(seen[0].abs().max()))
    digest = hashlib.sha256((tmp_path / "X3D_XS.pyth").read_bytes()).hexdigest()
    assert network.weights_digest() == digest
    assert network.spec("blocks.4")["weights"] == {"digest": digest, "seed": None, "recipe": None}
    assert not network.needs_calibration
    assert str(tmp_path) not in str(network.spec("blocks.4"))


def test_a_torchvision_checkpoint_with_a_wrong_digest_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VADBENCH_WEIGHTS", str(tmp_path))
    stand_in(tmp_path, "r3d_18", "r3d_18-b3b3357e.pth", None)
    with pytest.raises(WeightsError, match=r"r3d_18-b3b3357e\.pth: its SHA-256 begins with"):
        model_zoo.build(small("r3d_18", weights="pretrained"))


def test_a_checkpoint_by_path_and_one_of_another_network(tmp_path: Path) -> None:
    whole = stand_in(tmp_path, "r3d_18", "mine.pth", "state_dict")
    network = model_zoo.build(small("r3d_18", weights=str(tmp_path / "mine.pth")), ("layer4",))
    seen: list[torch.Tensor] = []
    whole.get_submodule("layer4").register_forward_hook(lambda m, i, o: seen.append(o))
    with torch.inference_mode():
        whole(torch.from_numpy(clips(1)).permute(0, 4, 1, 2, 3))
    np.testing.assert_allclose(
        network(clips(1))["layer4"], seen[0].numpy(), rtol=1e-3, atol=1e-4 * float(seen[0].abs().max())
    )
    wrong = model_zoo.build(small("mc3_18", weights=str(tmp_path / "mine.pth")), ("layer4",))
    with pytest.raises(WeightsError, match=r"(?s)another network.*of another shape: .*in place of"):
        wrong(clips(1))


def test_bfloat16_is_close_and_its_own_spec(random_network: Network) -> None:
    low = model_zoo.build(small(precision="bfloat16"), LAYERS, seed=3)
    low.calibrate(clips(5, seed=1))
    a, b = random_network(clips())["blocks.4"], low(clips())["blocks.4"]
    assert b.dtype == np.float32
    assert not np.array_equal(a, b)
    assert np.linalg.norm(a - b) / np.linalg.norm(a) < 0.1
    assert low.spec("blocks.4") != random_network.spec("blocks.4")


def test_a_spec_holds_what_matters_and_neither_device_nor_neighbours(random_network: Network) -> None:
    spec = random_network.spec("blocks.4")
    assert spec["libraries"].keys() == {"torch", "torchvision", "pytorchvideo"}
    others = [
        model_zoo.build(small(), ("blocks.4",), seed=4).spec("blocks.4"),
        model_zoo.build(small("x3d_s"), ("blocks.4",), seed=3).spec("blocks.4"),
        random_network.spec("blocks.2"),
    ]
    assert all(other != spec for other in others)
    assert model_zoo.build(small(), ("blocks.4",), seed=3, device="auto").spec("blocks.4") == spec


@pytest.mark.parametrize(
    ("change", "layer", "said"),
    [
        ({}, "blocks.44", r"'blocks\.44' of backbone 'x3d_xs': there is no such layer .*\. Did you mean: blocks\.4,"),
        ({}, "blocks.5", r"can't be computed for clips of 4 frames of 32x48 pixels \(.*smaller than kernel"),
        (
            {"name": "r2plus1d_18"},
            "layer5",
            r"Did you mean: .*layer.*Stages: .*layer4.*list layers backbone=r2plus1d_18",
        ),
    ],
)
def test_a_layer_that_can_not_be_had_is_refused_at_once(change: dict[str, str], layer: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        model_zoo.build(small(**{"name": "x3d_xs", **change}), (layer,))


def test_a_clip_too_short_for_the_default_layer_is_refused_at_once() -> None:
    with pytest.raises(
        ConfigError, match=r"'features\.15' of backbone 's3d': it can't be computed for clips of 4 frames"
    ):
        model_zoo.build(small("s3d"))


@pytest.mark.parametrize(
    ("name", "layer", "said"),
    [
        ("r3d_18", "layer4.1.add", "an operation inside a module is not one"),  # torchvision's name of a graph node
        ("swin3d_t", "features.0.0.attn.qkv", "does not call this module itself"),
    ],
)
def test_what_is_no_layer_is_refused(name: str, layer: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        model_zoo.build(small(name), (layer,))


def test_a_layer_that_is_no_feature_map_is_refused() -> None:
    network = architecture.Architecture(frozenset({"windows"}))
    network.shapes["windows"] = {"base": (8, 5), "N": (12, 5), "T": (16, 5), "H": (16, 5), "W": (16, 5)}
    with pytest.raises(ConfigError, match="it is not a feature map"):
        architecture.check_layers(small(), FACTS["x3d_xs"], small(), network, ["windows"])


def test_the_same_network_with_other_layers() -> None:
    network = model_zoo.build(small(weights="random"), ("blocks.2",), seed=3)
    assert isinstance(network, Network)
    other = network.with_layers(("blocks.4",))
    assert other.spec("blocks.2") == network.spec("blocks.2")
    other.calibrate(clips(2)), network.calibrate(clips(2))
    expected = model_zoo.build(small(weights="random"), ("blocks.4",), seed=3)
    expected.calibrate(clips(2))
    np.testing.assert_array_equal(other(clips())["blocks.4"], expected(clips())["blocks.4"])


def test_a_list_of_blocks_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"does not call this module itself .*Did you mean: blocks\.4\.res_blocks\.\d"
    ):
        model_zoo.build(small(), ("blocks.4.res_blocks",))


class InPlace(torch.nn.Module):
    """Outputs that what comes later overwrites: by a module, by an addition, and in a module that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv3d(3, 4, 1)
        self.relu = torch.nn.ReLU(inplace=True)
        self.twice = torch.nn.Conv3d(4, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        y = self.twice(self.relu(x))
        y += 1
        z: torch.Tensor = self.twice(y)
        z.zero_()
        return z


@torch.inference_mode()
def test_what_comes_later_does_not_overwrite_a_layer() -> None:
    torch.manual_seed(0)
    network, x = InPlace(), torch.randn(1, 3, 2, 4, 4)
    conv = network.conv(x)
    twice = network.twice(network.twice(conv.relu()) + 1)
    calls = {"conv": 1, "relu": 1, "twice": 2}
    found = run_until(network, calls, x)
    torch.testing.assert_close(found["conv"], conv)
    assert (conv < 0).any()
    torch.testing.assert_close(found["relu"], conv.relu())
    torch.testing.assert_close(found["twice"], twice)  # the last call, and not what was written over it
    assert torch.equal(run_until(network, {"conv": 1}, x)["conv"], found["conv"])


@pytest.mark.parametrize("device", ["cuda:7", "gpu"])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    if device == "cuda:7" and torch.cuda.device_count() > 7:
        pytest.skip("this machine has eight GPUs")
    with pytest.raises(ConfigError, match=f"runtime.device={device}"):
        model_zoo.build(small(), ("blocks.0",), device=device)


def test_bytes_are_refused_where_floats_are_needed(random_network: Network) -> None:
    with pytest.raises(ConfigError, match=r"float32 \(H, W, 3\).*backbone\.mean"):
        random_network.per_frame(np.zeros((32, 48, 3), np.uint8), None)
    frame = clips(1)[0, 0]
    assert random_network.per_frame(frame, None) is frame


def test_torchvision_that_does_not_fit_torch_is_explained(tmp_path: Path) -> None:
    fake = tmp_path / "torchvision"
    fake.mkdir()
    (fake / "__init__.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')\n")
    code = (
        "from vadbench.backbones import imports, model_zoo\n"
        "try:\n    model_zoo.layers(model_zoo.load_config('x3d_s'))\n"
        "except imports.BrokenInstall as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": str(tmp_path)}, check=True
    )
    said = done.stdout
    assert "torchvision was built for another torch" in said
    assert "pip install --force-reinstall torch torchvision" in said
    assert "operator torchvision::nms does not exist" in said
    assert "backbone=flow_grid" in said
