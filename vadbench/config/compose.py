"""The one module that composes configurations with Hydra, and that rewrites Hydra's messages for its users."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vadbench import registry
from vadbench.config.from_hydra import refuse_overrides
from vadbench.config.paths import CONF, home_expanded
from vadbench.config.schema import PARTS, RunConfig, check
from vadbench.errors import ConfigError, nearest

if TYPE_CHECKING:
    from omegaconf import DictConfig

_TABLES = "experiment/tables@_global_"
_ALL_PARTS = "vadbench://all-parts"


def compose(overrides: Sequence[str]) -> RunConfig:
    """Return the checked configuration of one run from overrides such as ``dataset=avenue model.pca_level=0.9``.

    Raises
    ------
    ConfigError: anything that the user mistyped, with the nearest valid choices.
    """
    return check(compose_values(overrides))


def compose_values(overrides: Sequence[str]) -> dict[str, Any]:
    """Return the composed configuration as a plain mapping, its types not checked yet."""
    return composition(overrides).values()


@dataclass(frozen=True)
class Composition:
    """What overrides compose to, its interpolations not resolved yet.

    Attributes
    ----------
    config: the configuration without Hydra's own node.
    overrides: what it was composed from.
    protocol: the protocol as a file of the user's has it; None for a packaged one.
    """

    config: DictConfig
    overrides: tuple[str, ...]
    protocol: dict[str, Any] | None

    def changed(self, overrides: Sequence[str], settings: Mapping[str, Any]) -> Composition:
        """Return what ``overrides`` compose to that differ in values of keys; this composition is spent."""
        from omegaconf import OmegaConf

        overrides = _through_parts(overrides)
        with _said_plainly(overrides):
            for key, value in settings.items():
                OmegaConf.update(self.config, key, value, merge=True)  # as Hydra does
        return replace(self, overrides=tuple(overrides))

    def values(self) -> dict[str, Any]:
        """Return it as a plain mapping, everything resolved; ConfigError for what can't be."""
        from omegaconf import OmegaConf

        with _said_plainly(self.overrides):
            values = OmegaConf.to_container(self.config, resolve=True, throw_on_missing=True)
        assert isinstance(values, dict)
        if "experiment" in values:
            raise ConfigError(_without_effect(self.overrides))
        protocol, own = values["protocol"], self.protocol
        if own is not None and any(own.get(key) != protocol.get(key) for key in ("steps", "macro")):
            protocol["name"] = f"{protocol['name']} (modified)"
        return {str(key): value for key, value in values.items()}


def composition(overrides: Sequence[str]) -> Composition:
    """Compose with Hydra; ConfigError for what does not compose."""
    from hydra import initialize_config_dir
    from omegaconf import OmegaConf

    from vadbench.config.part_source import register

    register()
    overrides = [home_expanded(word) for word in overrides]
    refuse_overrides(overrides)
    for word in overrides:
        group, _, name = word.partition("=")
        if name == "null" and group in groups():
            raise ConfigError(f"{word}: a group can't be null; leave it out. {_nearest(group, '', overrides)}")
    overrides = _through_parts(overrides)
    with _said_plainly(overrides), initialize_config_dir(str(CONF), version_base="1.3"):
        composed = _composed(list(overrides))
        original = _own_protocol(composed.hydra.runtime.choices.protocol, overrides)
        config = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
    return Composition(config, tuple(overrides), original)


@contextmanager
def _said_plainly(overrides: Sequence[str]) -> Iterator[None]:
    """Turn what Hydra and the readers of its files raise inside into messages for the user."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_rewrite(str(error), overrides)) from None
    except YAMLError as error:
        raise ConfigError(_unreadable(error)) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"a configuration file is not UTF-8 text ({error.reason}); save it as UTF-8") from None


def _composed(overrides: list[str]) -> DictConfig:
    """Hydra's composition, its own node ``hydra`` included."""
    from hydra import compose as hydra_compose

    lists = [word for word in overrides if word.startswith("experiment=[")]
    if not lists:
        return hydra_compose("config", overrides, return_hydra_config=True)
    # The settings of an experiment for the dataset are found by name, into which Hydra can't put a list.
    draft = hydra_compose("config", [*overrides, f"{_TABLES}=[]"], return_hydra_config=True)
    names = re.findall(r"[^\[\],'\" ]+", lists[-1].partition("=")[2])
    wanted = [f"{name}_{draft.hydra.runtime.choices.dataset}" for name in names]
    there = options("experiment/tables", _folders(overrides))
    found = ",".join(name for name in wanted if name in there)
    return hydra_compose("config", [*overrides, f"{_TABLES}=[{found}]"], return_hydra_config=True)


def _own_protocol(name: str, overrides: Sequence[str]) -> dict[str, Any] | None:
    """Return a protocol of a folder of the user's as its file has it; None for a packaged one."""
    from hydra import compose as hydra_compose
    from omegaconf import OmegaConf

    if name in options("protocol"):
        return None
    places = [word for word in overrides if word.startswith("hydra.searchpath=")]
    found = hydra_compose("config", [*places, "model=random", "dataset=synthetic", f"protocol={name}"])
    values: dict[str, Any] = OmegaConf.to_container(found.protocol, resolve=True)  # type: ignore[assignment]
    return values


def options(group: str, folders: Sequence[Path] = ()) -> list[str]:
    """Names that can follow ``group=`` on the command line, such as ``mine`` or ``mine/first``.

    ``folders``: of the user's own, which are looked through beside conf.
    """
    roots = [root / group for root in (CONF, *folders)]
    found = {path.relative_to(root).with_suffix("").as_posix() for root in roots for path in root.rglob("*.yaml")}
    found |= set(registry.names(group) if group in PARTS else ())
    # The tables of an experiment come with it.
    return sorted(name for name in found if not (group == "experiment" and name.startswith("tables/")))


def groups() -> list[str]:
    """Names of all groups."""
    files = {path.name for path in CONF.iterdir() if path.is_dir() and any(path.glob("*.yaml"))}
    return sorted(files | set(PARTS))


def _unreadable(error: Exception) -> str:
    """Return where and why a configuration file is not YAML."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is None:
        return f"a configuration file can't be read as YAML: {' '.join(str(error).split())}"
    return f"{mark.name}, line {mark.line + 1}, column {mark.column + 1}: it can't be read as YAML: {problem}"


def _rewrite(message: str, overrides: Sequence[str]) -> str:
    """Hydra's message in the terms of this program."""
    if found := re.search(r"In '([^']+)': Could not (?:find|load) '([^'/]+)/([^']*)'", message):
        asker, group, name = found.groups()
        roots = (CONF, *_folders(overrides))
        places = [str(root / group) for root in roots if (root / group).is_dir()]
        files = f" Files are in {' and '.join(places)}." if places else ""
        plugin = " A plug-in is loaded with --plugin FILE." if group in PARTS else ""
        in_file = asker != "config" and any((root / f"{asker}.yaml").is_file() for root in roots)
        asked = f" It is asked for in {asker}.yaml." if in_file else ""
        return f"{group}={name}: there is no such {group}. {_nearest(group, name, overrides)}{files}{plugin}{asked}"
    if found := re.search(r"You must specify '(\w+)'", message):
        group = found.group(1)
        return f"{group}: choose one. {nearest('', options(group))} For example: {group}={options(group)[0]}"
    if found := re.search(r"In '(\w+/[^']+)': Could not override '([^']+)'", message):
        return (
            f"{found[1]}.yaml overrides {found[2]}, which is not there. The first line of a file that sets a whole run "
            "must be: # @package _global_"
        )
    if found := re.search(r"Multiple values for (\w+)", message):
        return f"{found[1]}: it is chosen once; write {found[1]}=NAME, without +"
    if found := re.search(r"(?:Ambiguous value for argument|Sweep parameters) '(.+?)'", message):
        return (
            f"{found[1]}: several values are a sweep. Add -m to run them all (python -m vadbench -m ...), or give one; "
            "a list is written in brackets, as in dataset.test_videos=[01,02]"
        )
    if found := re.search(r"Could not override '([\w./@]+)'", message):
        return _unknown_key(found.group(1), overrides)
    first = message.strip().splitlines()
    return first[0] if first else "the configuration could not be composed"


def _nearest(group: str, name: str, overrides: Sequence[str]) -> str:
    return nearest(name, options(group, _folders(overrides)))


def _without_effect(overrides: Sequence[str]) -> str:
    """Say what is wrong with an experiment whose file sets nothing of the run."""
    word = next((word for word in reversed(overrides) if re.match(r"\+*experiment=", word)), "experiment")
    if "tables/" in word:
        return (
            f"{word}: the files in tables hold what an experiment sets for one dataset, and come with it: "
            "experiment=ai_vad_official dataset=avenue"
        )
    return f"{word}: its file would set nothing. Its first line must be: # @package _global_"


def names_group(key: str, overrides: Sequence[str]) -> bool:
    """Return whether ``key=`` chooses from a group, of conf or of the user's folders in ``overrides``."""
    return key in PARTS or any((root / key).is_dir() for root in (CONF, *_folders(overrides)))


def _folders(overrides: Sequence[str]) -> list[Path]:
    """Return the folders of the user's own that :func:`user_config_dirs` put into ``overrides``."""
    return [
        Path(entry.partition("://")[2])
        for word in overrides
        if word.startswith("hydra.searchpath=")
        for entry in re.sub(r"\\(.)", r"\1", word.partition("=")[2]).strip("[]").split(",")  # a sweep escapes
        if entry != _ALL_PARTS
    ]


def _through_parts(overrides: Sequence[str]) -> list[str]:
    """Return ``overrides`` with the user's folders read as conf is, and with the parts that have no file after them."""
    places = [word.partition("=")[2].strip("[]") for word in overrides if word.startswith("hydra.searchpath=")]
    entries = [e for place in places for e in place.replace("file://", "vadbench://").split(",") if e != _ALL_PARTS]
    others = [word for word in overrides if not word.startswith("hydra.searchpath=")]
    return [*others, f"hydra.searchpath=[{','.join([*entries, _ALL_PARTS])}]"]


def _unknown_key(key: str, overrides: Sequence[str]) -> str:
    """Say which keys are near that of an override whose key does not exist."""
    top = key.split(".")[0]
    if top in groups() and "." not in key:
        using = [part.name for part in registry.parts("model") if key in part.facts]
        models = f" Models that do: {', '.join(using)}." if using else ""
        return f"{key}: the chosen model does not use this group.{models}"
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
            folders.append(home_expanded(word.partition("=")[2]))
        else:
            result.append(word)
    for folder in folders:
        if not Path(folder).is_dir():
            raise ConfigError(f"--config-dir {folder}: there is no such folder")
    if folders:
        result.append("hydra.searchpath=[" + ",".join(f"file://{Path(f).resolve()}" for f in folders) + "]")
    return result
