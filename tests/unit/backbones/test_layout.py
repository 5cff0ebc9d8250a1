"""Axes told apart by how they answer to the input: every order of axes, windows, vectors, tokens."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch

from vadbench.backbones.layout import Layout, Shape, axes_layout, token_layout

INPUTS = {
    "base": (2, 8, 32, 48),
    "N": (3, 8, 32, 48),
    "T": (2, 16, 32, 48),
    "H": (2, 8, 64, 48),
    "W": (2, 8, 32, 96),
}


def probes(output: object) -> dict[str, Shape]:
    """Shapes that ``output(n, t, h, w)`` gives under the probes."""
    return {name: output(*size) for name, size in INPUTS.items()}  # type: ignore[operator]


def expected() -> torch.Tensor:
    return torch.arange(2 * 5 * 4 * 2 * 3).reshape(
        2, 5, 4, 2, 3
    )  # N, C, t, h, w with t = T / 2, h = H / 16, w = W / 16


@pytest.mark.parametrize("order", [(0, *rest) for rest in permutations(range(1, 5))])
def test_any_order_of_axes_after_the_clips_is_understood(order: tuple[int, ...]) -> None:
    layout = axes_layout(probes(lambda n, t, h, w: tuple((n, 5, t // 2, h // 16, w // 16)[i] for i in order)))
    assert layout is not None
    output = expected().permute(order)
    torch.testing.assert_close(layout.maps(output), expected())
    assert layout.shape(tuple(output.shape)) == (5, 4, 2, 3)


@pytest.mark.parametrize(
    ("output", "shape"),
    [
        (lambda n, t, h, w: (n, 7), (7, 1, 1, 1)),
        (lambda n, t, h, w: (n, 7, t), (7, 4, 1, 1)),
        (lambda n, t, h, w: (n, 7, 1, 1, 1), (7, 1, 1, 1)),
        (lambda n, t, h, w: (n, 1, 1, 1, 7), (7, 1, 1, 1)),
        (lambda n, t, h, w: (n, t, h, w), (1, 4, 2, 3)),
        (lambda n, t, h, w: (n, 7, 1, h, w), (7, 1, 2, 3)),
        (lambda n, t, h, w: (n, 1, t, h, w), (1, 4, 2, 3)),
    ],
)
def test_axes_that_are_not_there_have_size_one(output: object, shape: Shape) -> None:
    base = output(2, 4, 2, 3)  # type: ignore[operator]
    layout = axes_layout(probes(lambda n, t, h, w: output(n, t // 2, h // 16, w // 16)))  # type: ignore[operator]
    assert layout is not None
    assert layout.shape(base) == shape
    assert tuple(layout.maps(torch.zeros(base)).shape) == (2, *shape)


@pytest.mark.parametrize(
    "output",
    [
        lambda n, t, h, w: (n * (h // 16), 49, 96),  # attention windows merged with clips
        lambda n, t, h, w: (n, 5, t * h * w),  # flattened grid
        lambda n, t, h, w: (5, n, t, h, w),
        lambda n, t, h, w: (n,),
        lambda n, t, h, w: (n, 3, 4, t, h, w),  # two axes that follow nothing
        lambda n, t, h, w: (n, t, t, h, w),
        lambda n, t, h, w: (7, 7),
    ],
)
def test_what_is_no_feature_map_is_refused(output: object) -> None:
    assert axes_layout(probes(output)) is None


GRIDS = [(4, 6, 6), (4, 3, 3), (4, 2, 2)]


def tokens(*shape: int) -> Layout | None:
    return token_layout({"base": shape, "N": (shape[0] + 1, *shape[1:])}, GRIDS)


@pytest.mark.parametrize(("skip", "grid"), [(1, (4, 6, 6)), (0, (4, 6, 6)), (1, (4, 3, 3)), (0, (4, 2, 2))])
def test_tokens_become_a_grid_without_the_class_token(skip: int, grid: tuple[int, int, int]) -> None:
    n_tokens = skip + grid[0] * grid[1] * grid[2]
    layout = tokens(2, n_tokens, 5)
    assert layout is not None
    x = torch.randn(2, n_tokens, 5)
    maps = layout.maps(x)
    assert layout.shape(tuple(x.shape)) == (5, *grid)
    _, h, w = grid
    for position in range(skip, n_tokens):
        p = position - skip
        torch.testing.assert_close(maps[:, :, p // (h * w), p // w % h, p % w], x[:, position])


def test_heads_are_channels_and_channels_first_tokens_are_seen() -> None:
    x = torch.randn(2, 3, 1 + 4 * 9, 5)
    layout = tokens(*x.shape)
    assert layout is not None
    torch.testing.assert_close(layout.maps(x)[1, 7, 0, 0, 1], x[1, 1, 2, 2])
    first = tokens(2, 5, 144)
    assert first is not None
    y = torch.randn(2, 5, 144)
    torch.testing.assert_close(first.maps(y), y.reshape(2, 5, 4, 6, 6))


def test_token_networks_have_grids_and_vectors_too_and_the_rest_is_refused() -> None:
    grid, vector = tokens(2, 5, 4, 3, 3), tokens(2, 9)
    assert grid is not None and grid.shape((2, 5, 4, 3, 3)) == (5, 4, 3, 3)
    assert vector is not None and vector.shape((2, 9)) == (9, 1, 1, 1)
    assert tokens(2, 50, 5) is None
    # Heads merged with clips: the first axis is not the clips.
    assert token_layout({"base": (8, 5, 4, 3, 3), "N": (12, 5, 4, 3, 3)}, GRIDS) is None
    assert token_layout({"base": (8, 5, 4, 3, 3), "N": (8, 5, 4, 3, 3)}, GRIDS) is None
