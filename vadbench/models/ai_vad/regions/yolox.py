"""A YOLOX-style detector in an ONNX file, run by onnxruntime.

Ge et al., "YOLOX: Exceeding YOLO Series in 2021", arXiv 2107.08430. The file takes ``float32 (1, 3, S, S)``, or any
number of frames where its first dimension is free: BGR in 0..255, the frame scaled into the top left corner and the
rest filled with 114. It gives ``(1, A, 5 + classes)``: for each cell of the grids of stride 8, 16 and 32 the box centre
relative to the cell, the logarithm of the box size, both in strides, then objectness and class probabilities.

Shape legend: N frames, A cells of all grids, M detections of a frame, H W pixels, S input side.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vadbench.backbones.imports import installed_version
from vadbench.backbones.weights_file import WeightsFile
from vadbench.errors import ConfigError, MissingExtra, WeightsError
from vadbench.models.ai_vad.in_threads import n_threads
from vadbench.models.ai_vad.regions.coco import WITHOUT_GAPS
from vadbench.models.ai_vad.regions.region_set import RegionSet, on_grid
from vadbench.models.ai_vad.weights import describe, existing, own_file

STRIDES = (8, 16, 32)
_PAD = 114.0


class OnnxDetector:
    """Boxes of a YOLOX-style network; no masks.

    Parameters
    ----------
    path: the ONNX file.
    score_thresh: objectness times class probability from which a detection counts.
    nms_thresh: intersection over union from which the less confident of two boxes of the same class is dropped.
    threads: of onnxruntime, which change no box; None: as many as the numeric libraries may use.
    """

    def __init__(
        self, path: str, score_thresh: float = 0.3, nms_thresh: float = 0.45, threads: int | None = None
    ) -> None:
        if path in ("pretrained", "random"):
            raise ConfigError(
                f"regions.weights={path}: regions.detector=onnx needs the path of a YOLOX-style ONNX file"
            )
        self.path = path
        self.score_thresh = score_thresh
        self.nms_thresh = nms_thresh
        self.threads = threads
        self._session: Any = None

    def __call__(self, frames: np.ndarray) -> list[RegionSet]:
        """Return the detections in each of N frames ``uint8 (N, H, W, 3)`` RGB, by COCO category (person is 1)."""
        session = self._built()
        (given,) = session.get_inputs()
        side = tuple(given.shape[2:])
        if len(side) != 2 or not all(isinstance(s, int) for s in side):
            raise WeightsError(f"{self.path}: expected an input of fixed size (1, 3, S, S), got {given.shape}")
        at_once = 1 if given.shape[0] == 1 else max(1, len(frames))
        found = []
        for start in range(0, len(frames), at_once):
            part = frames[start : start + at_once]
            images, scales = zip(*[letterbox(frame, side) for frame in part], strict=True)
            (outputs,) = session.run(None, {given.name: np.stack(images)})[:1]
            found += [
                self._regions(decode(output, side), scale, frame.shape[:2])
                for output, scale, frame in zip(outputs, scales, part, strict=True)
            ]
        return found

    def spec(self) -> dict[str, Any]:
        """Return the file's digest and the thresholds."""
        import cv2

        self._runtime()
        return {
            "detector": "onnx-yolox/1",
            "weights": self._identity()["digest"],
            "score_thresh": self.score_thresh,
            "nms_thresh": self.nms_thresh,
            "onnxruntime": installed_version("onnxruntime"),
            "opencv": cv2.__version__,
        }

    def weights(self) -> list[dict[str, Any]]:
        """One set."""
        return [{"part": "regions (onnx)", **self._identity()}]

    def files(self) -> list[WeightsFile]:
        """Return the file itself."""
        return own_file(self.path, "regions (onnx)", "regions.weights")

    def _identity(self) -> dict[str, Any]:
        return describe(self.path, 0, "", "regions.weights")

    def _runtime(self) -> Any:
        try:
            import onnxruntime
        except ImportError:
            raise MissingExtra("onnxruntime", "onnx", "regions.detector=onnx") from None
        return onnxruntime

    def _built(self) -> Any:
        if self._session is None:
            runtime = self._runtime()
            options = runtime.SessionOptions()
            options.intra_op_num_threads = self.threads or n_threads()
            try:
                self._session = runtime.InferenceSession(
                    str(existing(self.path, "regions.weights")), options, providers=["CPUExecutionProvider"]
                )
            except WeightsError:
                raise
            except Exception as error:
                raise WeightsError(
                    f"regions.weights={self.path}: not a model that onnxruntime can load: {error}"
                ) from None
        return self._session

    def _regions(self, predictions: np.ndarray, scale: float, size: tuple[int, int]) -> RegionSet:
        if predictions.shape[1] - 5 != len(WITHOUT_GAPS):
            raise WeightsError(
                f"{self.path}: expected {len(WITHOUT_GAPS)} COCO classes, the model has {predictions.shape[1] - 5}"
            )
        confidence = predictions[:, 4:5] * predictions[:, 5:]
        best = confidence.argmax(axis=1)
        scores = confidence[np.arange(len(best)), best]
        sure = scores >= self.score_thresh
        boxes = on_grid(predictions[sure, :4] / scale, size)
        keep = suppress(boxes, scores[sure], best[sure], self.nms_thresh)
        boxes, labels = boxes[keep], np.asarray(WITHOUT_GAPS, np.int16)[best[sure][keep]]
        regions = RegionSet(boxes, labels, scores[sure][keep].astype(np.float32), (None,) * len(boxes))
        return regions.take((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))


def letterbox(frame: np.ndarray, side: tuple[int, ...]) -> tuple[np.ndarray, float]:
    """Return the input ``float32 (3, S, S)`` for ``uint8 (H, W, 3)`` RGB, and pixels of input per pixel of frame."""
    import cv2

    scale = min(side[0] / frame.shape[0], side[1] / frame.shape[1])
    height, width = round(frame.shape[0] * scale), round(frame.shape[1] * scale)
    image = np.full((*side, 3), _PAD, dtype=np.float32)
    image[:height, :width] = cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR)[..., ::-1]
    return np.ascontiguousarray(image.transpose(2, 0, 1)), scale


def decode(output: np.ndarray, side: tuple[int, ...]) -> np.ndarray:
    """Raw predictions ``(A, 5 + classes)`` with the first four columns turned into x1, y1, x2, y2 in input pixels."""
    cells, strides = [], []
    for stride in STRIDES:
        rows, columns = np.mgrid[: side[0] // stride, : side[1] // stride]
        cells.append(np.stack([columns.ravel(), rows.ravel()], axis=1))
        strides.append(np.full((rows.size, 1), stride))
    cell, stride_of = np.concatenate(cells), np.concatenate(strides)
    if len(output) != len(cell):
        raise WeightsError(
            f"expected {len(cell)} predictions for strides {STRIDES} at {side}, the model gives {len(output)}"
        )
    centre = (output[:, :2] + cell) * stride_of
    half = np.exp(output[:, 2:4]) * stride_of / 2
    return np.concatenate([centre - half, centre + half, output[:, 4:]], axis=1)


def suppress(boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray, threshold: float) -> np.ndarray:
    """Return indices of boxes that greedy non-maximum suppression within each class keeps, most confident first."""
    order = np.argsort(-scores, kind="stable")
    b, kind = boxes[order].astype(np.float64), classes[order]
    areas = (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
    alive = np.ones(len(b), dtype=bool)
    for i in range(len(b)):
        if alive[i]:
            shared = (np.minimum(b[i, 2:], b[i + 1 :, 2:]) - np.maximum(b[i, :2], b[i + 1 :, :2])).clip(0).prod(axis=1)
            union = areas[i] + areas[i + 1 :] - shared
            alive[i + 1 :] &= (shared <= threshold * union) | (kind[i + 1 :] != kind[i])
    return order[alive]
