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

from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from ..harness.checkpoints import Checkpoint
from ..harness.datasets import fingerprint
from ..harness.errors import UsageError
from ..harness.stage import StageContext, StagePlan, stage
from .held_out import Watched, held_out
from .policy_trainer import Earned, watching
from .reward_sums import OWN, opened
from .rollouts import Sampled, gather
from .saving import saver
from .training import TrainingConfig
from .trl_base import Job, require_trl, train
from .trl_plan import plan

if TYPE_CHECKING:
    from collections.abc import Iterator


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
    seconds = None
    if found.seconds is not None and found.steps:
        seconds = found.seconds / found.steps * steps
    tokens = sum(map(len, material.prompts)) * answers
    return replace(found, steps=steps, seconds=seconds, tokens=tokens)


@stage("grpo", config=GrpoConfig, plan=plan_policy)
def grpo(checkpoint: Checkpoint | None, config: GrpoConfig, context: StageContext) -> Checkpoint:
    """Make answers likelier that earn more than others to their prompt.

    Raises:
        UsageError: no checkpoint, no chat template, vLLM where it does not work, or watched prompts that are
            trained on.
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
        earned.warn()  # of the last line of metrics, too
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
) -> Iterator[Earned]:
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
        yield Earned(material, rewards, watched, context)


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


def job(earned: Earned, config: Config) -> Job:
    """The training that a stage hands to TRL."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

    grouped, material = isinstance(config, GrpoConfig), earned.material
    name, method = NAMES[type(config)], {**_shared(config), **_method(config)}
    rows = [{"prompt": row["prompt"], "row": i} for i, row in enumerate(material.rows)]
    # The same for every prompt: batches sorted by length would order the prompts.
    length = max(1, round(sum(map(len, material.prompts)) / len(material.prompts)))
    return Job(
        stage=name,
        trainer=watching(
            GRPOTrainer if grouped else RLOOTrainer, earned, name, config, beta=method["beta"]
        ),
        arguments=GRPOConfig if grouped else RLOOConfig,
        method=method,
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
        "pad_to_multiple_of": None,
        "use_transformers_continuous_batching": False,
        "use_vllm": config.rollouts == "vllm",
        "vllm_mode": "colocate",
        "vllm_model_impl": "vllm",
        "vllm_gpu_memory_utilization": 0.3,  # the rest is for training
        "vllm_max_model_length": None,
        "vllm_tensor_parallel_size": 1,
        "vllm_enable_sleep_mode": False,
        "steps_per_generation": config.accumulate,
        "num_iterations": config.iterations,
        "epsilon": config.epsilon,
        "mask_truncated_completions": config.mask_truncated,
        "disable_dropout": True,
        "shuffle_dataset": False,  # the order is ours
        "sync_ref_model": False,
        "reward_weights": None,  # summed by ours, so that an unscored part masks the answer
        "log_completions": False,
        "router_aux_loss_coef": None,  # that of the model's config
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
            "cast_lm_head_to_fp32": False,
            # vLLM's probabilities differ from those of the trained weights: its answers are reweighted.
            "vllm_importance_sampling_correction": True,
            "vllm_importance_sampling_mode": "sequence_mask",
            "vllm_importance_sampling_clip_max": 3.0,
            "vllm_importance_sampling_clip_min": None,
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
