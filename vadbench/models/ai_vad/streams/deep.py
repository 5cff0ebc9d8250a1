"""What each region looks like: the image embedding of its crop by a CLIP model of open_clip.

Shape legend: N frames, M regions of all of them, H W pixels, S input side of the model, D embedding size.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vadbench.backbones.engines.runner import Runner
from vadbench.backbones.imports import installed_version
from vadbench.backbones.weights_file import WeightsFile, digest_of, obtain
from vadbench.density.collecting import as_given
from vadbench.errors import ConfigError
from vadbench.models.ai_vad.streams.clip_weights import load, weights_file
from vadbench.models.ai_vad.streams.crops import Cropping
from vadbench.models.ai_vad.tensors import in_order, is_tensor, to_boxes, to_frames
from vadbench.models.ai_vad.weights import seeded


class DeepExtractor:
    """Embeddings of crops that are stretched to the model's input size.

    Parameters
    ----------
    model: any name that open_clip knows, such as "ViT-B-16" (D = 512).
    weights: a tag of open_clip ("openai", "laion2b_s34b_b88k", ...), "random" or a path. OpenAI's weights need another
        GELU than open_clip's models of the same names have: with the tag and with OpenAI's own file that is seen to,
        converted files of them fit the "-quickgelu" models ("ViT-B-16-quickgelu").
    color_order: "rgb"; or "bgr", which the official code feeds with statistics in RGB order.
    batch_size: crops at once; crops of several frames share a batch. It changes no result beyond rounding.
    crops: how a box becomes a crop.
    runner: what runs the network.
    """

    def __init__(
        self,
        model: str = "ViT-B-16",
        weights: str = "openai",
        color_order: str = "rgb",
        batch_size: int = 64,
        seed: int = 0,
        device: str = "cpu",
        crops: Cropping | None = None,
        runner: Runner | None = None,
    ) -> None:
        if color_order not in ("rgb", "bgr"):
            raise ConfigError(f"Unknown colour order {color_order!r}. Available: rgb, bgr.")
        self.model = model
        self.word = weights
        self.color_order = color_order
        self.batch_size = batch_size
        self.seed = seed
        self.device = device
        self.crops = crops or Cropping()
        self.runner = runner or Runner()
        self._network: Any = None

    def __call__(self, frames: Any, boxes: Any, batch_size: int | None = None) -> Any:
        """``{"deep": float32 (M, D)}`` for N frames ``uint8 (N, H, W, 3)`` RGB and ``(M_i, 4)`` boxes of each.

        Of tensors ``(N, 3, H, W)`` a tensor ``(M, D)``; ``boxes`` may be ``(M, 5)`` there, with the number of the frame
        first. ``batch_size``: crops at once, in place of the extractor's own number.
        """
        import torch

        if is_tensor(frames):
            parts, order = to_boxes(boxes, len(frames))
            made = self(to_frames(frames), parts, batch_size)["deep"]
            return as_given(in_order(made, order), frames.float())
        batch_size = batch_size or self.batch_size
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
            for start in range(0, len(rois), batch_size):
                block = rois[start : start + batch_size]
                crops = self.crops(pixels, block, _pair(visual.image_size))
                embeddings.append(network.encode_image((crops - mean) / std).float().cpu().numpy())
        return {"deep": np.concatenate(embeddings).astype(np.float32)}

    def spec(self) -> dict[str, Any]:
        """Everything that the embeddings depend on beside frames and boxes; no network is built."""
        return {
            "deep": self.model,
            "weights": self._identity(),
            "color_order": self.color_order,
            "open_clip": installed_version("open_clip_torch"),
            **self.crops.spec(),
            **self.runner.spec(),
        }

    def weights(self) -> list[dict[str, Any]]:
        """One set."""
        return [{"part": f"deep ({self.model})", **self._identity()}]

    def files(self) -> list[WeightsFile]:
        """Return the file that the weights are in, here or not; none for random ones."""
        return [] if self.word == "random" else [weights_file(self.model, self.word)]

    def _identity(self) -> dict[str, Any]:
        """Return name and digest, the digest as the publisher gives it where it does: then no file is needed."""
        if self.word == "random":
            return {"name": "random", "digest": f"seed-{self.seed}"}
        asked = weights_file(self.model, self.word)
        file, path = asked.here()
        name = file.name if file.url is None else self.word
        if file.sha256 is not None:
            return {"name": name, "digest": file.sha256}
        return {"name": name, "digest": digest_of(path or obtain(asked))}

    def _size(self) -> int:
        import open_clip

        return int(open_clip.get_model_config(self.model)["embed_dim"])

    def _built(self) -> Any:
        if self._network is None:
            path = None if self.word == "random" else obtain(weights_file(self.model, self.word))
            with seeded(self.seed):
                network = load(self.model, self.word, path)
            self._network = network.eval().requires_grad_(False).to(self.device)
            self.runner.take(self._network, f"deep ({self.model})", {"visual": 1})
        return self._network


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
