"""Real track files and masks: counts, perfect detections, and the order of tied rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vadbench.evaluation import pixel_metrics, rbdc_tbdc, read_tracks, tracks_from_masks

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def annotations(shared):
    return shared / "shanghaitech_labels/track_annotations_AED"


@pytest.fixture(scope="module")
def n_frames(shared):
    folder = shared / "shanghaitech_labels/testing/test_frame_mask"
    return {path.stem: len(np.load(path)) for path in folder.glob("*.npy")}


@pytest.fixture(scope="module")
def tracks(annotations):
    return read_tracks(annotations)


def test_counts(tracks, n_frames):
    assert tracks["video"].nunique() == 107
    assert len(tracks) == 18937
    assert tracks.groupby(["video", "track"]).ngroups == 158
    lengths = tracks.groupby(["video", "track"]).size()
    assert (lengths.min(), lengths.max(), lengths.median()) == (1, 518, 103.5)
    assert len(tracks[["video", "frame"]].drop_duplicates()) == 17135
    assert set(tracks["video"]) == set(n_frames)


def test_the_annotations_as_detections_are_perfect(tracks, n_frames):
    found = tracks.rename(columns={"track": "score"}).assign(score=np.random.default_rng(0).random(len(tracks)))
    result = rbdc_tbdc(found, tracks, n_frames)
    assert (result.rbdc, result.tbdc, result.fpr_reached, result.n_frames) == (1.0, 1.0, 0.0, 40791)


def test_tied_detections_have_one_value_whatever_their_order(tracks, n_frames):
    """Half of the regions found and as many false alarms as frames, all with one score."""
    random = np.random.default_rng(0)
    hits = tracks[random.random(len(tracks)) < 0.5]
    alarms = [(v, t, 5000, 5000, 5010, 5010) for v, n in n_frames.items() for t in range(n)]
    table = pd.concat([hits, pd.DataFrame(alarms, columns=["video", "frame", "x1", "y1", "x2", "y2"])])
    table = table.drop(columns="track").assign(score=1.0)
    values = {
        (r.rbdc, r.tbdc) for r in (rbdc_tbdc(table.sample(frac=1, random_state=i), tracks, n_frames) for i in range(3))
    }
    assert len(values) == 1
    rbdc, tbdc = values.pop()
    assert rbdc == pytest.approx(len(hits) / len(tracks) / 2)
    assert tbdc > rbdc


def test_the_toy_example_of_the_annotations(annotations):
    """Its authors say that RBDC and TBDC are 1."""
    columns = ["frame", "x1", "y1", "x2", "y2", "score"]
    found = pd.concat(
        [
            pd.read_csv(file, header=None, names=columns).assign(video=file.stem)
            for file in sorted((annotations / "toy_anomalies").glob("*.txt"))
        ]
    )
    truth = read_tracks(annotations / "toy_tracks")
    length = int(max(found["frame"].max(), truth["frame"].max())) + 1
    result = rbdc_tbdc(found, truth, dict.fromkeys(truth["video"].unique(), length))
    assert (result.rbdc, result.tbdc) == (1.0, 1.0)


def test_tracks_and_pixels_of_real_masks(shared):
    folder = shared / "ucsd_ped2/UCSD_Anomaly_Dataset.v1p2/UCSDped2/Test"
    masks = {}
    for clip in ("Test001_gt", "Test009_gt"):
        files = sorted(file for file in (folder / clip).glob("*.bmp") if not file.name.startswith("."))
        masks[clip] = np.stack([np.asarray(Image.open(file)) for file in files])  # 0 and 255
    derived = tracks_from_masks(masks)
    for clip, stack in masks.items():
        frames = derived[derived["video"] == clip]["frame"].unique()
        assert sorted(frames) == np.flatnonzero(stack.any(axis=(1, 2))).tolist()
    found = derived.rename(columns={"track": "score"}).assign(score=1.0)
    result = rbdc_tbdc(found, derived, {clip: len(stack) for clip, stack in masks.items()})
    assert (result.rbdc, result.tbdc) == (1.0, 1.0)
    exact = pixel_metrics({clip: (stack > 0).astype(np.float32) for clip, stack in masks.items()}, masks)
    assert (exact.auroc, exact.average_precision, exact.eer, exact.aupro) == (1.0, 1.0, 0.0, 1.0)
