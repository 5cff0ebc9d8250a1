"""``list [layers backbone=NAME]``: models, backbones, datasets, protocols; or the layers of a backbone.

Neither torch nor mlflow is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vadbench import registry
from vadbench.cli.commands import parser_of
from vadbench.config.paths import CONF
from vadbench.config.schema import PARTS
from vadbench.errors import ConfigError, nearest
from vadbench.files import read_yaml


def run(argv: Sequence[str]) -> int:
    """``list``, ``list backbones``, ``list layers backbone=x3d_s [OVERRIDES]``; 0."""
    parser = parser_of(__doc__)
    parser.add_argument("kind", nargs="?", help="one of " + ", ".join(KINDS))
    parser.add_argument(
        "words", nargs="*", metavar="OVERRIDES", help="for layers: backbone=NAME and any backbone.key=value"
    )
    parser.add_argument("--all", action="store_true", help="for layers: also the modules deep inside a block")
    words = parser.parse_args(list(argv))
    if words.kind is not None:
        words.kind = {kind.rstrip("s"): kind for kind in KINDS}.get(words.kind.lower().rstrip("s"), words.kind)
        if words.kind not in KINDS:
            raise ConfigError(f"list {words.kind}: no such list. {nearest(words.kind, KINDS)}")
    if words.kind == "layers":
        print(format_layers(words.words, words.all))
        return 0
    # Naming the built-in steps imports SciPy: by default they are shown only where there are others.
    hidden = ("layers",) if registry.outside("protocol_step") else ("layers", "steps")
    parts = [words.kind] if words.kind else [kind for kind in KINDS if kind not in hidden]
    print("\n\n".join(_SECTIONS[part]() for part in parts))
    return 0


def format_group(title: str, group: str) -> str:
    """Names in a group with the first line of each file."""
    said = {path.stem: _first_comment(path) for path in sorted((CONF / group).glob("*.yaml"))}
    if group in PARTS:
        said |= {part.name: part.summary for part in registry.parts(group) if part.name not in said}
    rows = [{"name": name, "": said[name]} for name in sorted(said)]
    return f"{title} ({group}=NAME)\n{columns(rows)}{from_outside(group)}"


def format_parts(title: str, kind: str, how: str) -> str:
    """Parts of a kind with what they are and where they come from."""
    rows = [{"name": part.name, "": part.summary} for part in registry.parts(kind)]
    return f"{title} ({how})\n{columns(rows)}{from_outside(kind)}"


def from_outside(kind: str) -> str:
    """Return a line for each part of a kind that is from a plug-in: where it comes from; empty if there is none."""
    return "".join(f"\n  plug-in {part.name}: {part.origin}" for part in registry.outside(kind))


def format_backbones() -> str:
    """Backbones with their input, clip, normalisation, parameters, default layer, weights and where those come from."""
    from vadbench.backbones.model_zoo import describe

    found = describe()
    shown = ("name", "input", "clip", "mean", "std", "parameters", "default layer", "weights")
    rows = [{name: one.row()[name] for name in shown} for one in found]
    sources = [
        {"name": r["name"], "source": r["source"], "sha256": r["sha256"], "terms": r["terms"]}
        for r in (one.row() for one in found)
        if r["source"]
    ]
    return (
        f"backbones (backbone=NAME)\n{columns(rows)}\n\n"
        f"where their weights come from (backbone.weights=pretrained)\n{columns(sources)}{from_outside('backbone')}"
    )


def format_protocols() -> str:
    """Protocols with what they use and where they are from."""
    rows = []
    for path in sorted((CONF / "protocol").glob("*.yaml")):
        values = read_yaml(path)
        flags = [
            "causal" if values["causal"] else "not causal",
            *(["whole video"] if values["looks_at_whole_video"] else []),
            *([] if values.get("shift_invariant", True) else ["scores of at least 0"]),
            *(["USES TEST LABELS"] if values["uses_test_labels"] else []),
        ]
        rows.append({"name": f"{path.stem} v{values['version']}", "uses": ", ".join(flags), "source": values["source"]})
    return f"protocols (protocol=NAME)\n{columns(rows)}"


def format_layers(words: Sequence[str], every: bool) -> str:
    """Layers of a backbone with the shape of their feature map for one clip, in the order of computation.

    ``every``: also the modules deep inside a block, which are hundreds in some networks.
    """
    from vadbench.backbones.model_zoo import layers
    from vadbench.config.compose import compose

    if not any(word.startswith("backbone=") for word in words):
        raise ConfigError("list layers: which backbone? For example: list layers backbone=x3d_s")
    config = compose(["model=fuvas", "dataset=synthetic", *words])
    assert config.backbone is not None
    found = layers(config.backbone)
    shown = [layer for layer in found if every or layer.default or layer.name.count(".") <= 2]
    rows = [
        {
            "layer": layer.name + (" (default)" if layer.default else ""),
            "C x t x h x w": " x ".join("?" if n is None else str(n) for n in layer.shape),
        }
        for layer in shown
    ]
    hidden = len(found) - len(shown)
    more = f"\n  ... and {hidden} inside these: list layers --all {' '.join(words)}" if hidden else ""
    return f"layers of {config.backbone.name} (model.layer=NAME)\n{columns(rows)}{more}"


def columns(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows of equal keys as aligned columns under their names."""
    rows = [{key: str(value) for key, value in row.items()} for row in rows]
    if not rows:
        return "  none"
    widths = {key: max(len(key), *(len(row[key]) for row in rows)) for key in rows[0]}
    lines = [list(widths), *(list(row.values()) for row in rows)]
    return "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths.values(), strict=True)).rstrip()
        for line in lines
    )


def _first_comment(path: Path) -> str:
    lines = (line for line in path.read_text().splitlines() if not line.startswith("# @package"))
    return next(lines, "").removeprefix("#").strip()


_SECTIONS: dict[str, Callable[[], str]] = {
    "models": lambda: format_group("models", "model"),
    "backbones": format_backbones,
    "densities": lambda: format_group("densities", "density"),
    "datasets": lambda: format_group("datasets", "dataset"),
    "protocols": format_protocols,
    "steps": lambda: format_parts("protocol steps", "protocol_step", "protocol.steps=[{kind: NAME}]"),
    "metrics": lambda: format_parts("metrics of plug-ins", "metric", "computed wherever labels are known"),
    "launchers": lambda: format_group("launchers", "launcher"),
    "regions": lambda: format_group("regions of AI-VAD", "regions"),
    "flow": lambda: format_group("flow of AI-VAD", "flow"),
    "experiments": lambda: format_group("experiments", "experiment"),
}
KINDS = (*_SECTIONS, "layers")
