"""What all tests share: where the real clips are, and that every record keeps to its schema."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.records import require_valid
from vadbench import registry

if "PYTEST_XDIST_WORKER" in os.environ:  # the workers share the cores: more threads would wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job; commands that tests start inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_NAME"):  # a test that wants one sets it
    os.environ.pop(name, None)


@pytest.fixture(scope="session", autouse=True)
def cache_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What another version of the source left in the user's cache plays no part; weights stay where they are."""
    with pytest.MonkeyPatch.context() as patch:
        known = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        patch.setenv("TORCH_HOME", os.environ.get("TORCH_HOME") or str(known / "torch"))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real clips and labels; tests that need it are skipped where it is absent."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("VADBENCH_SHARED", default))
    if not folder.is_dir():
        pytest.skip(f"real clips not found at {folder} (set VADBENCH_SHARED)")
    return folder


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget after the test which plug-ins it loaded."""
    monkeypatch.setenv(registry.VARIABLE, "")
    yield
    for key in [key for key, part in registry._parts.items() if not part.is_built_in]:
        del registry._parts[key]
    for path in [path for path in registry._loaded if path != registry.ENTRY_POINTS]:
        del registry._loaded[path]


@pytest.fixture(scope="session", autouse=True)
def valid_records() -> Iterator[None]:
    """Every record that this process writes is valid under the schema of its version."""
    from vadbench.runs.run_folder import RunFolder

    write = RunFolder.write

    def checked(folder: RunFolder, record: dict[str, Any]) -> None:
        write(folder, record)
        require_valid(folder.path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunFolder, "write", checked)
        yield
