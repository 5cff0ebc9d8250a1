"""From clips to frames: which clips speak for which frame, how the other frames are filled, and the maps that follow.

One sparse matrix says it all: the score of frame t is Σ_n W[t, n] · score of clip n, and its map the same sum of maps.

Shape legend: T frames, N clips, H W pixels, h w feature grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vadbench.errors import ConfigError, nearest, one_of
from vadbench.files import drop_pages
from vadbench.models.clips.extractor import ClipPlan

if TYPE_CHECKING:
    import scipy.sparse

TARGETS = ("first", "mid", "last", "all")
FILLS = ("nearest", "linear", "hold")
REDUCTIONS = ("sum", "mean", "max", "top:SHARE")


def top_share(reduction: str) -> float | None:
    """Return the share of "top:SHARE", None for another reduction, ConfigError for what is none."""
    name, _, value = reduction.partition(":")
    if reduction in REDUCTIONS[:3]:
        return None
    try:
        if name == "top" and 0 < float(value) <= 1:
            return float(value)
    except ValueError:
        pass
    hint = nearest(reduction, REDUCTIONS)
    raise ConfigError(f"score_reduction={reduction!r}: {hint} SHARE is above 0 and at most 1, as in top:0.01.")


def check_reduction(reduction: str) -> str:
    """Return ``reduction``, ConfigError if there is no such one."""
    top_share(reduction)
    return reduction


def reduce(maps: np.ndarray, reduction: str) -> np.ndarray:
    """Return the score of each clip from its map: ``float64 (N,)`` of ``(N, h, w)``.

    reduction: "sum" (FUVAS), "mean" or "max" over locations; "top:0.01" the mean of the highest 1 % of them, rounded
        down and at least one.
    """
    share = top_share(reduction)
    if share is None:
        return np.asarray(getattr(np, reduction)(maps, axis=(1, 2)))
    flat = maps.reshape(len(maps), maps.shape[1] * maps.shape[2])
    # 0.29 * 100 falls just short of 29.
    count = max(1, int(share * flat.shape[1] * (1 + 1e-12)))
    return np.asarray(np.sort(flat, axis=1)[:, -count:].mean(axis=1))


def frames_ahead(plan: ClipPlan, target: str, fill: str) -> int:
    """Return how many frames after its own the score of a frame can depend on."""
    n_frames = plan.span + 4 * plan.stride + 1  # from here on everything repeats
    starts = plan.starts(n_frames)
    frames, clips = clip_weights(starts, plan, n_frames, target, fill)[0].nonzero()
    return int((starts[clips] + plan.span - 1 - frames).max())


def clip_weights(
    starts: np.ndarray, plan: ClipPlan, n_frames: int, target: str, fill: str
) -> tuple[scipy.sparse.csr_matrix, np.ndarray]:
    """Return how much each clip counts for each frame.

    Parameters
    ----------
    starts: ``int (N,)``, first frame of each clip, ascending, N >= 1.
    target: which frame a clip's score belongs to: "first", "mid", "last", or "all" of them (their mean, where clips
        overlap).
    fill: how a frame that no clip targets gets its score: "nearest" takes the nearest target (the earlier one of two),
        "linear" interpolates between the targets on both sides, "hold" keeps the last one (causal but for the frames
        before the first target). Beyond the outermost targets all three keep the outermost score.

    Returns
    -------
    ``(T, N)`` sparse matrix whose rows sum to 1, and ``bool (T,)``: the frames that were filled.
    """
    one_of("target_frame", target, TARGETS)
    one_of("fill", fill, FILLS)
    targets = _target_frames(starts, plan, n_frames, target)
    counts = np.zeros(n_frames, dtype=np.int64)
    np.add.at(counts, targets.ravel(), 1)
    filled = counts == 0
    columns = np.broadcast_to(np.arange(len(starts))[:, None], targets.shape)
    import scipy.sparse

    direct = scipy.sparse.csr_matrix(
        (1.0 / counts[targets.ravel()], (targets.ravel(), columns.ravel())), shape=(n_frames, len(starts))
    )
    left, right, weight = _neighbours(np.flatnonzero(~filled), n_frames, fill)
    rows = np.arange(n_frames)
    mix = scipy.sparse.csr_matrix(
        (np.concatenate([1 - weight, weight]), (np.concatenate([rows, rows]), np.concatenate([left, right]))),
        shape=(n_frames, n_frames),
    )
    weights = (mix @ direct).tocsr()
    weights.eliminate_zeros()
    return weights, filled


def _target_frames(starts: np.ndarray, plan: ClipPlan, n_frames: int, target: str) -> np.ndarray:
    """Frames that each clip targets, ``(N, 1)`` or ``(N, span)``."""
    if target == "all":
        frames = starts[:, None] + np.arange(plan.span)
    else:
        offset = {"first": 0, "mid": plan.length // 2, "last": plan.length - 1}[target] * plan.step
        frames = starts[:, None] + offset
    return np.minimum(frames, n_frames - 1)  # a padded short video has targets past its end


def _neighbours(known: np.ndarray, n_frames: int, fill: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each frame the known frames on its left and right, and the weight of the right one."""
    rows = np.arange(n_frames)
    at = np.searchsorted(known, rows, side="right")
    left = known[np.clip(at - 1, 0, len(known) - 1)]
    right = known[np.clip(np.searchsorted(known, rows, side="left"), 0, len(known) - 1)]
    gap = np.maximum(right - left, 1)
    weight = np.clip((rows - left) / gap, 0.0, 1.0)
    weight[(right <= left)] = 0.0
    if fill == "nearest":
        weight = (weight > 0.5).astype(float)
    elif fill == "hold":
        weight = (weight >= 1.0).astype(float)
    return left, right, weight


@dataclass(frozen=True)
class ClipMaps:
    """Score maps of the clips of one video, mixed to frames when asked for (never stored upsampled).

    Attributes
    ----------
    values: ``float32 (N, h, w)``, one map a clip; each cell covers H/h x W/w pixels of the frame.
    weights: ``(T, N)`` from :func:`clip_weights`.
    """

    values: np.ndarray
    weights: scipy.sparse.csr_matrix

    def __len__(self) -> int:
        return int(self.weights.shape[0])

    def __getitem__(self, frame: int) -> np.ndarray:
        row = slice(self.weights.indptr[frame], self.weights.indptr[frame + 1])
        chosen = np.asarray(self.values[self.weights.indices[row]])
        drop_pages(self.values)
        return np.tensordot(self.weights.data[row].astype(np.float32), chosen, axes=1)

    def at_size(self, frame: int, size: tuple[int, int]) -> np.ndarray:
        """``float32 (H, W)``, bilinear between cell centres, edges held."""
        import cv2

        return cv2.resize(np.ascontiguousarray(self[frame]), size[::-1], interpolation=cv2.INTER_LINEAR)
