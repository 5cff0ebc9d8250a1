"""One synthetic clip, written as a video and as labels in every form: the same Video comes back from all of them."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.data.clips import moving_clip, write_images
from tests.unit.data.configs import config
from tests.unit.data.sites import LABELS, LOSSLESS, LOSSY, MASKS, TRACKS
from vadbench.data.registry import label_digest, load_dataset
from vadbench.data.video import Dataset, Video

FRAMES = 40


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("synthetic")
    return load_dataset(config("synthetic", root, n_train=1, n_test=4, n_frames=FRAMES, size=(64, 96)))


@pytest.fixture(scope="module")
def truth(made: Dataset) -> Video:
    """A synthetic test video with a cyclist and a bag: frames, labels, masks and tracks."""
    video = made.test[3]
    assert video.labels is not None and 0 < video.labels.sum() < FRAMES
    return video


def clip_of(video: Video) -> np.ndarray:
    return np.stack(list(video.frames()))


def masks_of(video: Video) -> np.ndarray:
    assert video.masks is not None
    return np.stack([video.masks[t] for t in range(len(video.masks))])


def site(root: Path, name: str, clip: np.ndarray, write: Any) -> str:
    """A folder whose only test video is ``clip``; returns the video's id."""
    write_images(root / "train" / "some day", moving_clip(3, *clip.shape[1:3]), ".bmp")
    (root / "test").mkdir()
    path = write(root / "test" / name, clip)
    return path.name if path.is_dir() else path.stem


def loaded(root: Path, **keys: Any) -> tuple[Video, str]:
    data = load_dataset(config("folder", root, **keys))
    assert len(data.test) == 1 and not data.comparable
    return data.test[0], data.label_source


@pytest.mark.parametrize("name", LOSSLESS)
def test_frames_of_every_lossless_form_to_the_bit(tmp_path: Path, truth: Video, name: str) -> None:
    assert site(tmp_path, name, clip_of(truth), LOSSLESS[name]) == loaded(tmp_path)[0].id
    video, source = loaded(tmp_path)
    assert (video.n_frames, video.size) == (FRAMES, (64, 96))
    assert np.array_equal(clip_of(video), clip_of(truth)) and np.array_equal(clip_of(video), clip_of(video))
    assert (video.labels, video.masks, video.tracks, source) == (None, None, None, "none")


@pytest.mark.parametrize("name", LOSSY)
def test_frames_of_every_lossy_form_in_number_and_order(tmp_path: Path, truth: Video, name: str) -> None:
    write, allowed = LOSSY[name]
    clip = moving_clip(FRAMES, 64, 96)  # one in which neighbours differ by more than a codec blurs
    site(tmp_path, name, clip, write)
    video, _ = loaded(tmp_path)
    got = clip_of(video).astype(np.float32)
    far = np.abs(got[:, None] - clip[None]).mean(axis=(2, 3, 4))
    assert video.n_frames == FRAMES and np.array_equal(far.argmin(axis=1), np.arange(FRAMES))
    assert far.diagonal().max() < allowed


@pytest.mark.parametrize("form", LABELS)
def test_labels_of_every_form(tmp_path: Path, truth: Video, form: str) -> None:
    name = site(tmp_path, "gate 2.mkv", clip_of(truth), LOSSLESS["ffv1.mkv"])
    LABELS[form](tmp_path, name, truth.labels)
    video, source = loaded(tmp_path, intervals="from_1_inclusive" if "from 1" in form else "from_0_half_open")
    assert video.labels is not None and video.labels.dtype == bool
    assert np.array_equal(video.labels, truth.labels) and source.startswith("labels")


@pytest.mark.parametrize("form", MASKS)
def test_masks_of_every_form_and_labels_from_them(tmp_path: Path, truth: Video, form: str) -> None:
    name = site(tmp_path, "gate 2.mkv", clip_of(truth), LOSSLESS["ffv1.mkv"])
    MASKS[form](tmp_path, name, masks_of(truth))
    video, source = loaded(tmp_path)
    assert np.array_equal(masks_of(video), masks_of(truth)) and video.masks is not None
    assert video.masks[0].dtype == bool and np.array_equal(video.labels, truth.labels) and source == "masks"


@pytest.mark.parametrize("form", TRACKS)
def test_tracks_of_every_form_and_labels_from_them(tmp_path: Path, truth: Video, form: str) -> None:
    name = site(tmp_path, "gate 2.mkv", clip_of(truth), LOSSLESS["ffv1.mkv"])
    TRACKS[form](tmp_path, name, truth.tracks)
    video, source = loaded(tmp_path)
    assert video.tracks is not None and truth.tracks is not None
    pd.testing.assert_frame_equal(video.tracks[list(truth.tracks)], truth.tracks, check_exact=True)
    assert np.array_equal(video.labels, truth.labels) and source in ("tracks.csv", "tracks")


def test_all_of_it_at_once_is_the_synthetic_video(tmp_path: Path, made: Dataset, truth: Video) -> None:
    name = site(tmp_path, "test_04", clip_of(truth), LOSSLESS["png"])
    LABELS["own npy"](tmp_path, name, truth.labels)
    MASKS["npy"](tmp_path, name, masks_of(truth))
    TRACKS["tracks.csv"](tmp_path, name, truth.tracks)
    video, source = loaded(tmp_path)
    assert source == "labels/*.npy"  # the most direct one
    assert np.array_equal(clip_of(video), clip_of(truth)) and np.array_equal(video.labels, truth.labels)
    alone = replace(made, test=(truth,))
    assert label_digest(load_dataset(config("folder", tmp_path))) == label_digest(alone)


@st.composite
def clips(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """A clip of even sides (codecs ask for it) and masks whose frames are anomalous by any pattern."""
    frames = draw(st.integers(2, 12))
    height, width = 2 * draw(st.integers(12, 24)), 2 * draw(st.integers(12, 24))
    masks = np.zeros((frames, height, width), bool)
    for t, anomalous in enumerate(draw(st.lists(st.booleans(), min_size=frames, max_size=frames))):
        top, left = draw(st.integers(0, height - 3)), draw(st.integers(0, width - 3))
        masks[t, top : top + 3, left : left + 2] = anomalous
    return moving_clip(frames, height, width, seed=draw(st.integers(0, 99))), masks


@settings(max_examples=40, deadline=None)
@given(clips(), st.sampled_from(list(LOSSLESS)), st.sampled_from(list(LABELS)), st.sampled_from(list(MASKS)), st.data())
def test_any_clip_in_any_mix_of_forms(
    made: tuple[np.ndarray, np.ndarray], video_form: str, label_form: str, mask_form: str, data: st.DataObject
) -> None:
    clip, masks = made
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        name = site(root, video_form, clip, LOSSLESS[video_form])
        labels = masks.any(axis=(1, 2))
        with_labels, with_masks = data.draw(st.sampled_from([(True, True), (True, False), (False, True)]))
        if with_labels:
            LABELS[label_form](root, name, labels)
        if with_masks:
            MASKS[mask_form](root, name, masks)
        video, _ = loaded(root, intervals="from_1_inclusive" if "from 1" in label_form else "from_0_half_open")
        assert np.array_equal(clip_of(video), clip)
        assert np.array_equal(video.labels, labels)
        assert not with_masks or np.array_equal(masks_of(video), masks)
