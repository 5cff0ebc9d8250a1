"""``check --plugin FILE``: whether all parts that plug-in files register keep their contracts."""

from __future__ import annotations

from collections.abc import Callable

from vadbench import registry
from vadbench.errors import ConfigError


def check_plugins(files: list[str]) -> int:
    """Print for every part that ``files`` register what holds or fails; 0, or 1 if something fails."""
    from vadbench import testing

    checks: dict[str, Callable[[str], list[str]]] = {
        "dataset": testing.check_dataset,
        "backbone": testing.check_backbone,
        "density": testing.check_density,
        "model": testing.check_detector,
        "protocol_step": testing.check_protocol_step,
        "metric": testing.check_metric,
    }
    parts = [part for kind in (*checks, "launcher") for part in registry.outside(kind) if part.origin in files]
    return max(_check(part, checks.get(part.kind)) for part in parts)


def _check(part: registry.Part, check: Callable[[str], list[str]] | None) -> int:
    """Check one part and print what holds or fails; 1 if something does."""
    name, failed = f"{part.kind.replace('_', ' ')} {part.name} ({part.origin})", ""
    if check is None:
        print(f"{name}: there is no check of this kind")
        return 0
    try:
        held: tuple[str, ...] = tuple(check(part.name))
    except ConfigError as error:
        give = f"vadbench.testing.{check.__name__}({part.name!r}, ...) takes overrides"
        held, failed = (), f"can't be checked as it comes: {error} ({give})"
    except AssertionError as error:
        held, failed = getattr(error, "held", ()), f"fails: {error}"
    print(f"{name}: {failed or 'holds'}")
    for line in held:
        print(f"  - {line}")
    return 1 if failed else 0
