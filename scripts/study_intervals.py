"""Coverage and width of intervals over videos, of several methods: writes results/tables/interval_coverage.md.

python scripts/study_intervals.py [--published FOLDER] [--labels FOLDER]: some CPU minutes on one core. Each population
and number of videos is seeded on its own and kept in results/interval_study.json, so a study that was ended goes on.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import special
from scipy.signal import lfilter

from vadbench.evaluation.intervals.interval import interval, video_counts
from vadbench.evaluation.intervals.resampled import pair_auroc, pair_counts

VIDEOS = (6, 12, 21, 36, 107)
TAIL = 0.025
POOL = 804  # videos of a simulated population, a multiple of twelve
METHODS = (
    "this project's",
    "before: studentised, logit",
    "studentised, unscaled",
    "studentised, symmetric, logit",
    "percentile",
    "BCa",
    "BCa, widened",
    "calibrated percentile (double)",
    "jackknife, t(V - 1), logit",
    "jackknife, t(V - 1), unscaled",
    "bootstrap error, t(V - 1), logit",
    "one more video of AUROC 0.5",
)
OUT, KEPT = Path("results/tables/interval_coverage.md"), Path("results/interval_study.json")
Ends = tuple[float, float]


@dataclass
class Pairs:
    """What the AUROC of any choice of videos follows from: ``pairs (V, V)``, frames of each class ``(V,)``."""

    pairs: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray

    def of(self, videos: np.ndarray) -> Pairs:
        """The same for a choice of the videos."""
        return Pairs(self.pairs[np.ix_(videos, videos)], self.positives[videos], self.negatives[videos])

    def auroc(self, counts: np.ndarray) -> np.ndarray:
        """AUROC ``(B,)`` of counts ``(B, V)``."""
        return pair_auroc(self.pairs, self.positives, self.negatives)(counts)

    def without(self, counts: np.ndarray) -> np.ndarray:
        """AUROC ``(B, V)`` of counts ``(B, V)`` with one copy of each video left out; NaN for a video not drawn."""
        ahead, behind = counts @ self.pairs, counts @ self.pairs.T
        total = (ahead * counts).sum(axis=1, keepdims=True) - ahead - behind + np.diag(self.pairs)
        positives = (counts @ self.positives)[:, None] - self.positives
        negatives = (counts @ self.negatives)[:, None] - self.negatives
        return np.where(counts > 0, total / (2 * positives * negatives), np.nan)

    def error(self, counts: np.ndarray) -> np.ndarray:
        """Jackknife error ``(B,)``."""
        left = self.without(counts)
        weight = np.where(np.isnan(left), 0.0, counts)
        left, n = np.nan_to_num(left), weight.sum(axis=1, keepdims=True)
        mean = (weight * left).sum(axis=1, keepdims=True) / n
        return np.sqrt((weight * (left - mean) ** 2).sum(axis=1) * (n[:, 0] - 1) / n[:, 0])


def simulated(shift: float, inverted: bool, seed: int = 0) -> Pairs:
    """AR(1) noise, a level and an anomaly strength a video, one event each; where wanted every twelfth is inverted."""
    random, rows = np.random.default_rng(seed), []
    for video in range(POOL):
        n = int(random.integers(75, 225))
        steps, level = random.normal(size=n), random.normal() * 0.5
        steps[1:] *= math.sqrt(1 - 0.95**2)
        length = int(n * random.beta(2, 2))
        start = int(random.integers(0, n - length + 1))
        y = np.zeros(n, bool)
        y[start : start + length] = True
        strength = shift + 0.5 * random.normal() - 2 * shift * (inverted and video % 12 == 0)
        rows.append((lfilter([1.0], [1.0, -0.95], steps) + level + y * strength, y))
    return Pairs(*pair_counts(rows))


def published(folder: Path) -> Iterator[tuple[str, Pairs]]:
    """DMAD's frame scores of UCSD Ped2, high where normal, and the same with one clip inverted."""
    arrays = np.load(folder / "dmad" / "res_list_ped2.npz")
    lengths = json.loads((folder / "expected_auroc.json").read_text())["dmad_ped2"]["clip_lengths"]
    ends = np.cumsum(lengths)[:-1]
    labels = [y == 0 for y in np.split(arrays["arr_5"][0], ends)]
    for name in ("arr_0", "arr_4"):
        rows = list(zip(np.split(-arrays[name], ends), labels, strict=True))
        yield f"DMAD on Ped2, {name}", Pairs(*pair_counts(rows))
    both = next(i for i, y in enumerate(labels) if y.any() and not y.all())
    rows[both] = (rows[both][0].min() + rows[both][0].max() - rows[both][0], labels[both])
    yield "DMAD on Ped2, arr_4, one clip inverted", Pairs(*pair_counts(rows))


def positions(folder: Path) -> Pairs:
    """The position in the clip as score, on the labels of ShanghaiTech."""
    labels = [np.load(file).astype(bool).ravel() for file in sorted(folder.glob("*.npy"))]
    return Pairs(*pair_counts([(np.arange(y.size) / y.size, y) for y in labels]))


def all_methods(sample: Pairs, resamples: int, seed: int) -> dict[str, Ends] | None:
    """Ends by method; None for a sample that this project gives no interval for."""
    n = sample.positives.size
    ones = np.ones((1, n))
    value = float(sample.auroc(ones)[0])
    classes = [int(np.count_nonzero(frames)) for frames in (sample.negatives, sample.positives)]
    own = interval(sample.auroc, n, value, resamples, seed, 1 - 2 * TAIL, True, *classes)
    if own.method == "none":
        return None
    counts = video_counts(n, resamples, seed)
    drawn = sample.auroc(counts)
    counts, drawn = counts[~np.isnan(drawn)], drawn[~np.isnan(drawn)]
    slope, logit = value * (1 - value), special.logit(value)
    jackknife = float(sample.error(ones)[0])
    student = -float(special.stdtrit(n - 1, TAIL))

    def around(error: float, times: float = student) -> Ends:
        low, high = special.expit(logit + np.array([-times, times]) * error)
        return float(low), float(high)

    near = special.logit(np.clip(drawn, value / n, 1 - (1 - value) / n))
    bca, widened = (_bca(sample, drawn, value, n, tail) for tail in (special.ndtri(TAIL), -student * _growth(n)))
    found = {
        "this project's": (own.low, own.high),
        "percentile": _quantiles(drawn, TAIL, 1 - TAIL),
        "BCa": bca,
        "BCa, widened": widened,
        "calibrated percentile (double)": _calibrated(sample, counts[:100], drawn, value, seed)
        if n <= 36
        else (math.nan, math.nan),
        "jackknife, t(V - 1), logit": around(jackknife / slope),
        "jackknife, t(V - 1), unscaled": (max(value - student * jackknife, 0), min(value + student * jackknife, 1)),
        "bootstrap error, t(V - 1), logit": around(float(near.std(ddof=1)) * _growth(n)),
        "one more video of AUROC 0.5": _one_more(sample),
    }
    errors = sample.error(counts)
    usable = (errors > 0) & (drawn > 0) & (drawn < 1)
    names = ("before: studentised, logit", "studentised, symmetric, logit", "studentised, unscaled")
    if not usable.mean() >= 0.99:  # as before, where so many resamples have no error
        return found | dict.fromkeys(names, widened)
    some, error = drawn[usable], errors[usable]
    ratio = (special.logit(some) - logit) * some * (1 - some) / error
    plain = (some - value) / error
    ends = (
        special.expit(logit - np.array(_quantiles(ratio, 1 - TAIL, TAIL)) * jackknife / slope),
        around(jackknife / slope, float(np.quantile(np.abs(ratio), 1 - 2 * TAIL))),
        np.clip(value - np.array(_quantiles(plain, 1 - TAIL, TAIL)) * jackknife, 0, 1),
    )
    return found | {name: (float(low), float(high)) for name, (low, high) in zip(names, ends, strict=True)}


def _growth(n: int) -> float:
    return math.sqrt(n / (n - 1))


def _quantiles(values: np.ndarray, low: float, high: float) -> Ends:
    a, b = np.quantile(values, [low, high])
    return float(a), float(b)


def _bca(sample: Pairs, drawn: np.ndarray, value: float, n: int, tail: float) -> Ends:
    below = np.mean(drawn < value) + np.mean(drawn == value) / 2
    bias = special.ndtri(np.clip(below, 1 / (2 * drawn.size), 1 - 1 / (2 * drawn.size)))
    left = sample.without(np.ones((1, n)))[0]
    pull = np.nanmean(left) - left[~np.isnan(left)]
    spread = np.sum(pull**2) ** 1.5
    skew = np.sum(pull**3) / (6 * spread) if spread > 0 else 0.0
    z = bias + np.array([tail, -tail])
    return _quantiles(drawn, *special.ndtr(bias + z / np.maximum(1 - skew * z, 0.1)))


def _calibrated(sample: Pairs, counts: np.ndarray, drawn: np.ndarray, value: float, seed: int, inner: int = 50) -> Ends:
    """Percentiles at the levels that 50 resamples of each of 100 resamples find to cover."""
    random, n = np.random.default_rng(seed), counts.shape[1]
    chance = counts[np.arange(len(counts)).repeat(inner)] / n
    again = sample.auroc(random.multinomial(n, chance).astype(float)).reshape(len(counts), inner)
    place = np.nanmean(again < value, axis=1) + np.nanmean(again == value, axis=1) / 2
    return _quantiles(drawn, *np.quantile(place, [TAIL, 1 - TAIL]))


def _one_more(sample: Pairs) -> Ends:
    """Jackknife and t on the logit scale once a video that can't tell, of mean length, has been added."""
    n, p, q = sample.positives.size, sample.positives.mean(), sample.negatives.mean()
    pairs = np.empty((n + 1, n + 1))
    pairs[:n, :n], pairs[n, :n], pairs[:n, n], pairs[n, n] = (
        sample.pairs,
        p * sample.negatives,
        sample.positives * q,
        p * q,
    )
    more = Pairs(pairs, np.append(sample.positives, p), np.append(sample.negatives, q))
    ones = np.ones((1, n + 1))
    value = float(more.auroc(ones)[0])
    half = -special.stdtrit(n, TAIL) * float(more.error(ones)[0]) / (value * (1 - value))
    low, high = special.expit(special.logit(value) + np.array([-half, half]))
    return float(low), float(high)


def study(population: Pairs, n: int, samples: int, resamples: int, seed: int) -> dict[str, list[float]]:
    """Of each method: coverage, mean width, and its coverage where the sample holds a video of the first in twelve."""
    random, size = np.random.default_rng(seed), population.positives.size
    truth = float(population.auroc(np.ones((1, size)))[0])
    hits: dict[str, list[tuple[bool, float]]] = {name: [] for name in METHODS}
    holds, none = [], 0
    for number in range(samples):
        videos = random.integers(0, size, n)
        found = all_methods(population.of(videos), resamples, number)
        if found is None:
            none += 1
            continue
        holds.append(bool((videos % 12 == 0).any()))
        for name, (low, high) in found.items():
            hits[name].append((low <= truth <= high, high - low))
    result = {}
    for name, pairs in hits.items():
        covered, width = np.array([c for c, _ in pairs]), np.array([w for _, w in pairs])
        result[name] = [float(covered.mean()), float(width.mean()), float(covered[holds].mean())]
    return result | {"none": [none / samples, float(np.mean(holds)), truth]}


def populations(published_folder: Path, labels: Path) -> Iterator[tuple[str, Callable[[], Pairs]]]:
    """What videos are drawn from, by name."""
    for shift in (1.0, 2.0, 3.0):
        yield f"exchangeable, shift {shift:g}", lambda shift=shift: simulated(shift, False)
    for shift in (2.0, 3.0):
        yield f"one in twelve inverted, shift {shift:g}", lambda shift=shift: simulated(shift, True)
    if published_folder.is_dir():
        for name, pairs in published(published_folder):
            yield name, lambda pairs=pairs: pairs
    if labels.is_dir():
        yield "position in clip, ShanghaiTech's labels", lambda: positions(labels)


def main() -> None:
    """Study what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--published", type=Path, default=Path("../shared/data/published_scores"))
    parser.add_argument(
        "--labels", type=Path, default=Path("../shared/data/shanghaitech_labels/testing/test_frame_mask")
    )
    parser.add_argument("--samples", type=int, default=1000, help="sets of test videos a population and number (1000)")
    parser.add_argument("--resamples", type=int, default=400, help="of each set (400)")
    words = parser.parse_args()
    kept = json.loads(KEPT.read_text()) if KEPT.is_file() else {}
    cells: dict[str, dict[int, dict[str, list[float]]]] = {}
    with np.errstate(invalid="ignore", divide="ignore"):
        for name, make in populations(words.published, words.labels):
            population = None
            for n in VIDEOS:
                key = f"{name} / {n} / {words.samples} / {words.resamples} / {_commit()}"
                if key not in kept:
                    population = population or make()
                    seed = zlib.crc32(f"{name} {n}".encode())
                    kept[key] = study(population, n, words.samples // (1 + (n > 36)), words.resamples, seed)
                    KEPT.parent.mkdir(parents=True, exist_ok=True)
                    KEPT.write_text(json.dumps(kept))
                    print(name, n, [round(x, 4) for x in kept[key]["this project's"]], flush=True)
                cells.setdefault(name, {})[n] = kept[key]
    OUT.write_text(report(cells, words.samples, words.resamples))


def report(cells: dict[str, dict[int, dict[str, list[float]]]], samples: int, resamples: int) -> str:
    """The table as markdown: a part for each population, then what a sample holds of the inverted videos."""
    lines = [_TEXT.format(samples=samples, resamples=resamples, commit=_commit(), error=_error(samples)).strip(), ""]
    head = "| method | " + " | ".join(f"V = {n}" for n in VIDEOS) + " |\n" + "|---" * (len(VIDEOS) + 1) + "|"
    for name, by_n in cells.items():
        truth = next(iter(by_n.values()))["none"][2]
        lines += [f"## {name} (AUROC {truth:.3f})", "", head]
        for method in METHODS:
            shown = [_cell(*by_n[n][method][:2]) for n in VIDEOS]
            lines.append(f"| {method} | {' | '.join(shown)} |")
        refused = [f"{100 * by_n[n]['none'][0]:.1f} %" for n in VIDEOS]
        lines += [f"| sets without an interval | {' | '.join(refused)} |", ""]
    lines += ["## What a sample holds", "", _HOLDS.strip(), "", head.replace("method", "one in twelve inverted")]
    for name in (name for name in cells if name.startswith("one in twelve")):
        shift = name.rpartition(" ")[2]
        lines.append(f"| shift {shift}: sets that hold one | {_row(cells[name], 'none', 1)} |")
        lines.append(f"| shift {shift}: coverage in those sets | {_row(cells[name], METHODS[0], 2)} |")
    return "\n".join(lines) + "\n"


def _cell(covered: float, width: float) -> str:
    return "-" if math.isnan(width) else f"{100 * covered:.1f} / {width:.3f}"


def _row(by_n: dict[int, dict[str, list[float]]], name: str, place: int) -> str:
    return " | ".join(f"{100 * by_n[n][name][place]:.1f} %" for n in VIDEOS)


def _error(samples: int) -> str:
    return f"{100 * math.sqrt(0.95 * 0.05 / samples):.1f}"


def _commit() -> str:
    words = ["git", "log", "-1", "--format=%h", "--", interval.__file__]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


_TEXT = """
# How often intervals hold the true value, and how wide they are

Frame AUROC micro, 95 % intervals; each cell is coverage in percent / mean width, over {samples} sets of V test videos
(half as many of 107) drawn with replacement from a population, with {resamples} resamples each (100 times 50 for the
double bootstrap, not studied at 107). A coverage near 95 has a standard error of {error} points. "One in twelve
inverted": the anomaly lowers the score in a twelfth of the videos. The populations of real scores are the 12 clips of
UCSD Ped2 with DMAD's published scores, raw (arr_0, arr_4), and the 107 label files of ShanghaiTech with the position
in the clip as score. The true value is that of the whole population.

Written by `python scripts/study_intervals.py` at commit {commit} of the intervals.

What follows from it:

- This project's interval is the bootstrap error on the logit scale times Student's t, whose degrees of freedom count
  the videos that make the error. From 12 videos on it covers 92 to 97.5 % in all populations but two, against 89 to
  97 % of the studentised bootstrap used before, and is about as wide. Of the others only the last row reaches 92 % on
  12 videos of which one in twelve is inverted at shift 2.
- The two: one video in twelve inverted at shift 3 (86.6 % at 12 videos), and DMAD with one clip inverted (62.8 % at 12,
  82.1 % at 21). **No method here does better without being useless elsewhere**: a set of 12 holds no inverted video in
  about 35 % of the cases (see the end), and then looks like one of a method that never fails. In the simulated sets
  that hold one, coverage is 94 to 100 %.
- How the interval was chosen: about thirty variants (scale, error, degrees of freedom) were tried beforehand on the
  simulated populations and DMAD's raw scores, with other seeds, and the factor 1.75 of the degrees of freedom was set
  there. Only DMAD with one clip inverted and ShanghaiTech's labels are populations on which nothing was chosen.
- Adding a video that can't tell (last row) covers such cases, but with an interval several times as wide for a method
  that is evenly good (0.34 for 0.05 on DMAD's arr_4 with 12 videos), and 88.6 % at shift 3 without inverted videos.
- With 6 videos the studied methods cover 43 to 100 %: the interval is printed with a note that says so.
"""

_HOLDS = """
A set of V videos holds at least one of the inverted ones, which are a twelfth of the population, this often; where it
holds none, its numbers are those of a method that never fails.
"""


if __name__ == "__main__":
    sys.exit(main())
