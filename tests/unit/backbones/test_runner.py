"""Parts of a network that an engine runs give what the network's own modules give, row by row."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from vadbench.backbones.engines import choice, openvino
from vadbench.backbones.engines.runner import Runner
from vadbench.errors import ConfigError

pytest.importorskip("openvino")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own; the folder of converted networks in it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vadbench" / "networks"


class Head(nn.Module):
    """Two inputs in a list, outputs in a dictionary: as detectors have them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.line = nn.Linear(5, 2)

    def forward(self, maps: list[torch.Tensor], scale: torch.Tensor) -> OrderedDict[str, Any]:
        x = self.conv(maps[0]).relu()
        return OrderedDict(b=x * scale[:, :, None, None], a=[self.line(maps[1]).sigmoid()])


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = Head()
        self.scale = 2.0

    def forward(self, maps: list[torch.Tensor], scale: torch.Tensor) -> OrderedDict[str, Any]:
        found: OrderedDict[str, Any] = self.head(maps, scale * self.scale)
        return found


def net() -> Net:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Net().eval().requires_grad_(False)


def given(n: int) -> tuple[list[torch.Tensor], torch.Tensor]:
    draw = torch.Generator().manual_seed(n)
    return [torch.randn(n, 3, 6, 7, generator=draw), torch.randn(n, 5, generator=draw)], torch.rand(
        n, 4, generator=draw
    ) + 1


def run(network: nn.Module, inputs: Any) -> dict[str, torch.Tensor]:
    with torch.inference_mode():
        found = network(*inputs)
    assert list(found) == ["b", "a"]
    return {"b": found["b"], "a": found["a"][0]}


def taken(rows: int = 3, frames: int = 0, **options: Any) -> tuple[Net, Runner]:
    network, runner = net(), Runner(**options)
    runner.expect(frames)
    runner.take(network, "toy", {"head": rows})
    return network, runner


@pytest.mark.parametrize("engine", ["openvino", pytest.param("compile", marks=pytest.mark.slow)])
def test_an_engine_gives_what_the_module_gives_for_any_number_of_rows(engine: str, cache: Path) -> None:
    network, runner = taken(engine=engine)
    for n in (7, 3, 1, 0):
        expected, found = run(net(), given(n)), run(network, given(n))
        for name in ("a", "b"):
            assert found[name].shape == expected[name].shape
            torch.testing.assert_close(found[name], expected[name], rtol=1e-5, atol=1e-5)
    assert [mark.partition(" ")[0] for mark in runner.marks] == [engine]
    if engine == "openvino":
        assert len(list(cache.iterdir())) == 1, "one shape, whatever the number of rows"


def test_rows_do_not_depend_on_what_else_is_in_their_block() -> None:
    network, _ = taken(engine="openvino")
    maps, scale = given(3)
    alone = run(network, ([m[:1] for m in maps], scale[:1]))
    torch.testing.assert_close(run(network, (maps, scale))["b"][:1], alone["b"], rtol=0, atol=0)


def test_a_kept_conversion_is_that_of_these_weights(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(taken(engine="openvino")[0], given(2))
    conversions = []
    convert = openvino._convert

    def counted(*args: Any) -> Any:
        conversions.append(1)
        return convert(*args)

    monkeypatch.setattr(openvino, "_convert", counted)
    torch.testing.assert_close(run(taken(engine="openvino")[0], given(2)), first, rtol=0, atol=0)
    assert not conversions
    network, _ = taken(engine="openvino")
    other = net()
    for changed in (network, other):
        changed.head.conv.weight.mul_(2)
    torch.testing.assert_close(run(network, given(2)), run(other, given(2)), rtol=1e-5, atol=1e-5)
    assert len(conversions) == 1


def test_eager_in_float32_is_the_module_to_the_bit_and_nothing_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch._subclasses, "FakeTensorMode", None)
    for engine, frames in (("eager", 10**12), ("auto", 0)):
        network, runner = taken(engine=engine, frames=frames)
        torch.testing.assert_close(run(network, given(7)), run(net(), given(7)), rtol=0, atol=0)
        assert runner.marks == {"eager"}


def test_auto_converts_where_the_training_frames_are_worth_it() -> None:
    work = 3 * (4 * 3 * 9 * 6 * 7 + 5 * 2)  # of a block of 3 rows
    enough = int(choice.WORTH_CONVERTING / work) + 1
    for frames, engine in ((enough - 1, "eager"), (enough, "openvino")):
        network, runner = taken(frames=frames)
        run(network, given(2))
        assert [mark.partition(" ")[0] for mark in runner.marks] == [engine]


@pytest.mark.parametrize("engine", ["eager", "openvino"])
def test_bfloat16_rounds_and_returns_float32(engine: str) -> None:
    network, runner = taken(engine=engine, precision="bfloat16")
    found, exact = run(network, given(4)), run(net(), given(4))
    for name, expected in exact.items():
        assert found[name].dtype == torch.float32
        assert (found[name] - expected).norm() < 0.02 * expected.norm()
    assert any((found[name] - exact[name]).norm() > 1e-5 * exact[name].norm() for name in exact) or engine != "eager"
    assert runner.spec() == {"precision": "bfloat16"}
    assert Runner().spec() == {}


def test_what_cannot_be_converted_is_an_error_or_a_remark(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_rule(*args: Any) -> Any:
        raise RuntimeError("no rule for aten::odd")

    monkeypatch.setattr(openvino, "_convert", no_rule)
    with pytest.raises(ConfigError, match=r"model\.engine=openvino can't run head of toy: no rule for aten::odd"):
        run(taken(engine="openvino")[0], given(2))
    network, runner = taken(frames=10**12)
    for _ in range(2):
        torch.testing.assert_close(run(network, given(2)), run(net(), given(2)), rtol=0, atol=0)
    assert runner.marks == {"eager"}
    (remark,) = runner.remarks
    assert remark.startswith("model.engine=auto: openvino can't run head of toy")


def test_openvino_on_a_gpu_is_refused_with_the_key_of_the_setting() -> None:
    with pytest.raises(ConfigError, match=r"model\.engine=openvino runs on a CPU"):
        Runner("openvino", device="cuda:0")
