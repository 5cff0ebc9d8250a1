"""``weights OVERRIDES [--fetch]``: files of weights that a configuration needs, and where they are.

For compute nodes without a network: fetch where there is one, take the folder along, and name it there in the variable
VADBENCH_WEIGHTS.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from vadbench import registry
from vadbench.backbones.weights_file import (
    FOLDER,
    WeightsFile,
    checked_digest,
    digest_of,
    fetch,
    reason,
    search_folders,
)
from vadbench.cli.commands import parser_of
from vadbench.config.compose import compose, user_config_dirs
from vadbench.config.schema import RunConfig
from vadbench.errors import ConfigError, WeightsError
from vadbench.files import BLOCK, fetching, replacing

_EPILOG = """examples:
  python -m vadbench weights model=fuvas backbone=x3d_m
  python -m vadbench weights experiment=ai_vad_official --fetch
  python -m vadbench weights -m backbone=x3d_s,x3d_m,swin3d_b --fetch --to weights

The exit status is 0 if every file is here, 1 if one is missing, 2 if one can't be fetched.
"""

_HEAD_SECONDS = 5


def run(argv: Sequence[str]) -> int:
    """``weights OVERRIDES [-m] [--fetch] [--to DIR]``."""
    given = _parser().parse_intermixed_args(user_config_dirs(argv))
    if given.to is not None and not given.fetch:
        raise ConfigError(f"--to {given.to}: it says where --fetch puts the files; give both")
    configs = _configurations(given.words, given.multirun)
    files, unknown = needed_files(configs), _unknown(configs)
    print("".join(f"{line}\n" for line in unknown), end="")
    if not files:
        print("No other weights are needed." if unknown else "No weights are needed.")
        return 0
    if given.fetch:
        _fetch_all(files, None if given.to is None else Path(given.to).expanduser())
        return 0
    print("\n\n".join(describe(file) for file in files))
    wanting = sum(not _is_sound(*file.here()) for file in files)
    if wanting:
        print(
            f"\nMissing or damaged: {wanting} of {len(files)}. The same command with --fetch [--to DIR] fetches them."
        )
    return 1 if wanting else 0


def _parser() -> argparse.ArgumentParser:
    parser = parser_of(__doc__, _EPILOG)
    parser.add_argument(
        "words", nargs="*", metavar="OVERRIDES", help="the overrides of a run: group=name and group.key=value"
    )
    parser.add_argument(
        "-m", "--multirun", action="store_true", help="the overrides are those of a sweep: all its files"
    )
    parser.add_argument("--fetch", action="store_true", help="fetch what is missing")
    parser.add_argument(
        "--to", metavar="DIR", help=f"put all files there, those that are here too (default: {search_folders()[0]})"
    )
    return parser


def _configurations(words: Sequence[str], multirun: bool) -> list[RunConfig]:
    """Return what the overrides compose to; they need not name a dataset, which has no weights."""
    words = list(words)
    if not any(word.split("=")[0] in ("dataset", "experiment") for word in words):
        words.append("dataset=synthetic")
    if not multirun:
        return [compose(words)]
    from vadbench.sweep.points import expand

    return [point.config for point in expand(words)]


def needed_files(configs: Iterable[RunConfig]) -> list[WeightsFile]:
    """Return the files that runs need, each once, in the order in which they are used; nothing is fetched.

    Raises
    ------
    ConfigError, WeightsError: weights that there are not.
    """
    from vadbench.backbones.model_zoo import facts_of
    from vadbench.backbones.weights import weights_files
    from vadbench.models.registry import build

    files: dict[WeightsFile, None] = {}
    for config in configs:
        backbone = config.backbone
        if backbone is None:
            files |= dict.fromkeys(getattr(build(config).extractor, "files", list)())
        elif registry.get("backbone", backbone.name).is_built_in:
            files |= dict.fromkeys(weights_files(backbone.name, facts_of(backbone.name), backbone.weights))
    return list(files)


def _unknown(configs: Iterable[RunConfig]) -> list[str]:
    """Return a line for each backbone of a plug-in that has weights: only the plug-in knows its files."""
    chosen = [config.backbone for config in configs if config.backbone is not None]
    parts = [(registry.get("backbone", one.name), one.weights) for one in chosen]
    lines = [
        f"{part.name}: backbone.weights={weights} is left to its plug-in ({part.origin}), which brings its own files"
        for part, weights in parts
        if not part.is_built_in and weights is not None
    ]
    return list(dict.fromkeys(lines))


def describe(asked: WeightsFile) -> str:
    """Return what is known of a file, over several lines."""
    file, path = asked.here()
    rows = {
        "needed by": file.asked,
        "source": file.url or "your own file",
        "size": _size(file, path),
        "SHA-256": f"{file.sha256}{'' if len(file.sha256) == 64 else '...'}" if file.sha256 else "not given",
        "here": f"no, not in {' nor '.join(str(folder) for folder in search_folders())}",
    }
    if path is not None and _is_sound(file, path):
        rows |= {"SHA-256": digest_of(path), "here": str(path)}
    elif path is not None:
        rows["here"] = f"DAMAGED, remove it; its SHA-256 is {digest_of(path)}: {path}"
    return "\n".join([f"{file.part}: {file.name}", *(f"  {name:<10} {value}" for name, value in rows.items())])


def _is_sound(file: WeightsFile, path: Path | None) -> bool:
    """Return whether it is here and has the publisher's digest, where there is one."""
    return path is not None and digest_of(path).startswith(file.sha256 or "")


def _size(file: WeightsFile, path: Path | None) -> str:
    """As it is on disk, or about what it will be, or what the publisher's server says."""
    if path is not None:
        return f"{path.stat().st_size / 1e6:.1f} MB"
    if file.megabytes is not None:
        return f"about {file.megabytes:.0f} MB"
    assert file.url is not None
    with suppress(OSError, ValueError), fetching(file.url, seconds=_HEAD_SECONDS, method="HEAD") as answer:
        if answer.total is not None:
            return f"{answer.total / 1e6:.1f} MB"
    return "not given, and its server can't be asked"


def _fetch_all(files: Sequence[WeightsFile], folder: Path | None) -> None:
    """All files, in ``folder`` if there is one; goes on after an unavailable one and names all such in the end."""
    failed = []
    for asked in files:
        file, path = asked.here()
        try:
            if path is None:
                path = fetch(asked, folder or search_folders()[0], progress=True)
                print(f"fetched  {path}")
            elif folder is None or file.url is None:
                checked_digest(path, file)
                print(f"here     {path}" + (" (your own file, not copied)" if folder else ""))
            else:
                checked_digest(path, file)
                print(f"copied   {_copy(path, folder / file.name)}")
        except WeightsError as error:
            failed.append(str(error))
        except OSError as error:
            failed.append(f"{file.name}: {file.url or path}: {reason(error)}")
    if failed:
        raise WeightsError(
            f"{len(failed)} of {len(files)} files are unavailable:\n  "
            + "\n  ".join(failed)
            + "\nWhere there is a network give the same command with --to FOLDER, bring the folder here, and name it "
            f"in the variable {FOLDER}."
        )
    if folder is not None:
        print(f"Where they are used: export {FOLDER}={folder.absolute()}")


def _copy(path: Path, target: Path) -> Path:
    """Copy so that the file appears only when it is whole; nothing where ``path`` is ``target`` already."""
    if target.is_file() and digest_of(target) == digest_of(path):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with path.open("rb") as source, replacing(target) as copy:
        shutil.copyfileobj(source, copy, BLOCK)
    return target
