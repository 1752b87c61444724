"""What a loop repairs on a real training and on real compressions of the pocket base, and what that costs.

One recipe: SFT on maths alone (6,000 rows), magnitude pruning of half the weights, rounding to 3 bits. Each
is expected to be red as written; remedies are replay, healing by the checkpoint before, and keeping the
most sensitive parts (or more bits). 700 items of each domain decide, the other 300 confirm. The policy is
`harm` with its default demands, met by measured noise; `drift: []` so that red may end early. Every
attempt is a row, whichever way it fell; loop.md keeps them. A toy model.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from waterbed.harness.loop import loop
from waterbed.suites.pocket.base import MATH_ALONE, base_checkpoint

pytestmark = pytest.mark.study

COLUMNS = ("seed", "attempt", "how", "gate", "lost", "maths", "items", "train s", "gate s", "label")
MENDING: dict[str, Any] = {"on_red": "repair", "on_inconclusive": "repair", "otherwise": "rollback"}
STAGES = [
    {
        "name": "maths",
        "stage": MATH_ALONE[0],
        "settings": dict(MATH_ALONE[1]),
        "target": "math",
        "repair": ["replay"],
        **MENDING,
    },
    {
        "name": "pruned",
        "stage": "prune",
        "settings": {"sparsity": 0.5},
        "repair": ["heal"],
        **MENDING,
    },
    {
        "name": "rounded",
        "stage": "rtn",
        "settings": {"bits": 3},
        "repair": ["keep", "lighter"],
        **MENDING,
    },
]


def row(seed: int, attempt: Mapping[str, Any]) -> str:
    decided = attempt["decided"]
    judged = decided["evidence"]
    maths = judged["deltas"].get("math")
    cells = [
        str(seed),
        attempt["attempt"],
        f"{attempt['how']}: {attempt['why']}",
        judged["headline"],
        ", ".join(judged["lost"]),
        "" if maths is None else f"{100 * maths:+.1f}",
        str(judged["items"]),
        f"{attempt['seconds']:.0f}",
        f"{attempt.get('judged', {}).get('seconds', 0):.0f}",
        decided["label"],
    ]
    return f"| {' | '.join(cells)} |"


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_is_red_as_written_ends_repaired_and_confirmed(
    seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules, file = tmp_path / "policy.yaml", tmp_path / "recipe.yaml"
    rules.write_text(yaml.safe_dump({"name": "harm", "drift": []}))
    recipe = {
        "base": str(base_checkpoint(seed=seed).path),
        "suites": ["pocket"],
        "policy": str(rules),
        "limit": 700,
        "reserve": "rest",
        "noise": True,
        "seed": seed,
        "stages": STAGES,
    }
    file.write_text(yaml.safe_dump(recipe, sort_keys=False))
    done = loop(file, tmp_path / "out")
    attempts = done.summary["attempts"]
    with capsys.disabled():
        print(f"\n| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
        for attempt in attempts:
            print(row(seed, attempt))
        print(f"{done.sentence} Spent: {done.summary['spent']}")
    labels = {a["attempt"]: a["decided"]["label"] for a in attempts}
    assert [labels[f"{name}.1"] for name in ("maths", "pruned")] == ["rejected (red)"] * 2
    tuned = [label for name, label in labels.items() if name.startswith("maths.")]
    assert tuned[-1] == "accepted (confirmed on the reserve)"
    maths = {a["attempt"]: a["decided"]["evidence"]["deltas"]["math"] for a in attempts}
    assert maths["pruned.2"] > maths["pruned.1"] / 2, "healing gives back more than half"
