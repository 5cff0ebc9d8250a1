"""From a video to its regions and their attributes: one pass over the frames, only what is missing is made.

Outputs "regions", "velocity", "pose" and "deep" are cached apart: another density, calibration, bin count or sum of
streams needs no network, and another flow keeps regions, pose and deep features.

Shape legend: N frame pairs, R regions of a video, H W pixels.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vadbench.backbones.engines.choice import takes
from vadbench.backbones.engines.runner import Runner
from vadbench.backbones.weights_file import WeightsFile
from vadbench.data.readers.prefetch import prefetch
from vadbench.data.video import Video
from vadbench.errors import ConfigError
from vadbench.models.ai_vad.regions.region_extractor import RegionExtractor
from vadbench.models.ai_vad.regions.region_set import RegionSet, on_grid, pack, unpack_boxes
from vadbench.models.ai_vad.streams.attributes import FeatureExtractor, FeatureType, concatenate
from vadbench.models.ai_vad.streams.flow import FlowExtractor
from vadbench.models.base import Features

if TYPE_CHECKING:
    import torch

CROP_FRAMES = ("last", "first")
FIRST_FRAMES = ("fill", "self")

# Pairs in a block: enough for some threads and for whole batches of crops, less where frames are large.
_PAIRS_AT_ONCE = 16
_BLOCK_BYTES = 128 * 2**20
_PIXEL_BYTES = 2 * 3 + 2 * 4 + 2 * 3 * 4  # of a pair: two frames, the flow, the frame to crop as floats and scaled

Pair = tuple[int, np.ndarray, np.ndarray]


class RegionAttributeExtractor:
    """Regions of every frame and the attributes of the streams that are on.

    Parameters
    ----------
    regions, flow, features: the three stages; ``flow`` is not used where velocity is off.
    frame_step: frames from the first to the last frame of a pair. Regions belong to the last.
    crop_frame: "last" crops pose and deep features from the frame that the boxes belong to; "first" from the other one,
        as anomalib does.
    first_frames: frames without a partner ``frame_step`` before them get no regions and their score is interpolated
        ("fill"), or are paired with themselves, which is no motion ("self", the official code).
    batch_size: pairs that a network sees at once; it changes no result beyond rounding. OpenCV's work is shared by
        threads, and crops share batches, over a block of pairs whose memory is bounded.
    """

    def __init__(
        self,
        regions: RegionExtractor,
        flow: FlowExtractor,
        features: FeatureExtractor,
        frame_step: int = 1,
        crop_frame: str = "last",
        first_frames: str = "fill",
        batch_size: int = 1,
    ) -> None:
        if crop_frame not in CROP_FRAMES:
            raise ConfigError(f"Unknown crop frame {crop_frame!r}. Available: {', '.join(CROP_FRAMES)}.")
        if first_frames not in FIRST_FRAMES:
            raise ConfigError(f"Unknown first_frames {first_frames!r}. Available: {', '.join(FIRST_FRAMES)}.")
        self.regions = regions
        self.flow = flow
        self.features = features
        self.frame_step = frame_step
        self.crop_frame = crop_frame
        self.first_frames = first_frames
        self.batch_size = batch_size
        self.work = {"pairs": 0, "regions": 0}  # that the networks and filters were given

    def prepare(self, train: Sequence[Video]) -> None:
        """Tell the engines how much there is to do; no output depends on the training videos."""
        for runner in self._runners():
            runner.expect(sum(video.n_frames for video in train))

    @property
    def engine(self) -> str | None:
        """What ran the networks so far, None before; no such attribute where there is no network to run."""
        runners = self._runners()
        if not runners:
            raise AttributeError("engine")
        marks = sorted({mark for runner in runners for mark in runner.marks})
        return f"mixed ({', '.join(marks)})" if len(marks) > 1 else next(iter(marks), None)

    @property
    def remarks(self) -> list[str]:
        """What a record should say of how the features were made."""
        return [remark for runner in self._runners() for remark in runner.remarks]

    def takes(self, engine: str) -> bool:
        """Whether features that ``engine`` made may stand for those of this extractor."""
        return all(takes(runner.asked, engine) for runner in self._runners())

    def _runners(self) -> list[Runner]:
        """Return what runs the networks of the parts that are on, each once."""
        flow = self.flow if FeatureType.VELOCITY in self.features.streams else None
        parts = (self.regions.detector, flow, self.features.pose, self.features.deep)
        runners = [runner for part in parts if (runner := getattr(part, "runner", None)) is not None]
        return list({id(runner): runner for runner in runners}.values())

    def outputs(self) -> dict[str, dict[str, Any]]:
        """ "regions" and one output for each stream that is on, with what each depends on."""
        regions = {
            "extractor": "ai_vad_regions/1",
            "frame_step": self.frame_step,
            "first_frames": self.first_frames,
            **self.regions.spec(),
        }
        specs: dict[str, dict[str, Any]] = {"regions": regions}
        for stream in self.features.streams:
            spec: dict[str, Any] = {
                "extractor": f"ai_vad_{stream.value}/1",
                "of": regions,
                **self.features.spec(stream),
            }
            spec |= {"flow": self.flow.spec()} if stream is FeatureType.VELOCITY else {"crop_frame": self.crop_frame}
            specs[stream.value] = spec
        return specs

    def weights(self) -> list[dict[str, Any]]:
        """``part``, ``name`` and ``digest`` of each set of weights in use."""
        flow = self.flow.weights() if FeatureType.VELOCITY in self.features.streams else []
        return [*self.regions.detector.weights(), *flow, *self.features.weights()]

    def files(self) -> list[WeightsFile]:
        """Return the files that these weights are in, here or not."""
        flow = self.flow.files() if FeatureType.VELOCITY in self.features.streams else []
        return [*self.regions.detector.files(), *flow, *self.features.files()]

    def extract(self, video: Video, wanted: Sequence[str], have: Mapping[str, Features]) -> dict[str, Features]:
        """Return the ``wanted`` outputs of one video; regions are taken from ``have`` where they are there.

        Returns
        -------
        "regions": see :func:`vadbench.models.ai_vad.regions.region_set.pack`; "velocity", "pose", "deep": arrays of R
        rows, see the extractors of the streams.
        """
        streams = [FeatureType(name) for name in wanted if name != "regions"]
        known = _by_frame(have["regions"]) if "regions" in have else None
        frames: list[int] = []
        sets: list[RegionSet] = []
        parts: dict[FeatureType, list[Features]] = {stream: [self._nothing(video, stream)] for stream in streams}
        for block in self._blocks(video, known if "regions" not in wanted else None):
            numbers, first, last = (list(column) for column in zip(*block, strict=True))
            firsts, lasts = np.stack(first), np.stack(last)
            found = self._find(firsts, lasts, numbers, known)
            frames += numbers
            sets += found
            self.work["pairs"] += len(numbers)
            self.work["regions"] += sum(map(len, found))
            for stream, made in self._attributes(firsts, lasts, found, streams).items():
                parts[stream].append(made)
        outputs = {stream.value: concatenate(parts[stream]) for stream in streams}
        if "regions" in wanted:
            outputs["regions"] = pack(frames, sets)
        return {name: outputs[name] for name in wanted}

    def _find(
        self, first: np.ndarray, last: np.ndarray, numbers: Sequence[int], known: Mapping[int, np.ndarray] | None
    ) -> list[RegionSet]:
        """Regions of each pair, their corners on the stored grid; of known ones the boxes only."""
        if known is not None:
            return [_boxes_only(known.get(number)) for number in numbers]
        size = last.shape[1:3]
        found = self.regions(first, last, self.batch_size)
        return [replace(regions, boxes=on_grid(regions.boxes, size)) for regions in found]

    def _attributes(
        self, first: np.ndarray, last: np.ndarray, found: list[RegionSet], streams: Sequence[FeatureType]
    ) -> dict[FeatureType, Features]:
        """Attributes of the regions of a batch; frames without regions cost nothing."""
        busy = [i for i, regions in enumerate(found) if len(regions)]
        if not busy or not streams:
            return {}
        first, last = first[busy], last[busy]
        flow = self._flow(first, last) if FeatureType.VELOCITY in streams else None
        crops = last if self.crop_frame == "last" else first
        boxes = [found[i].boxes for i in busy]
        made: dict[FeatureType, Features] = self.features(crops, flow, boxes, streams, self.batch_size)
        return made

    def _flow(self, first: np.ndarray, last: np.ndarray) -> torch.Tensor:
        import torch

        step = self.batch_size if self.flow.is_network else len(first)
        return torch.cat([self.flow(first[i : i + step], last[i : i + step]) for i in range(0, len(first), step)])

    def _nothing(self, video: Video, stream: FeatureType) -> Features:
        """Return the arrays of a stream with no rows, so that a video without regions has them too."""
        import torch

        frames = np.zeros((0, *video.size, 3), np.uint8)
        empty: Features = self.features(frames, torch.zeros(0, 2, *video.size), [], [stream])[stream]
        return empty

    def _blocks(self, video: Video, known: Mapping[int, np.ndarray] | None) -> Iterator[list[Pair]]:
        """Pairs in frame order; where regions are known, only those of frames that have some."""
        size = max(self.batch_size, min(_PAIRS_AT_ONCE, _BLOCK_BYTES // (video.size[0] * video.size[1] * _PIXEL_BYTES)))
        block: list[Pair] = []
        for pair in self._pairs(video):
            if known is not None and pair[0] not in known:
                continue
            block.append(pair)
            if len(block) == size:
                yield block
                block = []
        if block:
            yield block

    def _pairs(self, video: Video) -> Iterator[Pair]:
        """Yield the number of the last frame, the first frame and the last frame of each pair."""
        held: deque[np.ndarray] = deque(maxlen=self.frame_step + 1)
        for number, frame in enumerate(prefetch(video.frames())):
            held.append(frame)
            if number >= self.frame_step:
                yield number, held[0], frame
            elif self.first_frames == "self":
                yield number, frame, frame


def _by_frame(regions: Features) -> dict[int, np.ndarray]:
    """Frame number to the boxes ``(M, 4)`` of that frame, for frames that have some."""
    boxes, frames = unpack_boxes(regions), np.asarray(regions["frame"])
    numbers, starts = np.unique(frames, return_index=True)
    return {int(n): part for n, part in zip(numbers, np.split(boxes, starts[1:]), strict=bool(len(numbers)))}


def _boxes_only(boxes: np.ndarray | None) -> RegionSet:
    if boxes is None:
        return RegionSet.empty()
    n = len(boxes)
    return RegionSet(boxes, np.zeros(n, np.int16), np.zeros(n, np.float32), (None,) * n)
