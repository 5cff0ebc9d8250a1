"""Where Hydra finds the configuration of a part or group: its YAML file, if any, over the defaults of its dataclass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf

from vadbench import registry
from vadbench.config.parts import defaults, required
from vadbench.config.paths import CONF
from vadbench.config.schema import PARTS, keys_in

SCHEME = "vadbench"
ALL_PARTS = f"{SCHEME}://all-parts"
"""The place where every registered part has a configuration, without a file; searched last."""


class PartSource(ConfigSource):
    """A folder of YAML files, or :data:`ALL_PARTS`.

    A file that takes over those of another (``defaults: [maskrcnn, _self_]``) has its defaults from there.
    """

    @staticmethod
    def scheme() -> str:
        """Return the prefix of its places in the search path."""
        return SCHEME

    def load_config(self, config_path: str) -> ConfigResult:
        """Return the file with the defaults of its part under it."""
        group, _, name = config_path.removesuffix(".yaml").partition("/")
        header: dict[str, str | None] = {"package": None}
        config: Any = OmegaConf.create({})
        if not self._has_no_files:
            path = self._file(config_path)
            if not path.is_file():
                raise ConfigLoadError(f"Config not found : {path}")
            text = path.read_text(encoding="utf-8")
            header, config = ConfigSource._get_header_dict(text), OmegaConf.load(path)
        if isinstance(config, DictConfig) and not _takes_over(config):
            config = _over_defaults(config, group, str(config.get("name", name)), mark_missing=self._has_no_files)
        return ConfigResult(config=config, path=self.full_path(), provider=self.provider, header=header)

    def available(self) -> bool:
        """Return whether the folder is there."""
        return self._has_no_files or Path(self.path).is_dir()

    def is_group(self, config_path: str) -> bool:
        """Return whether a group is here."""
        if self._has_no_files:
            return config_path in ("", *PARTS)
        return (Path(self.path) / config_path).is_dir()

    def is_config(self, config_path: str) -> bool:
        """Return whether a configuration is here."""
        if self._has_no_files:
            group, _, name = config_path.removesuffix(".yaml").partition("/")
            return group in PARTS and registry.find(group, name) is not None
        return self._file(config_path).is_file()

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """Return the names in a group."""
        if self._has_no_files:
            return registry.names(config_path) if config_path in PARTS else []
        found: list[str] = []
        for path in (Path(self.path) / config_path).iterdir():
            self._list_add_result(found, str(Path(config_path) / path.name), path.name, results_filter)
        return sorted(set(found))

    @property
    def _has_no_files(self) -> bool:
        return self.full_path() == ALL_PARTS

    def _file(self, config_path: str) -> Path:
        return Path(self.path) / self._normalize_file_name(config_path)


class PartsFirst(SearchPathPlugin):
    """Has Hydra read conf through :class:`PartSource`."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Put conf first, read as parts."""
        search_path.prepend(SCHEME, f"{SCHEME}://{CONF}")


def _takes_over(config: DictConfig) -> bool:
    """Return whether a file names another one of its group in its defaults."""
    return any(isinstance(entry, str) and entry != "_self_" for entry in config.get("defaults") or [])


def _over_defaults(config: DictConfig, group: str, name: str, mark_missing: bool) -> DictConfig:
    """``config`` over the defaults of its keys; ``mark_missing``: keys without a default are there, to be given."""
    keys = keys_in(group, name)
    if keys is None:
        return config
    values = defaults(keys)
    if "name" in values:
        values["name"] = name
    if mark_missing:
        values |= dict.fromkeys(required(keys), "???")
    values |= {str(key): config._get_node(key) for key in config}
    merged = OmegaConf.create(values)
    if group == "model" and "defaults" not in config:
        facts = registry.get(group, name).facts
        brought: list[Any] = [
            {f"/{kind}@_global_.{kind}": facts[kind]} for kind in (*PARTS, *facts.get("groups", {})) if kind in facts
        ]
        if brought:
            merged["defaults"] = [*brought, "_self_"]
    return merged


def register() -> None:
    """Tell Hydra of both; once is enough, twice does no harm."""
    for plugin in (PartSource, PartsFirst):
        Plugins.instance().register(plugin)
