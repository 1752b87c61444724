"""A stage that changes a checkpoint by a known amount, within a second: a file a user could have written."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from waterbed import stage


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseConfig:
    """Settings of `noise`."""

    lr: float = 0.0
    """Spread of the noise on every matrix, as a share of its own."""
    keeps: tuple[float, ...] = ()
    """Spreads of checkpoints that are kept on the way."""
    fails_while: str | None = None
    """A file; while it is there the stage raises."""
    log: str | None = None
    """A file that gets a line for each checkpoint that is written."""


@stage("noise", config=NoiseConfig)
def noise(checkpoint, config, context):
    context.begin(["noise", checkpoint.digest, config.lr])
    if config.fails_while and Path(config.fails_while).exists():
        raise RuntimeError("the machine is on fire")
    for step, spread in enumerate(config.keeps):
        shutil.copytree(
            checkpoint.path,
            context.kept / f"step-{step}",
            copy_function=_copied,
            dirs_exist_ok=True,
        )
        _disturb(context.kept / f"step-{step}", spread, context.seed)

    def save(folder: Path) -> None:
        shutil.copytree(checkpoint.path, folder, dirs_exist_ok=True)
        _disturb(folder, config.lr, context.seed)
        if config.log:
            with Path(config.log).open("a") as file:
                file.write(f"{context.out.name}\n")

    return context.finish(save, parent=checkpoint, stage="noise", config=config, rows=[])


def _copied(source: str, target: str) -> None:
    shutil.copyfile(source, target)


def _disturb(folder: Path, spread: float, seed: int) -> None:
    file = folder / "model.safetensors"
    tensors = load_file(file)
    generator = torch.Generator().manual_seed(seed)
    for name in sorted(tensors):
        weight = tensors[name]
        drawn = torch.randn(weight.shape, generator=generator)
        tensors[name] = (
            weight + spread * float(weight.std()) * drawn if weight.dim() > 1 else weight
        )
        if spread > 5:
            tensors[name][0] = float("nan")
    save_file(tensors, file, metadata={"format": "pt"})
