"""Scores that change and a result version that does not: nothing may serve the runs of before for the new scores."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests import golden
from vadbench.density.pca import Pca

GOLDEN = json.loads(golden.FILE.read_text())
PARTS = golden.parts()


@pytest.mark.parametrize("name", PARTS)
def test_golden_scores(name: str) -> None:
    assert not golden.fault(name, PARTS[name](), GOLDEN)


def test_the_file_holds_nothing_else() -> None:
    assert GOLDEN.keys() == PARTS.keys()


def test_other_scores_under_the_same_version_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = Pca.raw
    monkeypatch.setattr(Pca, "raw", lambda *given: raw(*given) * 1.01)
    made = PARTS["density pca"]()
    said = golden.fault("density pca", made, GOLDEN)
    assert said == "scores of density pca changed: raise its result_version (of a protocol: version), then make golden"
    with pytest.raises(SystemExit, match="raise its result_version"):
        dict(golden.renewed(GOLDEN, {"density pca": made}))
    monkeypatch.setattr(Pca, "result_version", 3)
    made = PARTS["density pca"]()
    assert "is 3 and its golden scores are of 2" in golden.fault("density pca", made, GOLDEN)
    entries = dict(golden.renewed(GOLDEN, {"density pca": made}))
    assert entries["density pca"]["version"] == 3 and not golden.fault("density pca", made, entries)


def test_what_other_processors_round_is_no_change() -> None:
    version, scores = PARTS["density knn"]()
    assert not golden.fault("density knn", (version, scores * (1 + 1e-5)), GOLDEN)
    changed = np.array(scores)
    changed[0] *= 1.02
    assert golden.fault("density knn", (version, changed), GOLDEN)
