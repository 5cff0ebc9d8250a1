"""anomalib's FUVAS on a folder in the layout of UCSD Ped2; runs in anomalib's own environment, without vadbench.

    PYTHON peer.py DATA OUT WEIGHTS

Writes OUT (npz: raw score of every test clip) and, where it is not there yet, WEIGHTS: the state of the untrained x3d_s
that it uses.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.hub


def main(data: str, out: str, weights: str) -> None:
    """Fit and test; both files are written here."""
    from pytorchvideo.models import hub

    def untrained(repo: Any, model: Any, *_: Any, **options: Any) -> Any:
        torch.manual_seed(0)
        network = getattr(hub, model)(pretrained=False)
        if Path(weights).exists():
            network.load_state_dict(torch.load(weights, weights_only=True))
        else:
            torch.save(network.state_dict(), weights)
        return network

    torch.set_num_threads(1)
    torch.hub.load = untrained  # type: ignore[assignment]
    from anomalib.data import UCSDped
    from anomalib.engine import Engine
    from anomalib.models import Fuvas
    from anomalib.models.video.fuvas.torch_model import FUVASModel

    scores: list[Any] = []
    forward = FUVASModel.forward

    def kept(self: Any, batch: Any) -> Any:
        result = forward(self, batch)
        scores.append(result.pred_score.clone())
        return result

    FUVASModel.forward = kept
    videos = UCSDped(
        root=data,
        category="UCSDped2",
        clip_length_in_frames=13,
        frames_between_clips=1,
        train_batch_size=8,
        eval_batch_size=8,
        num_workers=0,
    )
    model = Fuvas(pre_trained=False, pca_level=0.98, visualizer=False)
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(
            accelerator="cpu",
            devices=1,
            logger=False,
            default_root_dir=folder,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        engine.fit(model=model, datamodule=videos)
        engine.test(model=model, datamodule=videos, verbose=False)
    tested = scores[len(scores) // 2 :]  # its validation goes over the test clips before
    np.savez(out, scores=torch.cat(tested).double().numpy())


if __name__ == "__main__":
    main(*sys.argv[1:])
