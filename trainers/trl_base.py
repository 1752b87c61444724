"""What the stages on TRL share: arguments without inherited defaults, order, resume, LoRA, metrics.

A stage hands over a `Job`: TRL's trainer and argument class, a model, tokenised rows and its method's
arguments. Everything TRL would choose by itself is said here (its defaults turn on bf16, gradient
checkpointing, reports and telemetry). Rows come in an order of our own, of similar length in a batch,
which depends on the seed and on nothing else; several processes share each batch. Not here: the
methods; what a plan costs (trl_plan.py); sharded models beyond what accelerate's FSDP2 config does.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from ..harness.checkpoints import Checkpoint
from ..harness.errors import TrainingDiverged, UsageError
from ..harness.stage import StageContext
from .distributed import assert_world
from .loop import EVERY, reproducible
from .lora import merged, peft_config
from .training import TrainingConfig

if TYPE_CHECKING:
    from datasets import Dataset

#: Batches are cut from runs of this many shuffled rows sorted by length.
WINDOW = 1024
#: Written into a saved state when it is complete.
COMPLETE = "complete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One training on TRL."""

    stage: str
    trainer: type[Any]
    """TRL's trainer class."""
    arguments: type[Any]
    """Its argument class."""
    method: Mapping[str, Any]
    """The method's own arguments, every one of them."""
    model: Any
    tokenizer: Any
    dataset: Dataset
    """Tokenised rows in the columns of the trainer."""
    lengths: Sequence[int]
    """Tokens of each row, both answers of a pair together."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of the trainer: a collator, a reference model."""
    reward_model: bool = False


def require_trl() -> None:
    """Stop where the libraries for training are not installed.

    Raises:
        UsageError: names the extra to install.
    """
    missing = [name for name in ("trl", "peft", "accelerate") if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"This stage trains with {', '.join(missing)}, which is not installed; run "
            "`pip install waterbed[train]`."
        )


def train(
    job: Job,
    config: TrainingConfig,
    context: StageContext,
    *,
    parent: Checkpoint | None,
    identity: Any,
) -> Any:
    """Train and return the model, its adapter merged; goes on from a state that a kill left.

    Args:
        identity: what else the weights follow from: the rows.

    Raises:
        UsageError: the number of processes is not the promised one.
        TrainingDiverged: the loss or a gradient is not finite.
    """
    from transformers import PrinterCallback

    assert_world(context, job.stage)
    _refuse_sharded(job, config)
    work = context.begin([job.stage, repr(config), parent.digest if parent else None, identity])
    with reproducible(context), _quiet():
        trainer = _trainer(job, config, context, work)
        trainer.remove_callback(PrinterCallback)
        context.wait()  # until process 0 has made the work folder
        state = last_state(work)
        # Lines are numbered by the steps done before them.
        context.rewind(int(state.name.rpartition("-")[2]) - 1 if state else -1)
        done = trainer.train(resume_from_checkpoint=str(state) if state else None)
    refuse_infinite(job.stage, done.global_step, "loss", done.training_loss, config)
    model = trainer.accelerator.unwrap_model(trainer.model)
    if trainer.is_fsdp_enabled:
        return Gathered(model, trainer.accelerator.get_state_dict(trainer.model))
    return merged(model).eval()


@dataclass(frozen=True, slots=True)
class Gathered:
    """A model whose weights lie split over devices, and all of them gathered for writing."""

    model: Any
    state: Mapping[str, Any]

    def save_pretrained(self, folder: Path) -> None:
        """As transformers' own, with the gathered weights."""
        self.model.save_pretrained(folder, state_dict=dict(self.state))


def _refuse_sharded(job: Job, config: TrainingConfig) -> None:
    """Muon needs whole matrices and LoRA is merged into whole weights; FSDP splits both."""
    sharded = os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true"
    if sharded and (config.optimizer == "muon" or config.lora):
        raise UsageError(
            f"Stage '{job.stage}' cannot use {'lora' if config.lora else 'muon'} on weights that FSDP splits; "
            "set optimizer: adamw and lora: null, or start it with torchrun."
        )


def _trainer(job: Job, config: TrainingConfig, context: StageContext, work: Path) -> Any:
    arguments = job.arguments(**_arguments(config, context, work), **job.method)
    order = row_order(job.lengths, config.batch_size, config.epochs, f"{job.stage}/{context.seed}")
    adapter: dict[str, Any] = {}
    if config.lora:
        adapter["peft_config"] = peft_config(config.lora, reward_model=job.reward_model)
    return _ours(job.trainer, config)(
        model=job.model.requires_grad_(True),
        args=arguments,
        train_dataset=job.dataset.select(order),
        processing_class=job.tokenizer,
        callbacks=[_watcher(job.stage, config, context)],
        **adapter,
        **job.extra,
    )


def _arguments(config: TrainingConfig, context: StageContext, work: Path) -> dict[str, Any]:
    """Arguments of every trainer, none of them left to a default that could surprise."""
    low = {"min_lr_rate": 0.05} if config.decay == "cosine" else {}
    scheduler = {"cosine": "cosine_with_min_lr", "constant": "constant_with_warmup"}
    return {
        "output_dir": str(work),
        "num_train_epochs": 1,  # the order holds every epoch
        "max_steps": config.max_steps or -1,
        "per_device_train_batch_size": share_of_batch(config, context),
        "gradient_accumulation_steps": config.accumulate,
        "train_sampling_strategy": "sequential",
        "learning_rate": config.lr,
        "lr_scheduler_type": scheduler.get(config.decay, config.decay),
        "lr_scheduler_kwargs": low,
        "warmup_steps": config.warmup,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.clip,
        "optim": "adamw_torch",
        "adam_beta1": 0.9,
        "adam_beta2": 0.999,
        "adam_epsilon": 1e-8,
        "use_cpu": context.device == "cpu",
        "bf16": config.precision == "bfloat16",
        "fp16": False,
        "gradient_checkpointing": config.gradient_checkpointing,
        "seed": context.seed,
        "data_seed": context.seed,
        "save_strategy": "steps" if config.save_every else "no",
        "save_steps": config.save_every or 1,
        "save_total_limit": 2,
        "logging_strategy": "steps",
        "logging_steps": EVERY,
        "logging_first_step": True,
        "logging_nan_inf_filter": False,
        "report_to": "none",
        "disable_tqdm": True,
        "eval_strategy": "no",
        "push_to_hub": False,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": context.device != "cpu",
        "dataloader_drop_last": False,
        "average_tokens_across_devices": True,
        "ddp_find_unused_parameters": False,
    }


def share_of_batch(config: TrainingConfig, context: StageContext) -> int:
    """Rows of one forward pass in one process.

    Raises:
        UsageError: the batch cannot be shared evenly.
    """
    parts = context.world_size * config.accumulate
    if config.batch_size % parts:
        raise UsageError(
            f"batch_size {config.batch_size} cannot be cut into {context.world_size} processes x "
            f"{config.accumulate} parts; make it a multiple of {parts}."
        )
    return config.batch_size // parts


def row_order(lengths: Sequence[int], size: int, epochs: int, seed: str) -> list[int]:
    """Row numbers of all epochs; each epoch holds every row once, neighbours of similar length."""
    rng = Random(seed)
    order: list[int] = []
    for _ in range(epochs):
        rows = rng.sample(range(len(lengths)), len(lengths))
        batches: list[list[int]] = []
        for start in range(0, len(rows), WINDOW):
            window = sorted(rows[start : start + WINDOW], key=lengths.__getitem__)
            batches += [window[i : i + size] for i in range(0, len(window), size)]
        rng.shuffle(batches)
        batches.sort(
            key=lambda batch: len(batch) < size
        )  # short ones last, or they shift the others
        order += [row for batch in batches for row in batch]
    return order


def last_state(work: Path) -> Path | None:
    """The newest state in a work folder that was written to its end."""
    states = [path.parent for path in work.glob(f"checkpoint-*/{COMPLETE}")]
    return max(states, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def _ours(trainer: type[Any], config: TrainingConfig) -> type[Any]:
    """TRL's trainer with our optimizer; it reports to nobody and writes no model card."""

    def create_optimizer(self: Any, model: Any = None) -> Any:
        if self.optimizer is None and config.optimizer == "muon":
            from .optimizers import MuonAdamW

            self.optimizer = MuonAdamW(model or self.model, config.muon_lr, config.lr)
        return trainer.create_optimizer(self, model)

    def nothing(*_: Any, **__: Any) -> None:
        return None

    members = {"_send_telemetry": nothing, "create_model_card": nothing}
    return type(trainer.__name__, (trainer,), {**members, "create_optimizer": create_optimizer})


def _watcher(stage: str, config: TrainingConfig, context: StageContext) -> Any:
    """A callback that tells the context of steps and metrics, and stops at a loss that is not finite."""
    from transformers import TrainerCallback

    base: Any = TrainerCallback

    class Watcher(base):  # type: ignore[misc]
        def on_step_end(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
            context.progress(stage, state.global_step, state.max_steps)

        def on_log(self, _args: Any, state: Any, _control: Any, **told: Any) -> None:
            values = {
                _NAMES.get(k, k): v for k, v in (told.get("logs") or {}).items() if _told(k, v)
            }
            for name in ("loss", "grad_norm"):
                refuse_infinite(stage, state.global_step, name, values.get(name, 0.0), config)
            if values:
                context.metric(state.global_step - 1, **values)

        def on_save(self, args: Any, state: Any, _control: Any, **_: Any) -> None:
            if not context.rank:
                folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
                (folder / COMPLETE).touch()

    return Watcher()


_NAMES = {"learning_rate": "lr"}


def _told(name: str, value: Any) -> bool:
    """Whether a figure belongs into the metrics: not the epoch, not the run time at the end."""
    return (
        isinstance(value, int | float)
        and name not in ("epoch", "total_flos")
        and not (name.startswith("train_"))
    )


def refuse_infinite(stage: str, step: int, name: str, value: float, config: TrainingConfig) -> None:
    """Stop at a figure that is infinite or no number.

    Raises:
        TrainingDiverged: names the rates to lower.
    """
    if not math.isfinite(value):
        muon = f" and muon_lr ({config.muon_lr:g})" if config.optimizer == "muon" else ""
        raise TrainingDiverged(
            f"Stage '{stage}': the {name} is {value} at step {step}; lower lr ({config.lr:g}){muon}."
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars and advice on stderr: what matters is raised or told to the context."""
    import datasets
    from transformers.utils import logging as untyped

    logging: Any = untyped
    level, bars = logging.get_verbosity(), not datasets.are_progress_bars_disabled()
    shown = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()
        if bars:
            datasets.enable_progress_bars()
