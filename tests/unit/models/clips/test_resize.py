"""Resizing against references: averages and triangles written out in float64, and torchvision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional

from tests.stand_ins import RandomFilters
from vadbench.config.compose import compose
from vadbench.errors import ConfigError
from vadbench.models.clips.extractor import ClipExtractor, ClipPlan, PreProcessor
from vadbench.models.clips.resize import METHODS, resize
from vadbench.models.registry import build

FRAME = np.random.default_rng(0).integers(0, 256, (30, 44, 3), dtype=np.uint8)
SMALLER, LARGER, TALLER, WIDER = (18, 26), (45, 67), (41, 23), (17, 61)
SIZES = [SMALLER, LARGER, TALLER, WIDER, (30, 20), (50, 44), (15, 22)]
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def area(old: int, new: int) -> np.ndarray:
    """``(new, old)``: how much of each old pixel lies in each new one."""
    edges = np.arange(new + 1) * old / new
    pixel = np.arange(old)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return overlap.clip(0) * new / old


def triangle(old: int, new: int, antialias: bool) -> np.ndarray:
    """``(new, old)``: triangles around the new pixels' centres, as wide as a new pixel where antialiased."""
    scale = old / new
    width = max(scale, 1.0) if antialias else 1.0
    centre = (np.arange(new) + 0.5) * scale - 0.5
    if not antialias:
        centre = centre.clip(0, old - 1)
    weight = np.maximum(0.0, 1 - np.abs(np.arange(old) - centre[:, None]) / width)
    return weight / weight.sum(axis=1, keepdims=True)


def separable(frame: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return np.einsum("ij,jkc,lk->ilc", rows, frame.astype(np.float64), columns)


def by_axis(old: int, new: int) -> np.ndarray:
    return area(old, new) if new <= old else triangle(old, new, antialias=False)


@pytest.mark.parametrize("size", SIZES)
def test_each_axis_is_averaged_where_it_shrinks_and_interpolated_where_it_grows(size: tuple[int, int]) -> None:
    found = resize(FRAME, size, "area_or_linear")
    expected = separable(FRAME, by_axis(30, size[0]), by_axis(44, size[1]))
    assert found.dtype == np.uint8
    grows = size[0] >= 30 and size[1] >= 44  # then OpenCV interpolates bytes, with 11-bit weights
    assert np.abs(found - expected).max() <= (1.0 if grows else 0.5 + 1e-4)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("how", ["antialiased", "linear"])
def test_floats_agree_with_triangles_and_with_torchvision(how: str, size: tuple[int, int]) -> None:
    antialias = how == "antialiased"
    found = resize(FRAME, size, how) / 255
    assert found.dtype == np.float32
    expected = separable(FRAME, triangle(30, size[0], antialias), triangle(44, size[1], antialias)) / 255
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)
    pixels = torch.from_numpy(FRAME).permute(2, 0, 1).float() / 255
    published = functional.resize(pixels, list(size), antialias=antialias)
    np.testing.assert_allclose(found, published.permute(1, 2, 0).numpy(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("how", METHODS)
def test_prepared_frames_are_floats_for_networks_and_rounded_bytes_for_filter_banks(how: str) -> None:
    resized = resize(FRAME, TALLER, how).astype(np.float64)
    network = PreProcessor(TALLER, **IMAGENET, resize=how)(FRAME)
    expected = (resized / 255 - IMAGENET["mean"]) / IMAGENET["std"]
    assert network.dtype == np.float32
    np.testing.assert_allclose(network, expected, atol=1e-5)
    bank = PreProcessor(TALLER, None, None, resize=how)(FRAME)
    assert bank.dtype == np.uint8
    np.testing.assert_array_equal(bank, np.rint(resized))


def features_spec(pre_processor: PreProcessor) -> dict:
    return ClipExtractor(RandomFilters(), ClipPlan(4, 1, 4), pre_processor).outputs()["one"]


def test_features_are_kept_by_how_frames_were_resized() -> None:
    specs = [str(features_spec(PreProcessor(TALLER, None, None, resize=how))) for how in METHODS]
    assert len(set(specs)) == len(METHODS)
    older = "'resize': 'area_or_linear',"
    assert older not in specs[0], "sides that shrink and grow are resized otherwise than before"
    untouched = {str(features_spec(PreProcessor(None, None, None, resize=how))) for how in METHODS}
    assert len(untouched) == 1 and older in untouched.pop(), "frames that keep their size are what they were"


def test_the_configuration_chooses(tmp_path: Path) -> None:
    words = ["dataset=synthetic", "backbone=r3d_18", "backbone.weights=random"]
    chosen = {how: build(compose([*words, f"backbone.resize={how}"])).extractor.pre_processor for how in METHODS}
    assert {how: processor.resize for how, processor in chosen.items()} == {how: how for how in METHODS}
    assert build(compose(words)).extractor.pre_processor == chosen["area_or_linear"]


def test_a_method_that_is_not_there_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"backbone\.resize='antialias'.*antialiased"):
        compose(["dataset=synthetic", "backbone.resize=antialias"])
    with pytest.raises(ConfigError, match=r"resize='antialias'.*Did you mean: antialiased"):
        PreProcessor(TALLER, None, None, resize="antialias")
