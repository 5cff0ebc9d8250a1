"""Where weights come from: files, folders, servers, damage, and code hidden in a checkpoint."""

from __future__ import annotations

import hashlib
import os
import pickle
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import torch

from tests.backbones import FACTS
from vadbench.backbones.base import Checkpoint, Facts
from vadbench.backbones.weights import Weights, find, fitted, read, weights_files
from vadbench.backbones.weights_file import digest_of, search_folders
from vadbench.errors import WeightsError

CONTENT = b"weights" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty weights folder and an empty hub cache."""
    monkeypatch.setenv("VADBENCH_WEIGHTS", str(tmp_path / "own"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path


def published(url: str, prefix: str | None = DIGEST[:8]) -> Facts:
    return Facts("nowhere:net", 1, (Checkpoint("kinetics", url, prefix, "data", "sampling", "terms"),))


@pytest.fixture
def server() -> Iterator[str]:
    """Serves CONTENT at /good, half of it under the full length at /short, and 404 elsewhere."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.endswith("missing.pth"):
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT[: len(CONTENT) // 2] if self.path.endswith("short.pth") else CONTENT)

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


def files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


def test_random_weights_are_named_by_backbone_and_seed() -> None:
    one, again, other = (find("x3d_s", FACTS["x3d_s"], "random", seed) for seed in (1, 1, 2))
    assert one == again
    assert one.random and one.file is None and one.seed == 1
    assert len(one.digest) == 64 and one.digest != other.digest
    assert find("x3d_m", FACTS["x3d_m"], "random", 1).digest != one.digest


def test_published_weights_are_fetched_once_and_kept(server: str, folders: Path) -> None:
    facts = published(f"{server}/good.pth")
    weights = find("net", facts, "pretrained", 0)
    assert weights == Weights("kinetics", folders / "own" / "good.pth", DIGEST)
    assert files(folders) == ["good.pth"]
    facts = published("http://127.0.0.1:1/good.pth")  # nobody answers there
    assert find("net", facts, "kinetics", 0) == weights


def test_the_hub_cache_is_searched_and_the_own_folder_comes_first(folders: Path) -> None:
    facts = published("http://127.0.0.1:1/good.pth")
    own, hub = search_folders()
    assert hub == folders / "torch" / "hub" / "checkpoints"
    hub.mkdir(parents=True)
    (hub / "good.pth").write_bytes(CONTENT)
    assert find("net", facts, "pretrained", 0).file == hub / "good.pth"
    own.mkdir()
    (own / "good.pth").write_bytes(CONTENT)
    (file,) = weights_files("net", facts, "pretrained")
    assert file.here() == (file, own / "good.pth")


def test_torch_means_the_same_hub_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variables in ({"TORCH_HOME": str(tmp_path / "a")}, {"XDG_CACHE_HOME": str(tmp_path / "b")}, {}):
        for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert search_folders()[-1] == Path(torch.hub.get_dir()).expanduser() / "checkpoints"


@pytest.mark.parametrize("path", ["short.pth", "missing.pth"])
def test_what_can_not_be_fetched_whole_leaves_nothing_and_says_what_to_do(
    server: str, folders: Path, path: str
) -> None:
    with pytest.raises(WeightsError) as error:
        find("net", published(f"{server}/{path}"), "pretrained", 0)
    said = str(error.value)
    for part in (path, f"{server}/{path}", str(folders / "own" / path), "VADBENCH_WEIGHTS", "backbone.weights=random"):
        assert part in said
    assert "backbone=flow_grid" in said
    assert files(folders) == []


def test_a_fetched_file_with_another_digest_is_not_kept(server: str, folders: Path) -> None:
    with pytest.raises(WeightsError, match=f"begins with {DIGEST[:8]}, the publisher's file with 00000000"):
        find("net", published(f"{server}/good.pth", "00000000"), "pretrained", 0)
    assert files(folders) == []


def test_a_damaged_file_on_disk_is_refused_and_left_to_the_user(folders: Path) -> None:
    file = folders / "own" / "good.pth"
    file.parent.mkdir()
    file.write_bytes(CONTENT[:-1])
    with pytest.raises(WeightsError, match=r"good\.pth: its SHA-256 begins with .*remove it"):
        find("net", published("http://127.0.0.1:1/good.pth"), "pretrained", 0)
    file.write_bytes(CONTENT)  # mended: no stale digest
    os.utime(file, ns=(1, 1))
    assert find("net", published("http://127.0.0.1:1/good.pth"), "pretrained", 0).digest == DIGEST


def test_a_file_that_was_changed_in_place_has_another_digest(tmp_path: Path) -> None:
    """Also where its size is the same and its modification time was set back."""
    file = tmp_path / "weights.pth"
    file.write_bytes(b"one")
    before, first = file.stat(), digest_of(file)
    time.sleep(0.02)  # a tick of the clock of the file system
    with file.open("r+b") as handle:
        handle.write(b"two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert digest_of(file) == hashlib.sha256(b"two").hexdigest() != first


def test_a_publisher_without_digests_gets_the_digest_recorded(folders: Path) -> None:
    file = folders / "own" / "good.pth"
    file.parent.mkdir()
    file.write_bytes(CONTENT)
    assert find("net", published("http://127.0.0.1:1/good.pth", None), "pretrained", 0).digest == DIGEST


def test_a_path_is_taken_as_it_is_and_a_wrong_one_gets_the_choices(folders: Path) -> None:
    file = folders / "mine.pth"
    file.write_bytes(CONTENT)
    facts = published("http://127.0.0.1:1/good.pth")
    assert find("net", facts, str(file), 0) == Weights(str(file), file, DIGEST)
    with pytest.raises(
        WeightsError, match=r"backbone\.weights=kinetic: .*Did you mean: kinetics\?.*pretrained, random"
    ):
        find("net", facts, "kinetic", 0)
    with pytest.raises(WeightsError, match=r"backbone\.weights=null"):
        find("net", facts, None, 0)


def saved(folder: Path, content: object) -> Weights:
    torch.save(content, folder / "file.pth")
    return Weights("file", folder / "file.pth", "")


TENSORS = {"a.weight": torch.ones(2, 3), "b.weight": torch.zeros(4)}


@pytest.mark.parametrize("wrap", [None, "model_state", "state_dict", "model", "model_state_dict"])
def test_state_dicts_are_found_under_the_usual_keys(folders: Path, wrap: str | None) -> None:
    content = TENSORS if wrap is None else {"epoch": 3, wrap: TENSORS, "note": "x"}
    got = read(saved(folders, content))
    assert got.keys() == TENSORS.keys()
    assert all(torch.equal(got[k], TENSORS[k]) for k in TENSORS)


def test_safetensors_are_read(folders: Path) -> None:
    from safetensors.torch import save_file

    save_file(TENSORS, folders / "file.safetensors")
    assert read(Weights("", folders / "file.safetensors", "")).keys() == TENSORS.keys()


def test_code_in_a_checkpoint_is_not_run(folders: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (os.mkdir, (str(folders / "pwned"),))

    with pytest.raises(WeightsError, match="not a checkpoint that can be read safely"):
        read(saved(folders, {"state_dict": Attack()}))
    with (folders / "plain.pth").open("wb") as sink:
        pickle.dump({"a": Attack()}, sink)
    with pytest.raises(WeightsError, match="not a checkpoint that can be read safely"):
        read(Weights("", folders / "plain.pth", ""))
    assert not (folders / "pwned").exists()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint at all"])
def test_other_files_are_refused(folders: Path, content: bytes) -> None:
    (folders / "x.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=r"x\.pth: not a checkpoint"):
        read(Weights("", folders / "x.pth", ""))
    with pytest.raises(WeightsError, match="holds no parameters by name"):
        read(saved(folders, {"epoch": 3}))
    with pytest.raises(WeightsError, match="holds no parameters by name"):
        read(saved(folders, torch.ones(3)))


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.backbone."])
def test_prefixes_that_wrappers_add_are_taken_off(prefix: str) -> None:
    tensors = {prefix + k: v for k, v in TENSORS.items()}
    assert fitted(tensors, TENSORS, TENSORS, "f").keys() == TENSORS.keys()


def test_parameters_past_the_cut_may_have_any_shape_but_must_be_known() -> None:
    needed = {"a.weight": TENSORS["a.weight"]}
    other_head = {**TENSORS, "b.weight": torch.zeros(99)}
    assert list(fitted(other_head, needed, TENSORS, "f")) == ["a.weight"]
    with pytest.raises(WeightsError, match=r"f: these weights are of another network\.\n  unknown: c\.weight"):
        fitted({**TENSORS, "c.weight": torch.zeros(1)}, needed, TENSORS, "f")


def test_every_key_that_does_not_fit_is_named() -> None:
    needed = {**TENSORS, "c.weight": torch.zeros(1), "c.num_batches_tracked": torch.zeros(())}
    tensors = {"a.weight": torch.ones(3, 2), "b.weight": TENSORS["b.weight"], "d.bias": torch.zeros(1)}
    with pytest.raises(WeightsError) as error:
        fitted(tensors, needed, needed, "f")
    said = str(error.value)
    assert "missing: c.weight\n" in said
    assert "unknown: d.bias\n" in said
    assert "of another shape: a.weight (3, 2) in place of (2, 3)" in said
    assert "num_batches_tracked" not in said


def test_every_published_file_has_a_name_and_an_address() -> None:
    for name, facts in FACTS.items():
        for checkpoint in facts.checkpoints:
            assert checkpoint.url.startswith("https://"), name
            assert checkpoint.file.endswith((".pth", ".pyth")), name
