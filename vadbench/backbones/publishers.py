"""The networks that are backbones: their default configuration after the publisher's recipe, and what configuration
can't change (builder, parameters, published weights).

No torch here.
"""

from __future__ import annotations

from typing import Any

from vadbench import registry
from vadbench.backbones.base import Backbone, Checkpoint, Facts
from vadbench.backbones.model_zoo import facts_of, load_config
from vadbench.config.parts import with_defaults
from vadbench.config.schema import BackboneConfig

_ZOO = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics"
_TORCH = "https://download.pytorch.org/models"
_PYTORCHVIDEO = "pytorchvideo.models.hub"
_TORCHVISION = "torchvision.models.video"

# What the publishers say, not what a lawyer would: both ship code under the named licence and state none for the
# weights; torchvision's documentation says that terms may derive from the dataset used for training.
_ZOO_TERMS = "code Apache-2.0; no terms stated for the weights, trained on Kinetics-400"
_TORCH_TERMS = "code BSD-3-Clause; weights may carry terms of their training data, Kinetics-400"


def _network(config: BackboneConfig, layers: tuple[str, ...], seed: int, device: str) -> Backbone:
    from vadbench.backbones.network import Network

    return Network(config, facts_of(config.name), load_config(config.name), layers, seed, device)


def _register(name: str, config: type, facts: Facts) -> None:
    registry.backbone(name, config=config, facts=facts)(_network)


def _recipe(summary: str, layer: str, clip_length: int, side: int, mean: Any, std: Any) -> type:
    """Return the default configuration of a network.

    Clips are taken from neighbouring frames (frame_step=1), whatever the recipe of the published weights sampled
    (``Checkpoint.sampling``).
    """
    settings = {"layer": layer, "weights": "pretrained", "clip_length": clip_length, "size": (side, side)}
    return with_defaults(BackboneConfig, summary, **settings, mean=mean, std=std)


_HALF = ((0.45, 0.45, 0.45), (0.225, 0.225, 0.225))
_KINETICS = ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989))
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def _zoo(name: str, config: type, parameters: int, file: str, sampling: str) -> None:
    published = Checkpoint("kinetics400", f"{_ZOO}/{file}", None, "Kinetics-400", sampling, _ZOO_TERMS)
    _register(name, config, Facts(f"{_PYTORCHVIDEO}:{name}", parameters, (published,), batch_norm=True))


def _torch(
    name: str,
    config: type,
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
    _register(name, config, Facts(f"{_TORCHVISION}:{name}", parameters, published, batch_norm, tokens, fixed_input))


_K400 = "kinetics400_v1"
_15_FPS = "{} frames at 15 frames a second"

_zoo(
    "x3d_xs",
    _recipe("X3D-XS (Feichtenhofer, CVPR 2020), pytorchvideo", "blocks.4", 4, 182, *_HALF),
    3_794_274,
    "X3D_XS.pyth",
    "4 frames, every 12th",
)
_zoo(
    "x3d_s",
    _recipe("X3D-S (Feichtenhofer, CVPR 2020), pytorchvideo", "blocks.4", 13, 182, *_HALF),
    3_794_274,
    "X3D_S.pyth",
    "13 frames, every 6th",
)
_zoo(
    "x3d_m",
    _recipe("X3D-M (Feichtenhofer, CVPR 2020), pytorchvideo", "blocks.4", 16, 256, *_HALF),
    3_794_274,
    "X3D_M.pyth",
    "16 frames, every 5th",
)
_zoo(
    "x3d_l",
    _recipe("X3D-L (Feichtenhofer, CVPR 2020), pytorchvideo", "blocks.4", 16, 356, *_HALF),
    6_153_384,
    "X3D_L.pyth",
    "16 frames, every 5th",
)
_zoo(
    "i3d_r50",
    _recipe("I3D, ResNet-50 (Carreira, Zisserman, CVPR 2017), pytorchvideo", "blocks.5", 8, 256, *_HALF),
    28_043_472,
    "I3D_8x8_R50.pyth",
    "8 frames, every 8th",
)
_zoo(
    "slow_r50",
    _recipe(
        "Slow pathway of SlowFast, ResNet-50 (Feichtenhofer et al., ICCV 2019), pytorchvideo",
        "blocks.4",
        8,
        256,
        *_HALF,
    ),
    32_454_096,
    "SLOW_8x8_R50.pyth",
    "8 frames, every 8th",
)
_torch(
    "swin3d_t",
    _recipe("Video Swin Transformer, tiny (Liu et al., CVPR 2022), torchvision", "features.6.1", 32, 224, *_IMAGENET),
    28_158_070,
    {_K400: "swin3d_t-7615ae03.pth"},
    _15_FPS.format(32),
    False,
)
_torch(
    "swin3d_s",
    _recipe("Video Swin Transformer, small (Liu et al., CVPR 2022), torchvision", "features.6.1", 32, 224, *_IMAGENET),
    49_816_678,
    {_K400: "swin3d_s-da41c237.pth"},
    _15_FPS.format(32),
    False,
)
_torch(
    "swin3d_b",
    _recipe("Video Swin Transformer, base (Liu et al., CVPR 2022), torchvision", "features.6.1", 32, 224, *_IMAGENET),
    88_048_984,
    {"kinetics400_imagenet22k_v1": "swin3d_b_22k-7c6ae6fa.pth", _K400: "swin3d_b_1k-24f7c7c6.pth"},
    _15_FPS.format(32),
    False,
)
_torch(
    "mvit_v1_b",
    _recipe("MViT v1 base (Fan et al., ICCV 2021), torchvision", "blocks.15", 16, 224, *_HALF),
    36_610_672,
    {_K400: "mvit_v1_b-dbeb1030.pth"},
    "16 frames at 7.5 frames a second",
    False,
    True,
    (16, 224, 224),
)
_torch(
    "mvit_v2_s",
    _recipe("MViT v2 small (Li et al., CVPR 2022), torchvision", "blocks.15", 16, 224, *_HALF),
    34_537_744,
    {_K400: "mvit_v2_s-ae3be167.pth"},
    "16 frames at 7.5 frames a second",
    False,
    True,
    (16, 224, 224),
)
_torch(
    "r3d_18",
    _recipe("R3D-18 (Tran et al., CVPR 2018), torchvision", "layer4", 16, 112, *_KINETICS),
    33_371_472,
    {_K400: "r3d_18-b3b3357e.pth"},
    _15_FPS.format(16),
    True,
)
_torch(
    "mc3_18",
    _recipe("MC3-18 (Tran et al., CVPR 2018), torchvision", "layer4", 16, 112, *_KINETICS),
    11_695_440,
    {_K400: "mc3_18-a90a0ba3.pth"},
    _15_FPS.format(16),
    True,
)
_torch(
    "r2plus1d_18",
    _recipe("R(2+1)D-18 (Tran et al., CVPR 2018), torchvision", "layer4", 16, 112, *_KINETICS),
    31_505_325,
    {_K400: "r2plus1d_18-91a641e6.pth"},
    _15_FPS.format(16),
    True,
)
# Its recipe took 128 frames, longer than many test videos; it needs 14.
_torch(
    "s3d",
    _recipe("S3D (Xie et al., ECCV 2018), torchvision", "features.15", 16, 224, *_KINETICS),
    8_320_048,
    {_K400: "s3d-d76dad2f.pth"},
    _15_FPS.format(128),
    True,
)
