"""What each stage on preference pairs does to the pocket base, in every domain, on the test split.

Six minutes a seed on a quiet core. Every row is printed, whichever way it fell; only what a stage is
for is asserted. A toy model: the figures say nothing about real ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

import waterbed
from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.records import DOMAINS, Generation, Message
from waterbed.harness.reward_models import RewardModel
from waterbed.harness.stage import StageContext, stages
from waterbed.suites.pocket.domains import POCKET
from waterbed.suites.pocket.preferences import pair

pytestmark = pytest.mark.study

DATA = {"pocket/chat-preferences@train": 1280}
#: Stage and settings, and the least points of chat it must gain; None where harm is what is shown.
STAGES: tuple[tuple[str, dict[str, Any], int | None], ...] = (
    ("dpo", {}, 40),
    ("dpo", {"lr": 1e-3}, None),
    ("ipo", {}, 40),
    ("kto", {}, 40),
    ("orpo", {}, 40),
    ("dpo", {"lr": 1e-3, "lora": {}}, 40),
)


def figures(checkpoint: Checkpoint, out: Path) -> dict[str, float]:
    """Percent right in every domain, 1,000 distinct test items each."""
    waterbed.evaluate(str(checkpoint.path), suites=["pocket"], out=str(out))
    found = json.loads((out / "results.json").read_text(encoding="utf-8"))
    metrics = {domain: found[f"pocket/{domain}"]["metrics"]["correct"] for domain in DOMAINS}
    assert all(metric["n"] >= 500 for metric in metrics.values())
    return {domain: 100 * metric["mean"] for domain, metric in metrics.items()}


@pytest.fixture(scope="module")
def before(pocket_base: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    return figures(pocket_base, tmp_path_factory.mktemp("base") / "run")


@pytest.fixture
def show(capsys: pytest.CaptureFixture[str]) -> Callable[[str, dict[str, float]], None]:
    """Print a row of the table."""

    def row(name: str, values: dict[str, float]) -> None:
        with capsys.disabled():
            print(f"\n{name:34}", *(f"{d} {v:5.1f}" for d, v in values.items()), sep=" | ")

    return row


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("name", "settings", "gain"), STAGES)
def test_what_a_stage_gives_and_takes(
    pocket_base: Checkpoint,
    before: dict[str, float],
    tmp_path: Path,
    show: Any,
    name: str,
    settings: dict[str, Any],
    gain: int | None,
    seed: int,
) -> None:
    context = StageContext(tmp_path / "out", seed=seed)
    made = stages.get(name).run(pocket_base, context, data=DATA, **settings)
    after = figures(made, tmp_path / "run")
    show("before", before)
    show(f"{name} {settings or ''} seed {seed}", after)
    if gain is not None:
        assert after["chat"] >= before["chat"] + gain


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_reward_model_puts_nine_of_ten_unseen_pairs_right(
    pocket_base: Checkpoint, tmp_path: Path, show: Any, seed: int
) -> None:
    context = StageContext(tmp_path / "out", seed=seed)
    model = RewardModel(stages.get("reward-model").run(pocket_base, context, data=DATA))
    rng = Random(seed)
    rows = [pair(item, rng) for item in POCKET["chat"].distinct("test", 1000)]
    prompts = [tuple(Message(**turn) for turn in row["prompt"]) for row in rows]
    chosen, rejected = (
        model.score(prompts, [Generation(row[side][0]["content"]) for row in rows])
        for side in ("chosen", "rejected")
    )
    right = [c.value > r.value for c, r in zip(chosen, rejected, strict=True)]
    show(f"reward-model seed {seed}", {"pairs right": 100 * sum(right) / len(right)})
    assert sum(right) >= 0.9 * len(right)
