"""Clips of a video through a backbone: which clips, in one pass over the frames, each frame prepared once.

Shape legend: N clips, T frames, C channels, H W pixels, t h w feature grid.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from vadbench.backbones.base import Backbone
from vadbench.backbones.flow_grid import FlowGrid
from vadbench.backbones.imports import installed_version
from vadbench.data.opencv import opencv_version
from vadbench.data.readers.prefetch import prefetch
from vadbench.data.video import Video
from vadbench.errors import DataError, one_of
from vadbench.files import rows_of
from vadbench.models.base import Extractor, Features, joined
from vadbench.models.clips.flow_maps import FlowMaps
from vadbench.models.clips.resize import check_method, resize, to_bytes

PreProcess = Callable[[np.ndarray], np.ndarray]

SHORT_VIDEOS = ("error", "pad")

# Clips of the training videos that set the batch-norm statistics of random weights: enough to be stable, few enough to
# cost seconds.
CALIBRATION_CLIPS = 16

# Before version 2 an axis that shrinks beside one that grows was not averaged.
_RESIZE_SPEC = {"area_or_linear": "area_or_linear/2"}


@dataclass(frozen=True)
class PreProcessor:
    """Resize, and scale to floats where the backbone wants them: ``uint8 (H, W, 3)`` to one prepared frame.

    Attributes
    ----------
    size: (H, W) to resize to, None to keep the frame's own.
    mean, std: per channel, for pixels in [0, 1]. With them the result is ``float32 (H, W, 3)``, without them it is
        rounded to uint8, which is what filter banks take.
    resize: how, see :func:`vadbench.models.clips.resize.resize`; ConfigError for a method that does not exist.
    """

    size: tuple[int, int] | None
    mean: tuple[float, float, float] | None
    std: tuple[float, float, float] | None
    resize: str = "area_or_linear"

    def __post_init__(self) -> None:
        check_method(self.resize)

    @property
    def leaves_frames(self) -> bool:
        """True if frames pass as they are."""
        return self.size is None and (self.mean is None or self.std is None)

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        if self.size is not None and frame.shape[:2] != self.size:
            frame = resize(frame, self.size, self.resize)
        if self.mean is None or self.std is None:
            return to_bytes(frame)
        if frame.dtype == np.uint8:
            import cv2

            return np.asarray(cv2.LUT(frame, self._of_each_level))
        return self._scaled(frame)

    @cached_property
    def _of_each_level(self) -> np.ndarray:
        return self._scaled(np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, axis=2))

    def _scaled(self, frame: np.ndarray) -> np.ndarray:
        scaled = frame.astype(np.float32) / np.float32(255)
        return np.asarray((scaled - np.array(self.mean, np.float32)) / np.array(self.std, np.float32))

    def spec(self) -> dict[str, Any]:
        """Everything that the prepared frame depends on."""
        spec: dict[str, Any] = {"size": self.size, "mean": self.mean, "std": self.std}
        if self.size is None:  # nothing is resized: what was stored under this stays valid whatever the method
            return {"resize": "area_or_linear", "opencv": opencv_version(), **spec}
        if self.resize == "antialiased":
            return {"resize": self.resize, "torch": installed_version("torch").partition("+")[0], **spec}
        return {"resize": _RESIZE_SPEC.get(self.resize, self.resize), "opencv": opencv_version(), **spec}


@dataclass(frozen=True)
class ClipPlan:
    """Which frames make a clip: ``length`` frames, ``step`` apart, a new clip every ``stride`` frames."""

    length: int
    step: int
    stride: int

    @property
    def span(self) -> int:
        """Frames from the first to the last frame of a clip, both counted."""
        return (self.length - 1) * self.step + 1

    def starts(self, n_frames: int) -> np.ndarray:
        """First frame of each clip that fits into a video: ``int64 (N,)``."""
        return np.arange(0, n_frames - self.span + 1, self.stride, dtype=np.int64)


class ClipExtractor:
    """Feature maps of every clip of a video, one output for each layer of the backbone.

    Parameters
    ----------
    backbone: frozen network or filter bank.
    plan: which frames make a clip.
    pre_processor: called once for each frame, ``uint8 (H, W, 3)`` to an array; must have a ``spec()``.
    batch_size: clips that go through the backbone at once; None: as many as the backbone says, or 1.
    short_videos: "error" refuses a video that is shorter than a clip, "pad" repeats its last frame.
    weights_name: "pretrained", "random" or a path, for the record; None where the backbone has no weights.

    The features of an output are ``{"features": float32 (N, C, t, h, w), "starts": int64 (N,)}``.
    """

    def __init__(
        self,
        backbone: Backbone,
        plan: ClipPlan,
        pre_processor: PreProcess,
        batch_size: int | None = None,
        short_videos: str = "error",
        weights_name: str | None = None,
    ) -> None:
        if not hasattr(pre_processor, "spec"):
            raise TypeError(
                f"the pre-processor {pre_processor!r} needs a method spec() that returns a JSON-able dict of "
                "everything its result depends on: features are cached under it"
            )
        self.backbone = backbone
        self.plan = plan
        self.pre_processor = pre_processor
        self.batch_size = batch_size
        self.short_videos = one_of("short_videos", short_videos, SHORT_VIDEOS)
        self.weights_name = weights_name
        self.work = {"clips": 0, "calibration_clips": 0}  # that went through the backbone
        self._train: tuple[Video, ...] = ()
        self._calibrated = False

    @property
    def _needs_calibration(self) -> bool:
        return self.backbone.needs_calibration

    @property
    def source(self) -> Extractor | None:
        """The flow of frames as they are, which the clips of flow_grid are stacked from; None for other features."""
        as_they_are = isinstance(self.pre_processor, PreProcessor) and self.pre_processor.leaves_frames
        if isinstance(self.backbone, FlowGrid) and as_they_are and self.plan.step == 1:
            return FlowMaps(self.backbone)
        return None

    def prepare(self, train: Sequence[Video]) -> None:
        """Keep the training videos, which set the batch-norm statistics of random weights."""
        self._train = tuple(train)
        self._calibrated = False
        expect = getattr(self.backbone, "expect", None)
        if expect is not None:
            expect(sum(len(self.plan.starts(video.n_frames)) for video in self._train))

    @property
    def engine(self) -> str | None:
        """What ran the backbone's last clips; no such attribute where there is only one way to run it."""
        backbone: Any = self.backbone
        engine: str | None = backbone.engine
        return engine

    @property
    def clips_at_once(self) -> int:
        """``batch_size``, or what stands for None."""
        suited: int = getattr(self.backbone, "batch_size", 1)
        return suited if self.batch_size is None else self.batch_size

    @property
    def remarks(self) -> list[str]:
        """What a record should say of how the features were made."""
        return list(getattr(self.backbone, "remarks", []))

    def takes(self, engine: str) -> bool:
        """Return whether features that ``engine`` made may stand for those of this extractor."""
        accepts = getattr(self.backbone, "takes", None)
        return accepts is None or bool(accepts(engine))

    def merged(self, others: Sequence[Extractor]) -> ClipExtractor | None:
        """Return one extractor for the layers of this one and of ``others``, one pass for all of them.

        None if it would not make exactly what they make: only layers of one backbone on the same clips can be merged.
        """
        with_layers = getattr(self.backbone, "with_layers", None)
        if with_layers is None or not all(self._is_like(other) for other in others):
            return None
        specs = dict(self.outputs())
        for other in others:
            specs.update(other.outputs())
        backbone = with_layers(tuple(specs))
        together = ClipExtractor(
            backbone, self.plan, self.pre_processor, self.batch_size, self.short_videos, self.weights_name
        )
        together.prepare(self._train)
        # The specs are the cache keys: only if they agree are the merged outputs found by the single extractors.
        return together if together.outputs() == specs else None

    def _is_like(self, other: Extractor) -> bool:
        """Return True if ``other`` differs in its layers at most, as far as can be told without building anything."""
        return isinstance(other, ClipExtractor) and (
            self.plan == other.plan
            and self.short_videos == other.short_videos
            and self.pre_processor.spec() == other.pre_processor.spec()
            and self.backbone.spec("") == other.backbone.spec("")
            and all(self.takes(engine) == other.takes(engine) for engine in ("eager", "openvino", "compile"))
        )

    def weights(self) -> list[dict[str, Any]]:
        """Return which weights the features come from: part, name and digest."""
        if self.weights_name is None:
            return []
        return [{"part": "backbone", "name": self.weights_name, "digest": self.backbone.weights_digest()}]

    def outputs(self) -> dict[str, dict[str, Any]]:
        """Layer to its spec."""
        common = self._common_spec()
        return {layer: {**common, "backbone": self.backbone.spec(layer)} for layer in self.backbone.layers}

    def _common_spec(self) -> dict[str, Any]:
        """Return what the features of all layers depend on beside the backbone."""
        common: dict[str, Any] = {
            "extractor": "clips/1",
            "clip": asdict(self.plan),
            "pre_processor": self.pre_processor.spec(),
            "short_videos": self.short_videos,
        }
        if self._needs_calibration:
            common["calibrated_on"] = [
                [video.source.digest(), video.source.decoder, start] for video, start in self._calibration_clips()
            ]
        return common

    def extract(self, video: Video, wanted: Sequence[str], have: Mapping[str, Features]) -> dict[str, Features]:
        """Feature maps of ``wanted`` layers; the other layers of the backbone are computed too and dropped.

        ``have["flow"]``: the output of :attr:`source`; without it the flow is computed here.
        """
        return joined(self.pieces(video, wanted, have))

    def pieces(
        self, video: Video, wanted: Sequence[str], have: Mapping[str, Features]
    ) -> Iterator[dict[str, Features]]:
        """Yield what :meth:`extract` returns, a batch of clips at a time."""
        self.learn()
        clips = self._clips(video, have.get("flow"))
        while batch := list(itertools.islice(clips, self.clips_at_once)):
            self.work["clips"] += len(batch)
            starts = np.array([start for start, _ in batch], dtype=np.int64)
            maps = self.backbone(np.stack([clip for _, clip in batch]))
            yield {layer: {"features": maps[layer], "starts": starts} for layer in wanted}

    def learn(self, remember: Callable[..., Features] | None = None) -> None:
        """Set the batch-norm statistics of random weights, once after :meth:`prepare`.

        ``remember(name, spec, make)``: where they are kept for other extractors, if the backbone can hand them over.
        """
        if self._calibrated or not self._needs_calibration:
            return
        backbone: Any = self.backbone
        if remember is None or not hasattr(backbone, "statistics"):
            backbone.calibrate(self._calibration_frames())
        else:

            def made() -> Features:
                backbone.calibrate(self._calibration_frames())
                return dict(backbone.statistics())

            spec = {**self._common_spec(), "backbone": backbone.statistics_spec()}
            backbone.take_statistics(remember("statistics", spec, made))
        self._calibrated = True

    def _clips(self, video: Video, flow: Features | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """(start, ``(T, ...)``) of every clip, from one pass that holds no more than the frames of one clip."""
        span, step, stride = self.plan.span, self.plan.step, self.plan.stride
        window: deque[np.ndarray] = deque(maxlen=span)
        for number, prepared in enumerate(self._prepared(video, flow)):
            window.append(prepared)
            start = number - span + 1
            if start >= 0 and start % stride == 0:
                yield start, np.stack([window[j * step] for j in range(self.plan.length)])

    def _prepared(self, video: Video, flow: Features | None) -> Iterator[np.ndarray]:
        """Yield what clips are stacked from, frame by frame; refuse or pad a video shorter than a clip."""
        missing = self.plan.span - video.n_frames
        if missing > 0 and (self.short_videos == "error" or video.n_frames == 0):
            raise DataError(
                f"video {video.id!r} has {video.n_frames} frames, but a clip spans {self.plan.span} "
                f"(backbone.clip_length={self.plan.length}, backbone.frame_step={self.plan.step}). Shorten the clip, "
                "leave the video out (dataset.train_videos, dataset.test_videos), or repeat its last frame with "
                "model.short_videos=pad."
            )
        if flow is not None and missing <= 0:
            yield from (np.array(one) for one in rows_of(flow["maps"]))
            return
        earlier: deque[np.ndarray] = deque(maxlen=self.plan.step)
        frame = None
        for frame in prefetch(video.frames()):
            prepared = self.pre_processor(frame)
            yield self.backbone.per_frame(prepared, earlier[0] if len(earlier) == self.plan.step else None)
            earlier.append(prepared)
        for _ in range(missing):
            prepared = self.pre_processor(frame)  # type: ignore[arg-type]
            yield self.backbone.per_frame(prepared, earlier[0] if len(earlier) == self.plan.step else None)
            earlier.append(prepared)

    def _calibration_clips(self) -> list[tuple[Video, int]]:
        """(video, start) of clips spread evenly over all clips of the training videos."""
        clips = [(video, int(start)) for video in self._train for start in self.plan.starts(video.n_frames)]
        if not clips:
            raise DataError(
                "random weights take their batch-norm statistics from the training clips, but no training video is as "
                f"long as a clip ({self.plan.span} frames)"
            )
        picked = np.unique(np.linspace(0, len(clips) - 1, CALIBRATION_CLIPS).round().astype(int))
        return [clips[i] for i in picked]

    def _calibration_frames(self) -> Iterator[np.ndarray]:
        """Yield the calibration clips, ``(T, ...)`` each, from one pass over each video that has some."""
        picked = self._calibration_clips()
        for video in dict.fromkeys(video.id for video, _ in picked):
            wanted = {start for v, start in picked if v.id == video}
            source = next(v for v, _ in picked if v.id == video)
            for start, clip in self._clips(source):
                if start in wanted:
                    self.work["calibration_clips"] += 1
                    yield clip
                if start == max(wanted):  # the frames after it are not decoded
                    break
