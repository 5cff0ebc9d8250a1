"""Mistakes in configuration files of one's own: file, line and keys, one line each."""

from __future__ import annotations

from pathlib import Path

import pytest

from vadbench.config.compose import compose, user_config_dirs
from vadbench.errors import ConfigError


def said_of(folder: Path, text: str | bytes, *words: str, group: str = "model") -> str:
    """The message for a file ``mine.yaml`` of ``group``."""
    (folder / group).mkdir()
    path = folder / group / "mine.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigError) as caught:
        compose(user_config_dirs(["--config-dir", str(folder), f"{group}=mine", "dataset=synthetic", *words]))
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("name: fuvas\nfill: [1\n", "line 3, column 1"),
        ("name: fuvas\n\tfill: linear\n", "line 2, column 1"),
        ("defaults: [base\nname: fuvas\n", "line 2, column 5"),
    ],
)
def test_what_is_no_yaml_is_named_with_its_line(tmp_path: Path, text: str, place: str) -> None:
    said = said_of(tmp_path, text)
    assert f"{tmp_path}/model/mine.yaml, {place}: it can't be read as YAML" in said and "\n" not in said


def test_what_is_no_text_is_said(tmp_path: Path) -> None:
    assert "not UTF-8 text" in said_of(tmp_path, b"name: \xff\xfe\n")


def test_missing_keys_are_one_line(tmp_path: Path) -> None:
    said = said_of(tmp_path, "name: mine\nsource: me\n", group="protocol")
    assert said.startswith("protocol: keys without a value: version, steps, ") and "\n" not in said
    assert "frame_step" not in said and "{" not in said and "defaults: [OTHER]" in said


def test_missing_keys_of_a_step_and_of_its_protocol_are_a_line_each(tmp_path: Path) -> None:
    text = "name: mine\nsteps: [{kind: gaussian}, {kind: gausian, sigma: 3}, {size: 3}]\n"
    lines = said_of(tmp_path, text, "model=random", group="protocol").splitlines()
    assert "protocol.steps.1.kind='gausian': no such choice. Did you mean: gaussian" in lines[0]
    assert any(line.startswith("protocol: keys without a value: version, source") for line in lines)
    assert "protocol.steps.0: keys without a value: sigma" in lines
    assert "protocol.steps.2: keys without a value: kind" in lines
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("name: fuvaz\n", "model.name='fuvaz': no such choice. Did you mean: fuvas?"),
        ("layer: null\n", "model: keys without a value: name"),
    ],
)
def test_a_name_that_says_nothing(tmp_path: Path, text: str, part: str) -> None:
    said = said_of(tmp_path, text)
    assert said.startswith(part) and "\n" not in said
