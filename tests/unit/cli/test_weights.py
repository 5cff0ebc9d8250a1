"""The command `weights`: what a configuration needs, where it is, and all of it fetched, without a network."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from open_clip import pretrained

from vadbench import registry
from vadbench.backbones.base import Checkpoint
from vadbench.cli.main import main
from vadbench.models.ai_vad.streams.clip_weights import tags

CONTENT = {"x3d.pth": b"x3d" * 1000, "swin-cafe.pth": b"swin" * 1000, "tiny.pt": b"clip" * 1000}
SHA = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
AI_VAD = ["model=ai_vad", "regions.detector=none", "flow=dis", "model.use_pose_features=false"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Publishers that are folders here, and none of this machine's files in sight."""
    monkeypatch.setenv("VADBENCH_WEIGHTS", str(tmp_path / "own"))
    for variable in ("TORCH_HOME", "HOME", "HF_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    site = tmp_path / "site" / SHA["tiny.pt"]
    site.mkdir(parents=True)
    for name, content in CONTENT.items():
        (site / name).write_bytes(content)
    for backbone, name, prefix in (
        ("x3d_s", "x3d.pth", None),
        ("swin3d_b", "swin-cafe.pth", SHA["swin-cafe.pth"][:8]),
    ):
        checkpoint = Checkpoint("published", (site / name).as_uri(), prefix, "data", "sampling", "terms")
        part = registry.get("backbone", backbone)
        facts = {"facts": replace(part.facts["facts"], checkpoints=(checkpoint,))}
        monkeypatch.setitem(registry._parts, ("backbone", backbone), replace(part, facts=facts))
    clip = {"openai": {"url": (site / "tiny.pt").as_uri(), "hf_hub": "", "quick_gelu": True}}
    monkeypatch.setitem(pretrained._PRETRAINED, "ViT-B-16", clip)
    tags.cache_clear()
    yield tmp_path
    tags.cache_clear()


def weights(*words: str) -> int:
    return main(["weights", *words])


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_what_is_missing_is_listed_with_source_size_and_digest(folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert weights(*AI_VAD) == 1
    said = capsys.readouterr().out
    for part in (
        "deep (ViT-B-16): tiny.pt",
        "model.deep_weights=openai",
        f"file://{folder}/site/",
        "0.0 MB",
        SHA["tiny.pt"],
        f"no, not in {folder}/own nor {folder}/home/hub/checkpoints",
        "Missing or damaged: 1 of 1",
    ):
        assert part in said
    assert weights("backbone=x3d_s") == 1
    assert "about 15 MB" in capsys.readouterr().out
    assert not (folder / "own").exists()


def test_all_files_are_fetched_once_and_found_from_then_on(folder: Path, capsys: pytest.CaptureFixture) -> None:
    words = ("-m", "backbone=x3d_s,swin3d_b", "model.pca_level=0.9,0.98")
    assert weights(*words, "--fetch") == 0
    assert files(folder / "own") == ["swin-cafe.pth", "x3d.pth"]
    for path in (folder / "site").rglob("*.pth"):
        path.unlink()
    capsys.readouterr()
    assert weights(*words) == 0
    said = capsys.readouterr().out
    assert str(folder / "own" / "x3d.pth") in said and SHA["x3d.pth"] in said and "Missing" not in said
    assert weights(*words, "--fetch") == 0
    assert capsys.readouterr().out.splitlines() == [
        f"here     {folder / 'own' / name}" for name in ("x3d.pth", "swin-cafe.pth")
    ]


def test_a_folder_to_take_along_holds_all_files_and_is_named(folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert weights(*AI_VAD, "--fetch") == 0
    mine = folder / "mine.pth"
    mine.write_bytes(b"x")
    assert weights("-m", *AI_VAD[1:], "model=ai_vad", "--fetch", "--to", "along") == 0
    assert files(folder / "along") == ["tiny.pt"]
    assert f"export VADBENCH_WEIGHTS={folder / 'along'}" in capsys.readouterr().out
    assert weights("backbone=x3d_s", f"backbone.weights={mine}", "--fetch", "--to", "along") == 0
    assert "your own file, not copied" in capsys.readouterr().out
    assert files(folder / "along") == ["tiny.pt"]


def test_what_can_not_be_had_is_named_and_the_rest_is_fetched(folder: Path, capsys: pytest.CaptureFixture) -> None:
    (folder / "site" / SHA["tiny.pt"] / "x3d.pth").unlink()
    assert weights("-m", "backbone=x3d_s,swin3d_b", "--fetch") == 2
    assert files(folder / "own") == ["swin-cafe.pth"]
    said = capsys.readouterr().err
    assert "1 of 2 files are unavailable" in said and "x3d.pth: file://" in said and "No such file" in said
    assert "Traceback" not in said and "--to FOLDER" in said


def test_damage_is_seen(folder: Path, capsys: pytest.CaptureFixture) -> None:
    (folder / "own").mkdir()
    (folder / "own" / "swin-cafe.pth").write_bytes(b"half")
    assert weights("backbone=swin3d_b") == 1
    said = capsys.readouterr().out
    assert "DAMAGED" in said and SHA["swin-cafe.pth"][:8] in said
    assert weights("backbone=swin3d_b", "--fetch") == 2
    assert "remove it and run again" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["backbone=flow_grid"], ["backbone=x3d_s", "backbone.weights=random"]])
def test_nothing_is_needed_where_there_are_no_weights(words: list[str], capsys: pytest.CaptureFixture) -> None:
    assert weights(*words) == 0
    assert capsys.readouterr().out == "No weights are needed.\n"


def test_mistakes_are_explained(capsys: pytest.CaptureFixture) -> None:
    for words, said in (
        (["backbone=x3d_z"], "Did you mean: x3d_"),
        (["backbone=x3d_s", "backbone.weights=publish"], "Did you mean: published?"),
        (["backbone=x3d_s", "--to", "x"], "--to x: it says where --fetch puts"),
        ([*AI_VAD, "model.deep_weights=opnai"], "Did you mean: openai?"),
    ):
        assert weights(*words) == 2
        assert said in capsys.readouterr().err


def test_a_backbone_from_a_plug_in_needs_no_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    plugin = Path(__file__).resolve().parents[3] / "examples" / "plugins" / "backbone.py"
    monkeypatch.setenv(registry.VARIABLE, str(plugin))
    assert weights("model=fuvas", "backbone=patch_colours") == 0
    assert capsys.readouterr().out == "No weights are needed.\n"
