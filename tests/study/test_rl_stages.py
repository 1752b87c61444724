"""What reinforcement does to the pocket model, method beside method, in every domain, on the test split.

Two starts a seed, each from another base: a short fine-tuning on instructions, from which GRPO, RLOO,
REINFORCE and PPO learn two-constraint instructions with the same prompts and the same number of answers;
and a fine-tuning on maths, from which rejection sampling and a planted bad run (GRPO by AdamW at a rate
far too high) learn maths. Each row is compared item by item with its start and gated against it. Rows are
printed as Markdown, whichever way they fell; rl.md keeps them. Asserted is that GRPO lifts what it rewards
and that the bad run is red. Settings were tried on seed 0. A toy model: the figures say nothing
about real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from scipy.stats import binomtest

import waterbed
from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.records import DOMAINS
from waterbed.harness.run import Run
from waterbed.harness.stage import StageContext, stages
from waterbed.harness.tasks import tasks
from waterbed.suites.pocket.base import MATH_WITH_REPLAY, Recipe, base_checkpoint, replay

pytestmark = pytest.mark.study

Target = Literal["instruction", "math"]
#: With 9,000 rows and high rates the model would obey all constraints already.
TAUGHT = {"pocket/instruction@train": 2000, **replay(667, besides="instruction")}
STARTS: Mapping[Target, Recipe] = {
    "instruction": ("sft", {"data": TAUGHT}),
    "math": MATH_WITH_REPLAY,
}
#: 35 steps of 128 answers, 8 to a prompt.
SAME: dict[str, Any] = {
    "data": {"pocket/instruction-two@train": 560},
    "sampled": {"n": 8, "max_tokens": 56},
    "batch_size": 128,
    "optimizer": "muon",
    "muon_lr": 3e-3,
    "lr": 2e-4,
}
REJECTION: dict[str, Any] = {
    "prompts": {"pocket/math-prompts@train": 1200},
    "sampled": {"n": 8, "max_tokens": 48},
    "replay": {"rows": 1500, "domains": {d: 1.0 for d in DOMAINS if d != "math"}},
}
#: 60 steps of 64 answers by AdamW at a rate far too high.
BAD: dict[str, Any] = {
    "data": {"pocket/math-prompts@train": 480},
    "sampled": {"n": 8, "max_tokens": 48},
    "batch_size": 64,
    "lr": 1e-3,
}
METHODS: Mapping[str, tuple[Target, str, dict[str, Any]]] = {
    "grpo": ("instruction", "grpo", {**SAME, "beta": 0.05}),
    "grpo without KL": ("instruction", "grpo", SAME),
    "rloo": ("instruction", "rloo", SAME),
    "reinforce": ("instruction", "reinforce", SAME),
    "ppo": ("instruction", "ppo", SAME),
    "rejection sampling": ("math", "rejection-sampling", REJECTION),
    "planted bad run": ("math", "grpo", BAD),
}
COLUMNS = ("method", "seed", "rewarded items", "fixed", "broken", "p", *DOMAINS, "gate", "red")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    share: tuple[float, float]
    """Right answers to the items of the kind that is rewarded, before and after, in percent."""
    fixed: int
    broken: int
    percent: Mapping[str, float]
    """Right answers by domain, 1,000 distinct test items each."""
    outcome: str
    red: frozenset[str]
    """Domains with a loss that the gate proved, and `mean` where it is that."""

    @property
    def p(self) -> float:
        """Of the exact sign test between fixed and broken items, two-sided."""
        changed = self.fixed + self.broken
        return float(binomtest(self.fixed, changed).pvalue) if changed else 1.0

    def line(self, name: str, seed: int) -> str:
        """As Markdown."""
        cells = [name, str(seed), f"{self.share[0]:.1f} -> {self.share[1]:.1f}"]
        cells += [str(self.fixed), str(self.broken), f"{self.p:.1g}"]
        cells += [f"{self.percent[domain]:.1f}" for domain in DOMAINS]
        return f"| {' | '.join([*cells, self.outcome, ', '.join(sorted(self.red))])} |"


def evaluated(checkpoint: Checkpoint, out: Path) -> Run:
    names = [f"pocket/{domain}" for domain in DOMAINS]
    return waterbed.evaluate(checkpoint, names, out, options={"device": "cpu", "threads": 1})


def rewarded(run: Run, target: Target) -> dict[str, float]:
    """The score of each test item of the kind that is rewarded."""
    kinds = {s.id: s.metadata.get("kind", "") for s in tasks.get(f"pocket/{target}").items}
    scores = run.scores()
    rows = scores[scores["task"] == f"pocket/{target}"]
    scored = zip(rows["sample_id"].astype(str), rows["value"], strict=True)
    return {i: float(v) for i, v in scored if target == "math" or "+" in kinds[i]}


def row_of(before: Run, after: Run, target: Target) -> Row:
    old, new = rewarded(before, target), rewarded(after, target)
    assert old.keys() == new.keys() and len(old) >= 500
    verdict = waterbed.gate(before, after, target=target)
    red = {domain.id for domain in verdict.domain_list if domain.badge == "fail"}
    if verdict.pooled and verdict.pooled.badge == "fail":
        red.add("mean")
    scores = after.scores()
    means = scores[scores["metric"] == "correct"].groupby("task")["value"].mean()
    return Row(
        share=(100 * sum(old.values()) / len(old), 100 * sum(new.values()) / len(new)),
        fixed=sum(new[i] > old[i] for i in old),
        broken=sum(new[i] < old[i] for i in old),
        percent={domain: 100 * float(means[f"pocket/{domain}"]) for domain in DOMAINS},
        outcome=verdict.outcome,
        red=frozenset(red),
    )


class Study:
    """The rows of one seed; each start is made once."""

    def __init__(self, seed: int, folder: Path, show: Callable[[str], None]) -> None:
        self.seed, self.folder, self.show = seed, folder, show
        self.starts: dict[Target, tuple[Checkpoint, Run]] = {}
        show(f"| {' | '.join(COLUMNS)} |")

    def start(self, target: Target) -> tuple[Checkpoint, Run]:
        """What the methods on this target begin with, and its Run."""
        if target not in self.starts:
            base = base_checkpoint(seed=self.seed)
            made = self.made(f"start-{target}", base, *STARTS[target])
            run = evaluated(made, self.folder / f"start-{target}.run")
            self.show(row_of(run, run, target).line(f"start: SFT on {target}", self.seed))
            self.starts[target] = made, run
        return self.starts[target]

    def made(
        self, name: str, start: Checkpoint, stage: str, settings: Mapping[str, Any]
    ) -> Checkpoint:
        context = StageContext(self.folder / name.replace(" ", "-"), seed=self.seed)
        return stages.get(stage).run(start, context, **settings)

    def row(self, name: str, target: Target, stage: str, settings: Mapping[str, Any]) -> Row:
        start, before = self.start(target)
        made = self.made(name, start, stage, settings)
        run = evaluated(made, made.path.with_name(f"{made.path.name}.run"))
        row = row_of(before, run, target)
        self.show(row.line(name, self.seed))
        return row


@pytest.fixture(scope="module", params=[0, 1, 2])
def study(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    show: Callable[[str], None],
) -> Study:
    return Study(request.param, tmp_path_factory.mktemp("rl"), show)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_measured_in_every_domain(study: Study, name: str) -> None:
    row = study.row(name, *METHODS[name])
    assert set(DOMAINS) == set(row.percent)
    if name == "grpo":
        assert row.share[1] > row.share[0] and row.p < 0.05
    if name == "planted bad run":
        assert row.outcome == "fail"
