"""Weights of several checkpoints made into one: interpolation, averaging, and choosing.

`interpolate` is WiSE-FT (Wortsman et al. 2022a, "Robust fine-tuning of zero-shot models", eq. 1):
(1 - alpha) of the checkpoint and alpha of another, usually its fine-tuned child. `average` is a model
soup (Wortsman et al. 2022b), uniform or weighted. `choose` takes the checkpoint with the lowest loss on
development rows, from several along a training or along alpha. No training, one tensor in memory at a
time. Not here: which mixture is good, which a gate says.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..harness.backends.loading import load, load_vocabulary
from ..harness.checkpoints import Checkpoint, open_checkpoint
from ..harness.datasets import fingerprint
from ..harness.stage import StageContext, StagePlan, given, stage
from .achieved import Asked, measurement, weigh
from .corpus import encode_corpus, load_corpus
from .distributed import assert_alone
from .loop import answer_loss, reproducible
from .speed import Timing
from .tensor_files import check_alike, entries, other_files, parameters, write_mixed

if TYPE_CHECKING:
    import torch

#: Rows of one forward pass when a loss is measured.
BATCH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class InterpolateConfig:
    """Settings of `interpolate`."""

    other: str
    """Folder or hub id of the checkpoint at alpha = 1."""
    alpha: float = 0.5
    """Share of the other checkpoint; 0 and 1 give the ends exactly."""
    timing: Timing = field(default_factory=lambda: Timing(repeats=0))
    """How speed is measured; the shape does not change, so by default it is not."""

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha must be in [0, 1], got {self.alpha}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AverageConfig:
    """Settings of `average`."""

    others: tuple[str, ...]
    """Folders or hub ids; the checkpoint itself is the first of the mean."""
    weights: tuple[float, ...] | None = None
    """One for the checkpoint and one for each of the others, scaled to sum to 1; None: all alike."""
    timing: Timing = field(default_factory=lambda: Timing(repeats=0))
    """As in `interpolate`."""

    def __post_init__(self) -> None:
        if not self.others:
            raise ValueError("others is empty; name at least one checkpoint")
        if self.weights is None:
            return
        if len(self.weights) != len(self.others) + 1:
            raise ValueError(
                f"weights needs {len(self.others) + 1} numbers, the checkpoint's first, got {len(self.weights)}"
            )
        if min(self.weights) < 0 or not sum(self.weights):
            raise ValueError(f"weights must not be negative or all 0, got {self.weights}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChooseConfig:
    """Settings of `choose`."""

    others: tuple[str, ...]
    """Folders or hub ids to choose from, beside the checkpoint itself."""
    data: Mapping[str, int | None]
    """Development rows by dataset, chats or texts, with the number of rows of each (None: all)."""
    weights: Mapping[str, float] | None = None
    """What each dataset's loss counts; None: all alike."""

    def __post_init__(self) -> None:
        if not self.others:
            raise ValueError("others is empty; name at least one checkpoint to choose from")
        if self.weights is not None and set(self.weights) != set(self.data):
            raise ValueError(f"weights must name the datasets of data, got {sorted(self.weights)}")


def plan_mixed(
    checkpoint: Checkpoint | None,
    config: InterpolateConfig | AverageConfig,
    context: StageContext,
) -> StagePlan:
    """The dry run of `interpolate` and `average`; a step is a tensor."""
    name = "interpolate" if isinstance(config, InterpolateConfig) else "average"
    others = (config.other,) if isinstance(config, InterpolateConfig) else config.others
    parent, opened = _alike(checkpoint, others, name, context)
    sizes = [entry.end - entry.start for _, entry in entries(parent).values()]
    memory = max(sizes) * (1 + len(opened))
    return _plan(name, parent, rows=0, tokens=0, steps=len(sizes), memory=memory)


def plan_choose(
    checkpoint: Checkpoint | None, config: ChooseConfig, context: StageContext
) -> StagePlan:
    """The dry run of `choose`; a step is a forward pass."""
    candidates = [given(checkpoint, "choose"), *map(open_checkpoint, config.others)]
    rows = load_corpus(config.data, context.seed)
    found = load_vocabulary(candidates[0].path, trust_remote_code=False)
    counts = [
        len(example.tokens) for example in encode_corpus(rows, found.tokenizer, found.context)
    ]
    steps = len(candidates) * sum(math.ceil(len(some) / BATCH) for some in rows.values())
    memory = 4 * parameters(candidates[0])  # one at a time, in float32
    told = {"rows": len(counts), "tokens": sum(counts), "steps": steps, "memory": memory}
    return _plan("choose", candidates[0], **told)


def _plan(
    name: str, parent: Checkpoint, *, rows: int, tokens: int, steps: int, memory: int
) -> StagePlan:
    return StagePlan(
        stage=name,
        rows=rows,
        tokens=tokens,
        steps=steps,
        parameters=parameters(parent),
        trainable=0,
        memory_bytes=memory,
        seconds=None,
    )


@stage("interpolate", config=InterpolateConfig, plan=plan_mixed)
def interpolate(
    checkpoint: Checkpoint | None, config: InterpolateConfig, context: StageContext
) -> Checkpoint:
    """Mix a checkpoint with another.

    Raises:
        UsageError: no checkpoint, or another shape or tokenizer.
        CheckpointError: a checkpoint is damaged.
    """

    def mix(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        import torch

        return torch.lerp(tensors[0], tensors[1], config.alpha)  # exact at 0 and at 1

    return _mixed("interpolate", checkpoint, (config.other,), config, context, mix)


@stage("average", config=AverageConfig, plan=plan_mixed)
def average(
    checkpoint: Checkpoint | None, config: AverageConfig, context: StageContext
) -> Checkpoint:
    """Average a checkpoint with others.

    Raises:
        UsageError, CheckpointError: see `interpolate`.
    """
    counts = config.weights or (1.0,) * (len(config.others) + 1)
    shares = [weight / math.fsum(counts) for weight in counts]

    def mix(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        import torch

        parts = [t.double() * share for t, share in zip(tensors, shares, strict=True) if share]
        return torch.stack(parts).sum(0)

    return _mixed("average", checkpoint, config.others, config, context, mix)


def _mixed(
    name: str,
    checkpoint: Checkpoint | None,
    others: Sequence[str],
    config: InterpolateConfig | AverageConfig,
    context: StageContext,
    mix: Callable[[Sequence[torch.Tensor]], torch.Tensor],
) -> Checkpoint:
    parent, opened = _alike(checkpoint, others, name, context)

    def save(folder: Path) -> None:
        copy_files(parent.path, folder)
        write_mixed(
            folder, [parent, *opened], mix, lambda done, of: context.progress(name, done, of)
        )

    asked = Asked(parameters=weigh(parent.path).parameters)
    return context.finish(
        save,
        parent=parent,
        stage=name,
        config=config,
        rows=(),
        measure=measurement(name, parent, asked, config.timing, context),
        beside=opened,
    )


def _alike(
    checkpoint: Checkpoint | None, others: Sequence[str], name: str, context: StageContext
) -> tuple[Checkpoint, list[Checkpoint]]:
    """The checkpoint and the others, whose weights can be mixed."""
    assert_alone(context, name)
    parent = given(checkpoint, name)
    opened = [open_checkpoint(other) for other in others]
    for other in opened:
        check_alike(parent, other)
    return parent, opened


@stage("choose", config=ChooseConfig, plan=plan_choose)
def choose(
    checkpoint: Checkpoint | None, config: ChooseConfig, context: StageContext
) -> Checkpoint:
    """Copy the checkpoint with the lowest loss on development rows; of equal ones the first.

    The rows are recorded and not traced: they pick one of a few models, and no weight is fitted to them.

    Raises:
        UsageError: no checkpoint, or a test split.
        CheckpointError: a checkpoint does not load.
        DataError: a row is too long, or neither chat nor text.
    """
    candidates = [given(checkpoint, "choose"), *map(open_checkpoint, config.others)]
    losses: list[dict[str, float]] = []
    for number, candidate in enumerate(candidates, 1):
        losses.append(dev_losses(candidate, config.data, context))
        context.progress("choose", number, len(candidates))
    counts = config.weights or dict.fromkeys(config.data, 1.0)
    means = [sum(counts[name] * loss for name, loss in found.items()) for found in losses]
    best = candidates[means.index(min(means))]
    told = [
        {"path": str(c.path), "digest": c.digest, "loss": found}
        for c, found in zip(candidates, losses, strict=True)
    ]
    rows = {n: fingerprint(load_corpus({n: k}, context.seed)[n]) for n, k in config.data.items()}
    return context.finish(
        lambda folder: copy_files(best.path, folder, weights=True),
        parent=best,
        stage="choose",
        config=config,
        rows=(),
        measure=lambda _: {"candidates": told, "chosen": best.digest, "development": rows},
    )


def dev_losses(
    checkpoint: Checkpoint, data: Mapping[str, int | None], context: StageContext
) -> dict[str, float]:
    """Mean cross-entropy (nats) of a token the model is to say, by dataset."""
    import torch

    loaded = load(checkpoint.path, context.device, "float32", False)
    found = {}
    with reproducible(context), torch.inference_mode():
        for name, rows in load_corpus(data, context.seed).items():
            examples = encode_corpus({name: rows}, loaded.tokenizer, loaded.context)
            parts = [examples[i : i + BATCH] for i in range(0, len(examples), BATCH)]
            said = [sum(sum(e.said[1:]) for e in part) for part in parts]
            sums = [
                answer_loss(loaded.model, p).item() * n for p, n in zip(parts, said, strict=True)
            ]
            found[name] = math.fsum(sums) / sum(said)
    return found


def copy_files(source: Path, folder: Path, *, weights: bool = False) -> None:
    """Copy configs, tokenizer and template of a checkpoint, and its weights if asked."""
    files = [*other_files(source)]
    if weights:
        files += [*source.glob("*.safetensors"), *source.glob("*.safetensors.index.json")]
    for file in files:
        place = folder / file.relative_to(source)
        place.parent.mkdir(exist_ok=True)
        shutil.copyfile(file, place)
