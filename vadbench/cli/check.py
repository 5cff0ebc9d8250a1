"""``check NAME [--deep]``: what a dataset's folder holds and what is missing."""

from __future__ import annotations

from pathlib import Path

from vadbench import registry
from vadbench.cli.conformance import check_plugins
from vadbench.config.compose import compose
from vadbench.data.check import check, format_report
from vadbench.data.datasets.folder_layout import near_folder
from vadbench.errors import ConfigError, DataError, nearest

USAGE = """\
python -m vadbench check [dataset=]<name> [dataset.root=...] [--deep] [compare=labels.npy,other.mat]
python -m vadbench check --plugin FILE

Says what is in a dataset's folder: tree, counts against the official ones, labels against masks, what is missing or
damaged, digests. --deep decodes every frame and compares original files byte for byte. compare= says how label files of
other origin differ from the official ones. Exit status 1 if there are problems; missing videos are one.

--plugin FILE alone says whether all parts that the file registers keep the contracts of their kinds, on small made-up
inputs: scores of the right length, deterministic, independent of order, batch size and labels, cached under all that
they depend on. Exit status 1 if one does not."""


def run(words: list[str]) -> int:
    """``python -m vadbench check``, see :data:`USAGE`; 0, or 1 if there are problems."""
    files = registry.plugin_files()
    if not words and files:
        return check_plugins(files)
    if not words or "--help" in words or "-h" in words:
        print(USAGE)
        return 0
    flags = [word for word in words if word.startswith("-")]
    for flag in flags:
        if flag != "--deep":
            raise ConfigError(f"{flag}: no such option of check. {nearest(flag, ['--deep', '--help'])}")
    compare = [Path(p) for word in words if word.startswith("compare=") for p in word.partition("=")[2].split(",")]
    for path in compare:
        if not path.is_file():
            raise DataError(f"compare={path}: no such file. {near_folder(str(path))}")
    rest = [_chosen(word) for word in words if word not in flags and not word.startswith("compare=")]
    report = check(compose(rest).dataset, bool(flags), compare)
    print(format_report(report))
    return 1 if report.problems else 0


def _chosen(word: str) -> str:
    """``word``, or ``dataset=word`` for the bare name of a dataset."""
    if "=" in word or word.startswith("~"):
        return word
    if word in registry.names("dataset"):
        return f"dataset={word}"
    if Path(word).is_dir():
        raise ConfigError(f"check {word}: to check a folder say whose: check dataset=NAME dataset.root={word}")
    raise ConfigError(
        f"check {word}: there is no such dataset. {nearest(word, registry.names('dataset'))} A plug-in is loaded with "
        "--plugin FILE (docs/extending.md)."
    )
