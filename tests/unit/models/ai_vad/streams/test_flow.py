"""Flow of textures moved by a known number of pixels, its units, and its networks without their weights."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from vadbench.errors import ConfigError, WeightsError
from vadbench.models.ai_vad.streams.flow import FlowExtractor, default_size


def texture(size: tuple[int, int] = (96, 160), seed: int = 0) -> np.ndarray:
    """Smooth random texture with something to match at every scale."""
    rng = np.random.default_rng(seed)
    noise = sum(cv2.GaussianBlur(rng.random(size), (0, 0), s) * s for s in (1.5, 3, 6, 12))
    noise = (noise - noise.min()) / np.ptp(noise) * 255
    return np.repeat(noise.astype(np.uint8)[..., None], 3, axis=2)


def moved(frame: np.ndarray, x: float, y: float) -> np.ndarray:
    shift = np.array([[1, 0, x], [0, 1, y]], np.float32)
    return cv2.warpAffine(frame, shift, frame.shape[1::-1], borderMode=cv2.BORDER_REFLECT)


def middle(flow: torch.Tensor) -> np.ndarray:
    """Median u and v away from the border."""
    return np.median(flow[0, :, 20:-20, 20:-20].numpy(), axis=(1, 2))


@pytest.mark.parametrize("method", ["dis", "farneback"])
@pytest.mark.parametrize("shift", [(3.0, 0.0), (0.0, -2.0), (-1.5, 2.5)])
def test_a_moved_texture_has_the_flow_of_its_motion(method: str, shift: tuple[float, float]) -> None:
    frame = texture()
    flow = FlowExtractor(method, size=None)(frame[None], moved(frame, *shift)[None])
    assert flow.shape == (1, 2, 96, 160) and flow.dtype == torch.float32
    np.testing.assert_allclose(middle(flow), shift, atol=0.25)


@pytest.mark.parametrize("method", ["dis", "farneback"])
def test_flow_at_another_size_is_in_pixels_of_the_frame_unless_told_otherwise(method: str) -> None:
    frame = texture()
    pair = frame[None], moved(frame, 4, -2)[None]
    frame_pixels = FlowExtractor(method, size=(192, 240))(*pair)
    np.testing.assert_allclose(middle(frame_pixels), [4, -2], atol=0.3)
    raw = FlowExtractor(method, size=(192, 240), rescale=False)(*pair)
    # 1.5 times as wide and twice as high: u and v of the resized frame have different units.
    np.testing.assert_allclose(middle(raw), [6, -4], atol=0.5)
    np.testing.assert_allclose(raw.numpy() / [[[[1.5]], [[2.0]]]], frame_pixels.numpy(), atol=1e-5)


def test_a_batch_is_its_pairs_and_two_calls_agree() -> None:
    frames = np.stack([texture(seed=s) for s in range(3)])
    last = np.stack([moved(f, 2, 1) for f in frames])
    extractor = FlowExtractor("dis", size=None)
    together = extractor(frames, last)
    apart = torch.cat([extractor(a[None], b[None]) for a, b in zip(frames, last, strict=True)])
    assert torch.equal(together, apart)
    assert torch.equal(together, FlowExtractor("dis", size=None)(frames, last))


def test_dis_does_not_depend_on_the_number_of_threads() -> None:
    frame = texture((240, 360))
    pair = frame[None], moved(frame, 2, 1)[None]
    before = cv2.getNumThreads()
    try:
        flows = []
        for threads in (1, 2, 4):
            cv2.setNumThreads(threads)
            flows.append(FlowExtractor("dis", size=None)(*pair))
    finally:
        cv2.setNumThreads(before)
    assert torch.equal(flows[0], flows[1]) and torch.equal(flows[0], flows[2])


def test_random_raft_runs_at_any_frame_size_and_is_drawn_by_seed() -> None:
    pair = texture((90, 150))[None], texture((90, 150), 1)[None]
    options = {"weights": "random", "size": (128, 136), "updates": 2}
    flow = FlowExtractor("raft_small", **options)(*pair)  # type: ignore[arg-type]
    assert flow.shape == (1, 2, 90, 150)
    assert torch.isfinite(flow).all() and flow.abs().max() > 0
    again = FlowExtractor("raft_small", **options)(*pair)  # type: ignore[arg-type]
    assert torch.equal(flow, again)
    other = FlowExtractor("raft_small", **options, seed=1)(*pair)  # type: ignore[arg-type]
    assert not torch.equal(flow, other)
    raw = FlowExtractor("raft_small", **options, rescale=False)(*pair)  # type: ignore[arg-type]
    np.testing.assert_allclose(flow[:, 0], raw[:, 0] * 150 / 136, rtol=1e-5)
    np.testing.assert_allclose(flow[:, 1], raw[:, 1] * 90 / 128, rtol=1e-5)
    assert FlowExtractor("raft_small", "random", size=None, updates=1)(*pair).shape == (1, 2, 90, 150)


def test_weights_from_a_file_are_the_weights_that_run(tmp_path: Path) -> None:
    options = {"size": (128, 128), "updates": 2}
    random = FlowExtractor("raft_small", "random", seed=5, **options)  # type: ignore[arg-type]
    pair = texture((128, 128))[None], texture((128, 128), 1)[None]
    flow = random(*pair)
    assert random._network is not None
    torch.save(random._network.state_dict(), tmp_path / "mine.pth")
    loaded = FlowExtractor("raft_small", str(tmp_path / "mine.pth"), **options)  # type: ignore[arg-type]
    assert torch.equal(loaded(*pair), flow)
    (entry,) = loaded.weights()
    assert entry["name"] == "mine.pth" and len(entry["digest"]) == 64
    assert loaded.spec()["weights"]["digest"] == entry["digest"]


def test_weights_that_cannot_be_had_say_what_where_and_how_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # whatever this machine has fetched before
    monkeypatch.delenv("VADBENCH_WEIGHTS", raising=False)

    def unreachable(*args: object, **kwargs: object) -> None:
        raise OSError("name resolution failed")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    pair = texture((128, 128))[None], texture((128, 128))[None]
    with pytest.raises(WeightsError) as caught:
        FlowExtractor("raft_small", size=(128, 128))(*pair)
    message = str(caught.value)
    for part in (
        "raft_small_C_T_V2-01064c6d.pth",
        "https://download.pytorch.org",
        "checkpoints",
        "flow.weights=PATH",
        "flow.weights=random",
        "flow=dis",
        "name resolution failed",
    ):
        assert part in message


def test_published_files_are_found_and_checked_where_they_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vadbench.backbones import weights_file

    def forbidden(*args: object, **kwargs: object) -> None:
        raise AssertionError("a download")

    monkeypatch.setattr(urllib.request, "urlopen", forbidden)
    monkeypatch.setenv("VADBENCH_WEIGHTS", str(tmp_path))
    pair = texture((128, 128))[None], texture((128, 128), 1)[None]
    random = FlowExtractor("raft_small", "random", seed=5, size=(128, 128), updates=2)
    expected = random(*pair)
    assert random._network is not None
    file = tmp_path / "raft_small_C_T_V2-01064c6d.pth"
    torch.save(random._network.state_dict(), file)
    with pytest.raises(WeightsError, match=r"SHA-256 begins with .*01064c6d.*remove it"):
        FlowExtractor("raft_small", size=(128, 128))(*pair)
    monkeypatch.setattr(weights_file, "digest_of", lambda path: "01064c6d" + "0" * 56)
    assert torch.equal(FlowExtractor("raft_small", size=(128, 128), updates=2)(*pair), expected)


def test_absent_and_unfit_files_are_explained(tmp_path: Path) -> None:
    pair = texture((128, 128))[None], texture((128, 128))[None]
    with pytest.raises(WeightsError, match="no such file"):
        FlowExtractor("raft_small", str(tmp_path / "absent.pth")).spec()
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"flow\.weights=.*other\.pth.*does not fit raft_small"):
        FlowExtractor("raft_small", str(tmp_path / "other.pth"), size=(128, 128))(*pair)
    (tmp_path / "noise.pth").write_bytes(b"noise")
    with pytest.raises(WeightsError, match="not a checkpoint"):
        FlowExtractor("raft_small", str(tmp_path / "noise.pth"), size=(128, 128))(*pair)


def test_specs_differ_where_results_do_and_need_no_network() -> None:
    base = FlowExtractor("raft_large").spec()
    assert base["weights"] == {"name": "pretrained", "digest": "raft_large_C_T_SKHT_V2-ff5fadd5.pth"}
    variants = [
        FlowExtractor("raft_small"),
        FlowExtractor("raft_large", size=(128, 256)),
        FlowExtractor("raft_large", rescale=False),
        FlowExtractor("raft_large", updates=6),
        FlowExtractor("raft_large", "random"),
        FlowExtractor("dis", size=None),
        FlowExtractor("dis", size=None, preset="fast"),
        FlowExtractor("farneback", size=None),
    ]
    specs = [base, *(v.spec() for v in variants)]
    assert all(a != b for i, a in enumerate(specs) for b in specs[:i])
    assert FlowExtractor("raft_large", device="cuda").spec() == base


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "raft"}, "raft_large"),
        ({"method": "dis", "preset": "slow"}, "medium"),
        ({"method": "raft_large", "size": (100, 200)}, "multiples of 8"),
    ],
)
def test_wrong_words_are_explained(options: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        FlowExtractor(**options)


def test_default_sizes() -> None:
    assert default_size("raft_large") == (520, 960) and default_size("dis") is None
