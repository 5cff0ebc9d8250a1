"""What is in a dataset's folder: found against official counts, labels against masks, what is missing, digests."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from vadbench import registry
from vadbench.config.schema import DatasetConfig
from vadbench.data.datasets.folder_layout import label_roots
from vadbench.data.labels.published import disagreement
from vadbench.data.readers.fault_lines import fault_lines
from vadbench.data.readers.image_folder import ImageFolder
from vadbench.data.readers.masks import StackMasks, any_of
from vadbench.data.readers.source import Fault, Source
from vadbench.data.registry import bytes_on_disk, counts, dataset_digest, label_digest, load_dataset
from vadbench.data.video import Dataset, Video
from vadbench.errors import VadbenchError

_NAMES = {
    "train_videos": "training videos",
    "test_videos": "test videos",
    "train_frames": "training frames",
    "test_frames": "test frames",
    "anomalous_frames": "anomalous frames",
    "mask_videos": "test videos with masks",
}
_READ_AT_ONCE = 2 << 30  # bytes that a quick check may read for the digest of the frames


@dataclass
class CheckReport:
    """What :func:`check` found.

    Attributes
    ----------
    counts: name to (found, official or None); found is None where only a deep check counts it.
    problems: what makes results wrong or not comparable.
    remarks: what a reader should know.
    digests: name to digest, as in the run record.
    """

    name: str
    root: str | None
    deep: bool
    tree: str
    label_source: str
    comparable: bool
    counts: dict[str, tuple[int | None, int | None]]
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)


def check(config: DatasetConfig, deep: bool = False, compare: Sequence[Path] = ()) -> CheckReport:
    """Look at the dataset of ``config`` without decoding frames, or, with ``deep``, with decoding every one.

    ``compare``: label files of other origin (``frame_labels_*.npy``, ``*.mat``) to compare with the official labels,
    in numbers; those in the dataset's own folder are compared anyway.

    Raises
    ------
    DataError: the root is not the dataset; the message shows what is there and what was expected.
    """
    # Under this policy what is wrong comes as warnings, all at once, and a fault doesn't hide the others.
    dataset = load_dataset(replace(config, on_fault="skip"))
    notes = {note for video in [*dataset.train, *dataset.test] for note in getattr(video.source, "notes", [])}
    notes |= set(dataset.remarks)
    report = CheckReport(
        name=dataset.name,
        root=config.root,
        deep=deep,
        tree=dataset.tree,
        label_source=dataset.label_source,
        comparable=dataset.comparable,
        counts=_counts(dataset, deep),
        problems=[warning for warning in dataset.warnings if warning not in notes],
        remarks=[warning for warning in dataset.warnings if warning in notes],
    )
    _missing(config, dataset, report)
    _single_class(dataset, report)
    _labels_and_masks(dataset, deep, report)
    _sizes(dataset, report)
    if deep:
        _decode(dataset, report)
        _certify(config, report)
    _digests(dataset, deep, report)
    _compare(config, dict.fromkeys([*label_files(config), *compare]), report)
    return report


def label_files(config: DatasetConfig) -> list[Path]:
    """Label files of other origin that lie in the dataset's folder or one below it."""
    names = ("frame_labels_*.npy", "avenue.mat", "ped[12].mat")
    return [
        p for root in label_roots(config) for name in names for p in sorted([*root.glob(name), *root.glob(f"*/{name}")])
    ]


def _compare(config: DatasetConfig, files: Collection[Path], report: CheckReport) -> None:
    """Remark how each of ``files`` differs from the official labels; nothing where the dataset has none."""
    reference = _of_module(config, "reference_labels")
    official = reference(config) if files and reference else {}
    report.remarks += [disagreement(Path(path), official) for path in files if official]


def _counts(dataset: Dataset, deep: bool) -> dict[str, tuple[int | None, int | None]]:
    found = counts(dataset, deep)
    return {key: (found.get(key), dataset.expected.get(key)) for key in _NAMES}


def _missing(config: DatasetConfig, dataset: Dataset, report: CheckReport) -> None:
    """Videos that the official split has and this one lacks, and those that it does not have."""
    names = _of_module(config, "clip_ids")
    ids: dict[str, list[str]] = names(config) if names else {}
    for split, videos in (("train", dataset.train), ("test", dataset.test)):
        official, there = dataset.expected.get(f"{split}_videos"), [video.id for video in videos]
        absent = [clip for clip in ids.get(split, []) if clip not in there]
        if official is not None and len(there) < official:
            which = f": {_spans(absent)}" if len(absent) == official - len(there) else ""
            report.problems.append(f"{official - len(there)} of {official} {split} videos are missing{which}")
        extra = [clip for clip in there if split in ids and clip not in ids[split]]
        if extra:
            report.problems.append(f"{split} videos that the dataset does not have: {', '.join(extra)}")
    if not dataset.train:
        report.problems.append("no training videos")


def _spans(numbers: list[str]) -> str:
    """``"01-03, 07"`` from consecutive numbers."""
    spans: list[list[str]] = []
    for number in numbers:
        if spans and number.isdigit() and int(number) == int(spans[-1][-1]) + 1:
            spans[-1] = [spans[-1][0], number]
        else:
            spans.append([number])
    return ", ".join("-".join(span) for span in spans)


def _single_class(dataset: Dataset, report: CheckReport) -> None:
    share = {video.id: float(np.mean(video.labels)) for video in dataset.test if video.labels is not None}
    for every, kind in ((1.0, "anomalous"), (0.0, "normal")):
        ids = [clip for clip, anomalous in share.items() if anomalous == every]
        if ids:
            report.remarks.append(f"every frame is {kind} in {', '.join(ids)}: no AUROC of its own for such a video")


def _labels_and_masks(dataset: Dataset, deep: bool, report: CheckReport) -> None:
    """Frames whose label and mask disagree. Large stacks are read only by a deep check."""
    both = [video for video in dataset.test if video.labels is not None and video.masks is not None]
    stacks = [video for video in both if isinstance(video.masks, StackMasks)]
    if stacks and not deep:
        report.remarks.append(f"masks of {len(stacks)} videos not compared with their labels (--deep does)")
        both = [video for video in both if video not in stacks]
    with ThreadPoolExecutor() as pool:
        differ = dict(zip((video.id for video in both), pool.map(_disagreeing, both), strict=True))
    wrong = {clip: n for clip, n in differ.items() if n}
    if wrong:
        shown = ", ".join(f"{clip}: {n}" for clip, n in wrong.items())
        report.problems.append(f"labels and masks disagree in {sum(wrong.values())} frames ({shown})")
    elif both:
        frames = sum(video.n_frames for video in both)
        report.remarks.append(f"labels and masks agree in all {frames:,} frames of {len(both)} videos")


def _disagreeing(video: Video) -> int:
    assert video.masks is not None and video.labels is not None
    return int((any_of(video.masks) != video.labels).sum())


def _sizes(dataset: Dataset, report: CheckReport) -> None:
    """Image files whose header says another size than the first one's."""
    if bytes_on_disk([*dataset.train, *dataset.test]) > _READ_AT_ONCE:
        return
    for split, videos in (("train", dataset.train), ("test", dataset.test)):
        for video in videos:
            headers = video.source.headers() if isinstance(video.source, ImageFolder) else ()
            others = sum(1 for found in headers if not isinstance(found, Fault) and found != video.size)
            if others:
                report.problems.append(f"{split} {video.id}: {others} frames are not {video.size[1]} x {video.size[0]}")


def _decode(dataset: Dataset, report: CheckReport) -> None:
    """Decode every frame; a fault is a problem, and the next video goes on."""
    total = 0
    for split, videos in (("train", dataset.train), ("test", dataset.test)):
        for video in videos:
            before, source = getattr(video.source, "decoded", 0), video.source
            try:
                frames = sum(1 for _ in video.frames())
            except VadbenchError as error:
                report.problems.append(f"{split} {video.id}: {error}")
                continue
            total += source.decoded - before if isinstance(source, Source) else frames
            if frames != video.n_frames:
                report.problems.append(f"{split} {video.id}: {frames} frames came, {video.n_frames} were counted")
            found = fault_lines(source.faults) if isinstance(source, Source) else ()
            known = "\n".join(report.problems)
            report.problems += [f"{split} {video.id}: {message}" for message in found if message not in known]
    report.remarks.append(f"{total:,} frames decoded")


def _certify(config: DatasetConfig, report: CheckReport) -> None:
    certified = _of_module(config, "certified")
    line = certified(config) if certified else None
    if line:
        report.remarks.append(line)


def _of_module(config: DatasetConfig, name: str) -> Callable[[Any], Any] | None:
    """Return a function that the module of a dataset may have."""
    return getattr(sys.modules[registry.get("dataset", config.name).build.__module__], name, None)


def _digests(dataset: Dataset, deep: bool, report: CheckReport) -> None:
    report.digests["labels"] = label_digest(dataset)
    if deep or bytes_on_disk([*dataset.train, *dataset.test]) <= _READ_AT_ONCE:
        report.digests["frames"] = dataset_digest(dataset)
    else:
        report.remarks.append("the digest of the frames reads every file: use --deep")


def format_report(report: CheckReport) -> str:
    """Return the report as text for a terminal."""
    lines = [
        report.name if report.root is None else f"{report.name}: {report.root}",
        f"  tree           {report.tree or '-'}",
        f"  labels         {report.label_source}",
        f"  comparable     {'yes' if report.comparable else 'no: not the full official split with its labels'}",
        "",
        f"  {'':24}{'found':>10}{'official':>10}",
    ]
    for key, (found, official) in report.counts.items():
        mark = "" if official is None or found is None or found == official else "   differs"
        shown = "--deep" if found is None else f"{found:,}"
        lines.append(f"  {_NAMES[key]:24}{shown:>10}{'-' if official is None else f'{official:,}':>10}{mark}")
    for title, entries in (("problems", report.problems), ("remarks", report.remarks)):
        if entries:
            lines += ["", f"  {title}", *(f"    - {entry}" for entry in entries)]
    lines += ["", *(f"  {name} digest  {digest}" for name, digest in report.digests.items())]
    return "\n".join(line.rstrip() for line in lines)
