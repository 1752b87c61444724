"""PPO on sampled answers: a policy, its frozen reference, and a value head that is thrown away.

Schulman et al. 2017 (arXiv 1707.06347): eq. 7 is the clipped surrogate. Advantages are Schulman et al.
2016 (GAE, arXiv 1506.02438), eq. 16; the reward of a token is minus beta times its log-ratio to the
reference, and the answer's own reward comes with its last token (Ziegler et al. 2019, arXiv 1909.08593,
section 2, with their controller of beta). Own loop: TRL dropped the method. Answers are sampled by the
decode loop of the harness on the very weights that are trained. Not here: prompts (rollouts.py), rewards
(reward_sums.py), the loss and its parts (ppo_loss.py), several processes, LoRA, vLLM.
"""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Literal

from ..harness.checkpoints import Checkpoint
from ..harness.datasets import fingerprint
from ..harness.errors import TrainingDiverged, UsageError
from ..harness.stage import StageContext, StagePlan, stage
from .distributed import assert_alone
from .held_out import HeldOut, Watched, held_out
from .loop import CLIP, EVERY, reproducible
from .ppo_loss import Answers, Limits, adapted, gae, judged, ppo_loss, read, token_rewards, whitened
from .reward_signs import warn_of_signs
from .reward_sums import OWN, Rewards, opened, spread
from .rollouts import Material, Sampled, gather, roll
from .saving import saver

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class PpoConfig:
    """Settings of `ppo`; a batch counts answers."""

    data: Mapping[str, int | None]
    """Datasets in the reward shape, with the number of rows of each (None: all)."""
    rewards: Mapping[str, float] = field(default_factory=lambda: {OWN: 1.0})
    """Scorers and their weights; `task` is the grader of the row's task."""
    watched: Watched | None = None
    """What is measured on the way and never rewarded: answers to prompts that are not trained on."""
    sampled: Sampled = field(default_factory=lambda: Sampled(n=1))
    rollouts: Literal["transformers"] = "transformers"
    """What samples the answers: vLLM cannot follow these weights."""
    epochs: int = 1
    """Passes over the prompts; each pass asks anew."""
    max_steps: int | None = None
    """Stop after so many batches of answers."""
    batch_size: int = 64
    """Answers between two batches of sampling."""
    passes: int = 2
    """Times that the answers of a batch are learned from."""
    parts: int = 2
    """Optimizer steps in one pass."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """`muon`: Muon for the matrices inside the model at `muon_lr`, AdamW for the rest."""
    lr: float = 2e-4
    muon_lr: float = 3e-3
    value_lr: float = 1e-3
    """Of the value head."""
    ratio_clip: float = 0.2
    value_clip: float = 0.2
    value_weight: float = 0.1
    """What the value loss counts; the head shares the policy's layers."""
    gamma: float = 1.0
    """Discount a token."""
    lam: float = 0.95
    """GAE's lambda: 1 is the whole return, 0 the next value alone."""
    beta: float = 0.02
    """Weight of the KL penalty at the start."""
    kl_target: float | None = None
    """KL of an answer (nats) that beta is steered to; None keeps beta."""
    horizon: int = 10_000
    """Answers over which beta is steered."""
    save_every: int = 50
    """Batches between two states to go on from after a kill."""

    def __post_init__(self) -> None:
        for name in (
            *("epochs", "max_steps", "batch_size", "passes", "parts", "lr", "muon_lr", "value_lr"),
            *("ratio_clip", "value_clip", "gamma", "kl_target", "horizon", "save_every"),
        ):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} must be above 0, got {value}")
        for name in ("gamma", "lam"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)}")
        if self.beta < 0 or self.value_weight < 0:
            raise ValueError(
                f"beta and value_weight must be at least 0, got {self.beta} and {self.value_weight}"
            )
        if self.batch_size % self.sampled.n or self.batch_size % self.parts:
            raise ValueError(
                f"batch_size {self.batch_size} must be a multiple of sampled.n {self.sampled.n} and of parts "
                f"{self.parts}"
            )


def plan_ppo(checkpoint: Checkpoint | None, config: PpoConfig, context: StageContext) -> StagePlan:
    """The dry run of `ppo`: one measured batch, on weights that are thrown away."""
    with _learner(checkpoint, config, context) as learner:
        material, order = learner.material, _order(learner.material, config, context)
        parameters = sum(p.numel() for p in learner.model.parameters())
        began = time.monotonic()
        learner.step(0, order[0])
        seconds = (time.monotonic() - began) * len(order)
    return StagePlan(
        stage="ppo",
        rows=len(material.prompts),
        tokens=sum(map(len, material.prompts)) * config.sampled.n,
        steps=len(order) * config.passes * config.parts,
        parameters=parameters,
        trainable=parameters,
        memory_bytes=4 * 5 * parameters,  # weights, reference, gradients and two moments in float32
        seconds=seconds,
    )


@stage("ppo", config=PpoConfig, plan=plan_ppo)
def ppo(checkpoint: Checkpoint | None, config: PpoConfig, context: StageContext) -> Checkpoint:
    """Make answers likelier that earn more than the value head expected, near the old policy.

    Raises:
        UsageError: no checkpoint, no chat template, several processes, or watched prompts that are trained
            on.
        TrainingDiverged: the loss or the model's logits are not finite.
        CheckpointError: the checkpoint does not load as a whole.
        DataError: a row is no prompt with a task, or too long.
        InstrumentError: a reward broke, or left more than 5% of the answers unscored.
    """
    with _learner(checkpoint, config, context) as learner:
        material, order = learner.material, _order(learner.material, config, context)
        identity = ["ppo", repr(config), checkpoint.digest if checkpoint else None]
        state = context.begin([*identity, fingerprint(material.rows)]) / "state.pt"
        begin = learner.restore(state)
        context.rewind(begin - 1)
        for step in range(begin, len(order)):
            figures = learner.step(step, order[step])
            learner.tell(step, figures, last=step + 1 == len(order))
            if (step + 1) % config.save_every == 0:
                learner.save(state, step + 1)
            context.progress("ppo", step + 1, len(order))
    return context.finish(
        saver(learner.model, material.loaded.tokenizer),
        parent=checkpoint,
        stage="ppo",
        config=config,
        data=material.data,
    )


@contextmanager
def _learner(
    checkpoint: Checkpoint | None, config: PpoConfig, context: StageContext
) -> Iterator[Learner]:
    """All that learns, on checked prompts; seeded while the block runs."""
    assert_alone(context, "ppo")
    material = gather(checkpoint, config.data, config.sampled, context, "ppo")
    with (
        opened(material, config.rewards) as rewards,
        held_out(config.watched, material, config.sampled, context) as watched,
        reproducible(context),
    ):
        yield Learner(material, rewards, config, context, watched)


def _order(material: Material, config: PpoConfig, context: StageContext) -> list[list[int]]:
    """The rows of each batch, every row as often as it is answered.

    Raises:
        UsageError: fewer prompts than one batch takes.
    """
    prompts, rng = config.batch_size // config.sampled.n, Random(f"ppo/{context.seed}")
    batches: list[list[int]] = []
    for _ in range(config.epochs):
        rows = rng.sample(range(len(material.prompts)), len(material.prompts))
        whole = range(0, len(rows) - prompts + 1, prompts)
        batches += [
            [row for row in rows[i : i + prompts] for _ in range(config.sampled.n)] for i in whole
        ]
    if not batches:
        raise UsageError(
            f"data has {len(material.prompts)} prompts and a batch takes {prompts}; lower batch_size."
        )
    return batches[: config.max_steps]


class Learner:
    """Policy, reference, value head and optimizers, and one step of all of them."""

    def __init__(
        self,
        material: Material,
        rewards: Rewards,
        config: PpoConfig,
        context: StageContext,
        watched: HeldOut | None,
    ) -> None:
        import torch

        from ..harness.backends.engine import Engine

        self.material, self.rewards, self.config, self.context = material, rewards, config, context
        # Without dropout, or the ratio of new to old would not begin at 1.
        self.model = material.loaded.model.requires_grad_(True).eval()
        self.reference = copy.deepcopy(self.model).requires_grad_(False)
        width = self.model.get_output_embeddings().in_features
        self.value = torch.nn.Linear(width, 1, device=material.loaded.device)
        torch.nn.init.zeros_(self.value.weight)
        torch.nn.init.zeros_(self.value.bias)
        self.optimizers = [
            self._policy_optimizer(),
            torch.optim.AdamW(self.value.parameters(), lr=config.value_lr, weight_decay=0.0),
        ]
        self.engine = Engine(self.model, material.loaded.device)
        self.beta = config.beta
        self.watched, self.told = watched, set[str]()
        self.history: list[Mapping[str, float]] = []

    def _policy_optimizer(self) -> torch.optim.Optimizer:
        import torch

        from .optimizers import MuonAdamW

        if self.config.optimizer == "muon":
            return MuonAdamW(self.model, self.config.muon_lr, self.config.lr)
        return torch.optim.AdamW(self.model.parameters(), lr=self.config.lr, weight_decay=0.0)

    def step(self, step: int, rows: Sequence[int]) -> dict[str, float]:
        """Sample answers to `rows`, score them, and learn from them; returns the metrics.

        Raises:
            TrainingDiverged: the loss is not finite.
        """
        of, sampled = self.material, self.config.sampled
        seeds = [f"ppo/{self.context.seed}/{step}/{place}" for place in range(len(rows))]
        tokens = roll(self.engine, of, rows, sampled, seeds)
        answers = of.answers(rows, tokens)
        rewarded = self.rewards.score(rows, answers)
        prompts = [of.prompts[row] for row in rows]
        batch = judged(prompts, tokens, rewarded.totals, of.loaded.device)
        kl = self._assess(batch)
        figures = self._learned(step, batch)
        if target := self.config.kl_target:
            self.beta = adapted(self.beta, kl, target, len(rows), self.config.horizon)
        return {
            **figures,
            **spread(rewarded.totals, sampled.n),
            **rewarded.figures,
            "completions/mean_length": sum(map(len, tokens)) / len(tokens),
            "completions/clipped_ratio": sum(a.truncated for a in answers) / len(answers),
            "kl_answer": kl,
            "beta": self.beta,
        }

    def _learned(self, step: int, batch: Answers) -> dict[str, float]:
        """Every pass over the answers in shuffled parts; the means of what the losses told."""
        import torch

        rng, rows = Random(f"ppo/{self.context.seed}/{step}/parts"), len(batch.ids_bl)
        size = rows // self.config.parts
        told: list[dict[str, float]] = []
        for _ in range(self.config.passes):
            places = rng.sample(range(rows), rows)
            for start in range(0, rows, size):
                chosen = torch.tensor(places[start : start + size], device=batch.ids_bl.device)
                told.append(self._learn(step, batch.part(chosen)))
        return {name: sum(one[name] for one in told) / len(told) for name in told[0]}

    def _assess(self, batch: Answers) -> float:
        """Fill in what the old policy, the reference and the value head say; KL of an answer in nats."""
        import torch

        with torch.no_grad():
            old = read(self.model, self.value, batch, self.config.sampled.temperature)
            ref = read(self.reference, self.value, batch, self.config.sampled.temperature)
        ratio_bt = (old.logp_bt - ref.logp_bt) * batch.said_bt
        reward_bt = token_rewards(batch.reward_b, ratio_bt, batch.said_bt, self.beta)
        advantage_bt = gae(
            reward_bt, old.value_bt, batch.said_bt, self.config.gamma, self.config.lam
        )
        batch.old_bt, batch.value_bt = old.logp_bt, old.value_bt
        batch.return_bt = advantage_bt + old.value_bt
        batch.advantage_bt = whitened(advantage_bt, batch.learned_bt)
        return float(ratio_bt.sum(1).mean())

    def _learn(self, step: int, part: Answers) -> dict[str, float]:
        import torch

        of = self.config
        limits = Limits(of.ratio_clip, of.value_clip, of.value_weight)
        now = read(self.model, self.value, part, self.config.sampled.temperature)
        loss, figures = ppo_loss(now, part, limits)
        if not math.isfinite(loss.item()):
            raise TrainingDiverged(
                f"Stage 'ppo': the loss is {loss.item()} in batch {step}; lower lr ({self.config.lr:g}) "
                f"and muon_lr ({self.config.muon_lr:g})."
            )
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        torch.nn.utils.clip_grad_norm_(self.value.parameters(), CLIP)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return {**figures, "loss": loss.item(), "grad_norm": float(norm)}

    def tell(self, step: int, figures: Mapping[str, float], *, last: bool) -> None:
        """Write the means since the last line of metrics, and warn of signs of hacking in them."""
        self.history.append(figures)
        if step % EVERY == 0 or last:
            names = self.history[0]
            means = {n: sum(one[n] for one in self.history) / len(self.history) for n in names}
            if self.watched:
                means["watched"] = self.watched.score(self.model)
            self.context.metric(step, **means)
            warn_of_signs(self.context.metrics_path, self.told)
            self.history.clear()

    def save(self, file: Path, done: int) -> None:
        """Everything that the next step depends on."""
        import torch

        aside = file.with_suffix(".partial")
        state = {
            "done": done,
            "model": self.model.state_dict(),
            "value": self.value.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "beta": self.beta,
            "history": [dict(one) for one in self.history],
        }
        torch.save(state, aside)
        os.replace(aside, file)

    def restore(self, file: Path) -> int:
        """Batches done before, with everything as it was after them."""
        import torch

        if not file.is_file():
            return 0
        state = torch.load(file, weights_only=True, map_location=self.material.loaded.device)
        self.model.load_state_dict(state["model"])
        self.value.load_state_dict(state["value"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.beta, self.history = state["beta"], state["history"]
        return int(state["done"])
