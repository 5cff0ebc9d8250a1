"""A damaged run folder is named and left out, and recomputed by its command; the others are not touched by it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from vadbench.cli.main import main
from vadbench.cli.sync import sync
from vadbench.config.schema import TrackingConfig
from vadbench.runs.file_list import damage
from vadbench.runs.run_folder import RunFolder

TINY = ["model=random", "dataset=synthetic", "dataset.n_train=1", "dataset.n_test=1", "dataset.n_frames=24"]
TINY += ["dataset.size=[48,64]", "tracking=none", "model.visualizer=false", "seed=0,1", "launcher.jobs=1"]


def emptied(name: str) -> Callable[[Path], object]:
    return lambda run: (run / name).write_bytes(b"")


def linked(run: Path) -> None:
    (run / "scores.parquet").rename(run.parent / "elsewhere")
    (run / "scores.parquet").symlink_to(run.parent / "elsewhere")


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no record": (emptied("run.json"), "run.json: it is no JSON that can be read"),
    "another record": (lambda run: (run / "run.json").write_text("[]"), "run.json: it holds no mapping"),
    "no configuration": (emptied("config.yaml"), "config.yaml has 0 bytes, not "),
    "no scores": (lambda run: (run / "scores.parquet").unlink(), "scores.parquet is missing"),
    "empty scores": (emptied("scores.parquet"), "scores.parquet has 0 bytes, not "),
    "scores of another": (linked, "scores.parquet is not a file of its own"),
}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a sweep of two points."""
    place = tmp_path_factory.mktemp("damaged")
    assert main(["-m", *TINY, f"dataset.root={place / 'data'}", f"results={place / 'results'}"]) == 0
    return place / "results"


@pytest.fixture
def results(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of them, not below ``tmp_path``, where every record has to be valid in the end."""
    return Path(shutil.copytree(original, tmp_path_factory.mktemp("copy") / "results"))


def runs(results: Path) -> list[Path]:
    return sorted(path for path in results.glob("runs/*/*/*") if path.is_dir())


@pytest.mark.parametrize("kind", DAMAGES)
def test_reading_goes_on_without_it(
    results: Path, kind: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    damaged, sound = runs(results)
    damage_it, why = DAMAGES[kind]
    damage_it(damaged)
    assert RunFolder(damaged).state == "damaged" and RunFolder(sound).state == "complete"

    for place in (results, next(results.glob("sweeps/*"))):
        caplog.clear()
        assert main(["table", str(place)]) == 0
        assert "| random |" in " ".join(capsys.readouterr().out.split())
        assert f"Left out: {damaged}: this run is damaged: {why}" in caplog.text

    for words in (["compare", str(sound), str(damaged)], ["report", str(damaged)]):
        assert main(words) == 2
        assert f"vadbench: {damaged}: this run is damaged: {why}" in capsys.readouterr().err
    assert main(["report", sound.name, "--results", str(results)]) == 0

    capsys.readouterr()
    assert main(["verify", "--results", str(results)]) == 1
    said = capsys.readouterr().out
    assert f"damaged: {damaged}: {why}" in said and "1 sound, 1 damaged" in said


def test_it_is_not_mirrored_and_its_sweep_recomputes_it(
    original: Path, results: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damaged, sound = runs(results)
    scores = (damaged / "scores.parquet").read_bytes()
    damage_it, why = DAMAGES["no record"]
    damage_it(damaged)

    caplog.clear()
    tally = sync(results, TrackingConfig("mlflow", None))
    assert tally["damaged"] == 1 and tally["mirrored"] == 1 and not tally["failed"]
    assert f"Left out: {damaged}: this run is damaged: {why}" in caplog.text

    untouched = (sound / "run.json").stat()
    words = [*TINY, f"dataset.root={original.parent / 'data'}", f"results={results}"]
    assert main(["-m", *words]) == 0
    assert (damaged / "scores.parquet").read_bytes() == scores and damage(damaged, digests=True) is None
    assert (sound / "run.json").stat() == untouched


def test_content_that_changed_in_place_is_found_by_verify_alone(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = runs(results)
    content = bytearray((first / "scores.parquet").read_bytes())
    content[len(content) // 2] ^= 1
    (first / "scores.parquet").write_bytes(content)
    assert RunFolder(first).complete
    assert main(["verify", str(second)]) == 0 and capsys.readouterr().out == "1 sound, 0 damaged\n"
    assert main(["verify", first.name, "--results", str(results)]) == 1
    assert f"damaged: {first}: the digest of scores.parquet differs from the one in run.json" in capsys.readouterr().out


def test_what_the_run_itself_wrote_is_listed_and_nothing_else(results: Path) -> None:
    first, _ = runs(results)
    files = json.loads((first / "run.json").read_text())["files"]
    wanted = {"card.json", "card.txt", "config.yaml", "environment.json", "log.txt", "overrides.txt"}
    assert files.keys() == {*wanted, "per_video.parquet", "scores.parquet"}
    assert main(["report", str(first)]) == 0
    (first / "pictures").mkdir()
    (first / "pictures" / "later.png").touch()
    assert damage(first, digests=True) is None


@pytest.mark.parametrize("name", ["../other/run.json", "/etc/hostname", ""])
def test_a_list_that_leads_out_of_the_folder_is_damage(results: Path, name: str) -> None:
    first, _ = runs(results)
    record = json.loads((first / "run.json").read_text())
    (first / "run.json").write_text(json.dumps({**record, "files": {name: {"bytes": 1, "sha256": "0" * 64}}}))
    assert "which is no file of a run" in str(RunFolder(first).damage)


def test_a_record_of_before_the_list_is_read(results: Path) -> None:
    first, _ = runs(results)
    record = json.loads((first / "run.json").read_text())
    del record["files"]
    (first / "run.json").write_text(json.dumps(record))
    assert RunFolder(first).complete and main(["verify", str(results)]) == 0
