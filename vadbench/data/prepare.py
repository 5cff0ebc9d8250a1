"""Fetch and unpack a public dataset, or say exactly how, and check what came."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vadbench.config.compose import compose
from vadbench.data.check import check, format_report
from vadbench.data.download import Remote, download, unpack
from vadbench.errors import DataError, VadbenchError

# Digests and sizes as several independent users recorded them; the publishers give an MD5 for UCSD only.
UCSD = Remote(
    "http://www.svcl.ucsd.edu/projects/anomaly/UCSD_Anomaly_Dataset.tar.gz",
    "2329af326951f5097fdd114c50e853957d3e569493a49d22fc082a9fd791915b",
    740_306_953,
)
AVENUE = Remote(
    "http://www.cse.cuhk.edu.hk/leojia/projects/detectabnormal/Avenue_Dataset.zip",
    "fc9cb8432a11ca79c18aa180c72524011411b69d3b0ff27c8816e41c0de61531",
    813_227_845,
)
AVENUE_MASKS = Remote(
    "http://www.cse.cuhk.edu.hk/leojia/projects/detectabnormal/ground_truth_demo.zip",
    "60fec1728ec8f73a58aad3aeb5729d70a805a47e0b8eb4bf91ab67ef06386d77",
    931_269,
)
SHANGHAITECH_SHA256 = "c13a827043b259ccf8493c9d9130486872992153a9d714fe229e523cd4c94116"
_UNPACKED = 8 << 30  # bytes; UCSD and Avenue unpack to about 1 GB each

SHANGHAITECH_STEPS = """\
ShanghaiTech Campus is given by hand only:
  1. Open https://svip-lab.github.io/dataset/campus_dataset.html
  2. Follow its download link (OneDrive) and fetch every part: shanghaitech.tar.gz.aa, .ab, ...
  3. Join and unpack them in {root}:
       cat shanghaitech.tar.gz.a? > shanghaitech.tar.gz
       sha256sum shanghaitech.tar.gz   # {sha256} where it was one file
       tar -xzf shanghaitech.tar.gz
     so that this tree stands there:
{tree}
  4. Run this script again: it checks what is there.
Terms: for research; cite Liu et al., CVPR 2018. Card: datasets/shanghaitech.md"""


def main(argv: Sequence[str], description: str | None, folder: str, remotes: list[Remote], names: list[str]) -> int:
    """Run the command line of a script that prepares the datasets ``names``; return its exit status.

    Parameters
    ----------
    folder: where the data goes if the command line does not say. remotes: what is fetched, after a question; where
        there is nothing to fetch, what is there is checked and what to do by hand is said.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("folder", nargs="?", default=folder, help="where the data is or goes (default: %(default)s)")
    if remotes:
        parser.add_argument("-y", "--yes", action="store_true", help="download without a question")
    given = parser.parse_args(list(argv))
    root = Path(given.folder).expanduser()
    try:
        return prepare(root, remotes, names, confirmed=given.yes) if remotes else shanghaitech(root)
    except (VadbenchError, OSError) as error:
        print(error, file=sys.stderr)
        return 2


def prepare(root: Path, remotes: list[Remote], names: list[str], confirmed: bool = False) -> int:
    """Download and unpack ``remotes`` under ``root`` where needed, then check the datasets ``names`` there.

    Before anything is made or fetched the user is asked on the terminal, unless ``confirmed``.

    Returns
    -------
    1 if a check found problems, 2 if the user does not want the download.

    Raises
    ------
    DataError: nobody can be asked, because this is no terminal; a download or an archive that is not what it should be.
    """
    done = root / ".fetched"
    fetched = done.read_text() if done.is_file() else ""
    missing = [remote for remote in remotes if remote.sha256 not in fetched]
    wanting = [remote for remote in missing if not (root / remote.name).is_file()]
    if wanting and not confirmed and not _agreed(root, wanting):
        print("Nothing was fetched.")
        return 2
    for remote in missing:
        unpack(download(remote, root), root, _UNPACKED)
        with done.open("a") as file:
            file.write(f"{remote.sha256}  {remote.name}\n")
    return check_all(root, names)


def _agreed(root: Path, remotes: Sequence[Remote]) -> bool:
    """Ask whether to download."""
    size = f"{sum(remote.bytes for remote in remotes) / 1e6:,.0f} MB"
    for remote in remotes:
        print(f"{remote.bytes / 1e6:6,.0f} MB  {remote.url}")
    if not sys.stdin.isatty():
        raise DataError(f"{size} would be downloaded to {root}. Say --yes to do so.")
    return input(f"Download {size} to {root} and unpack it there? [y/N] ").strip().lower() in ("y", "yes")


def check_all(root: Path, names: list[str]) -> int:
    """Print a deep check of each dataset of ``names`` under ``root``; 1 if there are problems."""
    problems = 0
    for name in names:
        report = check(compose([f"dataset={name}", f"dataset.root={root}"]).dataset, deep=True)
        print(format_report(report), end="\n\n")
        problems += len(report.problems)
    return int(problems > 0)


def shanghaitech(root: Path) -> int:
    """Check ShanghaiTech under ``root``, or print what to click and where to put it."""
    from vadbench.data.datasets.shanghaitech import EXPECTED_TREE

    try:
        return check_all(root, ["shanghaitech"])
    except DataError as error:
        steps = SHANGHAITECH_STEPS.format(root=root, sha256=SHANGHAITECH_SHA256, tree=EXPECTED_TREE)
        print(f"{steps}\n\n{error}")
        return 1
