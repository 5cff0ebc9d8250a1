"""Finding the parts of a dataset in the folders that people have, and showing folders as trees where they are not."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from vadbench.config.schema import DatasetConfig
from vadbench.data.readers.image_folder import ImageFolder, holds_images, natural_key
from vadbench.data.readers.source import Policy, Source
from vadbench.data.readers.video_file import SUFFIXES, VideoFile
from vadbench.errors import DataError

_SHOWN_FOLDERS, _SHOWN_FILES = 6, 3
_OPENED = (1, 4)  # folders opened at the lower and the upper level of a tree that is shown


def find_folder(
    root: Path,
    accept: Callable[[Path], bool],
    depth: int = 3,
    enter: Callable[[Path], bool] = lambda folder: True,
) -> Path | None:
    """Return the first folder at or below ``root`` that ``accept`` takes, nearest first, then by name.

    Folders that ``enter`` refuses are left out with all that is below them.
    """
    level = [root]
    for _ in range(depth + 1):
        level = [folder for folder in level if enter(folder)]
        for folder in level:
            if accept(folder):
                return folder
        level = [child for folder in level for child in _children(folder)]
    return None


def _children(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            below = [folder / entry.name for entry in entries if entry.is_dir() and not is_stray(entry.name)]
    except OSError:
        return []
    return sorted(below, key=lambda p: natural_key(p.name))


def is_stray(name: str) -> bool:
    """Return True for what file managers and archivers leave behind."""
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def find_split(base: Path, names: tuple[str, ...], pattern: str = ".*") -> Path | None:
    """Return the first of ``names`` (paths below ``base``) that holds videos whose stem matches ``pattern``."""
    for name in names:
        if (base / name).is_dir() and next(video_entries(base / name, pattern), None):
            return base / name
    return None


def video_entries(folder: Path, pattern: str = ".*") -> Iterator[Path]:
    """Video files and folders of images directly in ``folder`` whose stem matches ``pattern``, in natural order."""
    for path in sorted(folder.iterdir(), key=lambda p: natural_key(p.name)):
        if is_stray(path.name) or not re.fullmatch(pattern, path.stem):
            continue
        if (path.is_file() and path.suffix.lower() in SUFFIXES) or (path.is_dir() and holds_images(path)):
            yield path


def open_source(path: Path, policy: Policy) -> Source:
    """Return the frames of a video file or a folder of images."""
    return ImageFolder(path, policy) if path.is_dir() else VideoFile(path, policy)


def number_id(name: str) -> str:
    """``"01"`` from ``"Test001"``, ``"01"``, ``"1.avi"``: the last number in a name, two digits at least."""
    found = re.findall(r"\d+", name)
    return f"{int(found[-1]):02d}" if found else name


def label_roots(config: DatasetConfig) -> list[Path]:
    """Return where labels and masks may be: the masks' own root first; DataError if that is no folder."""
    if config.masks_root and not Path(config.masks_root).expanduser().is_dir():
        raise DataError(f"dataset.masks_root={config.masks_root}: no such folder. {near_folder(config.masks_root)}")
    return [Path(root).expanduser() for root in (config.masks_root, config.root) if root]


def required_root(root: str | None, name: str, expected: str) -> Path:
    """Return the root as a path that exists, or a DataError that shows what was expected."""
    if root is None:
        raise DataError(f"dataset.root is not set. Set it to the folder that holds {name}:\n{expected}")
    path = Path(root).expanduser()
    if not path.is_dir():
        raise DataError(
            f"dataset.root={root}: no such folder. {near_folder(root)}\n"
            f"Expected for {name}:\n{expected}\n"
            f"To fetch it see {card(name)}; to read it from elsewhere set dataset.root=/path/to/it."
        )
    return path


def near_folder(path: str) -> str:
    """Return the nearest folder above ``path`` that exists, as a tree."""
    near = next((p for p in Path(path).expanduser().absolute().parents if p.is_dir()), Path())
    return f"The nearest one that exists:\n{show_tree(near)}"


def card(name: str) -> str:
    """Return the page about a dataset, where it comes from and how to get it."""
    return f"datasets/{re.sub('(_ped[12]|17)$', '', name)}.md"


def not_recognised(root: Path, name: str, expected: str, accept: Callable[[Path], bool]) -> DataError:
    """Return the error for a root without anything that looks like the dataset, which ``accept`` tells."""
    return DataError(
        f"dataset.root={root}: this does not look like {name}. {meant_above(root, accept)}"
        f"It holds:\n{show_tree(root)}\nExpected:\n{expected}\n"
        "Set dataset.root to that folder or to one above it."
    )


def meant_above(root: Path, accept: Callable[[Path], bool]) -> str:
    """``"Did you mean ...? "`` with the folder not far above ``root`` that ``accept`` takes; empty without one."""
    found = next((folder for folder in list(root.resolve().parents)[:3] if accept(folder)), None)
    return f"Did you mean dataset.root={found}? " if found else ""


def show_tree(folder: Path, depth: int = 3) -> str:
    """``folder`` as an indented tree: a few entries a level, and below the first of them only."""
    return "\n".join([f"{folder.resolve()}/", *_lines(folder, depth, "  ")])


def _lines(folder: Path, depth: int, indent: str) -> list[str]:
    try:
        entries = sorted(folder.iterdir(), key=lambda p: (p.is_file(), natural_key(p.name)))
    except OSError as error:
        return [f"{indent}({error.strerror})"]
    shown = [p for p in entries if p.is_dir()][:_SHOWN_FOLDERS] + [p for p in entries if p.is_file()][:_SHOWN_FILES]
    lines = [] if entries else [f"{indent}(empty)"]
    for number, entry in enumerate(shown):
        lines.append(f"{indent}{entry.name}{'/' if entry.is_dir() else ''}")
        if entry.is_dir() and depth > 1 and number < _OPENED[depth - 2]:
            lines += _lines(entry, depth - 1, indent + "  ")
    if len(entries) > len(shown):
        lines.append(f"{indent}... {len(entries) - len(shown)} more")
    return lines
