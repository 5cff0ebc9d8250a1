"""From nothing to a checked dataset: a made Avenue on a loopback server, fetched, unpacked, checked, and not twice."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.data.trees import official_avenue, shanghaitech
from vadbench.data import prepare
from vadbench.data.download import Remote

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"


@pytest.fixture
def published(tmp_path: Path) -> Iterator[list[Remote]]:
    """Two archives as Avenue's authors publish theirs, served on loopback."""
    tree, served = tmp_path / "tree", tmp_path / "served"
    official_avenue(tree)
    served.mkdir()
    for name, folder in (("Avenue_Dataset.zip", "Avenue Dataset"), ("ground_truth_demo.zip", "ground_truth_demo")):
        with zipfile.ZipFile(served / name, "w") as packed:
            for file in sorted((tree / folder).rglob("*")):
                packed.write(file, file.relative_to(tree))
    handler = functools.partial(Quiet, directory=str(served))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    yield [
        Remote(f"{address}/{path.name}", hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size)
        for path in sorted(served.iterdir())
    ]
    server.shutdown()
    server.server_close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without a log."""

    def log_message(self, *args: object) -> None:
        """Quiet."""


def test_fetch_unpack_and_check(tmp_path: Path, published: list[Remote], capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "datasets" / "avenue"
    # Three clips are no full split, and that is said.
    assert prepare.prepare(root, published, ["avenue"], confirmed=True) == 1
    out = capsys.readouterr().out
    assert "official (video files)" in out and "18 of 21 test videos are missing: 04-21" in out
    assert "50 frames decoded" in out
    (root / "Avenue_Dataset.zip").unlink()  # space is dear; what is unpacked is not fetched again
    assert prepare.prepare(root, published, ["avenue"], confirmed=True) == 1
    assert not (root / "Avenue_Dataset.zip").exists()


def test_a_download_that_broke_off_is_taken_up_by_the_same_command(tmp_path: Path, published: list[Remote]) -> None:
    root = tmp_path / "avenue"
    root.mkdir()
    whole = (tmp_path / "served" / "Avenue_Dataset.zip").read_bytes()
    (root / "Avenue_Dataset.zip.part").write_bytes(whole[:1000])
    prepare.prepare(root, published, ["avenue"], confirmed=True)
    assert (root / "Avenue_Dataset.zip").read_bytes() == whole


def test_shanghaitech_says_what_to_do_and_checks_what_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prepare.shanghaitech(tmp_path / "nowhere") == 1
    out = capsys.readouterr().out
    assert "https://svip-lab.github.io/dataset/campus_dataset.html" in out
    assert f"Join and unpack them in {tmp_path}/nowhere" in out and "testing/test_frame_mask/01_0014.npy" in out
    assert prepare.shanghaitech(shanghaitech(tmp_path)) == 1
    assert "327 of 330 train videos are missing" in capsys.readouterr().out


@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("prepare_*.py")), ids=lambda path: path.stem)
def test_scripts_are_thin(script: Path) -> None:
    assert len(script.read_text().splitlines()) < 60


def test_the_script_runs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / "prepare_shanghaitech.py"), str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 1 and "OneDrive" in done.stdout and done.stderr == ""


def test_what_is_fetched_is_what_others_recorded() -> None:
    for remote in (prepare.UCSD, prepare.AVENUE, prepare.AVENUE_MASKS):
        assert len(remote.sha256) == 64 and remote.bytes > 900_000 and remote.url.startswith("http")


@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("prepare_*.py")), ids=lambda path: path.stem)
def test_help_makes_and_fetches_nothing(tmp_path: Path, script: Path) -> None:
    done = subprocess.run([sys.executable, str(script), "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith(f"usage: {script.name}") and done.stderr == ""
    assert list(tmp_path.iterdir()) == []


class Terminal(io.StringIO):
    """A standard input that people type into."""

    def isatty(self) -> bool:
        """True."""
        return True


@pytest.mark.parametrize(("typed", "fetched"), [("y\n", True), ("Yes\n", True), ("\n", False), ("n\n", False)])
def test_a_download_is_asked_about(
    tmp_path: Path, published: list[Remote], capsys: pytest.CaptureFixture[str], monkeypatch, typed: str, fetched: bool
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    status = prepare.main([str(tmp_path / "data")], "About.", "elsewhere", published, ["avenue"])
    out = capsys.readouterr().out
    assert f"to {tmp_path / 'data'} and unpack it there? [y/N]" in out and published[0].url in out
    assert (status, (tmp_path / "data").is_dir(), "Nothing was fetched" in out) == (
        (1, True, False) if fetched else (2, False, True)
    )


def test_nobody_to_ask_is_a_no_and_yes_needs_no_question(
    tmp_path: Path, published: list[Remote], capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    words = [str(tmp_path / "data")]
    assert prepare.main(words, "About.", "elsewhere", published, ["avenue"]) == 2
    assert "Say --yes to do so" in capsys.readouterr().err and not (tmp_path / "data").exists()
    assert prepare.main([*words, "--yes"], "About.", "elsewhere", published, ["avenue"]) == 1
    assert "[y/N]" not in capsys.readouterr().out
    assert prepare.main(words, "About.", "elsewhere", published, ["avenue"]) == 1  # it is there: nothing to ask


def test_an_option_that_is_none_makes_no_folder(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        prepare.main(["--halp"], "About.", "data", [prepare.AVENUE], ["avenue"])
    assert list(tmp_path.iterdir()) == []
