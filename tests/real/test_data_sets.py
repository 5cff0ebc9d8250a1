"""The real clips and labels: counts to the frame, two decoders, agreement of every label file, speed of reading."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vadbench.config.schema import checked_part
from vadbench.data.check import check
from vadbench.data.datasets import avenue, shanghaitech, ucsd
from vadbench.data.datasets.known_labels import KnownLabels
from vadbench.data.readers.mat_masks import MatMasks
from vadbench.data.readers.prefetch import prefetch
from vadbench.data.readers.source import Source
from vadbench.data.readers.video_file import VideoFile
from vadbench.data.registry import counts, dataset_digest, label_digest, load_dataset

pytestmark = pytest.mark.real


def config(name: str, root: Path, **keys: Any) -> Any:
    return checked_part("dataset", {"name": name, "root": str(root), **keys})


def test_ped2_has_its_six_clips_with_frames_labels_and_masks(shared: Path) -> None:
    loaded = load_dataset(config("ucsd_ped2", shared / "ucsd_ped2"))
    assert loaded.tree == "redistribution (.jpg)" and loaded.label_source == "UCSDped2.m"
    lengths = {"01": 180, "03": 150, "05": 150, "07": 180, "09": 120, "11": 180}
    assert {v.id: v.n_frames for v in loaded.test} == lengths
    assert all(v.size == (240, 360) for v in [*loaded.train, *loaded.test])
    assert {v.id: int(v.labels.sum()) for v in loaded.test if v.labels is not None} == {
        "01": 120, "03": 146, "05": 129, "07": 135, "09": 120, "11": 180,
    }  # fmt: skip
    assert len(loaded.train) == 12 and counts(loaded)["test_frames"] == 960
    assert loaded.partial and not loaded.comparable and loaded.warnings == ()


@pytest.mark.parametrize("name", ["ucsd_ped1", "ucsd_ped2"])
def test_labels_and_masks_agree_and_the_redistributed_list_too(shared: Path, name: str) -> None:
    report = check(config(name, shared / name))
    assert any(remark.startswith("labels and masks agree in all") for remark in report.remarks)
    assert any("equals the official labels" in remark for remark in report.remarks)
    assert all("missing" in problem for problem in report.problems)


def test_digests_do_not_depend_on_how_the_root_is_given(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = load_dataset(config("ucsd_ped2", shared / "ucsd_ped2"))
    monkeypatch.chdir(shared)
    other = load_dataset(config("ucsd_ped2", Path("ucsd_ped2")))
    assert (dataset_digest(one), label_digest(one)) == (dataset_digest(other), label_digest(other))


@pytest.mark.parametrize(
    ("module", "name", "folder", "clips", "frames", "anomalous"),
    [
        (ucsd, "ucsd_ped1", "ucsd_ped1", 36, 7200, 4045),
        (ucsd, "ucsd_ped2", "ucsd_ped2", 12, 2010, 1648),
        (avenue, "avenue", "avenue_mini", 21, 15324, 3712),
        (shanghaitech, "shanghaitech", "shanghaitech_labels", 107, 40791, 17326),
    ],
)
def test_official_labels_of_every_clip(
    shared: Path, module: Any, name: str, folder: str, clips: int, frames: int, anomalous: int
) -> None:
    labels = module.reference_labels(config(name, shared / folder))
    assert len(labels) == clips
    assert sum(map(len, labels.values())) == frames
    assert sum(int(values.sum()) for values in labels.values()) == anomalous


def test_avenue17_is_what_is_left(shared: Path) -> None:
    labels = avenue.reference_labels(config("avenue", shared / "avenue_mini"))
    left = [values for clip, values in labels.items() if clip not in avenue.AVENUE17_LEAVES_OUT]
    expected = avenue.OFFICIAL["avenue17"]
    assert len(left) == expected["test_videos"]
    assert sum(map(len, left)) == expected["test_frames"]
    assert sum(int(values.sum()) for values in left) == expected["anomalous_frames"]


def test_the_table_of_avenue_labels_is_what_the_masks_say(shared: Path) -> None:
    known = KnownLabels("avenue")
    for clip in (8, 14, 19, 20, 21):  # the small ones; all of them in the slow test below
        path = shared / "avenue_mini" / "ground_truth_demo" / "testing_label_mask" / f"{clip}_label.mat"
        labels = known.of(path)
        assert labels is not None and np.array_equal(labels, MatMasks(path).any())


@pytest.mark.slow
def test_the_table_of_avenue_labels_is_what_scipy_reads(shared: Path) -> None:
    import scipy.io

    known = KnownLabels("avenue")
    for clip in range(1, 22):
        path = shared / "avenue_mini" / "ground_truth_demo" / "testing_label_mask" / f"{clip}_label.mat"
        cell = scipy.io.loadmat(path)["volLabel"][0]
        labels = known.of(path)
        assert labels is not None and labels.tolist() == [bool(mask.any()) for mask in cell]


AVENUE_FRAMES = {"08": 36, "17": 426, "19": 248, "21": 76}
AVENUE_ANOMALOUS = {"08": 36, "17": 384, "19": 140, "21": 53}


def test_avenue_decodes_to_its_counts(shared: Path) -> None:
    loaded = load_dataset(config("avenue", shared / "avenue_mini"))
    assert loaded.label_source == "volLabel masks" and loaded.partial
    assert {v.id: v.n_frames for v in loaded.test} == AVENUE_FRAMES
    assert {v.id: sum(1 for _ in v.frames()) for v in loaded.test} == AVENUE_FRAMES
    assert {v.id: int(v.labels.sum()) for v in loaded.test if v.labels is not None} == AVENUE_ANOMALOUS
    assert {v.id: sum(1 for _ in v.frames()) for v in loaded.train} == {"12": 145, "16": 244}
    assert {v.id: v.n_frames for v in loaded.train} == {"12": 145, "16": 244}
    for video in loaded.test:
        assert video.masks is not None and video.labels is not None and len(video.masks) == video.n_frames
        assert all(video.masks[t].any() == video.labels[t] for t in range(0, video.n_frames, 7))


def test_redistributed_label_files_are_told_apart_in_numbers(shared: Path) -> None:
    folder = shared / "published_scores" / "mnad_labels"
    files = sorted(folder.glob("*.npy"))
    assert len(files) == 3
    said = {
        name: [r for r in check(config(name, shared / root), compare=files).remarks if r.startswith("frame_labels_")]
        for name, root in (("ucsd_ped2", "ucsd_ped2"), ("avenue", "avenue_mini"))
    }
    assert "frame_labels_ped2.npy: equals the official labels, 1,648 anomalous against 1,648" in said["ucsd_ped2"]
    line = next(r for r in said["avenue"] if r.startswith("frame_labels_avenue.npy"))
    assert line.startswith("frame_labels_avenue.npy: 441 of 15,324 frames differ (2.9%), 3,867 anomalous against 3,712")
    assert sum("of other clips" in r for remarks in said.values() for r in remarks) == 4
    from vadbench.data.labels.published import disagreement

    labels = shanghaitech.reference_labels(config("shanghaitech", shared / "shanghaitech_labels"))
    assert disagreement(folder / "frame_labels_shanghai.npy", labels) == (
        "frame_labels_shanghai.npy: equals the official labels, 17,326 anomalous against 17,326"
    )


def avis(shared: Path) -> list[Path]:
    return sorted((shared / "avenue_mini").glob("*/*_videos/*.avi"))


def test_two_decoders_agree_on_count_order_and_pixels(shared: Path) -> None:
    import cv2

    assert len(avis(shared)) == 6
    for path in avis(shared):
        capture, seen = cv2.VideoCapture(str(path)), 0
        previous: np.ndarray | None = None
        for frame in VideoFile(path).frames():
            done, other = capture.read()
            assert done, path
            small, theirs = frame[::4, ::4].astype(np.int16), other[::4, ::4, ::-1].astype(np.int16)
            near = float(np.abs(small - theirs).mean())
            assert near < 2
            if previous is not None and not np.array_equal(previous, small):
                assert near < np.abs(previous - theirs).mean()  # it is this frame and not the one before
            previous, seen = small, seen + 1
        assert not capture.read()[0]
        assert seen == VideoFile(path).n_frames


@pytest.mark.bench
def test_reading_costs_no_more_than_the_bare_loop(shared: Path) -> None:
    """CPU time of passes that take turns; the least of each, since other work on the machine only ever adds."""
    import av

    path = shared / "avenue_mini" / "Avenue Dataset" / "testing_videos" / "17.avi"
    source = VideoFile(path)
    assert source.n_frames == 426

    def bare() -> None:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                frame.to_ndarray(format="rgb24")

    def ours() -> None:
        for _ in source.frames():
            pass

    bare(), ours()
    turns = [(cpu(ours), cpu(bare)) for _ in range(20)]
    least_ours, least_bare = np.min(turns, axis=0)
    assert least_ours <= 1.15 * least_bare, turns


def cpu(job: Callable[[], None]) -> float:
    started = time.process_time()
    job()
    return time.process_time() - started


def test_windows_of_13_at_stride_1_decode_no_frame_twice(shared: Path) -> None:
    from collections import deque

    source = VideoFile(shared / "avenue_mini" / "Avenue Dataset" / "testing_videos" / "21.avi")
    window: deque[np.ndarray] = deque(maxlen=13)
    clips = 0
    for frame in prefetch(source.frames(), 4):
        window.append(frame)
        clips += len(window) == 13
    assert clips == 76 - 12
    assert source.decoded == 76


def test_a_deep_check_of_avenue_decodes_everything(shared: Path) -> None:
    report = check(config("avenue", shared / "avenue_mini"), deep=True)
    assert "1,175 frames decoded" in report.remarks
    assert report.counts["mask_videos"] == (4, 21)
    assert report.problems == [
        "14 of 16 train videos are missing: 01-11, 13-15",
        "17 of 21 test videos are missing: 01-07, 09-16, 18, 20",
    ]


def test_a_quick_check_reads_at_most_one_frame_a_video(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: Counter[str] = Counter()
    frames = Source.frames

    def counted(self: Source) -> Iterator[np.ndarray]:
        for frame in frames(self):
            read[str(self.name)] += 1
            yield frame

    monkeypatch.setattr(Source, "frames", counted)
    check(config("ucsd_ped2", shared / "ucsd_ped2"))
    check(config("avenue", shared / "avenue_mini"))
    assert len(read) == 18 + 6
    assert set(read.values()) == {1}
