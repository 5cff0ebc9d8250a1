"""On the real labels: the known counts, and what knows nothing of anomalies reaches the known numbers."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.io

from tests.baselines import position_scores, random_scores
from vadbench.data.labels.published import from_ranges, read_m
from vadbench.evaluation import frame_auroc, macro, micro, protocol_card, undefined_videos
from vadbench.evaluation.score_files.known_sets import recognise

pytestmark = pytest.mark.real

PED2_LENGTHS = [180, 180, 150, 180, 150, 180, 180, 180, 120, 150, 180, 180]


def ped2(shared):
    ranges = read_m(shared / "ucsd_ped2/UCSD_Anomaly_Dataset.v1p2/UCSDped2/Test/UCSDped2.m")
    return {f"{i:02d}": from_ranges(r, n, "") for i, (r, n) in enumerate(zip(ranges, PED2_LENGTHS, strict=True), 1)}


def avenue(shared):
    folder = next((shared / "avenue_mini").rglob("testing_label_mask"))
    found = {}
    for i in range(1, 22):
        masks = scipy.io.loadmat(folder / f"{i}_label.mat")["volLabel"].ravel()
        found[f"{i:02d}"] = np.array([bool(mask.any()) for mask in masks])
    return found


def shanghaitech(shared):
    folder = shared / "shanghaitech_labels/testing/test_frame_mask"
    return {path.stem: np.load(path).astype(bool) for path in sorted(folder.glob("*.npy"))}


SETS = {
    # labels, frames, anomalous, single-class videos, random padded macro, position micro, video prior micro
    "ucsd_ped2": (ped2, 2010, 1648, 4, 0.688, 0.750, 0.840),
    "avenue": (avenue, 15324, 3712, 2, 0.552, 0.607, 0.748),
    "shanghaitech": (shanghaitech, 40791, 17326, 1, 0.515, 0.560, 0.758),
}


@pytest.fixture(scope="module", params=SETS)
def case(request, shared):
    read, *expected = SETS[request.param]
    return request.param, read(shared), expected


def test_counts(case):
    _, labels, (frames, anomalous, single, *_) = case
    assert sum(y.size for y in labels.values()) == frames
    assert sum(y.sum() for y in labels.values()) == anomalous
    assert len(undefined_videos(labels)) == single


def test_random_scores_under_padded_macro(case):
    """Chance is 0.5 where videos of one class are skipped, and padding alone lifts it to the known constant."""
    _, labels, (*_, padded, _, _) = case
    # The expectation is exact: an AUROC of one half in the closed form of the padding.
    exact = []
    for y in labels.values():
        p, n = int(y.sum()), int((~y).sum())
        exact.append((0.5 * p * n + n + p + 1) / ((p + 1) * (n + 1)) if p and n else 1.0)
    assert np.mean(exact) == pytest.approx(padded, abs=0.003)
    runs = [random_scores(labels, seed) for seed in range(30)]
    for rule in ("pad_all", "pad_0_1"):  # random scores lie in (0, 1), so that 0 and 1 are extreme
        values = [macro(frame_auroc, s, labels, rule) for s in runs]
        assert np.mean(values) == pytest.approx(np.mean(exact), abs=3.5 * np.std(values) / np.sqrt(30))
    skipped = [macro(frame_auroc, s, labels) for s in runs]
    assert np.mean(skipped) == pytest.approx(0.5, abs=3.5 * np.std(skipped) / np.sqrt(30))


def test_position_in_clip_and_share_in_video(case):
    _, labels, (*_, position, prior) = case
    assert micro(frame_auroc, position_scores(labels), labels) == pytest.approx(position, abs=0.0005)
    shares = {video: np.full(y.size, y.mean()) for video, y in labels.items()}  # an oracle: it reads the labels
    assert micro(frame_auroc, shares, labels) == pytest.approx(prior, abs=0.0005)


def test_labels_are_recognised(case):
    name, labels, _ = case
    assert recognise(list(labels.values())).startswith(
        {"ucsd_ped2": "the official labels of UCSD Ped2", "avenue": "Avenue labels from the official masks"}.get(
            name, "the official labels of ShanghaiTech"
        )
    )
    assert recognise([~y for y in labels.values()]).endswith("inverted (1 is normal)")


def test_frames_that_anomalib_scores_on_ped2(shared):
    labels = ped2(shared)
    rows = {row["protocol"]: row for row in protocol_card(random_scores(labels), labels, "ucsd_ped2", resamples=20)}
    assert (rows["anomalib"]["n_frames"], rows["anomalib"]["n_anomalous"]) == (201, 164)
    assert (rows["anomalib_fuvas"]["n_frames"], rows["anomalib_fuvas"]["n_anomalous"]) == (189, 157)
    assert rows["liu2018"]["n_frames"] == 2010 - 12 * 4
