"""The same plug-ins by file and as an installed package, in single runs and by launchers: the same scores."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.integration.conftest import environment, vadbench
from vadbench.registry import VARIABLE

REPO = Path(__file__).resolve().parents[2]
EXAMPLES = REPO / "examples" / "plugins"
PARTS = ("model", "density", "dataset", "metric")
BY_FILE = [word for name in PARTS for word in ("--plugin", str(EXAMPLES / f"{name}.py"))]
RUN = ["model=brightness", "dataset=squares", "dataset.n_test=5", "tracking=none", "runtime.threads=1"]
TWO = ["-m", *RUN, "seed=0,1"]
PROCESSES = ["launcher.jobs=2"]
SUBMITIT = ["launcher=slurm", "launcher.cluster=local", "launcher.jobs=2", "launcher.gpus_per_job=0"]
SUBMITIT += ["launcher.cpus_per_job=1", "launcher.mem_gb=2", "launcher.minutes=10"]


Found = dict[int, tuple[list[float], dict[str, Any]]]


def found(results: Path) -> Found:
    """Seed to scores and metrics of its run, without what says where the parts came from."""
    runs = {}
    for path in sorted(results.glob("runs/*/*/*/run.json")):
        record = json.loads(path.read_text())
        metrics = record["metrics"]
        for key in ("plugin", "digest"):
            del metrics["separation"][key]
        runs[record["seed"]] = pd.read_parquet(path.parent / "scores.parquet")["score"].tolist(), metrics
    return runs


def origins(results: Path) -> set[str]:
    records = [json.loads(path.read_text()) for path in results.glob("runs/*/*/*/run.json")]
    parts = {part["origin"] for record in records for part in record["plugins"].values()}
    return parts | {record["metrics"]["separation"]["plugin"] for record in records}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Found:
    results = tmp_path_factory.mktemp("single")
    for seed in ("seed=0", "seed=1"):
        done = vadbench(*BY_FILE, *RUN, seed, f"results={results}")
        assert done.returncode == 0, done.stderr
    assert origins(results) == {str(EXAMPLES / f"{name}.py") for name in PARTS}
    return found(results)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the examples with their entry points, built without a network."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    (source / "example_parts").mkdir()
    (source / "example_parts" / "__init__.py").write_text("")
    for name in PARTS:
        shutil.copy(EXAMPLES / f"{name}.py", source / "example_parts" / f"{name}.py")
    points = "".join(f'{name} = "example_parts.{name}"\n' for name in PARTS)
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "example-parts"\nversion = "1.2"\n'
        f'[project.entry-points."vadbench.plugins"]\n{points}[tool.setuptools]\npackages = ["example_parts"]\n'
    )
    return build(source, out)


def build(source: Path, out: Path) -> Path:
    words = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def site(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(package) as wheel:
        wheel.extractall(folder)
    return folder


def test_by_submitit(reference: Found, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    done = vadbench(*TWO, *SUBMITIT, f"results={tmp_path}", *BY_FILE)
    assert done.returncode == 0, done.stderr
    assert found(tmp_path) == reference


def test_as_an_installed_package(reference: Found, site: Path, tmp_path: Path) -> None:
    env = {"PYTHONPATH": str(site)}
    single = vadbench(*RUN, f"results={tmp_path / 'single'}", env=env)
    assert single.returncode == 0, single.stderr
    assert single.stdout.splitlines()[-1].startswith("run folder:    ")
    sweep = vadbench(*TWO, *PROCESSES, f"results={tmp_path / 'sweep'}", env=env)
    assert sweep.returncode == 0, sweep.stderr
    assert found(tmp_path / "single") == {0: reference[0]} and found(tmp_path / "sweep") == reference
    for results in ("single", "sweep"):
        assert origins(tmp_path / results) == {"example-parts 1.2"}


@pytest.mark.slow
def test_as_an_installed_package_by_submitit(reference: Found, site: Path, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    done = vadbench(*TWO, *SUBMITIT, f"results={tmp_path}", env={"PYTHONPATH": str(site)})
    assert done.returncode == 0, done.stderr
    assert found(tmp_path) == reference


@pytest.mark.slow
def test_both_installed_from_wheels(reference: Found, package: Path, tmp_path: Path) -> None:
    """vadbench too is its wheel, and neither is found from this folder."""
    site, work = tmp_path / "site", tmp_path / "work"
    work.mkdir()
    pip = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--quiet", "--target", str(site)]
    subprocess.run([*pip, str(package), str(build(REPO, tmp_path / "dist"))], check=True)
    env = {**environment(), "PYTHONPATH": str(site)}
    for words in ([*RUN, "results=single"], [*TWO, *PROCESSES, "results=sweep"]):
        command = [sys.executable, "-m", "vadbench", *words]
        done = subprocess.run(command, cwd=work, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    where = subprocess.run(
        [sys.executable, "-c", "import vadbench; print(vadbench.__file__)"], cwd=work, env=env, capture_output=True
    )
    assert where.stdout.decode().startswith(str(site))
    assert found(work / "single") == {0: reference[0]} and found(work / "sweep") == reference


@pytest.mark.slow
def test_a_worker_of_another_machine_takes_the_files_from_the_sweep(reference: Found, tmp_path: Path) -> None:
    """As a task of Slurm or Ray, whose environment is not that of the command."""
    results = tmp_path / "results"
    code = (
        "import sys; from vadbench.cli.main import _with_plugins; from vadbench.sweep.multirun import Sweep; "
        "from vadbench.sweep.points import expand; words = _with_plugins(sys.argv[1:]); "
        "sweep = Sweep(words, expand(words)); sweep.since = sweep.folder.begin(); "
        "sweep.folder.write_work(sweep._work(sweep.todo(), 1, retry=False)); print(sweep.folder.path)"
    )
    words = [*BY_FILE, *TWO[1:], f"results={results}"]
    begun = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, env=environment())
    assert begun.returncode == 0, begun.stderr
    folder = begun.stdout.splitlines()[-1]
    assert VARIABLE not in os.environ or not os.environ[VARIABLE]
    command = [sys.executable, "-c", f"from vadbench.sweep.launchers import _ray_worker; _ray_worker({folder!r}, 0, 1)"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stderr
    assert found(results) == reference
