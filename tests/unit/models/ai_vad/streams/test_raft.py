"""RAFT on sequences against torchvision's own forward, and what is encoded how often."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate
from torchvision.models import get_model

from vadbench.models.ai_vad.streams.flow import FlowExtractor

FRAMES = np.random.default_rng(0).integers(0, 256, (5, 90, 150, 3), dtype=np.uint8)
SIZE = (128, 136)


def made(method: str = "raft_large", **options: object) -> FlowExtractor:
    return FlowExtractor(method, "random", size=SIZE, updates=3, **options)  # type: ignore[arg-type]


def torchvisions(method: str, first: np.ndarray, last: np.ndarray) -> torch.Tensor:
    """The documented way: both frames through the network's own forward."""
    torch.manual_seed(0)
    network = get_model(method, weights=None).eval()
    frames = torch.from_numpy(np.concatenate([first, last])).permute(0, 3, 1, 2).float()
    with torch.inference_mode():
        frames = interpolate(frames / 127.5 - 1, SIZE, mode="bilinear", align_corners=False)
        flow = network(*frames.chunk(2), num_flow_updates=3)[-1]
        flow = interpolate(flow, FRAMES.shape[1:3], mode="bilinear", align_corners=False)
    return flow * torch.tensor([150 / 136, 90 / 128])[:, None, None]


@pytest.mark.parametrize("method", ["raft_large", "raft_small"])
def test_the_flow_of_each_pair_is_torchvisions(method: str) -> None:
    extractor = made(method)
    for i in range(4):
        first, last = FRAMES[i : i + 1], FRAMES[i + 1 : i + 2]
        expected = torchvisions(method, first, last)
        torch.testing.assert_close(extractor(first, last), expected, rtol=0, atol=float(expected.abs().max()) * 1e-5)


@pytest.mark.parametrize(("step", "batch_size"), [(1, 1), (1, 2), (1, 4), (2, 1), (2, 3), (4, 1)])
def test_a_frame_is_encoded_once_however_pairs_are_batched(step: int, batch_size: int) -> None:
    extractor, pairs = made(), [(i, i + step) for i in range(5 - step)]
    extractor(FRAMES[:1], FRAMES[:1])
    encoded = []
    assert extractor._encoder is not None
    encode = extractor._encoder.encode
    extractor._encoder.encode = lambda frames: encoded.append(len(frames)) or encode(frames)
    flows = []
    for start in range(0, len(pairs), batch_size):
        first, last = (list(numbers) for numbers in zip(*pairs[start : start + batch_size], strict=True))
        flows.append(extractor(FRAMES[first], FRAMES[last]))
    assert sum(encoded) == len(set(sum(pairs, ()))) - 1  # the first was seen before
    first, last = (list(numbers) for numbers in zip(*pairs, strict=True))
    alone = torchvisions("raft_large", FRAMES[first], FRAMES[last])
    torch.testing.assert_close(torch.cat(flows), alone, rtol=0, atol=float(alone.abs().max()) * 1e-5)


def test_only_the_last_update_is_brought_to_full_size() -> None:
    extractor, calls = made(), []
    extractor(FRAMES[:1], FRAMES[1:2])
    assert extractor._network is not None
    extractor._network.mask_predictor.register_forward_hook(lambda *_: calls.append(1))
    extractor(FRAMES[1:2], FRAMES[2:3])
    assert calls == [1]


def test_few_encodings_are_kept_and_none_of_a_whole_batch() -> None:
    extractor = made()
    extractor(FRAMES[:4], FRAMES[1:])
    assert extractor._encoder is not None
    kept = extractor._encoder._maps
    assert len(kept) == 4
    assert all(one.untyped_storage().nbytes() == one.nbytes for one in kept.values())
