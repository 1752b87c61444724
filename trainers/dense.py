"""A dense checkpoint opened for compression: its matrices by name, and saved in the number type it had.

Packed weights are refused, since nothing here can unpack and pack them again. Not here: the methods;
what they achieved (achieved.py).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..harness.backends.loading import load
from ..harness.checkpoints import Checkpoint, shards
from ..harness.errors import UsageError
from ..harness.stage import StageContext, StagePlan, given
from .saving import saver

if TYPE_CHECKING:
    import torch

_TORCH_NAMES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


@dataclass(frozen=True, slots=True)
class Dense:
    """A checkpoint ready to be made smaller."""

    parent: Checkpoint
    model: Any
    """In float32, whatever the files hold."""
    tokenizer: Any
    longest: int | None
    """Most tokens the model can hold."""

    def saver(self) -> Callable[[Path], None]:
        """What fills a folder with the model as it is then, in the number type of the parent's files."""
        import torch

        stored = Counter(
            _TORCH_NAMES[entry.dtype]
            for header in shards(self.parent.path).values()
            for entry in header.tensors.values()
            if entry.dtype in _TORCH_NAMES
        ).most_common(1)
        dtype = getattr(torch, stored[0][0] if stored else "float32")

        def save(folder: Path) -> None:
            saver(self.model.to(dtype), self.tokenizer)(folder)

        return save


def open_dense(checkpoint: Checkpoint | None, stage: str, context: StageContext) -> Dense:
    """Load a checkpoint whose weights are not packed.

    Raises:
        UsageError: no checkpoint, or a quantized one.
        CheckpointError: it does not load as a whole.
    """
    checkpoint = given(checkpoint, stage)
    config = json.loads((checkpoint.path / "config.json").read_text(encoding="utf-8"))
    if "quantization_config" in config:
        raise UsageError(
            f"'{checkpoint.path}' is quantized already; run '{stage}' on the checkpoint it was made from."
        )
    loaded = load(checkpoint.path, context.device, "float32", False)
    return Dense(checkpoint, loaded.model, loaded.tokenizer, loaded.context)


def matrices(model: Any, exclude: Sequence[str] = ()) -> dict[str, torch.Tensor]:
    """Weights [out, in] of the linear layers inside a model, by name; never the output layer.

    Args:
        exclude: patterns of names to leave out, such as `*.down_proj` or `model.layers.0.*`.

    Raises:
        UsageError: a pattern names nothing, or nothing is left.
    """
    import torch

    head = model.get_output_embeddings()
    found = {
        name: module.weight
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }
    for pattern in exclude:
        if not any(fnmatchcase(name, pattern) for name in found):
            raise UsageError(
                f"exclude: '{pattern}' names no linear layer of this model; its layers are called like "
                f"'{next(iter(found), 'none')}'."
            )
    kept = {name: weight for name, weight in found.items() if not excluded(name, exclude)}
    if not kept:
        raise UsageError(
            f"exclude leaves none of the {len(found)} linear layers of this model; shorten it."
        )
    return kept


def excluded(name: str, patterns: Iterable[str]) -> bool:
    """Whether a pattern names the matrix."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def plan_dense(
    dense: Dense, stage: str, *, steps: int, rows: int = 0, tokens: int = 0
) -> StagePlan:
    """The dry run of a stage that looks at each of `steps` parts once and trains nothing."""
    parameters = sum(p.numel() for p in dense.model.parameters())
    return StagePlan(
        stage=stage,
        rows=rows,
        tokens=tokens,
        steps=steps,
        parameters=parameters,
        trainable=0,
        memory_bytes=4 * parameters,
        seconds=None,
    )
