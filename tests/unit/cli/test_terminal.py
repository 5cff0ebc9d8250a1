"""What a run's mistakes and the libraries below it print: one message, and the rest in log.txt."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

from tests.unit.data.clips import moving_clip, write_images
from vadbench.cli.main import main
from vadbench.experiment import run


def command(*words: str) -> int:
    """The exit status of the command line in a process whose logging nobody has set up, as pytest has."""
    root, show = logging.getLogger(), warnings.showwarning
    kept, root.handlers = root.handlers, []
    try:
        return main(words)
    finally:
        root.handlers = kept
        logging.captureWarnings(False)
        warnings.showwarning = show


def damaged(root: Path) -> list[str]:
    """The overrides of a run that fails while frames are read."""
    for split in ("train", "test"):
        write_images(root / split / "door", moving_clip(60, 24, 32, seed=1))
    for number in range(20, 30):
        next((root / "test" / "door").glob(f"*{number}.png")).unlink()
    return ["model=frame_difference", "dataset=folder", f"dataset.root={root}", "tracking=none"]


def test_a_mistake_inside_a_run_is_one_message_and_its_traceback_is_in_the_log(tmp_path: Path, capsys) -> None:
    assert command(*damaged(tmp_path / "site"), f"results={tmp_path / 'results'}") == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("vadbench: ") and said.err.count("\n") == 1
    assert "missing from the numbering" in said.err and "dataset.on_fault=skip" in said.err
    log = next((tmp_path / "results").glob("runs/*/*/*/log.txt")).read_text()
    assert "Traceback" in log and "DataError" in log


def test_a_sweep_shows_no_traceback_of_a_mistake_either(tmp_path: Path, capsys) -> None:
    words = [*damaged(tmp_path / "site"), "seed=0,1", f"results={tmp_path / 'results'}"]
    assert command("-m", *words) == 1
    said = capsys.readouterr()
    assert "Traceback" not in said.err + said.out
    assert "missing from the numbering" in said.err


def test_what_libraries_say_goes_to_the_log_of_the_run(tmp_path: Path, capsys, monkeypatch) -> None:
    draw = run._draw

    def drawing(*parts: object) -> None:
        logging.getLogger("urllib3.connectionpool").warning("Retrying after connection broken")
        logging.getLogger("some_library").info("Running upgrade")
        warnings.warn("this tensor is old", UserWarning, stacklevel=1)
        logging.getLogger("vadbench.anything").warning("our own")
        logging.getLogger("some_library").error("an error of a library")
        draw(*parts)

    monkeypatch.setattr(run, "_draw", drawing)
    logging.captureWarnings(False)  # an earlier test's capture ended with that test
    words = ["model=random", "dataset=synthetic", "dataset.n_test=1", "dataset.n_train=1", "dataset.n_frames=24"]
    words += [f"dataset.root={tmp_path}", "tracking=none", f"results={tmp_path}"]
    assert command(*words) == 0
    said = capsys.readouterr()
    shown = [line for line in said.err.splitlines() if "rendering" not in line]
    assert shown == ["WARNING: our own", "ERROR: an error of a library"]
    assert said.out.startswith("random on synthetic")
    log = next(tmp_path.glob("runs/*/*/*/log.txt")).read_text()
    assert all(text in log for text in ("Retrying after", "Running upgrade", "this tensor is old", "our own"))
