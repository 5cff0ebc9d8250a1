"""One run as one HTML file that can be mailed: numbers, baselines, curves, settings, data, caveats."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from vadbench.runs.run_folder import RunFolder


def page(folder: Path) -> str:
    """Return the page of a complete run; DataError if there is none in ``folder``."""
    import jinja2
    import pandas as pd

    from vadbench.evaluation.intervals.metric_entry import INTERVAL_HEADS, interval_cells, note_lines

    record = RunFolder(folder).read()
    per_video = folder / "per_video.parquet"
    table = pd.read_parquet(per_video) if per_video.is_file() else None
    pictures = sorted((folder / "pictures").glob("*.png"))
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = environment.from_string((Path(__file__).parent / "pages.html").read_text())
    return template.render(
        run=record,
        interval_heads=INTERVAL_HEADS,
        interval_cells=interval_cells,
        notes=note_lines({name: entry for name, entry in record["metrics"].items() if isinstance(entry, dict)}),
        folder=str(folder),
        per_video=[] if table is None else table.to_dict("records"),
        pictures=[(path.stem, base64.b64encode(path.read_bytes()).decode()) for path in pictures],
        config=(folder / "config.yaml").read_text(),
        environment=json.dumps(json.loads((folder / "environment.json").read_text()), indent=1),
    )
