"""Runs one stage as a program, in one process or in several that train together.

    python -m waterbed.trainers.launch STAGE --config FILE --out DIR [CHECKPOINT]
    torchrun --nproc_per_node 2 -m waterbed.trainers.launch STAGE ... --world-size 2
    accelerate launch --config_file FSDP2 -m waterbed.trainers.launch STAGE ... --world-size 8

`--fsdp2` prints the path of the FSDP2 configuration for accelerate that is shipped; it has not been run on
the project's own machines, which have no GPU. The settings are a YAML file of the stage's own keys. A
killed run goes on when the same command is given again. Not here: recipes of several stages, gates.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path

from ..harness.checkpoints import open_checkpoint
from ..harness.errors import WaterbedError
from ..harness.stage import StageContext, StagePlan, stages
from ..harness.stage_config import from_yaml
from .distributed import joined


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a stage; returns the exit code."""
    given = _parser().parse_args(arguments)
    if given.fsdp2:
        print(files(__package__) / "fsdp2.yaml")
        return 0
    try:
        return _run(given)
    except WaterbedError as error:
        print(error, file=sys.stderr)
        return error.exit_code


def _run(given: argparse.Namespace) -> int:
    stage = stages.get(given.stage)
    config = from_yaml(stage.config, given.config)
    checkpoint = open_checkpoint(given.checkpoint) if given.checkpoint else None
    context = StageContext(
        Path(given.out),
        seed=given.seed,
        device=given.device,
        threads=given.threads,
        world_size=given.world_size,
        progress=_told,
    )
    settings = {name: getattr(config, name) for name in asdict(config)}
    if given.plan:
        print(_lines(stage.plan(checkpoint, context, **settings)))
        return 0
    with joined():
        made = stage.run(checkpoint, context, **settings)
    if not context.rank:
        print(made.digest)
    return 0


def _lines(plan: StagePlan) -> str:
    """A plan, a line for each thing that is known."""
    numbers = {name: value for name, value in asdict(plan).items() if name != "notes"}
    known = [f"{name}: {value}" for name, value in numbers.items() if value is not None]
    return "\n".join([*known, *plan.notes])


def _told(what: str, done: int, total: int) -> None:
    if done in (1, total) or done % 100 == 0:
        print(f"{what}: step {done} of {total}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m waterbed.trainers.launch")
    parser.add_argument("stage", nargs="?", help="name of the stage")
    parser.add_argument("checkpoint", nargs="?", help="folder to start from; none for pretrain")
    parser.add_argument("--config", help="YAML file of the stage's settings")
    parser.add_argument("--out", help="folder of the new checkpoint")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", help="a torch device, for example cuda")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--world-size", type=int, default=1, help="processes that must be there")
    parser.add_argument("--plan", action="store_true", help="say what it would take, and stop")
    parser.add_argument("--fsdp2", action="store_true", help="print the path of the FSDP2 config")
    return parser


if __name__ == "__main__":
    sys.exit(main())
