"""One run as one HTML file that can be mailed: numbers, baselines, curves, settings, data, caveats."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

from vadbench.runs.run_folder import RunFolder
from vadbench.untrusted import damage, plain_files, printable, read_json, read_table, read_text

_LARGEST_PICTURE = 50_000_000  # bytes


def page(folder: Path) -> str:
    """Return the page of a complete run; DataError if there is none in ``folder``."""
    import jinja2

    from vadbench.evaluation.intervals.metric_entry import INTERVAL_HEADS, interval_cells, note_lines

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = environment.from_string((Path(__file__).parent / "pages.html").read_text())
    with damage(folder):
        record = RunFolder(folder).read()
        per_video = folder / "per_video.parquet"
        return template.render(
            run=record,
            interval_heads=INTERVAL_HEADS,
            interval_cells=interval_cells,
            notes=note_lines({name: entry for name, entry in record["metrics"].items() if isinstance(entry, dict)}),
            folder=printable(str(folder)),
            per_video=read_table(per_video).to_dict("records") if per_video.is_file() else [],
            pictures=list(_pictures(folder / "pictures")),
            config=read_text(folder / "config.yaml"),
            environment=json.dumps(read_json(folder / "environment.json"), indent=1),
        )


def _pictures(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and the content, in base 64, of each PNG file in ``folder``; what only has such a name is left
    out."""
    for path in plain_files(folder):
        content = path.read_bytes() if path.suffix == ".png" and path.stat().st_size <= _LARGEST_PICTURE else b""
        if path.parent == folder and content.startswith(b"\x89PNG\r\n\x1a\n"):
            yield printable(path.stem), base64.b64encode(content).decode()
