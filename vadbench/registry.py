"""Every part by kind and name: what it is configured by, what builds it, where it comes from.

Built-in parts and plug-ins register through the same decorators. A kind's built-in parts are found by importing the
modules of its folder, which import nothing heavy; plug-ins by the entry points of installed packages and by the files
that the environment variable ``VADBENCH_PLUGINS`` lists, which worker processes inherit.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, is_dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from vadbench.errors import ConfigError, VadbenchError, nearest
from vadbench.files import digest_of, sha256

T = TypeVar("T", bound=Callable[..., Any])

FOLDERS = {
    "model": "vadbench.models",
    "density": "vadbench.density",
    "backbone": "vadbench.backbones",
    "dataset": "vadbench.data.datasets",
    "protocol_step": "vadbench.evaluation.protocols",
    "launcher": "vadbench.sweep",
}
"""Kind to the package of its built-in parts; built-in metrics are computed together and are no parts."""

METRICS = (
    *("frame_auroc_micro", "frame_auroc_macro", "frame_ap", "frame_eer", "frame_f1", "frame_f1_oracle"),
    *("pixel_auroc", "pixel_ap", "pixel_eer", "pixel_f1_oracle", "pixel_criterion_auroc", "pixel_criterion_eer"),
    *("aupro", "rbdc", "tbdc", "detection_delay"),
)
"""Names of the built-in metrics."""

BUILT_IN = "built-in"
ENTRY_POINTS = "vadbench.plugins"
VARIABLE = "VADBENCH_PLUGINS"


@dataclass(frozen=True)
class Part:
    """One registered part.

    Attributes
    ----------
    kind, name: such as "density" and "knn".
    build: the class or function that was registered.
    config: dataclass of its keys, their types and defaults; None where it has none.
    origin: "built-in", the path of a plug-in's file, or "DISTRIBUTION VERSION".
    digest: SHA-256 of a plug-in's file, or the version of its distribution; empty for a built-in part.
    facts: what else was said where it was registered, such as ``higher_is_better``.
    """

    kind: str
    name: str
    build: Callable[..., Any]
    config: type | None
    origin: str = BUILT_IN
    digest: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def is_built_in(self) -> bool:
        """Whether it comes with vadbench."""
        return self.origin == BUILT_IN

    def make(self, *given: Any) -> Any:
        """Return ``build(*given)``; what goes wrong in a plug-in is one message that names it and the line."""
        try:
            return self.build(*given)
        except Exception as error:
            if self.is_built_in or isinstance(error, VadbenchError):
                raise
            where = f"plug-in {self.origin}{_line_in(self.origin, error)}: {_shown(self.kind)} {self.name!r}"
            raise ConfigError(f"{where}: {type(error).__name__}: {error}") from error

    @property
    def summary(self) -> str:
        """The first line of its configuration's docstring, or of its own."""
        said = (self.config.__doc__ if self.config else "") or ""
        if not said or (self.config and said.startswith(f"{self.config.__name__}(")):  # as dataclasses write it
            said = self.build.__doc__ or ""
        return said.strip().partition("\n")[0].rstrip(".")


_parts: dict[tuple[str, str], Part] = {}
_scanned: set[str] = set()
_loaded: dict[str, str] = {}
_modules: dict[str, str] = {}  # module of a plug-in, or the package of an installed one, to its digest
_origin: tuple[str, str] | None = None


def _register(kind: str, name: str, config: type | None, **facts: Any) -> Callable[[T], T]:
    def decorate(build: T) -> T:
        origin, digest = _origin_of(build)
        if config is not None:
            _check_keys(config, f"{origin}: {kind} {name!r}")
        if origin != BUILT_IN:
            _scan_built_in(kind)
        known = _parts.get((kind, name))
        is_metric = kind == "metric" and name in METRICS
        if is_metric or (known and (known.origin, known.build.__qualname__) != (origin, build.__qualname__)):
            whose = "a built-in part" if known is None or known.is_built_in else known.origin
            raise ConfigError(
                f"{origin}: the {_shown(kind)} name {name!r} is taken by {whose}; register it under another name"
            )
        _parts[kind, name] = Part(kind, name, build, config, origin, digest, facts)
        return build

    return decorate


def model(name: str, *, config: type | None = None, **facts: Any) -> Callable[[T], T]:
    """Register a method: a function ``(config, run) -> Detector``."""
    return _register("model", name, config, **facts)


def density(name: str, *, config: type | None = None, **facts: Any) -> Callable[[T], T]:
    """Register a density: a :class:`vadbench.density.base.BaseDensityEstimator`, built as ``cls(config, seed)``."""
    return _register("density", name, config, **facts)


def backbone(name: str, *, config: type | None = None, **facts: Any) -> Callable[[T], T]:
    """Register a backbone: a function ``(config, layers, seed, device) -> Backbone``."""
    return _register("backbone", name, config, **facts)


def dataset(name: str, *, config: type | None = None, **facts: Any) -> Callable[[T], T]:
    """Register a dataset: a function ``(config) -> Dataset``."""
    return _register("dataset", name, config, **facts)


def metric(name: str, *, higher_is_better: bool, resamples: int = 2000) -> Callable[[T], T]:
    """Register a metric: a function ``(scores_by_video, labels_by_video) -> float``.

    ``resamples``: at most so many evaluations for its interval; fewer make a slow metric cheaper, 0 leaves it without.
    """
    return _register("metric", name, None, higher_is_better=higher_is_better, resamples=resamples)


def protocol_step(name: str, *, config: type | None = None, **facts: Any) -> Callable[[T], T]:
    """Register a protocol step: a function ``(config, scores (T,), dataset name) -> scores (T,)``.

    ``look_ahead``: function ``(config, dataset name)`` that returns how many later frames a score depends on; without
    it the step counts as one that uses the video as a whole.
    """
    return _register("protocol_step", name, config, **facts)


def launcher(name: str, *, config: type | None = None, **facts: Any) -> Callable[[T], T]:
    """Register a launcher: a function ``(config, sweep folder, number of workers, threads) -> list[Worker]``.

    ``finish``: function without arguments that is called when the workers have ended.
    """
    return _register("launcher", name, config, **facts)


def names(kind: str) -> list[str]:
    """Return the names of all parts of a kind, sorted."""
    return [part.name for part in parts(kind)]


def parts(kind: str) -> list[Part]:
    """Return all parts of a kind, sorted by name."""
    load_plugins()
    _scan_built_in(kind)
    return [part for (of, _), part in sorted(_parts.items()) if of == kind]


def outside(kind: str) -> list[Part]:
    """Return the parts of a kind that are from plug-ins, sorted by name."""
    load_plugins()
    return [part for (of, _), part in sorted(_parts.items()) if of == kind and not part.is_built_in]


def get(kind: str, name: str) -> Part:
    """Return one part; ConfigError with the nearest names if there is none."""
    found = find(kind, name)
    if found is None:
        raise ConfigError(
            f"{kind}={name}: there is no such {_shown(kind)}. {nearest(name, names(kind))} "
            "A plug-in is loaded with --plugin FILE (docs/extending.md)."
        )
    return found


def find(kind: str, name: str) -> Part | None:
    """Return one part, or None if there is none."""
    if (kind, name) not in _parts:
        load_plugins()
        _scan_built_in(kind)
    return _parts.get((kind, name))


def add_plugins(files: Sequence[str]) -> None:
    """Load plug-in files, here and in every process that is started from here."""
    before, listed = os.environ.get(VARIABLE), plugin_files()
    os.environ[VARIABLE] = os.pathsep.join(dict.fromkeys([*listed, *map(_absolute, files)]))
    try:
        load_plugins()
    except ConfigError:
        os.environ[VARIABLE] = before or ""
        raise


def plugin_files() -> list[str]:
    """Return the plug-in files that ``VADBENCH_PLUGINS`` lists, as absolute paths."""
    return [_absolute(entry) for entry in os.environ.get(VARIABLE, "").split(os.pathsep) if entry]


def plugin_digest(thing: type) -> str:
    """Return the digest of the plug-in that defines a class; empty for one that no plug-in defines."""
    module = thing.__module__
    return _modules.get(module) or _modules.get(module.partition(".")[0], "")


def load_plugins() -> None:
    """Import the plug-ins of installed packages and of ``VADBENCH_PLUGINS``, each once.

    Raises
    ------
    ConfigError: a file that is not there, does not import or registers nothing, a name that is taken, a configuration
        that is not typed.
    """
    if ENTRY_POINTS not in _loaded:
        _loaded[ENTRY_POINTS] = ""
        for point in metadata.entry_points(group=ENTRY_POINTS):
            version = point.dist.version if point.dist else ""
            origin = f"{point.dist.name if point.dist else point.value} {version}".strip()
            _modules[point.module.partition(".")[0]] = version or origin
            _import(origin, version, point.load)
    for path in plugin_files():
        if path not in _loaded:
            _load_file(path)


def _load_file(path: str) -> None:
    if not Path(path).is_file():
        what = "it is a folder; name the files in it" if Path(path).is_dir() else "there is no such file"
        raise ConfigError(f"plug-in {path}: {what} (--plugin FILE or {VARIABLE})")
    source = Path(path).read_bytes()
    digest = sha256([source])
    _loaded[path] = digest
    module_name = f"vadbench_plugin_{sha256([path.encode()])[:8]}_{Path(path).stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None:
        del _loaded[path]
        raise ConfigError(f"plug-in {path}: a plug-in is a Python file, its name ends with .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # where dataclasses and pickle look for its classes
    _modules[module_name] = digest
    try:
        # What the digest is of, and no cached bytecode, which a file that was changed within a second may not outdate.
        _import(path, digest, lambda: exec(compile(source, path, "exec"), vars(module)))
        if not any(part.origin == path for part in _parts.values()):
            raise ConfigError(
                f'plug-in {path}: it registers nothing; put a decorator such as @plugins.density("NAME") above a class '
                "or function in it (docs/extending.md)"
            )
    except ConfigError:
        del _loaded[path], sys.modules[module_name], _modules[module_name]
        for key in [key for key, part in _parts.items() if part.origin == path]:
            del _parts[key]
        raise


def _import(origin: str, digest: str, load: Callable[[], Any]) -> None:
    """Import a plug-in; whatever goes wrong in it is one message that names it and the line."""
    try:
        with _from_origin(origin, digest):
            load()
    except VadbenchError:
        raise
    except Exception as error:
        line = _line_in(origin, error)
        raise ConfigError(f"plug-in {origin}{line}: it does not import: {type(error).__name__}: {error}") from error


def _line_in(path: str, error: Exception) -> str:
    """Return the last line of the plug-in's own file that the error went through."""
    if isinstance(error, SyntaxError) and error.filename == path:
        return f", line {error.lineno}"
    lines, trace = [], error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == path:
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    return f", line {lines[-1]}" if lines else ""


def _scan_built_in(kind: str) -> None:
    """Import the modules at or below a kind's folder that register something; once."""
    if kind in FOLDERS and kind not in _scanned:
        _scanned.add(kind)
        package = importlib.import_module(FOLDERS[kind])
        folder = Path(package.__path__[0])
        for path in sorted(folder.rglob("*.py")):
            # Other modules may import heavy libraries, which naming the parts must not.
            if f"registry.{kind}(" in path.read_text(encoding="utf-8"):
                inside = path.relative_to(folder).with_suffix("").parts
                importlib.import_module(".".join((package.__name__, *inside)))


@contextmanager
def _from_origin(origin: str, digest: str) -> Iterator[None]:
    """Parts that register inside come from ``origin``."""
    global _origin
    before, _origin = _origin, (origin, digest)
    try:
        yield
    finally:
        _origin = before


def _origin_of(build: Callable[..., Any]) -> tuple[str, str]:
    """Return where a part comes from, by its module: a built-in one may be imported first by a plug-in."""
    if build.__module__.partition(".")[0] == "vadbench":
        return BUILT_IN, ""
    if _origin is not None:
        return _origin
    path = getattr(sys.modules.get(build.__module__), "__file__", None)
    if path is None:
        return build.__module__, ""
    return _absolute(path), digest_of(Path(path))


def _check_keys(config: type, whose: str) -> None:
    """ConfigError unless ``config`` is a dataclass all of whose keys have types."""
    if not is_dataclass(config):
        raise ConfigError(f"{whose}: its config {config.__name__} must be a dataclass; put @dataclass above it")
    typed = {name for base in config.__mro__ for name in getattr(base, "__annotations__", {})}
    plain = (bool, int, float, str, list, tuple, dict, set, type(None))
    for name, value in vars(config).items():
        if not name.startswith("_") and name not in typed and isinstance(value, plain):
            kind = "..." if value is None else type(value).__name__
            raise ConfigError(f"{whose}: {config.__name__}.{name} has no type; write {name}: {kind} = {value!r}")


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().resolve())


def _shown(kind: str) -> str:
    return kind.replace("_", " ")
