"""What a user of Hydra types out of habit, answered with the form that it has here."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vadbench.errors import ConfigError

HELP = """\
Coming from Hydra
  --cfg job, -c job              --cfg
  --config-name NAME, -cn NAME   --config-dir FOLDER experiment=NAME, with a file FOLDER/experiment/NAME.yaml
  hydra/launcher=NAME            -m launcher=local, slurm or ray, with keys such as launcher.jobs=4
  hydra.run.dir, hydra.sweep.dir results=FOLDER; the folders in it are named by what was run
  glob(), interval()             the values written out: seed=0,1,2 or seed=range(3)
  ~key                           key=null, where a key may be empty"""

_OWN_FILE = (
    "settings of your own are a file FOLDER/experiment/NAME.yaml, chosen with --config-dir FOLDER experiment=NAME"
)
_CFG = "--cfg prints the configuration of a run, everything resolved"
_FLAGS = {
    ("--config-name", "-cn"): _OWN_FILE,
    ("--config-path", "-cp", "-cd"): "a folder of configuration files of your own is added with --config-dir FOLDER",
    ("--info", "-i"): f"{_CFG}; 'list' names what there is to choose from, --version the version",
    ("-c", "--resolve", "--package", "-p"): _CFG,
    ("--run", "-r"): "a single run needs no option; leave it out",
    ("--hydra-help",): "--help is the help, with a part for those who come from Hydra",
    ("--shell-completion", "-sc"): "there is no completion by the shell; 'list' names what there is to choose from",
    ("--experimental-rerun",): "the overrides of a run are in its overrides.txt; give them again",
}
_ANSWERS = {flag: answer for flags, answer in _FLAGS.items() for flag in flags}

_RESULTS = "Folders are named by what was run; results=FOLDER says where they go."
_KEYS = {
    "run": _RESULTS,
    "sweep": _RESULTS,
    "output_subdir": "A run's configuration is config.yaml in its folder; results=FOLDER says where runs go.",
    "launcher": "Write -m launcher=local, slurm or ray, with keys of their own such as launcher.jobs=4.",
    "sweeper": "After -m a key takes several values: model.pca_level=0.9,0.95 seed=0,1,2.",
}
_SWEEPS = {
    "glob": "Write the names out, as in backbone=x3d_s,x3d_m; 'python -m vadbench list' shows them.",
    "interval": "A sweep is a grid: write the values out, as in model.pca_level=0.9,0.95 or seed=range(3).",
}


def refuse_flags(words: Sequence[str]) -> None:
    """ConfigError for an option that only Hydra's own programs have."""
    for word in words:
        flag = word.partition("=")[0]
        if flag in _ANSWERS:
            raise ConfigError(f"{flag}: not an option here; {_ANSWERS[flag]}.")


def refuse_overrides(words: Sequence[str]) -> None:
    """ConfigError for an override that Hydra would take and that would do nothing, or nothing good, here."""
    for word in words:
        key, _, value = word.lstrip("+").partition("=")
        if (found := re.match(r"~?hydra[./](\w+)", key)) and key != "hydra.searchpath":
            hint = _KEYS.get(found[1], "Leave it out.")
            raise ConfigError(f"{key}: it has no effect, because vadbench runs without Hydra's own program. {hint}")
        if key.startswith("~"):
            raise ConfigError(
                f"{key}: a key can't be deleted, only set: {key[1:]}=VALUE, or {key[1:]}=null where it may be empty."
            )
        if found := re.match(r"(glob|interval)\s*\(", value):
            raise ConfigError(f"{word}: {found[1]}() is not understood. {_SWEEPS[found[1]]}")
