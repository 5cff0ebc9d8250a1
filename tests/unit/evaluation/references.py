"""Slow, obvious metrics that the fast ones are held against: pairwise counts and threshold sweeps, nothing shared."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pandas as pd


def auroc(scores, labels):
    """Every anomalous frame against every normal one, as an exact fraction."""
    above = Fraction(0)
    positives = [s for s, y in zip(scores, labels, strict=True) if y]
    negatives = [s for s, y in zip(scores, labels, strict=True) if not y]
    if not positives or not negatives:
        return float("nan")
    for p in positives:
        for n in negatives:
            above += Fraction(1) if p > n else Fraction(1, 2) if p == n else Fraction(0)
    return float(above / (len(positives) * len(negatives)))


def confusion(scores, labels, threshold):
    """(true positives, false positives) of flagging what scores at least the threshold."""
    hits = sum(1 for s, y in zip(scores, labels, strict=True) if y and s >= threshold)
    alarms = sum(1 for s, y in zip(scores, labels, strict=True) if not y and s >= threshold)
    return hits, alarms


def average_precision(scores, labels):
    """A sweep over every distinct score, adding gained recall times precision."""
    p, n = sum(map(bool, labels)), sum(1 for y in labels if not y)
    if not p or not n:
        return float("nan")
    total, before = Fraction(0), 0
    for threshold in sorted(set(scores), reverse=True):
        hits, alarms = confusion(scores, labels, threshold)
        total += Fraction(hits - before, p) * Fraction(hits, hits + alarms)
        before = hits
    return float(total)


def equal_error_rate(scores, labels):
    """Walk along the ROC from (0, 0) and stop on the anti-diagonal."""
    p, n = sum(map(bool, labels)), sum(1 for y in labels if not y)
    if not p or not n:
        return float("nan")
    x0, y0 = Fraction(0), Fraction(0)
    for threshold in sorted(set(scores), reverse=True):
        hits, alarms = confusion(scores, labels, threshold)
        x1, y1 = Fraction(alarms, n), Fraction(hits, p)
        if x1 + y1 >= 1:
            share = (1 - x0 - y0) / (x1 + y1 - x0 - y0)
            return float(x0 + share * (x1 - x0))
        x0, y0 = x1, y1
    raise AssertionError("a ROC ends in (1, 1)")


def best_f1(scores, labels):
    """The largest F1 of all thresholds."""
    p = sum(map(bool, labels))
    if not p or p == len(labels):
        return float("nan")
    values = []
    for threshold in set(scores):
        hits, alarms = confusion(scores, labels, threshold)
        values.append(Fraction(2 * hits, hits + alarms + p))
    return float(max(values))


def regions_of(mask):
    """8-connected regions of one frame by flood fill: lists of (y, x)."""
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    found = []
    while left:
        region, edge = [], [left.pop()]
        while edge:
            y, x = edge.pop()
            region.append((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            edge.extend(near)
        found.append(region)
    return found


def volumes_of(masks):
    """26-connected regions of a whole video by flood fill: lists of (t, y, x)."""
    left = {tuple(int(i) for i in at) for at in np.argwhere(masks)}
    steps = [(dt, dy, dx) for dt in (-1, 0, 1) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    found = []
    while left:
        region, edge = [], [left.pop()]
        while edge:
            at = edge.pop()
            region.append(at)
            near = {(at[0] + dt, at[1] + dy, at[2] + dx) for dt, dy, dx in steps} & left
            left -= near
            edge.extend(near)
        found.append(region)
    return found


def aupro(maps_by_video, masks_by_video, limit=0.3, components="2d"):
    """The PRO curve vertex by vertex, cut at the limit by linear interpolation, and its trapezoids."""
    regions, background = [], []
    for video, maps in maps_by_video.items():
        masks = np.asarray(masks_by_video[video]) > 0
        maps = np.asarray(maps)
        if components == "3d":
            regions += [[maps[at] for at in region] for region in volumes_of(masks)]
        else:
            regions += [[maps[t][at] for at in region] for t in range(len(maps)) for region in regions_of(masks[t])]
        background += maps[~masks].tolist()
    if not regions or not background:
        return float("nan")
    x0, y0, area = Fraction(0), Fraction(0), Fraction(0)
    limit = Fraction(limit)
    for threshold in sorted({float(s) for region in regions for s in region} | set(background), reverse=True):
        x1 = Fraction(sum(1 for s in background if s >= threshold), len(background))
        y1 = sum((Fraction(sum(1 for s in r if s >= threshold), len(r)) for r in regions), Fraction(0)) / len(regions)
        if x1 >= limit:
            if x1 > x0:
                end = y0 + (limit - x0) / (x1 - x0) * (y1 - y0)
                area += (limit - x0) * (y0 + end) / 2
            return float(area / limit)
        area += (x1 - x0) * (y0 + y1) / 2
        x0, y0 = x1, y1
    raise AssertionError("the FPR ends in 1")


def criterion_rates(maps, masks, threshold, coverage, precision=None):
    """(hits, anomalous frames, false alarms, normal frames) of the pixel-level criterion at one threshold."""
    hits = anomalous = alarms = normal = 0
    for values, mask in zip(maps, masks, strict=True):
        flagged = values >= threshold
        if mask.any():
            anomalous += 1
            covered = Fraction(int((flagged & mask).sum()), int(mask.sum())) >= Fraction(str(coverage))
            if covered and precision is not None:
                covered = Fraction(int((flagged & mask).sum()), int(flagged.sum())) >= Fraction(str(precision))
            hits += covered
        else:
            normal += 1
            alarms += bool(flagged.any())
    return hits, anomalous, alarms, normal


def criterion_path(maps, masks, coverage, precision=None):
    """(FPR, TPR) at every distinct score of every pixel, from (0, 0)."""
    fpr, tpr = [Fraction(0)], [Fraction(0)]
    for threshold in sorted({float(s) for s in np.concatenate([m.ravel() for m in maps])}, reverse=True):
        hits, anomalous, alarms, normal = criterion_rates(maps, masks, threshold, coverage, precision)
        fpr.append(Fraction(alarms, normal))
        tpr.append(Fraction(hits, anomalous))
    return fpr, tpr


def trapezoid(x, y):
    """Area under a path."""
    return float(sum((x[i] - x[i - 1]) * (y[i] + y[i - 1]) / 2 for i in range(1, len(x))))


def box_pixels(box, inclusive):
    """Width and height of (x1, y1, x2, y2)."""
    extra = 1 if inclusive else 0
    return box[2] - box[0] + extra, box[3] - box[1] + extra


def iou(a, b, inclusive=True):
    """Intersection over union of two integer boxes, exactly."""
    extra = 1 if inclusive else 0
    w = min(a[2], b[2]) - max(a[0], b[0]) + extra
    h = min(a[3], b[3]) - max(a[1], b[1]) + extra
    common = max(w, 0) * max(h, 0)
    wa, ha = box_pixels(a, inclusive)
    wb, hb = box_pixels(b, inclusive)
    return Fraction(common, wa * ha + wb * hb - common)


def rbdc_tbdc(detections, tracks, n_frames, beta="0.1", alpha="0.1", endpoint="flat", inclusive=True):
    """The definition, threshold after threshold: (RBDC, TBDC, FPR reached)."""
    beta, alpha = Fraction(beta), Fraction(alpha)
    found = [(r.video, r.frame, (r.x1, r.y1, r.x2, r.y2), r.score) for r in detections.itertuples()]
    truth = [(r.video, r.frame, (r.x1, r.y1, r.x2, r.y2), r.track) for r in tracks.itertuples()]
    if not truth:
        return float("nan"), float("nan"), None
    curve = [(Fraction(0), Fraction(0), Fraction(0))]
    for threshold in sorted({d[3] for d in found}, reverse=True):
        alive = [d for d in found if d[3] >= threshold]
        false = sum(1 for d in alive if not any(g[:2] == d[:2] and iou(d[2], g[2], inclusive) >= beta for g in truth))
        hit = [any(g[:2] == d[:2] and iou(d[2], g[2], inclusive) >= beta for d in alive) for g in truth]
        by_track: dict = {}
        for g, h in zip(truth, hit, strict=True):
            by_track.setdefault((g[0], g[3]), []).append(h)
        detected = sum(1 for hits in by_track.values() if Fraction(sum(hits), len(hits)) >= alpha)
        curve.append(
            (
                Fraction(false, sum(n_frames.values())),
                Fraction(sum(hit), len(truth)),
                Fraction(detected, len(by_track)),
            )
        )
    return _area(curve, 1, endpoint), _area(curve, 2, endpoint), float(min(max(c[0] for c in curve), 1))


def _area(curve, column, endpoint):
    x, y = [], []
    for point in curve:
        if point[0] >= 1:
            share = (1 - x[-1]) / (point[0] - x[-1])
            y.append(y[-1] + share * (point[column] - y[-1]))
            x.append(Fraction(1))
            return trapezoid(x, y)
        x.append(point[0])
        y.append(point[column])
    if endpoint != "truncate":
        x.append(Fraction(1))
        y.append(y[-1] if endpoint == "flat" else Fraction(1))
    return trapezoid(x, y)


def boxes(rows, last):
    """A table of boxes from tuples (video, frame, x1, y1, x2, y2, last)."""
    return pd.DataFrame(rows, columns=["video", "frame", "x1", "y1", "x2", "y2", last])
