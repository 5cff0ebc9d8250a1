"""The command line: a run from Hydra-style overrides, and a few commands beside it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vadbench import registry
from vadbench.cli.commands import commands, run_of
from vadbench.cli.terminal import show_own_messages
from vadbench.config.from_hydra import HELP, refuse_flags
from vadbench.config.paths import home_expanded
from vadbench.errors import ConfigError, VadbenchError, nearest
from vadbench.files import explain
from vadbench.untrusted import damage, printable

if TYPE_CHECKING:
    from vadbench.config.schema import RunConfig

USAGE = """\
vadbench: experiments and benchmarks for video anomaly detection

One run: choose from groups with group=name, set keys with group.key=value
  python -m vadbench experiment=quickstart                       no data, no weights, no download
  python -m vadbench model=fuvas dataset=avenue dataset.root=/data/avenue
  python -m vadbench model=fuvas dataset=ucsd_ped2 dataset.root=/data/ucsd backbone=x3d_m model.pca_level=0.95 seed=1
  python -m vadbench model=fuvas dataset=avenue --cfg            print the configuration, run nothing

Many runs: -m, with several values for a key
  python -m vadbench -m model=fuvas dataset=synthetic backbone=flow_grid model.pca_level=0.9,0.95,0.98 seed=0,1,2

Parts of your own: --plugin FILE, before or after any command (docs/extending.md)
  python -m vadbench --plugin my_method.py model=my_method dataset=avenue dataset.root=/data/avenue

Commands (COMMAND --help says more)
{commands}

{from_hydra}

Groups: {groups}
Every key with its value: python -m vadbench model=fuvas dataset=synthetic --cfg
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the command line says; returns the exit status (2: the user's mistake, 130: interrupted)."""
    words = list(sys.argv[1:] if argv is None else argv)
    show_own_messages()
    try:
        status = _dispatch(_with_plugins([home_expanded(word) for word in words]))
        sys.stdout.flush()
        return status
    except VadbenchError as error:
        print(printable(f"vadbench: {error}"), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("vadbench: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (head, less) has gone; leave without Python's complaint at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        said = explain(error)
        if said is None:
            raise
        print(printable(f"vadbench: {said}"), file=sys.stderr)
        return 2


def _dispatch(words: list[str]) -> int:
    from vadbench.config.compose import groups, user_config_dirs

    is_command = bool(words) and words[0] in commands()
    if not words or words[0] == "help" or (not is_command and {"-h", "--help"} & set(words)):
        print(USAGE.format(commands=_listed(), from_hydra=HELP, groups=", ".join(groups())))
        return 0
    if words[0] in ("--version", "-V"):
        from vadbench import __version__

        print(f"vadbench {__version__}")
        return 0
    refuse_flags(words)
    if is_command:
        return run_of(words[0])(words[1:])
    if "=" not in words[0] and not words[0].startswith(("-", "+", "~")):
        raise ConfigError(f"{words[0]!r} is neither a command nor group=name. {nearest(words[0], commands())}")
    words = user_config_dirs(words)
    if "-m" in words or "--multirun" in words:
        from vadbench.sweep import multirun

        return multirun.run([word for word in words if word not in ("-m", "--multirun")])
    return _single(words)


def _listed() -> str:
    """One line for each command: its arguments and what it does."""
    return "\n".join(f"  {words:<34}{what}" for words, what in commands().values())


def _with_plugins(words: list[str]) -> list[str]:
    """Load the files that ``--plugin FILE`` names, before or after a command; returns the other arguments."""
    rest, files, given = [], [], iter(words)
    for word in given:
        if word == "--plugin":
            files.append(next(given, ""))
        elif word.startswith("--plugin="):
            files.append(home_expanded(word.partition("=")[2]))
        else:
            rest.append(word)
    if "" in files:
        raise ConfigError("--plugin: which file? For example: --plugin my_density.py")
    if files:
        registry.add_plugins(files)
    return rest


def _single(words: list[str]) -> int:
    """One run, its table, and its folder as the last line."""
    from vadbench.config.compose import compose, compose_values

    flags = [word for word in words if word.startswith("-")]
    if flags == ["--cfg"]:
        words = [word for word in words if word not in ("job", "all")]  # Hydra's option takes one of these values
    overrides = [word for word in words if not word.startswith("-")]
    if flags and set(flags) != {"--cfg"}:
        raise ConfigError(
            f"{flags[0]}: no such option. {nearest(flags[0], ['-m', '--cfg', '--config-dir', '--plugin', '--help'])}"
        )
    config = compose(overrides)
    if flags:
        import yaml

        print(yaml.safe_dump(compose_values(overrides), sort_keys=False), end="")
        return 0
    _refuse_launcher(config, overrides)
    _set_threads(config.runtime.threads)
    # A scheduler's SIGTERM ends a run like Ctrl-C does: its state is written before the process goes.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    from vadbench.experiment.run import run
    from vadbench.report.result import format_result

    result = run(config, overrides)
    store = None
    if config.tracking.name != "none":
        from vadbench.tracking.mlflow_mirror import tracking_uri

        store = tracking_uri(config.tracking, Path(config.results))
    with damage(result.folder.path):
        said = format_result(result.record, result.folder.path, result.existed, store, config.protocol.card)
    print(said)
    return 0


def _refuse_launcher(config: RunConfig, overrides: Sequence[str]) -> None:
    """ConfigError for a launcher that was asked for and that a single run would not use."""
    words = [word for word in overrides if word.lstrip("+").startswith("launcher.")]
    if config.launcher is not None and config.launcher.name != "local":
        words.insert(0, f"launcher={config.launcher.name}")
    if words:
        raise ConfigError(
            f"{words[0]}: a launcher starts the points of a sweep, and this is a single run, here and now. Add -m to "
            "launch it as a sweep of one point, or leave the launcher out."
        )


def _set_threads(threads: int | None) -> None:
    """Tell the numeric libraries how many threads to use; before they are imported."""
    if threads is not None:
        for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[variable] = str(threads)
