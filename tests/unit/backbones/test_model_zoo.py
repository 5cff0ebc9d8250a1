"""The table of backbones against what is installed and what is in conf/, and the errors of a wrong wish."""

from __future__ import annotations

import importlib
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.backbones import FACTS
from vadbench.backbones import model_zoo
from vadbench.errors import ConfigError

TORCHVISION = [n for n, f in FACTS.items() if f.builder.startswith("torchvision")]
PYTORCHVIDEO = [n for n, f in FACTS.items() if f.builder.startswith("pytorchvideo")]


def test_every_backbone_that_is_promised_is_there() -> None:
    assert set(FACTS) == {
        "x3d_xs", "x3d_s", "x3d_m", "x3d_l", "i3d_r50", "slow_r50", "swin3d_t", "swin3d_s", "swin3d_b", "mvit_v1_b",
        "mvit_v2_s", "r3d_18", "mc3_18", "r2plus1d_18", "s3d", "gradient3d", "flow_grid",
    }  # fmt: skip


def test_every_backbone_has_a_configuration_and_every_configuration_a_backbone() -> None:
    for name in FACTS:
        assert model_zoo.load_config(name).name == name


@pytest.mark.parametrize("name", TORCHVISION)
def test_facts_agree_with_torchvision(name: str) -> None:
    models = importlib.import_module("torchvision.models")
    published = {w.name.lower(): w for w in models.get_model_weights(name)}
    facts, config = FACTS[name], model_zoo.load_config(name)
    for checkpoint in facts.checkpoints:
        weights = published[checkpoint.tag]
        assert weights.url == checkpoint.url
        assert weights.meta["num_params"] == facts.parameters
        # torchvision itself checks downloads against the hex digits in the file's name.
        assert checkpoint.url.endswith(f"-{checkpoint.sha256_prefix}.pth")
        assert len(checkpoint.sha256_prefix or "") == 8
        recipe = weights.transforms()
        assert tuple(recipe.crop_size) == config.size
        assert tuple(recipe.mean) == config.mean
        assert tuple(recipe.std) == config.std
        frames = next(w for w in weights.meta["_docs"].replace("`", " ").replace(".", " ").split() if "clip_len" in w)
        assert checkpoint.sampling.startswith(frames.partition("=")[2] + " frames")


@pytest.mark.parametrize("name", PYTORCHVIDEO)
def test_facts_agree_with_pytorchvideo(name: str) -> None:
    family = "x3d" if name.startswith("x3d") else "resnet"
    paths = importlib.import_module(f"pytorchvideo.models.hub.{family}").checkpoint_paths
    assert [c.url for c in FACTS[name].checkpoints] == [paths[name]]
    config = model_zoo.load_config(name)
    assert config.mean == (0.45, 0.45, 0.45)
    assert config.std == (0.225, 0.225, 0.225)


def test_the_table_needs_no_torch() -> None:
    code = (
        "import sys; from vadbench.backbones import model_zoo; rows = [d.row() for d in model_zoo.describe()];"
        "assert len(rows) == 17 and len({tuple(r) for r in rows}) == 1, rows;"
        "b = model_zoo.build(model_zoo.load_config('flow_grid')); model_zoo.layers(model_zoo.load_config('flow_grid'));"
        "assert not {'torch', 'torchvision', 'mlflow'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_network_whose_features_are_cached_is_named_without_torch() -> None:
    code = (
        "import sys; from dataclasses import replace; from vadbench.backbones import model_zoo;"
        "b = model_zoo.build(replace(model_zoo.load_config('x3d_s'), weights='random'));"
        "b.spec('blocks.4'), b.needs_calibration, b.weights_digest();"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_row_says_what_a_user_must_know() -> None:
    (described,) = model_zoo.describe("swin3d_b")
    row = described.row()
    assert row["input"] == "224x224"
    assert row["clip"] == "32"
    assert row["parameters"] == "88.0 M"
    assert row["default layer"] == "features.6.1"
    assert row["source"].endswith("swin3d_b_22k-7c6ae6fa.pth")
    assert "Kinetics-400" in row["terms"]
    (bank,) = model_zoo.describe("flow_grid")
    assert bank.row()["weights"] == "none needed"


def test_an_unknown_backbone_gets_the_nearest_names() -> None:
    with pytest.raises(ConfigError, match=r"backbone=x3ds: there is no such backbone.*Did you mean: x3d_s"):
        model_zoo.load_config("x3ds")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"weights": "random"}, r"backbone\.weights='random'.*works with backbone\.weights=null only"),
        ({"mean": (0.5, 0.5, 0.5)}, r"backbone\.mean=.*works with backbone\.mean=null only"),
        ({"precision": "bfloat16"}, r"backbone\.precision='bfloat16'.*precision=float32 only"),
    ],
)
def test_a_filter_bank_refuses_what_only_networks_have(change: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        model_zoo.build(replace(model_zoo.load_config("flow_grid"), **change))


def test_a_filter_bank_has_one_layer() -> None:
    config = model_zoo.load_config("flow_grid")
    with pytest.raises(ConfigError, match=r"no layer 'blocks\.4'\. Available: grid\."):
        model_zoo.build(config, ("blocks.4",))
    (layer,) = model_zoo.layers(config)
    assert (layer.name, layer.shape, layer.default) == ("grid", (4, 4, None, None), True)
    assert model_zoo.layers(replace(config, size=(240, 360)))[0].shape == (4, 4, 20, 30)


def test_a_network_refuses_options() -> None:
    config = replace(model_zoo.load_config("x3d_s"), weights="random", options={"cell": 3})
    with pytest.raises(ConfigError, match=r"backbone\.options\.cell: backbone 'x3d_s' is a network"):
        model_zoo.build(config)


def test_a_network_of_one_input_size_says_so() -> None:
    config = replace(model_zoo.load_config("mvit_v2_s"), weights="random", clip_length=8)
    with pytest.raises(ConfigError, match=r"only backbone\.clip_length=16 with backbone\.size=\[224,224\], not 8"):
        model_zoo.build(config)
