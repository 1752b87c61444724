"""Rewards that can be gamed, and are: which signs a real GRPO run on the pocket base raises.

Length alone is paid, once for many and once for few tokens; what should be learned (the constraints of
an instruction) is only watched, on prompts of the dev split. Beside them the same run paid by the
grader itself. The metrics that the signs are read from are printed as JSON; tests/trainers/curves keeps
them, and test_reward_signs.py reads the signs off them. About 2 CPU-minutes. A toy model.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.stage import StageContext, stages
from waterbed.trainers.reward_signs import READ, RewardHackingWarning

pytestmark = pytest.mark.study

#: 70 steps of 32 answers.
SAME: dict[str, Any] = {
    "data": {"pocket/instruction-prompts@train": 280},
    "watched": {"data": {"pocket/instruction-prompts@dev": 64}},
    "sampled": {"n": 8, "max_tokens": 56},
    "batch_size": 32,
    "optimizer": "muon",
}
#: Each reward with its settings and what must be warned of.
REWARDS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "longest": ({"muon_lr": 6e-3}, {"held-out prompts fell", "pay for length"}),
    "shortest": ({"muon_lr": 9e-3}, {"held-out prompts fell", "another prompt"}),
    "task": ({"muon_lr": 3e-3, "beta": 0.05}, set()),
}


@pytest.mark.parametrize("reward", REWARDS)
def test_a_gamed_reward_raises_its_signs_and_an_earned_one_none(
    pocket_base: Checkpoint, tmp_path: Path, reward: str
) -> None:
    settings, wanted = REWARDS[reward]
    context = StageContext(tmp_path / "out")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RewardHackingWarning)
        stages.get("grpo").run(pocket_base, context, rewards={reward: 1.0}, **{**SAME, **settings})
    for text in context.metrics_path.read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        print(json.dumps({name: round(line[name], 4) for name in READ if name in line}))
    said = [str(w.message) for w in caught if issubclass(w.category, RewardHackingWarning)]
    assert len(said) == len(wanted)
    assert all(any(part in sentence for sentence in said) for part in wanted), said
