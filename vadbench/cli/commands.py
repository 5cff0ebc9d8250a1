"""The commands: the modules beside this one that begin with "NAME ARGUMENTS: what it does" and have a function ``run``.

They are found by reading their first lines, so the help names all of them without importing any.
"""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path

RUN_HELP = "folder of a run, or its id (the last part of the folder), or the first letters of it"

_FIRST_LINE = re.compile(r'(?:""")?``((\w+).*?)``: (.+?)(?:""")?\Z')


def commands(folder: Path = Path(__file__).parent) -> dict[str, tuple[str, str]]:
    """Return each command with its arguments and what it does, sorted by name."""
    found = {}
    for path in sorted(folder.glob("*.py")):
        with path.open(encoding="utf-8") as file:
            said = _FIRST_LINE.match(file.readline().rstrip())
        if said and said[2] == path.stem:
            found[path.stem] = (said[1], said[3].rstrip("."))
    return found


def run_of(name: str) -> Callable[[Sequence[str]], int]:
    """Return the function that runs a command: the arguments after its name to the exit status."""
    run: Callable[[Sequence[str]], int] = importlib.import_module(f"vadbench.cli.{name}").run
    return run


def parser_of(docstring: str | None, epilog: str | None = None) -> argparse.ArgumentParser:
    """Return a parser for the command that a module's docstring describes; the lines of ``epilog`` stay as they are."""
    said = _FIRST_LINE.match((docstring or "").partition("\n")[0])
    assert said is not None
    return argparse.ArgumentParser(
        f"python -m vadbench {said[2]}",
        description=f"{said[3][0].upper()}{said[3][1:]}",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_results(parser: argparse.ArgumentParser) -> None:
    """Add the option that says where runs given by their ids are looked for."""
    parser.add_argument("--results", type=Path, default=Path("results"), help="where ids are looked for (%(default)s)")
