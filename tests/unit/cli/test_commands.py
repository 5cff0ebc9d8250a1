"""Every file of cli/ with a function ``run`` is a command, found by its first line; nobody else parses arguments."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.test_architecture import MODULES, PACKAGE
from vadbench.cli.commands import commands, run_of
from vadbench.cli.main import main

CLI = PACKAGE / "cli"


def functions(path: Path) -> set[str]:
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


def test_each_command_is_one_file_with_a_function_run() -> None:
    assert list(commands()) == sorted(path.stem for path in CLI.glob("*.py") if "run" in functions(path))
    assert {"check", "table", "compare", "report", "explain"} < commands().keys()


def test_a_command_is_added_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "count.py").write_text('"""``count WHAT [--slowly]``: how many there are.\n\nMore.\n"""\n')
    (tmp_path / "terminal.py").write_text('"""What reaches the terminal."""\n')
    assert commands(tmp_path) == {"count": ("count WHAT [--slowly]", "how many there are")}


def test_the_help_names_every_command_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for words, what in commands().values():
        assert f"  {words:<34}{what}" in lines and len(words) < 34


@pytest.mark.parametrize("name", commands())
def test_every_command_has_a_help_that_says_what_the_list_says(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        assert run_of(name)(["--help"]) == 0
    except SystemExit as end:
        assert end.code == 0
    assert f"python -m vadbench {name}" in capsys.readouterr().out


def test_the_help_imports_no_command() -> None:
    code = (
        "import sys; from vadbench.cli.main import main; assert main(['--help']) == 0;"
        "from vadbench.cli.commands import commands;"
        "assert not [n for n in commands() if f'vadbench.cli.{n}' in sys.modules]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_only_commands_and_scripts_parse_arguments() -> None:
    """prepare.py is what the scripts prepare_NAME.py share."""
    elsewhere = [path for path in MODULES if path.parent != CLI and "import argparse" in path.read_text()]
    assert [path.relative_to(PACKAGE).as_posix() for path in elsewhere] == ["data/prepare.py"]
