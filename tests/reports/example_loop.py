"""A real loop on the pocket base with the toy noise stage: mended, rolled back, green."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.cli.gate import write_outputs
from waterbed.harness.loop import loop
from waterbed.harness.stage import StageContext

PLUGIN = Path(__file__).parents[1] / "harness" / "loop" / "toy_stages.py"
#: Spreads of noise: nobody notices; a proven loss; a ruin.
HARMLESS, HARMFUL, RUINOUS = 0.001, 0.4, 0.9
HOSTILE = "</script><img src=x onerror=alert(1)>\u202e"


def recipe(base: Checkpoint, folder: Path) -> Path:
    """One stage that is mended on the second try and confirmed, one that is rolled back, one green."""
    rules = folder / "policy.yaml"
    wide = {"margins": {"math": 10, "knowledge": 10}, "max_mde": 12}
    rules.write_text(yaml.safe_dump({"name": "harm", "require": [], **wide}))

    def step(name: str, lr: float, **keys: Any) -> dict[str, Any]:
        return {"name": name, "stage": "noise", "settings": {"lr": lr}, **keys}

    said = {
        "base": str(base.path),
        "suites": ["pocket/math", "pocket/knowledge"],
        "policy": str(rules),
        "limit": 100,
        "reserve": ["pocket/safety"],
        "batch_size": 64,
        "plugins": [str(PLUGIN)],
        "stages": [
            step("one", RUINOUS, target="math", on_red="retry", retry=[{"lr": HARMLESS}]),
            step("two", HARMFUL, on_red="repair", otherwise="rollback", tries=1, repair=["replay"]),
            step("three", 2 * HARMLESS, on_inconclusive="rollback"),
        ],
    }
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(said, sort_keys=False))
    return file


def run(base: Checkpoint, folder: Path, told: Callable[[Path], object]) -> Path:
    """Run it below `folder`, with training metrics of its first attempt; the loop's folder."""
    out = folder / "out"
    context = StageContext(out / "checkpoints" / "one.1")
    for number in range(400):
        context.metric(number, loss=math.exp(-number / 100), **{HOSTILE: float(number % 7)})
    loop(recipe(base, folder), out, show=write_outputs, told=told)
    return out
