"""Two thousand code rewards through the sandbox, a quarter of them for programs that try to forge one.

The honest answers are the pocket base's own, sampled. No forged program may earn anything and no answer
may stay unscored; rewards a second are printed. About a minute.
"""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

import pytest
from forged_rewards import FORGERIES

from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.records import Generation
from waterbed.harness.stage import StageContext
from waterbed.trainers.reward_sums import OWN, opened
from waterbed.trainers.rollouts import Material, Sampled, gather, roll

pytestmark = pytest.mark.study

PROMPTS, EACH, FORGED = 250, 8, 500
TOGETHER = 250


def sampled(material: Material, rows: list[int], settings: Sampled) -> list[Generation]:
    """The model's own answers, a batch at a time."""
    from waterbed.harness.backends.engine import Engine

    engine, answers = Engine(material.loaded.model, material.loaded.device), []
    for start in range(0, len(rows), TOGETHER):
        some = rows[start : start + TOGETHER]
        seeds = [f"{start}/{place}" for place in range(len(some))]
        answers += material.answers(some, roll(engine, material, some, settings, seeds))
    return answers


def test_no_forged_program_earns_a_reward(pocket_base: Checkpoint, tmp_path: Path) -> None:
    settings, data = Sampled(n=EACH, max_tokens=64), {"pocket/code-prompts@train": PROMPTS}
    material = gather(pocket_base, data, settings, StageContext(tmp_path / "x"), "grpo")
    rows = [row for row in range(PROMPTS) for _ in range(EACH)]
    answers = sampled(material, rows, settings)
    forged = Random(0).sample(range(len(rows)), FORGED)
    for number, place in enumerate(forged):
        name = material.samples[rows[place]].target["entry_point"]
        answers[place] = Generation(FORGERIES[number % len(FORGERIES)].format(name=name))
    with opened(material, {OWN: 1.0}) as rewards:
        rewards.score(rows[:EACH], answers[:EACH])  # the pool is warm
        began = time.monotonic()
        totals = rewards.score(rows, answers).totals
        seconds = time.monotonic() - began
    honest = [total for place, total in enumerate(totals) if place not in set(forged)]
    print(
        f"{len(rows)} code rewards in {seconds:.1f} s, {len(rows) / seconds:.0f} a second; {FORGED} forged "
        f"programs earned {sum(totals[place] or 0.0 for place in forged):g}; the others "
        f"{sum(total or 0.0 for total in honest) / len(honest):.2f} each"
    )
    assert None not in totals
    assert not any(totals[place] for place in forged)
    assert any(honest)
