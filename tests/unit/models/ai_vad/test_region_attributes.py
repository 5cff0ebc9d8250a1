"""The extractor makes each stage once, in one pass, and the same whatever is there already."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.unit.models.ai_vad.moving import Stages, street
from vadbench.data.readers.source import ArraySource
from vadbench.data.video import Video
from vadbench.errors import ConfigError
from vadbench.models.ai_vad.model import AiVad
from vadbench.models.ai_vad.regions.region_set import unpack_boxes
from vadbench.models.base import Features

ALL = ["regions", "velocity", "pose", "deep"]


def equal(a: dict[str, Features], b: dict[str, Features]) -> bool:
    return set(a) == set(b) and all(
        set(a[name]) == set(b[name]) and all(np.array_equal(a[name][k], b[name][k]) for k in a[name]) for name in a
    )


def test_every_stage_runs_once_for_every_frame_pair_in_one_pass() -> None:
    stages = Stages()
    video = street(n_frames=9)
    passes = []
    source = video.source
    counted = Video("01", source)
    original = source.frames
    source.frames = lambda: passes.append(1) or original()  # type: ignore[method-assign]
    found = AiVad(**stages.parts(), batch_size=3).extractor.extract(counted, ALL, {})
    n = len(found["regions"]["frame"])
    assert n > 8 and passes == [1]
    assert stages.counts() == (8, 8, n, n)
    assert [len(found[name][key]) for name, key in (("velocity", "l2"), ("pose", "pose"), ("deep", "deep"))] == [n] * 3


@pytest.mark.parametrize("batch_size", [1, 2, 5, 100])
def test_batches_change_nothing(batch_size: int) -> None:
    def extract(size: int) -> dict[str, Features]:
        return AiVad(**Stages().parts(), batch_size=size).extractor.extract(street(), ALL, {})

    assert equal(extract(batch_size), extract(3))


def test_networks_see_a_batch_at_once_and_crops_of_a_block_come_together(monkeypatch: pytest.MonkeyPatch) -> None:
    def sizes(frames: int, batch_size: int) -> dict[str, list[int]]:
        stages = Stages()
        AiVad(**stages.parts(), batch_size=batch_size).extractor.extract(street(n_frames=frames), ALL, {})
        return {name: [n for n in getattr(stages, name).calls if n] for name in ("detector", "pose", "deep")}

    seen = sizes(22, 3)
    assert seen["detector"] == seen["pose"] == [3, 3, 3, 3, 3, 1, 3, 2]  # 16 pairs and 5, three at a time
    assert seen["deep"] == [16, 5]
    assert sizes(22, 20)["deep"] == [20, 1]
    # A block holds less where frames are large: here 4 pairs.
    monkeypatch.setattr("vadbench.models.ai_vad.extractor._BLOCK_BYTES", 4 * 64 * 96 * 38)
    assert sizes(11, 1)["deep"] == [4, 4, 2]


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = AiVad(**Stages().parts()).extractor.extract(street(n_frames=20), ALL, {})
    monkeypatch.setattr("torch.get_num_threads", lambda: 4)
    for _ in range(3):
        assert equal(alone, AiVad(**Stages().parts()).extractor.extract(street(n_frames=20), ALL, {}))


def test_what_is_there_is_not_made_again_and_what_is_made_is_the_same() -> None:
    whole = AiVad(**Stages().parts()).extractor.extract(street(), ALL, {})
    for wanted in (["velocity"], ["pose"], ["deep"], ["velocity", "deep"]):
        stages = Stages()
        have = {name: whole[name] for name in ALL if name not in wanted}
        made = AiVad(**stages.parts(), batch_size=4).extractor.extract(street(), wanted, have)
        assert equal(made, {name: whole[name] for name in wanted})
        detected, pairs, poses, deeps = stages.counts()
        assert detected == 0
        assert (pairs > 0, poses > 0, deeps > 0) == tuple(name in wanted for name in ("velocity", "pose", "deep"))


def test_frames_without_regions_cost_no_flow() -> None:
    still = np.repeat(np.stack(list(street(n_frames=1).frames())), 10, axis=0)
    still[6:, 30:50, 40:60] = 255
    stages = Stages()
    found = AiVad(**stages.parts(), batch_size=10).extractor.extract(Video("s", ArraySource(still)), ALL, {})
    assert found["regions"]["frame"].tolist() == [6]
    assert stages.counts() == (9, 1, 1, 1)


@pytest.mark.parametrize("n_frames", [1, 2, 5])
def test_a_still_video_has_outputs_with_no_rows(n_frames: int) -> None:
    still = Video("s", ArraySource(np.full((n_frames, 32, 48, 3), 90, np.uint8)))
    extractor = AiVad(**Stages().parts()).extractor
    found = extractor.extract(still, ALL, {})
    assert found["regions"]["frame"].shape == (0,)
    assert found["velocity"]["l2"].shape == (0, 48)
    assert found["pose"]["pose"].shape == (0, 34) and found["deep"]["deep"].shape == (0, 16)
    again = extractor.extract(still, ["velocity"], {"regions": found["regions"]})
    assert again["velocity"]["l2"].shape == (0, 48)


def test_crops_come_from_the_frame_of_the_boxes_unless_told_otherwise() -> None:
    video = street(n_frames=6)
    frames = np.stack(list(video.frames()))
    by_frame = {}
    for crop_frame in ("last", "first"):
        found = AiVad(**Stages().parts(), crop_frame=crop_frame, frame_step=2).extractor.extract(video, ALL, {})
        by_frame[crop_frame] = found
    regions = by_frame["last"]["regions"]
    assert np.array_equal(regions["corners"], by_frame["first"]["regions"]["corners"])
    assert np.array_equal(by_frame["last"]["velocity"]["l2"], by_frame["first"]["velocity"]["l2"])
    for i, (frame, box) in enumerate(zip(regions["frame"], unpack_boxes(regions).astype(int), strict=True)):
        x1, y1, x2, y2 = box
        for crop_frame, back in (("last", 0), ("first", 2)):
            mean = frames[frame - back, y1:y2, x1:x2].astype(np.float64).mean() / 255
            assert by_frame[crop_frame]["deep"]["deep"][i, 0] == pytest.approx(mean, rel=1e-5)


def test_first_frames_have_no_regions_or_are_paired_with_themselves() -> None:
    from vadbench.models.ai_vad.regions.region_extractor import RegionExtractor
    from vadbench.models.ai_vad.regions.region_set import RegionSet

    class Corner:
        def __call__(self, frames: np.ndarray) -> list[RegionSet]:
            box = np.array([[0, 0, 20, 20]], np.float32)
            return [RegionSet(box, np.ones(1, np.int16), np.ones(1, np.float32), (None,)) for _ in frames]

        def spec(self) -> dict:
            return {}

        def weights(self) -> list:
            return []

    def frames_of(first_frames: str, step: int) -> tuple[list[int], np.ndarray]:
        parts = Stages().parts() | {
            "region_extractor": RegionExtractor(detector=Corner(), enable_foreground_detections=False)
        }
        model = AiVad(**parts, first_frames=first_frames, frame_step=step)
        found = model.extractor.extract(street(n_frames=5), ALL, {})
        return found["regions"]["frame"].tolist(), found["velocity"]["l2"].sum(axis=1)

    assert frames_of("fill", 1)[0] == [1, 2, 3, 4]
    assert frames_of("fill", 3)[0] == [3, 4]
    frames, speed = frames_of("self", 2)
    assert frames == [0, 1, 2, 3, 4] and (speed[:2] < 1e-6).all() and (speed[2:] > 0.1).all()


def test_specs_are_json_and_change_with_what_an_output_depends_on_only() -> None:
    base = AiVad(**Stages().parts()).extractor.outputs()
    json.dumps(base)

    def changed(**options: object) -> set[str]:
        parts = {**Stages().parts(), **{k: v for k, v in options.items() if k in Stages().parts()}}
        rest = {k: v for k, v in options.items() if k not in parts}
        other = AiVad(**parts, **rest).extractor.outputs()  # type: ignore[arg-type]
        return {name for name in base if other[name] != base[name]}

    from vadbench.models.ai_vad.regions.region_extractor import RegionExtractor
    from vadbench.models.ai_vad.streams.flow import FlowExtractor

    assert changed(flow_extractor=FlowExtractor("farneback", size=None)) == {"velocity"}
    assert changed(crop_frame="first") == {"pose", "deep"}
    assert changed(frame_step=2) == set(ALL)
    assert changed(region_extractor=RegionExtractor(detector=Stages().detector, min_bbox_area=21)) == set(ALL)
    for unread in ({"batch_size": 7}, {"frame_reduction": "max_of_sum"}, {"n_neighbors_deep": 3}, {"seed": 3}):
        assert changed(**unread) == set()


def test_streams_that_are_off_have_no_output() -> None:
    stages = Stages(use_pose_features=False, use_deep_features=False)
    extractor = AiVad(**stages.parts()).extractor
    assert list(extractor.outputs()) == ["regions", "velocity"]
    extractor.extract(street(), ["regions", "velocity"], {})
    assert stages.counts()[2:] == (0, 0)
    no_velocity = AiVad(**Stages(use_velocity_features=False).parts()).extractor
    assert list(no_velocity.outputs()) == ["regions", "pose", "deep"]


def test_wrong_words_are_explained() -> None:
    with pytest.raises(ConfigError, match="last, first"):
        AiVad(**Stages().parts(), crop_frame="middle")
    with pytest.raises(ConfigError, match="fill, self"):
        AiVad(**Stages().parts(), first_frames="skip")
