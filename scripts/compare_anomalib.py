"""Agreement with anomalib, measured: the same inputs and weights through both, a table of the largest differences.

python scripts/compare_anomalib.py --peer PYTHON [--section fuvas]

PYTHON is the interpreter of another environment, which holds anomalib (docs/coming_from_anomalib.md says how to make
one). Every file compare_anomalib_<section>.py beside this one is a section with

    INPUTS                one line on what is compared
    write_inputs(folder)  writes what both sides are given
    peer(folder)          runs in PYTHON, writes what anomalib makes of it; its file calls it with sys.argv[1]
    pairs(folder)         a mapping of what is compared to (array of anomalib, array of vadbench)

The exit status is 1 where a difference is larger than 1e-5 of anomalib's largest value.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

TOLERANCE = 1e-5
HERE = Path(__file__).parent
SECTIONS = sorted(path.stem.removeprefix("compare_anomalib_") for path in HERE.glob("compare_anomalib_*.py"))
HEAD = "| compared | shape | largest value | largest difference / largest value | agrees |"


def main() -> int:
    """Print the table of every section; 0 if all agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", required=True, metavar="PYTHON", help="interpreter with anomalib 2.7.0")
    parser.add_argument("--peer-first", type=Path, metavar="FILE", help="Python file that PYTHON imports first")
    parser.add_argument("--section", choices=SECTIONS, action="append", help="only this one; may be repeated")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    agree = [show(section, asked.peer, asked.peer_first) for section in asked.section or SECTIONS]
    return 0 if all(agree) else 1


def show(section: str, python: str, first: Path | None) -> bool:
    """Run both sides of one section and print its table; whether all agree."""
    part: Any = importlib.import_module(f"compare_anomalib_{section}")
    print(f"{part.INPUTS}\n\n{HEAD}\n|---|---|---|---|---|")
    agree = True
    with tempfile.TemporaryDirectory(prefix="compare_anomalib_") as name:
        part.write_inputs(Path(name))
        run_peer(python, Path(part.__file__), Path(name), first)
        for what, (theirs, ours) in part.pairs(Path(name)).items():
            line, within = row(what, np.asarray(theirs, np.float64), np.asarray(ours, np.float64))
            agree &= within
            print(line, flush=True)
    print()
    return agree


def row(what: str, theirs: np.ndarray, ours: np.ndarray) -> tuple[str, bool]:
    """One line of the table, and whether the two agree."""
    shape = " x ".join(map(str, theirs.shape)) or "1"
    if theirs.shape != ours.shape:
        return f"| {what} | {shape} | | vadbench has {ours.shape} | no |", False
    largest = float(np.abs(theirs).max())
    difference = float(np.abs(theirs - ours).max()) / (largest or 1.0)
    within = difference <= TOLERANCE  # False for NaN
    return f"| {what} | {shape} | {largest:.4g} | {difference:.1e} | {'yes' if within else 'no'} |", within


def run_peer(python: str, section: Path, folder: Path, first: Path | None) -> None:
    """Run the peer's half of a section; ends the program with what went wrong there."""
    before = f"sys.path.insert(0, {str(first.resolve().parent)!r}); __import__({first.stem!r}); " if first else ""
    command = f"import runpy, sys; {before}runpy.run_path({str(section.resolve())!r}, run_name='__main__')"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        done = subprocess.run(
            [python, "-c", command, str(folder)], capture_output=True, text=True, cwd=folder, env=environment
        )
    except OSError as error:
        sys.exit(f"--peer {python}: {error.strerror}. Name the Python of an environment that holds anomalib.")
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-15:])
        hint = ""
        if "torchvision::nms" in last:
            hint = "\nIts torchvision was built for another torch: install the pair that belongs together, or name a "
            hint += "file that declares the missing operators with --peer-first."
        sys.exit(f"--peer {python} failed:\n{last}{hint}")


if __name__ == "__main__":
    sys.exit(main())
