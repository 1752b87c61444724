"""What reinforcement on two-constraint instructions does to the pocket model, method beside method.

Each seed: a short fine-tuning on instructions, then GRPO, RLOO, REINFORCE and PPO with the same prompts and the
same number of answers, and a planted bad run. Compared item by item on the 611 distinct two-constraint
prompts of the test split, and gated in every domain. Rejection sampling is measured on maths. About
15 CPU-minutes a seed. Every row is printed, whichever way it fell; asserted is
only that GRPO lifts what it rewards. A toy model: the figures say nothing
about real ones.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binomtest

import waterbed
from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.records import DOMAINS
from waterbed.harness.run import Run
from waterbed.harness.stage import StageContext, stages
from waterbed.harness.tasks import tasks
from waterbed.suites.pocket.base import replay

pytestmark = pytest.mark.study

SEEDS = (0, 1, 2)
#: With 9,000 rows and high rates the model would obey all constraints already.
TAUGHT = {"pocket/instruction@train": 2000, **replay(667, besides="instruction")}
#: 50 steps of 128 answers: 16 prompts x 8.
SAME: dict[str, Any] = {
    "data": {"pocket/instruction-two@train": 800},
    "sampled": {"n": 8, "max_tokens": 56},
    "batch_size": 128,
}
MUON = {"optimizer": "muon", "muon_lr": 3e-3, "lr": 2e-4}
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "grpo": ("grpo", MUON),
    "rloo": ("rloo", MUON),
    "reinforce": ("reinforce", MUON),
    "ppo": ("ppo", MUON),
    "planted-bad-run": ("grpo", {"optimizer": "adamw", "lr": 1e-3}),
}


def evaluated(checkpoint: Checkpoint, out: Path) -> Run:
    names = [f"pocket/{domain}" for domain in DOMAINS]
    return waterbed.evaluate(checkpoint, names, out, options={"device": "cpu", "threads": 1})


def two(run: Run) -> dict[str, float]:
    """The score of each two-constraint item of the test split."""
    kinds = {s.id: s.metadata["kind"] for s in tasks.get("pocket/instruction").items}
    scores = run.scores()
    rows = scores[scores["task"] == "pocket/instruction"]
    return {
        str(i): float(v)
        for i, v in zip(rows["sample_id"], rows["value"], strict=True)
        if "+" in kinds[str(i)]
    }


def table(name: str, seed: int, before: Run, after: Run, target: str) -> tuple[float, float]:
    """Print one row; points gained on two-constraint items, and the exact sign test's p."""
    old, new = two(before), two(after)
    assert old.keys() == new.keys() and len(old) >= 500
    fixed = sum(new[i] > old[i] for i in old)
    broken = sum(new[i] < old[i] for i in old)
    p = binomtest(fixed, fixed + broken).pvalue if fixed + broken else 1.0
    shares = [100 * sum(x.values()) / len(x) for x in (old, new)]
    verdict = waterbed.gate(before, after, target=target)
    moved = {d: f"{100 * v.delta:+.1f}" for d, v in verdict.domains.items() if v.delta is not None}
    print(
        f"{name}, seed {seed} (toy model): two constraints {shares[0]:.1f} -> {shares[1]:.1f}, {fixed} fixed, "
        f"{broken} broken, p {p:.1g}; gate {verdict.outcome}; {moved}",
        flush=True,
    )
    return shares[1] - shares[0], p


Taught = Callable[[int], tuple[Checkpoint, Run]]


@pytest.fixture(scope="module")
def taught(pocket_base: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Taught:
    """By seed: the checkpoint after instruction SFT, and its Run."""

    @functools.cache
    def made(seed: int) -> tuple[Checkpoint, Run]:
        folder = tmp_path_factory.mktemp(f"sft-{seed}")
        context = StageContext(folder / "made", seed=seed)
        checkpoint = stages.get("sft").run(pocket_base, context, data=TAUGHT)
        return checkpoint, evaluated(checkpoint, folder / "run")

    return made


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("seed", SEEDS)
def test_two_constraints_after_reinforcement(
    taught: Taught, tmp_path: Path, name: str, seed: int
) -> None:
    start, before = taught(seed)
    stage, settings = METHODS[name]
    context = StageContext(tmp_path / "made", seed=seed)
    made = stages.get(stage).run(start, context, **{**SAME, **settings})
    after = evaluated(made, tmp_path / "run")
    gained, p = table(name, seed, before, after, "instruction")
    if name == "grpo":
        assert gained > 0 and p < 0.05


@pytest.mark.parametrize("seed", SEEDS)
def test_rejection_sampling_on_maths(taught: Taught, tmp_path: Path, seed: int) -> None:
    start, before = taught(seed)
    context = StageContext(tmp_path / "made", seed=seed)
    made = stages.get("rejection-sampling").run(
        start,
        context,
        prompts={"pocket/math-prompts@train": 2000},
        sampled={"n": 8, "max_tokens": 48},
        replay={"rows": 1500, "domains": {d: 1.0 for d in DOMAINS if d != "math"}},
    )
    after = evaluated(made, tmp_path / "run")
    shares = [
        100 * float(scores[scores["task"] == "pocket/math"]["value"].mean())
        for scores in (before.scores(), after.scores())
    ]
    verdict = waterbed.gate(before, after, target="math")
    print(
        f"rejection sampling, seed {seed} (toy model): maths {shares[0]:.1f} -> {shares[1]:.1f}; "
        f"gate {verdict.outcome}",
        flush=True,
    )
