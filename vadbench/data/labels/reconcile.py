"""Labels, masks and frames of one video brought to one length, or the difference named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vadbench.data.readers.fault_lines import STANDS_IN, fault_lines
from vadbench.data.readers.masks import FirstMasks, mask_size
from vadbench.data.readers.source import Fault, Policy, Source, TooLarge
from vadbench.data.video import Video
from vadbench.errors import DataError


def reconcile(video: Video, policy: Policy, warnings: list[str]) -> Video | None:
    """``video`` with labels and masks of exactly its length, or None if it has to be left out.

    Under the policy ``error`` a difference is a DataError that names it. Under ``skip`` it is added to ``warnings``:
    frames are matched from the first one, those beyond the end of the labels or masks count as normal, an empty or
    unreadable video is left out.
    """
    checked = video.labels is not None or video.masks is not None or policy.on_fault == "skip"
    if checked or _is_empty(video):
        try:
            if video.n_frames == 0:
                raise DataError(f"{_name(video)}: it holds no frames")
            size = video.size
            if policy.on_fault == "skip":
                next(iter(video.frames()))  # raises where no frame at all can be read
        except TooLarge:
            raise
        except DataError as error:
            _report(f"{error}; video {video.id} is left out", f"{error}", policy, warnings)
            return None
        if policy.on_fault == "skip":
            video = _without_lost(video, warnings)
        video = _fit_labels(video, policy, warnings)
        video = _fit_masks(video, size, policy, warnings)
    if isinstance(video.source, Source):
        warnings += [line for line in [*video.source.damage, *video.source.notes] if line not in warnings]
    return video


def _without_lost(video: Video, warnings: list[str]) -> Video:
    """``video`` without what is known of its frames, if frames were lost and those after have other numbers now."""
    known = [len(each) for each in (video.labels, video.masks) if each is not None]
    if not known and video.tracks is None:
        return video
    reason = lost_inside(video, known)
    if reason is None:
        return video
    warnings.append(reason)
    return replace(video, labels=None, masks=None, tracks=None)


def lost_inside(video: Video, known: Sequence[int]) -> str | None:
    """Return a line on why labels can't be matched with the frames of a damaged video, None where they can.

    ``known``: the numbers of frames that its labels and masks have.
    """
    if not isinstance(video.source, Source) or video.n_frames in known:
        return None
    reason = video.source.lost_inside(max(known, default=None))
    if reason is None:
        return None
    return (
        f"{_name(video)}: frames are lost in it ({reason}), so those after them no longer have the numbers that labels "
        f"count; video {video.id} is scored, and its labels, masks and boxes are left out"
    )


def unsound(video: Video) -> list[str]:
    """Frames whose header shows already that they can't be read; others are found when they are decoded."""
    headers = getattr(video.source, "headers", None)
    found = {header.frame: header.message for header in headers() if isinstance(header, Fault)} if headers else {}
    return [f"{line}; {STANDS_IN}" for line in fault_lines(found)]


def _is_empty(video: Video) -> bool:
    """Return True where it costs nothing to see that there are no frames."""
    path, files = getattr(video.source, "path", None), getattr(video.source, "files", None)
    return files == [] or (path is not None and path.stat().st_size == 0)


def _fit_labels(video: Video, policy: Policy, warnings: list[str]) -> Video:
    labels, frames = video.labels, video.n_frames
    if labels is None or len(labels) == frames:
        return video
    found = f"{_name(video)}: {len(labels)} labels for {frames} frames"
    _report(f"{found}; matched from the first frame, {_tail(len(labels), frames)}", found, policy, warnings)
    fitted = np.zeros(frames, bool)
    fitted[: len(labels)] = labels[:frames]
    return replace(video, labels=fitted)


def _fit_masks(video: Video, size: tuple[int, int], policy: Policy, warnings: list[str]) -> Video:
    masks, frames = video.masks, video.n_frames
    if masks is None:
        return video
    damaged: list[str] = getattr(masks, "unsound", list)()
    if damaged:
        _report(f"{damaged[0]}; masks of video {video.id} are not used", damaged[0], policy, warnings)
        return replace(video, masks=None)
    found_size = mask_size(masks)
    if found_size != size:
        shape = f"{found_size[1]} x {found_size[0]}" if found_size else "none"
        found = f"{_name(video)}: masks are {shape}, frames {size[1]} x {size[0]}"
        _report(f"{found}; its masks are not used", found, policy, warnings)
        return replace(video, masks=None)
    if len(masks) == frames:
        return video
    found = f"{_name(video)}: {len(masks)} masks for {frames} frames"
    _report(f"{found}; matched from the first frame, {_tail(len(masks), frames)}", found, policy, warnings)
    return replace(video, masks=FirstMasks(masks, frames, size))


def _tail(have: int, frames: int) -> str:
    if have < frames:
        return f"frames {have} to {frames - 1} count as normal"
    return f"those of frames {frames} to {have - 1} are not used"


def _report(warning: str, error: str, policy: Policy, warnings: list[str]) -> None:
    if policy.on_fault == "error":
        raise DataError(f"{error.rstrip('.')}. Mend it, or set dataset.on_fault=skip to go on with that recorded.")
    warnings.append(warning)


def _name(video: Video) -> str:
    return getattr(video.source, "name", f"video {video.id}")
