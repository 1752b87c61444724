"""Rejection sampling: the best of several answers to each prompt, by its rewards, is what SFT learns.

Also called best-of-n fine-tuning or RFT (Yuan et al. 2023, arXiv 2308.01825; Touvron et al. 2023, arXiv
2307.09288, section 3.2.3). Answers are sampled once, from the checkpoint that comes in; the best one is
kept where it earns enough, of equals the first. A killed stage samples the same answers again and goes on
training where it was. Thinking is not learned. Not here: sampling (rollouts.py), rewards
(reward_sums.py), fine-tuning (sft.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from ..harness.checkpoints import Checkpoint
from ..harness.datasets import Row, fingerprint
from ..harness.errors import UsageError
from ..harness.records import Generation
from ..harness.stage import StageContext, StagePlan, stage
from .chats import encode, load_rows, named
from .loop import reproducible
from .mixture import with_replay
from .reward_sums import OWN, Rewards, opened, spread
from .rollouts import Material, Sampled, gather, roll
from .saving import saver
from .sft import Material as Chats
from .sft import SftConfig
from .sft import job as sft_job
from .trl_base import Job, require_trl, train
from .trl_plan import plan, step_count

#: Under which the lineage names the answers that were learned.
BEST = "best answers"


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectionConfig(SftConfig):
    """Settings of `rejection-sampling`: those of `sft`, and where its answers come from."""

    prompts: Mapping[str, int | None]
    """Datasets in the reward shape, with the number of rows of each (None: all)."""
    data: Mapping[str, int | None] = field(default_factory=dict)
    """Datasets in the messages shape that are learned beside the answers."""
    rewards: Mapping[str, float] = field(default_factory=lambda: {OWN: 1.0})
    """Scorers and their weights; `task` is the grader of the row's task."""
    least: float = 1.0
    """What an answer must earn to be learned."""
    sampled: Sampled = field(default_factory=Sampled)
    rollouts: Literal["transformers"] = "transformers"
    """What samples the answers."""
    together: int = 256
    """Answers that are sampled at once."""
    lr: float = 1e-3
    muon_lr: float = 3e-3

    def __post_init__(self) -> None:
        SftConfig.__post_init__(self)
        if self.together < self.sampled.n:
            raise ValueError(
                f"together must be at least sampled.n {self.sampled.n}, got {self.together}"
            )


def plan_rejection(
    checkpoint: Checkpoint | None, config: RejectionConfig, context: StageContext
) -> StagePlan:
    """The dry run: it samples the answers, since what is learned follows from them."""
    chats, _ = _chosen(checkpoint, config, context)
    return plan(_job(chats, config), config, context)


@stage("rejection-sampling", config=RejectionConfig, plan=plan_rejection)
def rejection_sampling(
    checkpoint: Checkpoint | None, config: RejectionConfig, context: StageContext
) -> Checkpoint:
    """Fine-tune a checkpoint on the best of its own answers.

    Raises:
        UsageError: no checkpoint, no chat template, or no answer that earns enough.
        TrainingDiverged: the loss, a gradient or the model's logits are not finite.
        CheckpointError: the checkpoint does not load as a whole.
        DataError: a row is no prompt with a task, or too long.
        InstrumentError: a reward broke, or left more than 5% of the answers unscored.
    """
    chats, figures = _chosen(checkpoint, config, context)
    rows, job = [row for found in chats.data.values() for row in found], _job(chats, config)
    model = train(job, config, context, parent=checkpoint, identity=fingerprint(rows))
    # Training begins its file of metrics anew, so what the sampling found comes after it.
    context.metric(step_count(job, config), **figures)
    return context.finish(
        saver(model, chats.loaded.tokenizer),
        parent=checkpoint,
        stage="rejection-sampling",
        config=config,
        data=chats.data,
    )


def _job(chats: Chats, config: RejectionConfig) -> Job:
    return replace(sft_job(chats, config), stage="rejection-sampling")


def _chosen(
    checkpoint: Checkpoint | None, config: RejectionConfig, context: StageContext
) -> tuple[Chats, dict[str, float]]:
    """The chats that are learned, and what the answers have earned."""
    require_trl()
    beside = with_replay(config.data, config.replay)
    data = load_rows(beside, context.seed) if beside else {}
    material = gather(checkpoint, config.prompts, config.sampled, context, "rejection-sampling")
    with opened(material, config.rewards) as rewards, reproducible(context):
        best, totals = _best(material, rewards, config, context)
    figures = {**spread(totals, config.sampled.n), "kept": len(best) / len(material.prompts)}
    if not best:
        raise UsageError(
            f"No answer to {len(material.prompts)} prompts earned {config.least:g}; lower least, or raise "
            f"sampled.n ({config.sampled.n})."
        )
    data[BEST] = best
    loaded = material.loaded
    examples = encode(named(data), loaded.tokenizer, config.longest or loaded.context)
    return Chats(loaded, data, examples), figures


def _best(
    material: Material, rewards: Rewards, config: RejectionConfig, context: StageContext
) -> tuple[list[Row], list[float | None]]:
    """The best answers as chats, and the reward of every answer in the order of the prompts."""
    best: list[Row] = []
    totals: list[float | None] = []
    size = config.together // config.sampled.n
    for start in range(0, len(material.prompts), size):
        rows = range(start, min(start + size, len(material.prompts)))
        answers = _answers(material, rows, config.sampled, context)
        earned = rewards.score([r for r in rows for _ in range(config.sampled.n)], answers).totals
        best += chosen(material.rows[start : start + size], answers, earned, config.least)
        totals += earned
        context.progress("sampling", rows.stop, len(material.prompts))
    return best, totals


def _answers(
    material: Material, rows: range, sampled: Sampled, context: StageContext
) -> list[Generation]:
    from ..harness.backends.engine import Engine

    asked = [row for row in rows for _ in range(sampled.n)]
    seeds = [f"rejection/{context.seed}/{r}/{i}" for r in rows for i in range(sampled.n)]
    engine = Engine(material.loaded.model, material.loaded.device)
    return material.answers(asked, roll(engine, material, asked, sampled, seeds))


def chosen(
    rows: Sequence[Row],
    answers: Sequence[Generation],
    totals: Sequence[float | None],
    least: float,
) -> Iterator[Row]:
    """The best answer to each row as a chat, where it earns `least`; of equals the first."""
    n = len(answers) // len(rows)
    for place, row in enumerate(rows):
        own = [i for i in range(place * n, (place + 1) * n) if totals[i] is not None]
        best = max(own, key=lambda i: totals[i] or 0.0, default=None)
        if best is not None and (totals[best] or 0.0) >= least and answers[best].text.strip():
            said = {"role": "assistant", "content": answers[best].text}
            yield {"messages": [*row["prompt"], said]}
