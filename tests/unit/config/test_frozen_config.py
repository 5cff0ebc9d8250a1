"""A plug-in's configuration keeps its methods, whether it is frozen or not."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import pytest

from vadbench import registry
from vadbench.config.parts import PartConfig, check_keys, keys_of
from vadbench.config.schema import BackboneConfig


@dataclass(frozen=True)
class FrozenBase:
    side: int = 4

    def area(self) -> int:
        return self.side**2


@dataclass(frozen=True)
class Frozen(FrozenBase):
    names: list[str] = field(default_factory=list)
    clip_length: int = 8

    def __post_init__(self) -> None:
        if self.side < 1:
            raise ValueError("side must be at least 1")

    @property
    def double(self) -> int:
        return 2 * self.side

    @staticmethod
    def unit() -> str:
        return "pixels"


@dataclass(frozen=True, slots=True)
class Slotted:
    side: int = 4

    def area(self) -> int:
        return self.side**2


@dataclass
class Plain:
    side: int = 4

    def area(self) -> int:
        return self.side**2


def built(config: type, base: type = PartConfig, **given: Any) -> Any:
    part = registry.Part("backbone", "mine", config, config, origin="mine.py")
    found, errors = check_keys(keys_of(part, base), {"name": "mine", **given}, ("backbone",))
    assert not errors, errors
    return found


@pytest.mark.parametrize("config", [Frozen, Slotted, Plain])
def test_methods_work(config: type) -> None:
    assert (built(config).area(), built(config, side=3).area()) == (16, 9)


def test_a_frozen_one_has_all_that_its_class_has() -> None:
    made = built(Frozen, BackboneConfig, side=5)
    assert (made.double, made.area(), made.unit(), made.clip_length, made.clip_stride) == (10, 25, "pixels", 8, 8)
    assert isinstance(made, BackboneConfig)
    assert dataclasses.replace(made, side=2).double == 4
    assert hash(built(Slotted)) == hash(built(Slotted))


def test_its_own_check_is_made() -> None:
    part = registry.Part("backbone", "mine", Frozen, Frozen, origin="mine.py")
    _, errors = check_keys(keys_of(part), {"name": "mine", "side": 0}, ("backbone",))
    assert "side must be at least 1" in errors[0]["msg"]
