"""The networks that are backbones, each with its builder, its parameters and the weights that are published.

No torch here. What a user may change (clip length, size, normalisation, default layer) is in conf/backbone/*.yaml.
"""

from __future__ import annotations

from vadbench import registry
from vadbench.backbones.base import Backbone, Checkpoint, Facts
from vadbench.backbones.model_zoo import facts_of, load_config
from vadbench.config.schema import BackboneConfig

_ZOO = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics"
_TORCH = "https://download.pytorch.org/models"
_PYTORCHVIDEO = "pytorchvideo.models.hub"
_TORCHVISION = "torchvision.models.video"

# What the publishers say, not what a lawyer would: both ship code under the named licence and state none for the
# weights; torchvision's documentation says that terms may derive from the data set used for training.
_ZOO_TERMS = "code Apache-2.0; no terms stated for the weights, trained on Kinetics-400"
_TORCH_TERMS = "code BSD-3-Clause; weights may carry terms of their training data, Kinetics-400"


def _network(config: BackboneConfig, layers: tuple[str, ...], seed: int, device: str) -> Backbone:
    from vadbench.backbones.network import Network

    return Network(config, facts_of(config.name), load_config(config.name), layers, seed, device)


def _register(name: str, facts: Facts) -> None:
    registry.backbone(name, config=BackboneConfig, facts=facts)(_network)


def _zoo(name: str, parameters: int, file: str, sampling: str) -> None:
    published = Checkpoint("kinetics400", f"{_ZOO}/{file}", None, "Kinetics-400", sampling, _ZOO_TERMS)
    _register(name, Facts(f"{_PYTORCHVIDEO}:{name}", parameters, (published,), batch_norm=True))


def _torch(
    name: str,
    parameters: int,
    files: dict[str, str],
    sampling: str,
    batch_norm: bool,
    tokens: bool = False,
    fixed_input: tuple[int, int, int] | None = None,
) -> None:
    published = tuple(
        Checkpoint(
            tag,
            f"{_TORCH}/{file}",
            file.rsplit("-", 1)[-1].removesuffix(".pth"),  # torchvision's naming: eight digits of the SHA-256
            "Kinetics-400, ImageNet-22K" if "imagenet22k" in tag else "Kinetics-400",
            sampling,
            _TORCH_TERMS,
        )
        for tag, file in files.items()
    )
    _register(name, Facts(f"{_TORCHVISION}:{name}", parameters, published, batch_norm, tokens, fixed_input))


_K400 = "kinetics400_v1"
_15_FPS = "{} frames at 15 frames a second"

_zoo("x3d_xs", 3_794_274, "X3D_XS.pyth", "4 frames, every 12th")
_zoo("x3d_s", 3_794_274, "X3D_S.pyth", "13 frames, every 6th")
_zoo("x3d_m", 3_794_274, "X3D_M.pyth", "16 frames, every 5th")
_zoo("x3d_l", 6_153_384, "X3D_L.pyth", "16 frames, every 5th")
_zoo("i3d_r50", 28_043_472, "I3D_8x8_R50.pyth", "8 frames, every 8th")
_zoo("slow_r50", 32_454_096, "SLOW_8x8_R50.pyth", "8 frames, every 8th")
_torch("swin3d_t", 28_158_070, {_K400: "swin3d_t-7615ae03.pth"}, _15_FPS.format(32), False)
_torch("swin3d_s", 49_816_678, {_K400: "swin3d_s-da41c237.pth"}, _15_FPS.format(32), False)
_torch(
    "swin3d_b",
    88_048_984,
    {"kinetics400_imagenet22k_v1": "swin3d_b_22k-7c6ae6fa.pth", _K400: "swin3d_b_1k-24f7c7c6.pth"},
    _15_FPS.format(32),
    False,
)
_torch(
    "mvit_v1_b",
    36_610_672,
    {_K400: "mvit_v1_b-dbeb1030.pth"},
    "16 frames at 7.5 frames a second",
    False,
    True,
    (16, 224, 224),
)
_torch(
    "mvit_v2_s",
    34_537_744,
    {_K400: "mvit_v2_s-ae3be167.pth"},
    "16 frames at 7.5 frames a second",
    False,
    True,
    (16, 224, 224),
)
_torch("r3d_18", 33_371_472, {_K400: "r3d_18-b3b3357e.pth"}, _15_FPS.format(16), True)
_torch("mc3_18", 11_695_440, {_K400: "mc3_18-a90a0ba3.pth"}, _15_FPS.format(16), True)
_torch("r2plus1d_18", 31_505_325, {_K400: "r2plus1d_18-91a641e6.pth"}, _15_FPS.format(16), True)
_torch("s3d", 8_320_048, {_K400: "s3d-d76dad2f.pth"}, _15_FPS.format(128), True)
