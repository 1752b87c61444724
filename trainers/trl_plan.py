"""The dry run of a stage on TRL: rows, tokens, steps, parameters, memory, and the time of a measured step.

The model that is handed in is trained for three steps in a throw-away folder and is not good for
anything afterwards. Not here: activations, which depend on the device's kernels and are not estimated.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from ..harness.stage import StageContext, StagePlan
from .lora import peft_config
from .training import TrainingConfig
from .trl_base import Job, train

#: Steps that are measured, the first of which is not counted.
_MEASURED = 3
_FLOAT = 4


def plan(job: Job, config: TrainingConfig, context: StageContext) -> StagePlan:
    """What training `job` would take."""
    steps = step_count(job, config)
    parameters = sum(p.numel() for p in job.model.parameters())
    trainable = _adapter_size(job, config) if config.lora else parameters
    copies = 1 + (job.extra.get("ref_model") is not None)
    # A gradient and AdamW's two moments for each trained weight.
    memory = _FLOAT * (copies * parameters + 3 * trainable)
    return StagePlan(
        stage=job.stage,
        rows=len(job.lengths),
        tokens=sum(job.lengths),
        steps=steps,
        parameters=parameters,
        trainable=trainable,
        memory_bytes=memory,
        seconds=_seconds_a_step(job, config, context, steps),
    )


def step_count(job: Job, config: TrainingConfig) -> int:
    """Optimizer steps of a job that learns from the rows themselves."""
    epochs = math.ceil(len(job.lengths) * config.epochs / config.batch_size)
    return min(epochs, config.max_steps or epochs)


def _adapter_size(job: Job, config: TrainingConfig) -> int:
    """Weights that LoRA would train: rank x (inputs + outputs) of each layer it is put beside."""
    import copy

    from peft import get_peft_model

    assert config.lora is not None
    adapter = peft_config(config.lora, reward_model=job.reward_model)
    return int(get_peft_model(copy.deepcopy(job.model), adapter).get_nb_trainable_parameters()[0])


def _seconds_a_step(
    job: Job, config: TrainingConfig, context: StageContext, steps: int
) -> float | None:
    """Time of all steps by that of a few; None where there are too few to measure."""
    if steps < _MEASURED:
        return None
    ends: list[float] = []

    def note(*_: object) -> None:
        ends.append(time.monotonic())

    few = replace(config, max_steps=_MEASURED, save_every=None)
    with TemporaryDirectory() as folder:
        aside = replace(context, out=Path(folder) / "plan", progress=note)
        train(job, few, aside, parent=None, identity="plan")
    return steps * (ends[-1] - ends[0]) / (_MEASURED - 1)
