"""Policy gradients on sampled answers and their rewards: GRPO, RLOO and REINFORCE, on TRL's stable trainers.

    grpo       Shao et al. 2024 (arXiv 2402.03300), section 4.1: an answer's advantage is its reward less
               the mean of its group, over the group's standard deviation; the loss is averaged over tokens
               as `loss` says (DAPO, Yu et al. 2025, arXiv 2503.14476; Dr. GRPO, Liu et al. 2025, 2503.20783)
    rloo       Ahmadian et al. 2024 (arXiv 2402.14740), section 2.3: the baseline is the mean of the other
               answers to the prompt, the ratio is that of whole answers, KL is part of the reward
    reinforce  Williams 1992: the baseline is the mean reward of all other answers of the batch

An answer without a reward has advantage 0 and is in nobody's baseline. The tests hold each against values
by hand. Not here: PPO (ppo.py), prompts (rollouts.py), rewards (reward_sums.py), what is watched
(held_out.py), what TRL's stages share (trl_base.py).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from ..harness.checkpoints import Checkpoint
from ..harness.datasets import fingerprint
from ..harness.errors import UsageError
from ..harness.stage import StageContext, StagePlan, stage
from .held_out import HeldOut, Watched, held_out
from .reward_signs import warn_of_signs
from .reward_sums import OWN, Rewards, opened
from .rollouts import Material, Sampled, gather
from .saving import saver
from .training import TrainingConfig
from .trl_base import EVERY, Job, refuse_infinite, require_trl, train
from .trl_plan import plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyConfig(TrainingConfig):
    """What the three methods share; a batch counts answers, and a step is one batch."""

    data: Mapping[str, int | None]
    """Datasets in the reward shape, with the number of rows of each (None: all)."""
    rewards: Mapping[str, float] = field(default_factory=lambda: {OWN: 1.0})
    """Scorers and their weights; `task` is the grader of the row's task."""
    watched: Watched | None = None
    """What is measured on the way and never rewarded: answers to prompts that are not trained on."""
    sampled: Sampled = field(default_factory=Sampled)
    rollouts: Literal["transformers", "vllm"] = "transformers"
    """What samples the answers."""
    batch_size: int = 64
    lr: float = 2e-4
    muon_lr: float = 3e-3
    decay: Literal["linear", "cosine", "constant"] = "constant"
    epsilon: float = 0.2
    """How far the ratio of new to old probability may move before its gradient is cut."""
    iterations: int = 1
    """Steps on one batch of answers."""
    mask_truncated: bool = False
    """Leave answers that were cut by the token limit out of the loss."""

    def __post_init__(self) -> None:
        TrainingConfig.__post_init__(self)
        if self.sampled.n < 2:
            raise ValueError(
                f"sampled.n must be at least 2 to compare answers, got {self.sampled.n}"
            )
        if self.batch_size % self.sampled.n:
            raise ValueError(
                f"batch_size {self.batch_size} must be a multiple of sampled.n {self.sampled.n}, "
                "so that groups stay whole"
            )
        if not 0 < self.epsilon < 1 or self.iterations < 1:
            raise ValueError(
                f"epsilon must be in (0, 1) and iterations at least 1, got {self.epsilon}, {self.iterations}"
            )
        if self.save_every is not None and self.save_every % self.iterations:
            raise ValueError(
                f"save_every {self.save_every} must be a multiple of iterations {self.iterations}: "
                "answers are not saved"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpoConfig(PolicyConfig):
    """Settings of `grpo`."""

    beta: float = 0.0
    """Weight of the KL penalty in the loss; 0 holds the model to nothing, KL is measured all the same."""
    loss: Literal["dapo", "grpo", "dr_grpo", "bnpo"] = "dapo"
    """`dapo`: mean over the tokens of the whole batch; `grpo`: of each answer first; `dr_grpo`: a sum
    over a constant; `bnpo`: mean over the tokens of a part of the batch."""
    scale: Literal["group", "batch", "none"] = "group"
    """Whose standard deviation divides the advantages."""
    epsilon_high: float | None = None
    """Upper bound of the ratio where it is to differ from epsilon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RlooConfig(PolicyConfig):
    """Settings of `rloo`."""

    beta: float = 0.05
    """Weight of the KL penalty in the reward."""
    normalize: bool = False
    """Divide advantages by their standard deviation in the batch."""
    epsilon_high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReinforceConfig(PolicyConfig):
    """Settings of `reinforce`; there is no KL penalty."""


Config = GrpoConfig | RlooConfig | ReinforceConfig
NAMES: Mapping[type[Any], str] = {
    GrpoConfig: "grpo",
    RlooConfig: "rloo",
    ReinforceConfig: "reinforce",
}


def plan_policy(checkpoint: Checkpoint | None, config: Config, context: StageContext) -> StagePlan:
    """The dry run of `grpo`, `rloo` and `reinforce`; tokens are those of the prompts, once an answer."""
    with _earning(checkpoint, config, context) as earned:
        found = plan(job(earned, config), config, context)
    material, answers = earned.material, config.sampled.n
    rows = len(material.prompts)
    epoch = rows * answers // config.batch_size * config.iterations * config.epochs
    steps = min(epoch, config.max_steps or epoch)
    seconds = found.seconds / found.steps * steps if found.seconds is not None else None
    tokens = sum(map(len, material.prompts)) * answers
    return replace(found, steps=steps, seconds=seconds, tokens=tokens)


@stage("grpo", config=GrpoConfig, plan=plan_policy)
def grpo(checkpoint: Checkpoint | None, config: GrpoConfig, context: StageContext) -> Checkpoint:
    """Make answers likelier that earn more than others to their prompt.

    Raises:
        UsageError: no checkpoint, no chat template, or vLLM where it does not work.
        TrainingDiverged: the loss, a gradient or the model's logits are not finite.
        CheckpointError: the checkpoint does not load as a whole.
        DataError: a row is no prompt with a task, or too long.
        InstrumentError: a reward broke, or left more than 5% of the answers unscored.
    """
    return _improve(checkpoint, config, context)


@stage("rloo", config=RlooConfig, plan=plan_policy)
def rloo(checkpoint: Checkpoint | None, config: RlooConfig, context: StageContext) -> Checkpoint:
    """Like `grpo`, each answer held against the others to its prompt, KL in the reward.

    Raises:
        UsageError, TrainingDiverged, CheckpointError, DataError, InstrumentError: see `grpo`.
    """
    return _improve(checkpoint, config, context)


@stage("reinforce", config=ReinforceConfig, plan=plan_policy)
def reinforce(
    checkpoint: Checkpoint | None, config: ReinforceConfig, context: StageContext
) -> Checkpoint:
    """Like `rloo`, each answer held against all others of the batch.

    Raises:
        UsageError, TrainingDiverged, CheckpointError, DataError, InstrumentError: see `grpo`.
    """
    return _improve(checkpoint, config, context)


def _improve(checkpoint: Checkpoint | None, config: Config, context: StageContext) -> Checkpoint:
    with _earning(checkpoint, config, context) as earned:
        material = earned.material
        model = train(
            job(earned, config),
            config,
            context,
            parent=checkpoint,
            identity=fingerprint(material.rows),
        )
    return context.finish(
        saver(model, material.loaded.tokenizer),
        parent=checkpoint,
        stage=NAMES[type(config)],
        config=config,
        data=material.data,
    )


@contextmanager
def _earning(
    checkpoint: Checkpoint | None, config: Config, context: StageContext
) -> Iterator[_Earned]:
    require_trl()
    refuse_vllm(config.rollouts, context, NAMES[type(config)])
    material = gather(checkpoint, config.data, config.sampled, context, NAMES[type(config)])
    prompts = config.batch_size // config.sampled.n
    if len(material.prompts) < prompts:
        raise UsageError(
            f"data has {len(material.prompts)} prompts and a batch takes {prompts}; lower batch_size."
        )
    with (
        opened(material, config.rewards) as rewards,
        held_out(config.watched, material, config.sampled, context) as watched,
    ):
        yield _Earned(material, rewards, watched, context)


def refuse_vllm(rollouts: str, context: StageContext, name: str) -> None:
    """Stop where vLLM is asked for and cannot follow the weights in training.

    Raises:
        UsageError: vLLM is not installed, or the device is a CPU.
    """
    if rollouts != "vllm":
        return
    if find_spec("vllm") is None or context.device == "cpu":
        missing = find_spec("vllm") is None
        why = "is not installed" if missing else "cannot take over new weights on a CPU"
        raise UsageError(
            f"Stage '{name}' is to sample with vLLM, which {why}; set rollouts: transformers."
        )


def job(earned: _Earned, config: Config) -> Job:
    """The training that a stage hands to TRL."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

    grouped, material = isinstance(config, GrpoConfig), earned.material
    rows = [{"prompt": row["prompt"], "row": i} for i, row in enumerate(material.rows)]
    # The same for every prompt: batches sorted by length would order the prompts.
    length = max(1, round(sum(map(len, material.prompts)) / len(material.prompts)))
    return Job(
        stage=NAMES[type(config)],
        trainer=_watching(GRPOTrainer if grouped else RLOOTrainer, earned, config),
        arguments=GRPOConfig if grouped else RLOOConfig,
        method={**_shared(config), **_method(config)},
        model=material.loaded.model,
        tokenizer=material.loaded.tokenizer,
        dataset=Dataset.from_list(rows),
        lengths=[length] * len(rows),
        extra={"reward_funcs": earned.reward},
    )


def _shared(config: Config) -> dict[str, Any]:
    """Arguments of both of TRL's trainers, with the values of their defaults where nothing says otherwise."""
    return {
        "remove_unused_columns": False,
        "num_generations": config.sampled.n,
        "max_completion_length": config.sampled.max_tokens,
        "temperature": config.sampled.temperature,
        "top_p": 1.0,  # all of the distribution, or the ratio would be of another one
        "top_k": 0,
        "min_p": None,
        "repetition_penalty": 1.0,
        "generation_kwargs": None,
        "chat_template_kwargs": None,
        "cache_implementation": None,
        "use_vllm": config.rollouts == "vllm",
        "vllm_mode": "colocate",
        "steps_per_generation": config.accumulate,
        "num_iterations": config.iterations,
        "epsilon": config.epsilon,
        "mask_truncated_completions": config.mask_truncated,
        "disable_dropout": True,
        "shuffle_dataset": False,  # the order is ours
        "sync_ref_model": False,
        "reward_weights": None,  # summed by ours, so that an unscored part masks the answer
        "log_completions": False,
    }


def _method(config: Config) -> dict[str, Any]:
    if isinstance(config, GrpoConfig):
        return {
            "beta": config.beta,
            "loss_type": config.loss,
            "scale_rewards": config.scale,
            "epsilon_high": config.epsilon_high,
            "delta": None,
            "importance_sampling_level": "token",
            "multi_objective_aggregation": "sum_then_normalize",
            "top_entropy_quantile": 1.0,
            "entropy_coef": 0.0,
            "use_adaptive_entropy": False,
            "off_policy_mask_threshold": None,
            "use_bias_correction_kl": False,
        }
    shared = {"reward_clip_range": None}
    if isinstance(config, ReinforceConfig):
        return {**shared, "beta": 0.0, "normalize_advantages": False, "epsilon_high": None}
    return {
        **shared,
        "beta": config.beta,
        "normalize_advantages": config.normalize,
        "epsilon_high": config.epsilon_high,
    }


class _Earned:
    """The reward function that TRL calls, what it found last, and what is watched beside it."""

    def __init__(
        self,
        material: Material,
        rewards: Rewards,
        watched: HeldOut | None,
        context: StageContext,
    ) -> None:
        self.material, self.rewards, self.watched = material, rewards, watched
        self.context = context
        self.totals: Sequence[float | None] = ()
        self.told: set[str] = set()

    def reward(
        self, completion_ids: Sequence[Sequence[int]], row: Sequence[int], log_metric: Any, **_: Any
    ) -> list[float | None]:
        """Rewards of sampled tokens, read as in an evaluation and not as TRL decodes them."""
        found = self.rewards.score(row, self.material.answers(row, completion_ids))
        for name, value in found.figures.items():
            log_metric(name, value)
        if not self.context.rank:
            warn_of_signs(self.context.metrics_path, self.told)
        self.totals = found.totals
        return found.totals


def _watching(trainer: type[Any], earned: _Earned, config: Config) -> type[Any]:
    """TRL's trainer with REINFORCE's baseline where it is asked for, and with what is only measured."""
    reference = _reference(earned.material.loaded.model, config)

    def generate_and_score(self: Any, inputs: Any) -> Any:
        import torch

        step, told = self.state.global_step, self._metrics["train"]
        model = _bare(self)
        largest = _largest_logit(model, earned.material.prompts[inputs[0]["row"]])
        refuse_infinite(NAMES[type(config)], step, "largest logit", largest, config)
        if earned.watched and step % EVERY == 0:
            told["watched"].append(earned.watched.score(model))
        batch = trainer._generate_and_score_completions(self, inputs)
        if isinstance(config, ReinforceConfig):
            values = batch_advantages(earned.totals)
            batch["advantages"] = torch.tensor(values, device=batch["advantages"].device)
        if not self.beta and step % EVERY == 0:
            told["kl"].append(_divergence(self, batch, reference))
        return batch

    members = {"_generate_and_score_completions": generate_and_score}
    return type(trainer.__name__, (trainer,), members)


def _bare(trainer: Any) -> Any:
    """The model without wrappers; layers of an adapter stay in it."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _largest_logit(model: Any, prompt: Sequence[int]) -> float:
    """Of the model on one prompt, by amount; what is not finite would end the sampling in a traceback."""
    import torch

    with torch.no_grad():
        logits_1tv = model(input_ids=torch.tensor([prompt], device=model.device)).logits
    return float(logits_1tv.abs().max())


def _reference(model: Any, config: Config) -> Any:
    """What KL is measured from; an adapter is switched off instead, and for a penalty TRL loads its own."""
    from trl.trainer.utils import add_fused_lm_head

    penalty = 0.0 if isinstance(config, ReinforceConfig) else config.beta
    if config.lora or penalty:
        return None
    reference = copy.deepcopy(model).eval()
    add_fused_lm_head(reference, temperature=config.sampled.temperature)
    return reference


def batch_advantages(totals: Sequence[float | None]) -> list[float]:
    """Each reward less the mean of all other scored ones; 0 where there is no reward.

    Williams 1992, section 5: any baseline that does not depend on the answer itself leaves the gradient
    unbiased.
    """
    scored = [total for total in totals if total is not None]
    whole, others = math.fsum(scored), len(scored) - 1
    return [
        0.0 if total is None or not others else total - (whole - total) / others for total in totals
    ]


def _divergence(trainer: Any, batch: Mapping[str, torch.Tensor], reference: Any) -> float:
    """KL of the model from where it began, nats a token, by the estimator that GRPO's penalty uses.

    exp(r) - r - 1 with r = log(reference / model) (Schulman 2020, "Approximating KL divergence", k3).
    """
    import torch

    ids_bt = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
    mask_bt = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
    said_bt = batch["completion_mask"]
    model = trainer.accelerator.unwrap_model(trainer.model)

    def logps(of: Any) -> torch.Tensor:
        found: torch.Tensor = trainer._get_per_token_logps_and_entropies(
            of, ids_bt, mask_bt, said_bt.size(1), trainer.args.per_device_train_batch_size
        )[0]
        return found

    with torch.no_grad():
        ours_bt = logps(model)
        if reference is None:
            with model.disable_adapter():
                ratio_bt = logps(model) - ours_bt
        else:
            ratio_bt = logps(reference.to(ids_bt.device)) - ours_bt
    kl_bt = torch.exp(ratio_bt) - ratio_bt - 1
    return float((kl_bt * said_bt).sum() / said_bt.sum())
