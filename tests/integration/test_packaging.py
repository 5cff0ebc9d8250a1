"""What is shipped works from a wheel in another folder, and installs no stray top-level names."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPO = Path(__file__).resolve().parents[2]


def test_every_package_folder_is_listed() -> None:
    listed = set(tomllib.loads((REPO / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {str(p.parent.relative_to(REPO)).replace(os.sep, ".") for p in (REPO / "vadbench").rglob("__init__.py")}
    assert listed == found | {"vadbench.conf"}


def test_folders_for_people_hold_no_python() -> None:
    for folder in ("datasets", "results", "conf"):
        assert not list((REPO / folder).rglob("*.py")), f"{folder}/ holds Python: it would shadow other packages"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    words = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(REPO)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return next(out.glob("*.whl"))


def test_a_wheel_runs_from_another_folder(wheel: Path, tmp_path: Path) -> None:
    site, work = tmp_path / "site", tmp_path / "work"
    work.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    assert sorted(p.name for p in site.iterdir() if not p.name.endswith(".dist-info")) == ["vadbench"]
    shipped = {str(p.relative_to(site / "vadbench" / "conf")) for p in (site / "vadbench" / "conf").rglob("*.yaml")}
    assert shipped == {str(p.relative_to(REPO / "conf")) for p in (REPO / "conf").rglob("*.yaml")}
    assert (site / "vadbench" / "runs" / "run.v1.schema.json").is_file()
    environment = {**os.environ, "PYTHONPATH": str(site)}
    code = "import vadbench, vadbench.config.paths as p; print(vadbench.__file__); print(p.CONF)"
    where = run([sys.executable, "-c", code], work, environment)
    assert all(line.startswith(str(site)) for line in where.split())
    listed = run([sys.executable, "-m", "vadbench", "list"], work, environment)
    assert "flow_grid" in listed and "ucsd_ped2" in listed
    words = ["model=random", "dataset=synthetic", "tracking=none", "dataset.n_train=1", "dataset.n_test=1"]
    words += ["dataset.n_frames=24", "dataset.size=[48,64]"]
    ran = run([sys.executable, "-m", "vadbench", *words], work, environment)
    folder = Path(ran.strip().splitlines()[-1].split()[-1])
    assert (work / folder / "run.json").is_file()


def run(words: list[str], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
