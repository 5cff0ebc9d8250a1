"""What is fixed about the built-in backbones, by name."""

from __future__ import annotations

from vadbench import registry

FACTS = {part.name: part.facts["facts"] for part in registry.parts("backbone") if part.is_built_in}
