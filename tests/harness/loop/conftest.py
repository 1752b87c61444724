"""Recipes on the pocket base with a stage that adds noise, small enough to run in seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from waterbed.harness.checkpoints import Checkpoint

#: Spreads of noise: nobody notices; a proven loss in knowledge; a ruin; weights that are not numbers.
HARMLESS, HARMFUL, RUINOUS, BROKEN = 0.001, 0.3, 0.9, 9.0
PLUGIN = Path(__file__).with_name("toy_stages.py")
#: One domain of 90 items shows large losses only, and is read in one look, which keeps tests short.
POLICY = {"name": "harm", "margins": {"knowledge": 16}, "max_mde": 16, "require": []}

Write = Callable[..., Path]


@pytest.fixture
def recipe(pocket_base: Checkpoint, tmp_path: Path) -> Write:
    """`recipe([stages], policy={...}, **keys)`: the path of a recipe file."""

    def write(stages: list[dict[str, Any]], *, policy: Any = None, **keys: Any) -> Path:
        rules = tmp_path / "policy.yaml"
        rules.write_text(yaml.safe_dump({**POLICY, **(policy or {})}))
        said = {
            "base": str(pocket_base.path),
            "suites": ["pocket/knowledge"],
            "policy": str(rules),
            "limit": 90,
            "batch_size": 45,
            "plugins": [str(PLUGIN)],
            **keys,
            "stages": stages,
        }
        file = tmp_path / "recipe.yaml"
        file.write_text(yaml.safe_dump(said, sort_keys=False))
        return file

    return write


@pytest.fixture
def noisy() -> Callable[..., dict[str, Any]]:
    """`noisy("name", spread, on_red="repair", settings={...})`: a stage of a recipe."""

    def step(name: str, spread: float, **keys: Any) -> dict[str, Any]:
        settings = {"lr": spread, **keys.pop("settings", {})}
        return {"name": name, "stage": "noise", "settings": settings, **keys}

    return step
