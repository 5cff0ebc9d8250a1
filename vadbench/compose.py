"""The one module that composes configurations with Hydra, and that rewrites Hydra's messages for its users."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vadbench.config import RunConfig, check
from vadbench.errors import ConfigError, nearest
from vadbench.paths import CONF

# What a user of Hydra may set out of habit, and what to set here.
_HYDRA = {
    "hydra.run": "Run folders are named by what was run; results=FOLDER says where they go.",
    "hydra.sweep": "Sweep folders are named by what was run; results=FOLDER says where they go.",
    "hydra.output_subdir": "A run's configuration is config.yaml in its folder; results=FOLDER says where runs go.",
    "hydra.launcher": "Launchers are launcher=local, slurm and ray, with keys of their own such as launcher.jobs=4.",
    "hydra.sweeper": "After -m a key takes several values: model.pca_level=0.9,0.95 seed=0,1,2.",
}


def compose(overrides: Sequence[str]) -> RunConfig:
    """The checked configuration of one run from command-line words such as ``dataset=avenue model.pca_level=0.9``.

    Raises
    ------
    ConfigError: anything that the user mistyped, with the nearest valid choices.
    """
    return check(compose_values(overrides))


def compose_values(overrides: Sequence[str]) -> dict[str, Any]:
    """The composed configuration as a plain mapping, its types not checked yet."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    _refuse_hydra(overrides)
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config = hydra_compose("config", overrides=list(overrides))
        values = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_rewrite(str(error), overrides)) from None
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def options(group: str) -> list[str]:
    """Names that can follow ``group=`` on the command line."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def groups() -> list[str]:
    """Names of all groups."""
    return sorted(path.name for path in CONF.iterdir() if path.is_dir() and any(path.glob("*.yaml")))


def _refuse_hydra(overrides: Sequence[str]) -> None:
    """ConfigError for a setting of Hydra's own program, which would be accepted and change nothing."""
    for word in overrides:
        key = word.lstrip("+~").partition("=")[0]
        if key.startswith("hydra.") and key != "hydra.searchpath":
            hint = _HYDRA.get(".".join(key.split(".")[:2]), "Leave it out.")
            raise ConfigError(f"{key}: it has no effect, because vadbench runs without Hydra's own program. {hint}")


def _rewrite(message: str, overrides: Sequence[str]) -> str:
    """Hydra's message in the words of this program."""
    if found := re.search(r"Could not find '([\w/]+)/([^'/]+)'", message):
        group, name = found.groups()
        where = f"They are files in {CONF / group}."
        return f"{group}={name}: there is no such {group}. {nearest(name, options(group))} {where}"
    if found := re.search(r"You must specify '(\w+)'", message):
        group = found.group(1)
        return f"{group}: choose one. {nearest('', options(group))} For example: {group}={options(group)[0]}"
    if found := re.search(r"Could not override '([\w./@]+)'", message):
        return _unknown_key(found.group(1), overrides)
    first = message.strip().splitlines()
    return first[0] if first else "the configuration could not be composed"


def _unknown_key(key: str, overrides: Sequence[str]) -> str:
    """What to say of an override whose key does not exist."""
    top = key.split(".")[0]
    if top in groups() and "." not in key:
        return (
            f"{key}: the chosen model does not use this group. Models bring their own groups: "
            "see `defaults` in " + str(CONF / "model")
        )
    others = [word for word in overrides if not re.match(rf"[+~]*{re.escape(key)}(=|$)", word)]
    try:
        known = list(_flatten(compose_values(others)))
    except ConfigError as error:  # several mistakes at once: the other ones first
        return str(error)
    known += [key for key in groups() if key not in known]
    return f"{key}: no such key. {_nearest_keys(key, known)}"


def _nearest_keys(key: str, known: list[str]) -> str:
    """Nearest keys; the list is cut to the neighbours in the same group."""
    prefix = key.rpartition(".")[0]
    beside = [k for k in known if k.rpartition(".")[0] == prefix]
    leaf = key.rpartition(".")[2]
    elsewhere = [k for k in known if k.rpartition(".")[2] == leaf and k not in beside]
    hint = f"Did you mean: {', '.join(elsewhere)}? " if elsewhere else ""
    return hint + nearest(key, beside or [k for k in known if "." not in k])


def _flatten(values: dict[str, Any], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for name, value in values.items():
        keys.append(prefix + name)
        if isinstance(value, dict):
            keys += _flatten(value, f"{prefix}{name}.")
    return keys


def user_config_dirs(words: Sequence[str]) -> list[str]:
    """Rewrite ``--config-dir FOLDER`` to the Hydra override that adds the folder to the search path."""
    result, folders, rest = [], [], iter(words)
    for word in rest:
        if word == "--config-dir":
            folders.append(next(rest, ""))
        elif word.startswith("--config-dir="):
            folders.append(word.partition("=")[2])
        else:
            result.append(word)
    for folder in folders:
        if not Path(folder).is_dir():
            raise ConfigError(f"--config-dir {folder}: there is no such folder")
    if folders:
        result.append("hydra.searchpath=[" + ",".join(f"file://{Path(f).resolve()}" for f in folders) + "]")
    return result
