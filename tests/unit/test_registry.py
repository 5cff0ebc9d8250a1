"""Parts from outside are found beside the built-in ones, and a mistake in them is one message."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from vadbench import registry
from vadbench.errors import ConfigError

HEAD = "from dataclasses import dataclass\nfrom vadbench import plugins\n"
STEP = (
    HEAD
    + '@plugins.protocol_step("twice")\ndef twice(config, scores, dataset):\n    """Double."""\n    return 2 * scores\n'
)


pytestmark = pytest.mark.usefixtures("own_registry")


def plugin(folder: Path, text: str, name: str = "mine.py") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def refused(path: str) -> str:
    with pytest.raises(ConfigError) as caught:
        registry.add_plugins([path])
    text = str(caught.value)
    assert text.count("\n") == 0 and "Traceback" not in text
    return text


def test_a_part_of_a_file_is_found_with_its_origin_and_digest(tmp_path: Path) -> None:
    path = plugin(tmp_path, STEP)
    registry.add_plugins([path])
    part = registry.get("protocol_step", "twice")
    assert (part.origin, len(part.digest), part.summary) == (path, 64, "Double")
    assert part.build(None, 3, "any") == 6
    assert "twice" in registry.names("protocol_step")


def test_the_variable_alone_loads_a_file_in_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = plugin(tmp_path, STEP)
    monkeypatch.setenv(registry.VARIABLE, path)
    assert registry.get("protocol_step", "twice").origin == path


def test_a_file_that_does_not_import_is_one_message_with_its_line(tmp_path: Path) -> None:
    path = plugin(tmp_path, HEAD + "\nimport no_such_module_here\n")
    assert f"plug-in {path}, line 4: it does not import: ModuleNotFoundError" in refused(path)
    assert not [module for module in list(sys.modules.values()) if getattr(module, "__file__", None) == path]
    broken = plugin(tmp_path, "def broken(:\n", "broken.py")
    assert f"plug-in {broken}, line 1" in refused(broken)
    assert "there is no such file" in refused(str(tmp_path / "absent.py"))


def test_a_taken_name_says_by_whom(tmp_path: Path) -> None:
    registry.add_plugins([plugin(tmp_path, STEP)])
    text = refused(plugin(tmp_path, STEP, "second.py"))
    assert "second.py: the protocol step name 'twice' is taken by" in text and "mine.py" in text


@pytest.mark.parametrize(
    ("config", "part"),
    [
        ("@dataclass\nclass Keys:\n    size = 3\n", "Keys.size has no type; write size: int = 3"),
        ("class Keys:\n    size: int = 3\n", "Keys must be a dataclass"),
    ],
)
def test_a_config_without_types_is_refused(tmp_path: Path, config: str, part: str) -> None:
    text = HEAD + config + '@plugins.protocol_step("thrice", config=Keys)\ndef thrice(config, scores, dataset): ...\n'
    path = plugin(tmp_path, text)
    assert part in refused(path)
    assert registry.find("protocol_step", "thrice") is None


def test_a_built_in_part_that_a_plug_in_imports_first_stays_built_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_parts", dict(registry._parts))
    with registry._from_origin("/somewhere/mine.py", "0"):

        def build() -> None: ...

        build.__module__ = "vadbench.density.other"
        registry.density("imported_first")(build)
    assert registry.get("density", "imported_first").is_built_in


@pytest.mark.parametrize(
    "text",
    ["x = 1\n", HEAD + "@plugins.density\nclass Mine(plugins.BaseDensityEstimator):\n    pass\n"],
    ids=["no decorator", "a decorator without a name"],
)
def test_a_file_that_registers_nothing_says_what_to_write(tmp_path: Path, text: str) -> None:
    path = plugin(tmp_path, text)
    said = refused(path)
    assert f"plug-in {path}: it registers nothing" in said and '@plugins.density("NAME")' in said
    assert path not in registry.plugin_files()


def test_a_folder_is_no_plug_in(tmp_path: Path) -> None:
    assert "it is a folder; name the files in it" in refused(str(tmp_path))


def test_the_same_file_given_twice_is_one_plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = plugin(tmp_path, STEP)
    (tmp_path / "link.py").symlink_to(path)
    monkeypatch.chdir(tmp_path)
    registry.add_plugins([path, "mine.py", "link.py"])
    registry.add_plugins([path])
    assert registry.plugin_files() == [path]
    assert registry.get("protocol_step", "twice").origin == path


def test_what_runs_is_what_the_digest_is_of(tmp_path: Path) -> None:
    """Also where a file of the same length is written within the same second, which cached bytecode does not see."""
    for factor in (2, 3):
        path = plugin(tmp_path, STEP.replace("2 *", f"{factor} *"))
        registry.add_plugins([path])
        assert registry.get("protocol_step", "twice").build(None, 1, "any") == factor
        del registry._parts["protocol_step", "twice"], registry._loaded[path]
    assert not (tmp_path / "__pycache__").exists()


def test_a_part_that_can_not_be_built_is_one_message_with_its_line(tmp_path: Path) -> None:
    path = plugin(tmp_path, HEAD + '\n@plugins.dataset("mine")\ndef mine(config):\n    return open("/no/such/file")\n')
    registry.add_plugins([path])
    with pytest.raises(ConfigError) as caught:
        registry.get("dataset", "mine").make(None)
    said = str(caught.value)
    assert said.startswith(f"plug-in {path}, line 6: dataset 'mine': FileNotFoundError") and said.count("\n") == 0
    with pytest.raises(ConfigError, match=r"mine\(\) missing 1 required positional argument"):
        registry.get("dataset", "mine").make()
