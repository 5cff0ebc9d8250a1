"""Embeddings of crops with a CLIP model of a few thousand weights, built by open_clip like the large ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch

from vadbench.errors import ConfigError, WeightsError
from vadbench.models.ai_vad.deep import DeepExtractor, tags

CONFIG = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": 16, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1},
}
RNG = np.random.default_rng(0)
FRAMES = RNG.integers(0, 256, (3, 40, 60, 3), dtype=np.uint8)
BOXES = [
    np.array([[2.0, 3, 30, 39], [10, 10, 26, 26]], np.float32),
    np.zeros((0, 4), np.float32),
    np.array([[0.0, 0, 60, 40]], np.float32),
]


@pytest.fixture(scope="module", autouse=True)
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("open_clip")
    (folder / "tiny-test.json").write_text(json.dumps(CONFIG))
    open_clip.add_model_config(folder)
    yield


def extractor(**options: object) -> DeepExtractor:
    return DeepExtractor("tiny-test", **{"weights": "random", **options})  # type: ignore[arg-type]


def test_embeddings_are_the_models_of_the_normalised_crop() -> None:
    found = extractor()(FRAMES, BOXES)["deep"]
    assert found.shape == (3, 12) and found.dtype == np.float32
    torch.manual_seed(0)
    network = open_clip.create_model("tiny-test").eval()
    # A box of exactly the input size needs no resampling: row 1 is pixels 10..25 of frame 0.
    crop = torch.from_numpy(FRAMES[0, 10:26, 10:26]).permute(2, 0, 1).float() / 255
    mean, std = (torch.tensor(s)[:, None, None] for s in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD))
    with torch.inference_mode():
        expected = network.encode_image(((crop - mean) / std)[None])[0]
    np.testing.assert_allclose(found[1], expected, atol=1e-5)


def test_crops_of_several_frames_share_batches() -> None:
    whole = extractor()(FRAMES, BOXES)["deep"]
    for batch_size in (1, 2):
        np.testing.assert_allclose(extractor(batch_size=batch_size)(FRAMES, BOXES)["deep"], whole, atol=1e-5)
    calls: list[int] = []
    counted = extractor(batch_size=2)
    encode = counted._built().encode_image
    counted._network.encode_image = lambda x: calls.append(len(x)) or encode(x)
    counted(FRAMES, BOXES)
    assert calls == [2, 1]


def test_colour_order_is_what_is_asked_for() -> None:
    swapped = extractor(color_order="bgr")(FRAMES, BOXES)["deep"]
    np.testing.assert_allclose(swapped, extractor()(FRAMES[..., ::-1], BOXES)["deep"], atol=1e-6)
    assert np.abs(swapped - extractor()(FRAMES, BOXES)["deep"]).max() > 1e-3


def test_seeds_of_random_weights_do_not_disturb_the_callers() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    first = extractor(seed=1)(FRAMES, BOXES)["deep"]
    assert torch.equal(torch.rand(2), expected)
    np.testing.assert_array_equal(first, extractor(seed=1)(FRAMES, BOXES)["deep"])
    assert np.abs(first - extractor()(FRAMES, BOXES)["deep"]).max() > 1e-3


def test_weights_from_a_file(tmp_path: Path) -> None:
    random = extractor(seed=4)
    expected = random(FRAMES, BOXES)["deep"]
    torch.save(random._built().state_dict(), tmp_path / "mine.pt")
    loaded = extractor(weights=str(tmp_path / "mine.pt"))
    np.testing.assert_allclose(loaded(FRAMES, BOXES)["deep"], expected, atol=1e-6)
    assert loaded.weights()[0]["name"] == "mine.pt"
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match="does not fit tiny-test"):
        extractor(weights=str(tmp_path / "other.pt"))(FRAMES, BOXES)


def test_no_boxes_build_nothing() -> None:
    default = DeepExtractor()
    assert default(FRAMES, [np.zeros((0, 4))] * 3)["deep"].shape == (0, 512)
    assert default._network is None


def test_openais_weights_come_with_their_activation(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}
    monkeypatch.setattr(open_clip, "create_model", lambda *a, **k: seen.update(k, given=a) or torch.nn.Identity())
    DeepExtractor("ViT-B-16", "openai")._create()
    assert seen["force_quick_gelu"] is True and seen["given"] == ("ViT-B-16", "openai")
    DeepExtractor("ViT-B-16", "random")._create()
    assert seen["force_quick_gelu"] is False


def test_weights_that_cannot_be_had_say_what_where_and_how_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: object, **kwargs: object) -> None:
        raise RuntimeError("Failed to download weights for tag 'openai': offline")

    monkeypatch.setattr(open_clip, "create_model", unreachable)
    with pytest.raises(WeightsError) as caught:
        DeepExtractor()(FRAMES, BOXES)
    for part in ("ViT-B-16/openai", "model.deep_weights=random", "use_deep_features=false", "offline"):
        assert part in str(caught.value)


def test_wrong_words_are_explained() -> None:
    with pytest.raises(ConfigError, match="Did you mean: openai"):
        DeepExtractor("ViT-B-16", "openia").spec()
    with pytest.raises(ConfigError, match="rgb, bgr"):
        DeepExtractor(color_order="gbr")
    with pytest.raises(WeightsError, match="no such file"):
        DeepExtractor("ViT-B-16", "/absent/clip.pt").spec()
    with pytest.raises(ConfigError, match="ViT-B-16"):
        DeepExtractor("ViT-B16", "random")(FRAMES, BOXES)
    assert "openai" in tags("ViT-B-16")
