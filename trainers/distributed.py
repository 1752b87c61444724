"""How many processes train together, and whether that is what the stage was promised.

`accelerate launch --cpu --num_processes 2` starts one process without a word; on a CPU use torchrun.
A stage therefore says what it found, and stops. Not here: starting processes (launch.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ..harness.errors import UsageError
from ..harness.stage import StageContext


def assert_world(context: StageContext, stage: str) -> None:
    """Stop if another number of processes runs than the context promises.

    Raises:
        UsageError: says both numbers.
    """
    found = int(os.environ.get("WORLD_SIZE", "1"))
    if found != context.world_size:
        raise UsageError(
            f"Stage '{stage}' was promised {context.world_size} processes and runs in {found}; start it with "
            f"torchrun --nproc_per_node {context.world_size} -m waterbed.trainers.launch (accelerate launch "
            "--cpu starts one process whatever it is asked for)."
        )


def assert_alone(context: StageContext, stage: str) -> None:
    """Stop a stage that knows one process only.

    Raises:
        UsageError: more than one process was promised or runs.
    """
    assert_world(context, stage)
    if context.world_size > 1:
        raise UsageError(
            f"Stage '{stage}' trains in one process, not in {context.world_size}; start it without torchrun."
        )


@contextmanager
def joined() -> Iterator[None]:
    """Leave the group of processes in the end, if the stage joined one."""
    yield
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
