"""Engines give what eager gives, up to rounding; which one runs is a fixed rule, said and recorded."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.backbones import FACTS
from vadbench.backbones import model_zoo
from vadbench.backbones.engines import choice, converted, openvino
from vadbench.backbones.engines.compiled import Compiled
from vadbench.backbones.engines.eager import Eager
from vadbench.backbones.engines.openvino import OpenVino
from vadbench.backbones.engines.traced import distance, traced
from vadbench.backbones.network import Network, multiply_adds
from vadbench.errors import ConfigError, VadbenchError

pytest.importorskip("openvino")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own; the folder of converted networks in it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vadbench" / "networks"


def build(name: str, shape: tuple[int, int, int], layers: tuple[str, ...], **changes: Any) -> Network:
    t, h, w = shape
    values = {"clip_length": t, "size": (h, w), "weights": "random", **changes}
    network = model_zoo.build(replace(model_zoo.load_config(name), **values), layers, seed=3)
    assert isinstance(network, Network)
    if network.needs_calibration:
        network.calibrate(clips(6, shape, seed=1))
    return network


def clips(n: int, shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, *shape, 3), dtype=np.float32)


def relative(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a.astype(np.float64) - b) / np.linalg.norm(b.astype(np.float64)))


class InPlace(nn.Module):
    """Outputs that what comes later overwrites: by a module, by an addition, and in a module that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 4, 1)
        self.relu = nn.ReLU(inplace=True)
        self.twice = nn.Conv3d(4, 4, 1)
        self.never = nn.Conv3d(5, 5, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        y = self.twice(self.relu(x))
        y += 1
        z: torch.Tensor = self.twice(y)
        z.zero_()
        return self.never(z)  # type: ignore[no-any-return]


def in_place() -> InPlace:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return InPlace().requires_grad_(False).eval()


# Convolutions with squeeze-and-excitation, plain 3-D ones, shifted windows, and a class token beside patches.
NETWORKS = [
    ("x3d_xs", (4, 32, 48), ("blocks.0.conv", "blocks.1")),
    pytest.param("r3d_18", (4, 32, 48), ("stem", "layer1", "layer2.1.conv2"), marks=pytest.mark.slow),
    pytest.param("s3d", (16, 32, 48), ("features.2", "features.6"), marks=pytest.mark.slow),
    pytest.param("swin3d_t", (4, 64, 96), ("patch_embed", "features.0"), marks=pytest.mark.slow),
    pytest.param("mvit_v2_s", (16, 224, 224), ("blocks.0",), marks=pytest.mark.slow),
    pytest.param("slow_r50", (4, 64, 64), ("blocks.1", "blocks.4"), marks=pytest.mark.slow),
    pytest.param("x3d_s", (13, 96, 96), ("blocks.4",), marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "shape", "layers"), NETWORKS)
def test_openvino_gives_the_features_of_eager(
    name: str, shape: tuple[int, int, int], layers: tuple[str, ...], cache: Path
) -> None:
    eager, fast = (build(name, shape, layers, engine=engine) for engine in ("eager", "openvino"))
    x = clips(3, shape, seed=7)  # not the clip that the conversion was checked on alone
    expected, found = eager(x), fast(x)
    assert (eager.engine, fast.engine) == ("eager", f"openvino {openvino.installed_version('openvino')}")
    assert tuple(found) == tuple(expected) == layers
    for layer in layers:
        assert found[layer].shape == expected[layer].shape
        assert found[layer].dtype == np.float32
        assert relative(found[layer], expected[layer]) < 1e-5
        assert not np.array_equal(found[layer], expected[layer]), "another engine rounds otherwise"
    again = build(name, shape, layers, engine="openvino")  # reads what was converted
    for layer, maps in again(x[:1]).items():
        np.testing.assert_array_equal(maps[0], found[layer][0])  # neither the batch nor the process changes a bit
    assert len(list(cache.iterdir())) == 1


SMALL = ("x3d_xs", (4, 32, 48), ("blocks.0",))


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with each conversion."""
    done: list[int] = []
    convert = openvino._convert

    def counted(*given: Any) -> Any:
        done.append(1)
        return convert(*given)

    monkeypatch.setattr(openvino, "_convert", counted)
    return done


def test_a_damaged_file_is_converted_again_and_other_weights_are_another_file(
    cache: Path, conversions: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    x = clips(1, SMALL[1])
    expected = build(*SMALL, engine="openvino")(x)["blocks.0"]
    (file,) = cache.iterdir()
    content = file.read_bytes()
    file.write_bytes(content[:1000] + b"x" + content[1001:])
    conversions.clear()
    np.testing.assert_array_equal(build(*SMALL, engine="openvino")(x)["blocks.0"], expected)
    assert conversions == [1]
    assert "is damaged; it is converted again" in caplog.text
    assert converted.read(file) is not None
    other = build(*SMALL, engine="openvino")
    other.calibrate(clips(2, SMALL[1], seed=9))  # the same file of weights, other statistics of batch norm
    assert relative(other(x)["blocks.0"], expected) > 1e-3
    assert len(list(cache.iterdir())) == 2


def test_every_damage_is_found(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "network"
    assert converted.read(file) is None
    converted.write(file, b"structure", b"weights")
    assert converted.read(file) == (b"structure", b"weights")
    assert list(file.parent.iterdir()) == [file], "no temporary file is left"
    content = file.read_bytes()
    for i in range(len(content)):
        for damage in (content[:i], content[:i] + bytes([content[i] ^ 1]) + content[i + 1 :]):
            file.write_bytes(damage)
            assert converted.read(file) is None


def test_a_cache_that_can_not_be_written_costs_no_run(
    cache: Path, caplog: pytest.LogCaptureFixture, conversions: list[int]
) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where the folder should be")
    network = build(*SMALL, engine="openvino")
    assert np.isfinite(network(clips(1, SMALL[1]))["blocks.0"]).all()
    assert "can't be kept" in caplog.text
    assert conversions == [1]


def test_clips_of_another_size_are_converted_for_it(conversions: list[int]) -> None:
    network, eager = (build(*SMALL, engine=engine) for engine in ("openvino", "eager"))
    for shape in (SMALL[1], (4, 48, 32), SMALL[1]):
        x = clips(2, shape)
        assert relative(network(x)["blocks.0"], eager(x)["blocks.0"]) < 1e-5
    assert conversions == [1, 1]


def test_bfloat16_is_close_and_one_conversion_serves_both_precisions(cache: Path, conversions: list[int]) -> None:
    network, x = in_place(), clips(2, (4, 6, 8)).transpose(0, 4, 1, 2, 3).copy()
    found = {}
    for precision in ("bfloat16", "float32"):
        found[precision] = OpenVino(Eager(network, {"conv": 1}, precision), torch.from_numpy(x[:1]))(
            torch.from_numpy(x)
        )
    expected = network.conv(torch.from_numpy(x))
    assert found["bfloat16"]["conv"].dtype == torch.float32
    assert distance(found["bfloat16"], {"conv": expected}) < 0.02
    assert distance(found["float32"], {"conv": expected}) < 1e-6
    assert conversions == [1]
    assert len(list(cache.iterdir())) == 1


def test_the_engine_is_no_part_of_what_the_features_depend_on() -> None:
    specs = [build(*SMALL, engine=engine).spec("blocks.0") for engine in ("auto", "eager", "openvino", "compile")]
    assert all(spec == specs[0] for spec in specs)
    assert "engine" not in specs[0]
    assert build(*SMALL, precision="bfloat16").spec("blocks.0") != specs[0]


def test_openvino_uses_the_threads_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    network = build(*SMALL, engine="openvino")
    network(clips(1, SMALL[1]))
    (engine,) = network._engines.values()
    assert isinstance(engine, OpenVino)
    compiled = engine._request.get_compiled_model()
    assert list(compiled.input(0).shape) == [1, 3, *SMALL[1]], "static"
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
    assert compiled.get_property("ENABLE_CPU_PINNING") is False
    assert compiled.get_property("INFERENCE_PRECISION_HINT").to_string() == "f32"


# ---- which engine runs


def test_auto_converts_only_where_the_training_clips_are_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cost = multiply_adds(FACTS["x3d_xs"], {"blocks.0": 1}, SMALL[1])
    enough = int(choice.WORTH_CONVERTING / cost) + 1
    for n, engine in ((0, "eager"), (enough - 1, "eager"), (enough, "openvino")):
        network = build(*SMALL)
        network.expect(n)
        network(clips(1, SMALL[1]))
        assert str(network.engine).partition(" ")[0] == engine
    monkeypatch.setattr(choice, "installed", lambda: False)
    network = build(*SMALL)
    network.expect(enough)
    network(clips(1, SMALL[1]))
    assert network.engine == "eager"
    assert not network.remarks


def test_auto_leaves_mvit_to_eager_which_is_faster() -> None:
    network = build("mvit_v2_s", (16, 224, 224), ("blocks.0",))
    network.expect(10**9)
    assert network._work((16, 224, 224)) == 0
    network = build(*SMALL)
    network.expect(1000)
    assert network._work(SMALL[1]) == 1000 * multiply_adds(FACTS["x3d_xs"], {"blocks.0": 1}, SMALL[1])


def test_multiply_adds_are_counted_up_to_the_layer() -> None:
    whole = multiply_adds(FACTS["x3d_s"], {"blocks.4": 1}, (13, 256, 256))
    assert whole == pytest.approx(4.95e9, rel=0.01)  # the publisher's 1.96e9 at 160x160 leave out nothing but the head
    stem = multiply_adds(FACTS["x3d_s"], {"blocks.0": 1}, (13, 256, 256))
    assert stem == 13 * 128 * 128 * 24 * (3 * 9 + 5)


def test_auto_never_takes_openvino_on_a_gpu() -> None:
    assert choice.fastest("cuda", lambda: 1e30) == "eager"
    assert choice.fastest("cpu", lambda: 1e30) == "openvino"
    with pytest.raises(ConfigError, match=r"runtime\.device=cpu"):
        choice.check_openvino("cuda")


def test_an_engine_that_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "installed", lambda: False)
    with pytest.raises(ConfigError, match=r"pip install 'vadbench\[openvino\]'"):
        build(*SMALL, engine="openvino")


@pytest.mark.parametrize(
    ("convert", "reason"),
    [
        (
            lambda eager, clip: (_ for _ in ()).throw(RuntimeError("\nNo conversion rule for aten::odd\nmore")),
            "aten::odd",
        ),
        (lambda eager, clip: _of_another_network(clip), r"differs from eager by .*, more than 1e-05"),
    ],
    ids=["not convertible", "converted into something else"],
)
def test_where_conversion_fails_auto_says_so_once_and_an_explicit_engine_is_an_error(
    convert: Callable[..., Any],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    cache: Path,
) -> None:
    monkeypatch.setattr(openvino, "_convert", convert)
    x = clips(2, SMALL[1])
    with pytest.raises(ConfigError, match=rf"backbone\.engine=openvino can't run x3d_xs up to blocks\.0.*{reason}"):
        build(*SMALL, engine="openvino")(x)
    network = build(*SMALL)
    network.expect(10**9)
    with caplog.at_level(logging.WARNING):
        found = [network(x)["blocks.0"] for _ in range(2)]
    np.testing.assert_array_equal(found[1], build(*SMALL, engine="eager")(x)["blocks.0"])
    assert network.engine == "eager"
    assert len(network.remarks) == len([r for r in caplog.records if r.name.startswith("vadbench")]) == 1
    assert "eager ran it" in network.remarks[0]
    assert not cache.exists(), "what failed is not kept"


def _of_another_network(clip: torch.Tensor) -> Any:
    """The conversion of a network whose weights are not those that were asked for."""
    import openvino as ov

    other = build(*SMALL, engine="eager")
    other.calibrate(clips(2, SMALL[1], seed=99))
    graph = traced(other._eager(other._network()), clip)
    return ov.convert_model(torch.export.export(graph, (clip,)))


# ---- graphs


@pytest.mark.parametrize(
    "make",
    [
        lambda eager, clip: lambda x: dict(zip(eager.calls, traced(eager, clip)(x), strict=True)),
        OpenVino,
        pytest.param(Compiled, marks=pytest.mark.slow),
    ],
    ids=["traced", "openvino", "compile"],
)
def test_what_comes_later_does_not_overwrite_a_layer_and_is_not_computed(make: Callable[..., Any]) -> None:
    network, x = in_place(), torch.from_numpy(clips(2, (2, 4, 4))).permute(0, 4, 1, 2, 3).contiguous()
    conv = network.conv(x)
    expected = {"conv": conv, "relu": conv.relu(), "twice": network.twice(network.twice(conv.relu()) + 1)}
    assert (conv < 0).any()
    eager = Eager(network, {"conv": 1, "relu": 1, "twice": 2}, "float32")
    engine = make(eager, x[:1])
    for i in range(2):
        found = {layer: torch.as_tensor(output) for layer, output in engine(x[i : i + 1]).items()}
        assert distance(found, {layer: output[i : i + 1] for layer, output in expected.items()}) < 1e-6


def test_a_distance_is_that_of_the_worst_layer_and_nothing_finite_equals_nan() -> None:
    a = {"x": torch.tensor([3.0, 4.0]), "y": torch.tensor([1.0])}
    assert distance(a, a) == 0
    assert distance({**a, "x": torch.tensor([3.0, 4.5])}, a) == pytest.approx(0.1)
    assert not distance({**a, "x": torch.tensor([3.0, float("nan")])}, a) <= 1e-5


@pytest.mark.slow
def test_the_compiler_gives_the_features_of_eager() -> None:
    eager, fast = (build(*SMALL, engine=engine) for engine in ("eager", "compile"))
    x = clips(3, SMALL[1])
    assert relative(fast(x)["blocks.0"], eager(x)["blocks.0"]) < 1e-5
    assert fast.engine == "compile"


def test_a_compiler_that_fails_is_an_error_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_compiler(*given: Any, **options: Any) -> Any:
        raise VadbenchError("no C++ compiler")

    monkeypatch.setattr(torch, "compile", no_compiler)
    with pytest.raises(ConfigError, match=r"backbone\.engine=compile can't run .*no C\+\+ compiler.*engine=eager"):
        build(*SMALL, engine="compile")(clips(1, SMALL[1]))
