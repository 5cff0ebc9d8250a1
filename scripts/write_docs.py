"""Write the pages of docs/ that follow from files: ``python -m scripts.write_docs``.

result_schema.md says what the JSON schema of run.json says, protocols.md what conf/protocol says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib import resources
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml

from vadbench.runs.run_folder import SCHEMA_VERSION

REPO = Path(__file__).resolve().parents[1]


SCHEMA_PAGE = """\
# run.json

The record of one complete run, version {version}. This page is written by `make docs` from the JSON schema
[{name}](../vadbench/runs/{name}), which every record is validated against in the tests.

`run.json` is written last, after the files that it lists are on the disk. A run is complete when it can be read and
those files are there with their sizes; `python -m vadbench verify` reads their content too. Score maps may be deleted
to make room. Numbers that are undefined or infinite are null. A change of what a key means raises `schema_version`; the
schemas of older versions stay in the package, and records of older versions stay readable by `table`, `report` and
`sync`.

| key | type | what |
|---|---|---|
{keys}

## One number

Each entry of `metrics`, `baselines` and `scenes` holds these keys. A metric may add keys of its own.

| key | type | what |
|---|---|---|
{entry}

## Read one

```python
import json
from pathlib import Path

record = json.loads(Path("results/runs/synthetic/fuvas/KEY/run.json").read_text())
print(record["metrics"]["frame_auroc_micro"]["value"], record["warnings"])
```
"""

PROTOCOLS_PAGE = """\
# Protocols

A protocol is what is done to raw frame scores before a metric: normalisation, smoothing, which frames count, and what
macro AUROC does with videos of one class. `protocol=all` reports the same scores under each of them. This page is
written by `make docs` from [conf/protocol](../conf/protocol). A file of your own with the same keys is chosen with
`--config-dir FOLDER protocol=NAME`, where it lies in `FOLDER/protocol/NAME.yaml`.

**steps** are applied in order; **macro** is the convention of macro AUROC for videos of one class (`skip` leaves them
out); **causal** protocols use no later frames; **looks_at_whole_video** and **uses_test_labels** name liberties taken
with the test set; a protocol that is not **shift_invariant** gives no number for negative scores; **assumes** holds the
clip settings of the source: a run with other ones gets a warning.

{sections}
"""


def result_schema_page() -> str:
    """Return docs/result_schema.md of the current version of run.json."""
    name = f"run.v{SCHEMA_VERSION}.schema.json"
    schema = json.loads(resources.files("vadbench.runs").joinpath(name).read_text())
    keys, entry = ("\n".join(_rows(part, "")) for part in (schema, schema["$defs"]["entry"]))
    return SCHEMA_PAGE.format(version=SCHEMA_VERSION, name=name, keys=keys, entry=entry)


def _rows(schema: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """Yield one table row a key, nested keys with their path."""
    for key, value in schema["properties"].items():
        optional = "" if key in schema["required"] else ", optional"
        yield f"| `{prefix}{key}` | {_type(value)}{optional} | {value['description']} |"
        if "properties" in value:
            yield from _rows(value, f"{prefix}{key}.")
        for part, mark in (("items", "[]"), ("additionalProperties", ".PART")):
            inner = value.get(part)
            if isinstance(inner, dict) and "properties" in inner:
                yield from _rows(inner, f"{prefix}{key}{mark}.")


def _type(value: Mapping[str, Any]) -> str:
    if "const" in value:
        return f"`{json.dumps(value['const'])}`"
    found = value.get("type", "any")
    return found if isinstance(found, str) else " or ".join(found)


def protocols_page() -> str:
    """Return docs/protocols.md of the packaged protocols."""
    files = sorted((REPO / "conf" / "protocol").glob("*.yaml"))
    return PROTOCOLS_PAGE.format(sections="\n\n".join("\n".join(_protocol(path.read_text())) for path in files))


def _protocol(text: str) -> list[str]:
    """Return one section; the comment at the top of the file is its first paragraph."""
    values = yaml.safe_load(text)
    comment = [line.removeprefix("# ") for line in takewhile(lambda line: line.startswith("#"), text.splitlines())]
    lines = [f"## {values['name']}", "", *comment, *([""] if comment else [])]
    for key, value in values.items():
        if key == "steps":
            shown = "; ".join(_step(step) for step in value) or "none"
        elif isinstance(value, dict):
            shown = ", ".join(f"{name}={_plain(item)}" for name, item in value.items())
        else:
            shown = _plain(value)
        if key != "name" and shown:
            lines.append(f"- **{key}**: {shown}")
    return lines


def _step(step: Any) -> str:
    if not isinstance(step, dict):
        return f"`{step}`"
    return "`" + ", ".join(f"{key}={_plain(value)}" for key, value in step.items()) + "`"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


PAGES = {"result_schema.md": result_schema_page, "protocols.md": protocols_page}


if __name__ == "__main__":
    for name, page in PAGES.items():
        (REPO / "docs" / name).write_text(page())
