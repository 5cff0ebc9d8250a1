"""Damaged frames as lines: a gap of many frames is one."""

from __future__ import annotations

import re
from collections.abc import Mapping

STANDS_IN = "the nearest good frame stands in for it"


def fault_lines(faults: Mapping[int, str]) -> list[str]:
    """Messages by frame number as lines in order; neighbours whose messages differ in the number only share one.

    >>> fault_lines({4: "a: frame 4: missing", 5: "a: frame 5: missing", 9: "a: frame 9: missing"})
    ['a: frames 4 to 5: missing', 'a: frame 9: missing']
    """
    runs: list[tuple[int, int, str]] = []
    for frame in sorted(faults):
        text = re.sub(rf"\bframe {frame}\b", "{}", faults[frame], count=1)
        if runs and runs[-1][1:] == (frame - 1, text):
            runs[-1] = (runs[-1][0], frame, text)
        else:
            runs.append((frame, frame, text))
    return [
        text.replace("{}", f"frame {first}" if first == last else f"frames {first} to {last}", 1)
        for first, last, text in runs
    ]
