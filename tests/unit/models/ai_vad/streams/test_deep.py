"""Embeddings of crops with a CLIP model of a few thousand weights, built by open_clip like the large ones."""

from __future__ import annotations

import json
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch

from vadbench.backbones.weights_file import digest_of
from vadbench.errors import ConfigError, WeightsError
from vadbench.models.ai_vad.streams.clip_weights import tags
from vadbench.models.ai_vad.streams.deep import DeepExtractor

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


@pytest.fixture
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A weights folder, and no file of this machine's in sight."""
    monkeypatch.setenv("VADBENCH_WEIGHTS", str(tmp_path / "own"))
    for variable in ("TORCH_HOME", "HOME", "HF_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    return tmp_path


class Openai:
    """A "published" TorchScript archive of the tiny model in half precision, as OpenAI has them, and its tag."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, quick_gelu: bool = True) -> None:
        torch.manual_seed(7)
        network = open_clip.create_model("tiny-test", force_quick_gelu=True).eval()
        with torch.inference_mode():
            crop = torch.zeros(1, 3, 16, 16)
            network.register_buffer("input_resolution", torch.tensor(16))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)
                script = torch.jit.trace_module(network, {"encode_image": crop}).half()
        script.save(str(folder / "script.pt"))
        self.digest = digest_of(folder / "script.pt")
        self.file = folder / self.digest / "tiny.pt"
        self.file.parent.mkdir()
        (folder / "script.pt").rename(self.file)
        config = {
            "url": self.file.as_uri(),
            "hf_hub": "timm/tiny.openai/",
            "quick_gelu": quick_gelu,
            "mean": (0.4, 0.4, 0.4),
            "std": (0.3, 0.3, 0.3),
        }
        monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny-test", {"openai": config})
        tags.cache_clear()
        del network.input_resolution
        for which in ("mean", "std"):
            setattr(network.visual, f"image_{which}", config[which])
        self.network = network.float()  # tracing shares the parameters

    def embedding(self) -> np.ndarray:
        """Of the box that needs no resampling, by the published network."""
        crop = torch.from_numpy(FRAMES[0, 10:26, 10:26]).permute(2, 0, 1).float() / 255
        with torch.inference_mode():
            return self.network.encode_image(((crop - 0.4) / 0.3)[None])[0].numpy()


@pytest.fixture
def openai(clean: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Openai]:
    yield Openai(clean, monkeypatch)
    tags.cache_clear()


def test_openais_archive_is_fetched_read_and_run_with_its_activation(openai: Openai, clean: Path) -> None:
    made = extractor(weights="openai")
    assert made.spec()["weights"] == {"name": "openai", "digest": openai.digest}  # before any file is there
    found = made(FRAMES, BOXES)["deep"]
    assert (clean / "own" / "tiny.pt").is_file()
    np.testing.assert_allclose(found[1], openai.embedding(), atol=1e-5)
    plain = open_clip.create_model("tiny-test").eval()  # the same parameters behind the other GELU
    plain.load_state_dict(openai.network.state_dict())
    openai.network = plain
    assert np.abs(found[1] - openai.embedding()).max() > 1e-4
    assert made.weights()[0]["digest"] == openai.digest


def test_the_folders_that_are_named_are_searched(openai: Openai, clean: Path) -> None:
    file = openai.file
    for place in (clean / "own" / "tiny.pt", clean / "home" / ".cache" / "clip" / "tiny.pt"):
        place.parent.mkdir(parents=True, exist_ok=True)
        file.rename(place)
        np.testing.assert_allclose(extractor(weights="openai")(FRAMES, BOXES)["deep"][1], openai.embedding(), atol=1e-5)
        file = place


def test_openais_archive_is_known_by_its_digest_wherever_it_is(openai: Openai, clean: Path) -> None:
    mine = openai.file.rename(clean / "mine.pt")
    found = extractor(weights=str(mine))(FRAMES, BOXES)["deep"]
    np.testing.assert_allclose(found[1], openai.embedding(), atol=1e-5)


def test_other_archives_may_hold_code_and_are_refused(openai: Openai, clean: Path) -> None:
    other = clean / "other.pt"
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(other))
    with pytest.raises(WeightsError) as caught:
        extractor(weights=str(other))(FRAMES, BOXES)
    for part in ("TorchScript archive", openai.digest[:12], digest_of(other)[:12], "torch.jit.load('other.pt'"):
        assert part in str(caught.value)


def test_damaged_published_weights_are_refused(openai: Openai, clean: Path) -> None:
    (clean / "own").mkdir()
    (clean / "own" / "tiny.pt").write_bytes(openai.file.read_bytes()[:-1])
    with pytest.raises(WeightsError, match=r"own/tiny\.pt: its SHA-256 begins with .*remove it"):
        extractor(weights="openai")(FRAMES, BOXES)


def test_weights_of_the_hub_are_named_by_the_digest_of_the_file(openai: Openai, clean: Path) -> None:
    from safetensors.torch import save_file

    openai.file.unlink()
    (clean / "own").mkdir()
    file = clean / "own" / "timm--tiny.openai--open_clip_model.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in openai.network.state_dict().items()}, file)
    made = extractor(weights="openai")
    assert made.spec()["weights"]["digest"] == digest_of(file)
    np.testing.assert_allclose(made(FRAMES, BOXES)["deep"][1], openai.embedding(), atol=1e-5)


def test_weights_that_cannot_be_had_say_what_where_and_how_else(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: object, **kwargs: object) -> None:
        raise OSError("offline")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    with pytest.raises(WeightsError) as caught:
        DeepExtractor()(FRAMES, BOXES)
    for part in (
        "model.deep_weights=openai (model.deep_model=ViT-B-16)",
        f"{clean / 'own' / 'ViT-B-16.pt'} (or",
        "https://openaipublic.azureedge.net/clip/models/5806e77c",
        "model.deep_weights=PATH model.deep_model=ViT-B-16-quickgelu",
        "model.deep_weights=random",
        "use_deep_features=false",
        "offline",
    ):
        assert part in str(caught.value)
    with pytest.raises(WeightsError) as caught:  # these have the GELU of the model of that name
        DeepExtractor("ViT-B-16", "laion2b_s34b_b88k").spec()
    assert "model.deep_weights=PATH model.deep_model=ViT-B-16 takes" in str(caught.value)


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
