"""What each region looks like: the image embedding of its crop by a CLIP model of open_clip.

Shape legend: N frames, M regions of all of them, H W pixels, S input side of the model, D embedding size.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vadbench.backbones.imports import installed_version
from vadbench.errors import ConfigError, WeightsError, nearest
from vadbench.models.ai_vad.weights import existing, file_digest, missing, seeded
from vadbench.models.base import Features

if TYPE_CHECKING:
    import torch

_WITHOUT = "model.use_deep_features=false needs no embeddings."


class DeepExtractor:
    """Embeddings of crops that are stretched to the model's input size.

    Parameters
    ----------
    model: any name that open_clip knows, such as "ViT-B-16" (D = 512).
    weights: a tag of open_clip ("openai", "laion2b_s34b_b88k", ...), "random" or a path. A file of OpenAI's weights
        fits the "-quickgelu" models ("ViT-B-16-quickgelu"); with the tag that is seen to.
    color_order: "rgb"; or "bgr", which the official code feeds with statistics in RGB order.
    batch_size: crops at once; crops of several frames share a batch. It changes no result beyond rounding.
    """

    def __init__(
        self,
        model: str = "ViT-B-16",
        weights: str = "openai",
        color_order: str = "rgb",
        batch_size: int = 64,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        if color_order not in ("rgb", "bgr"):
            raise ConfigError(f"Unknown colour order {color_order!r}. Available: rgb, bgr.")
        self.model = model
        self.word = weights
        self.color_order = color_order
        self.batch_size = batch_size
        self.seed = seed
        self.device = device
        self._network: Any = None

    def __call__(self, frames: np.ndarray, boxes: Sequence[np.ndarray]) -> Features:
        """``{"deep": float32 (M, D)}`` for N frames ``uint8 (N, H, W, 3)`` RGB and ``(M_i, 4)`` boxes of each."""
        import torch
        from torchvision.ops import roi_align

        counts = [len(b) for b in boxes]
        if not sum(counts):
            return {"deep": np.zeros((0, self._size()), np.float32)}
        network = self._built()
        visual = network.visual
        rows = np.empty((sum(counts), 5), dtype=np.float32)
        rows[:, 0] = np.repeat(np.arange(len(boxes)), counts)
        rows[:, 1:] = np.concatenate(list(boxes))
        ordered = frames[..., ::-1] if self.color_order == "bgr" else frames
        pixels = torch.from_numpy(np.ascontiguousarray(ordered)).to(self.device).permute(0, 3, 1, 2).float() / 255
        rois = torch.from_numpy(rows).to(self.device)
        mean, std = (pixels.new_tensor(s)[:, None, None] for s in (visual.image_mean, visual.image_std))
        embeddings = []
        with torch.inference_mode():
            for start in range(0, len(rois), self.batch_size):
                block = rois[start : start + self.batch_size]
                crops = roi_align(pixels, block, _pair(visual.image_size), aligned=True)
                embeddings.append(network.encode_image((crops - mean) / std).float().cpu().numpy())
        return {"deep": np.concatenate(embeddings).astype(np.float32)}

    def spec(self) -> dict[str, Any]:
        """Everything that the embeddings depend on beside frames and boxes; no network is built."""
        return {
            "deep": self.model,
            "weights": self._identity(),
            "color_order": self.color_order,
            "open_clip": installed_version("open_clip_torch"),
        }

    def weights(self) -> list[dict[str, Any]]:
        """One set."""
        return [{"part": f"deep ({self.model})", **self._identity()}]

    def _identity(self) -> dict[str, Any]:
        if self.word == "random":
            return {"name": "random", "digest": f"seed-{self.seed}"}
        if self.word in tags(self.model):
            return {"name": self.word, "digest": f"open_clip:{self.model}:{self.word}"}
        if _is_path(self.word):
            return {"name": Path(self.word).name, "digest": file_digest(existing(self.word, "model.deep_weights"))}
        raise ConfigError(
            f"model.deep_weights={self.word!r}: open_clip has no such weights for {self.model}. "
            f"{nearest(self.word, [*tags(self.model), 'random'])} Or give a path."
        )

    def _size(self) -> int:
        import open_clip

        return int(open_clip.get_model_config(self.model)["embed_dim"])

    def _built(self) -> Any:
        if self._network is None:
            self._identity()  # explains a wrong word before anything is built
            with seeded(self.seed):
                self._network = self._create().eval().requires_grad_(False).to(self.device)
        return self._network

    def _create(self) -> torch.nn.Module:
        import open_clip

        if self.model not in open_clip.list_models():
            raise ConfigError(f"model.deep_model: unknown model. {nearest(self.model, open_clip.list_models())}")
        tag = None if self.word == "random" else self.word
        known = tag in tags(self.model)
        try:
            return open_clip.create_model(
                self.model, tag, force_quick_gelu=self._quick_gelu(), pretrained_text=False, require_pretrained=known
            )
        except Exception as error:
            if tag is None:
                raise
            if known:
                place = "open_clip's cache (the Hugging Face cache folder)"
                text = missing(
                    f"{self.model}/{tag}", "the Hugging Face hub", place, "model.deep_weights", _WITHOUT, error
                )
                raise WeightsError(text.replace("=pretrained", f"={tag}")) from error
            reason = " ".join(str(error).split())[:300]
            raise WeightsError(f"model.deep_weights={tag}: does not fit {self.model}: {reason}") from error

    def _quick_gelu(self) -> bool:
        """OpenAI's weights were trained with another GELU than open_clip's models of the same names have."""
        import open_clip

        config = open_clip.get_pretrained_cfg(self.model, self.word) or {}
        return bool(config.get("quick_gelu", False))


@functools.cache
def tags(model: str) -> tuple[str, ...]:
    """Names of the weights that open_clip can fetch for a model."""
    import open_clip

    return tuple(open_clip.list_pretrained_tags_by_model(model))


def _is_path(word: str) -> bool:
    return "/" in word or "." in word or Path(word).exists()


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
