"""What fine-tuning and continued pre-training do to the pocket base: three seeds, every domain before and after, on the test split.

Each domain is asked at least 500 distinct prompts (knowledge is a finite population and has what it has),
the same before and after. The table is printed whichever way it falls; what is asserted is only that a
stage lifts maths. A toy model in a toy world. Run by hand. Stages on preferences have a study of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import mean

import pytest

from waterbed import evaluate
from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.stage import StageContext, stages
from waterbed.harness.tasks import tasks
from waterbed.suites.pocket.base import (
    MATH_ALONE,
    MATH_WITH_REPLAY,
    Recipe,
    base_checkpoint,
    replay,
)

pytestmark = pytest.mark.study

SEEDS = (0, 1, 2)
#: Name, and the stage with its settings; each is to lift maths.
RECIPES: Mapping[str, Recipe] = {
    "SFT maths alone": MATH_ALONE,
    "SFT maths with replay": MATH_WITH_REPLAY,
    "SFT maths 14k with replay": (
        "sft",
        {"data": {"pocket/math@train": 14_000, **replay(8000, besides="math")}},
    ),
    "continued pre-training on maths": (
        "continued-pretrain",
        {"data": {"pocket/math@train": 6000}},
    ),
}


def shares(checkpoint: Checkpoint, out: Path) -> dict[str, float]:
    """Score of each domain in percent, the mean over its tasks' first metrics."""
    options = {"device": "cpu", "threads": 1}
    run = evaluate(checkpoint, ["pocket"], out, options=options)
    scores = run.scores()
    found: dict[str, list[float]] = {}
    for task, rows in scores.groupby("task"):
        card = tasks.get(str(task))
        for metric, values in rows.groupby("metric"):
            name = card.domain if len(rows["metric"].unique()) == 1 else f"{card.domain}.{metric}"
            found.setdefault(name, []).append(100 * values["value"].mean())
    return {name: mean(values) for name, values in sorted(found.items())}


@pytest.mark.parametrize("name", RECIPES)
def test_a_stage_lifts_maths(name: str, tmp_path: Path) -> None:
    stage, settings = RECIPES[name]
    gains = []
    for seed in SEEDS:
        base = base_checkpoint(seed=seed)
        before = shares(base, tmp_path / f"base-{seed}")
        context = StageContext(tmp_path / f"made-{seed}", seed=seed)
        after = shares(stages.get(stage).run(base, context, **settings), tmp_path / f"after-{seed}")
        cells = (f"{d} {before[d]:.1f} -> {after[d]:.1f}" for d in before)
        print(f"{name}, seed {seed} (toy model): {'; '.join(cells)}")
        gains.append(after["math"] - before["math"])
    assert min(gains) > 0, gains
