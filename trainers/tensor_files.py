"""Weights of several checkpoints side by side, tensor by tensor, and written as they come.

Memory holds one tensor of each checkpoint, however large the models are: the output is a single
safetensors file whose header is known before its bytes (huggingface/safetensors, README, "Format").
Not here: what is made of the tensors (merge.py).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..harness.checkpoints import Checkpoint, shards
from ..harness.errors import UsageError
from ..harness.safetensors_files import TensorEntry

if TYPE_CHECKING:
    import torch

WEIGHTS = "model.safetensors"
#: Number types that can be averaged.
FLOATS = frozenset({"F64", "F32", "F16", "BF16"})


def entries(checkpoint: Checkpoint) -> dict[str, tuple[Path, TensorEntry]]:
    """Every tensor of a checkpoint: its file and its place in it.

    Raises:
        CheckpointError: a damaged file.
    """
    return {
        name: (file, entry)
        for file, header in shards(checkpoint.path).items()
        for name, entry in header.tensors.items()
    }


def parameters(checkpoint: Checkpoint) -> int:
    """Numbers in all tensors, by the files' headers alone."""
    return sum(math.prod(entry.shape) for _, entry in entries(checkpoint).values())


def check_alike(first: Checkpoint, other: Checkpoint) -> None:
    """Refuse checkpoints whose weights cannot be mixed.

    Raises:
        UsageError: names the first tensor or file in which they differ.
    """
    ours, theirs = entries(first), entries(other)
    where = f"'{first.path}' and '{other.path}' cannot be mixed"
    apart = sorted(ours.keys() ^ theirs.keys())
    if apart:
        raise UsageError(f"{where}: only one of them has '{apart[0]}'; take two of one shape.")
    for name in sorted(ours):
        a, b = ours[name][1], theirs[name][1]
        if a.shape != b.shape:
            raise UsageError(
                f"{where}: '{name}' is {list(a.shape)} in one and {list(b.shape)} in the other; take two "
                "of one shape."
            )
        packed = {a.dtype, b.dtype} - FLOATS
        if packed:
            raise UsageError(
                f"{where}: '{name}' is packed ({min(packed)}); mix the checkpoints they were made from."
            )
    if _vocabulary(first) != _vocabulary(other):
        raise UsageError(
            f"{where}: their tokenizers differ, so the same row of an embedding is another token; take "
            "two with one tokenizer."
        )


def _vocabulary(checkpoint: Checkpoint) -> Any:
    """The tokenizer's file as data, or its bytes where there is no tokenizer.json."""
    for name in ("tokenizer.json", "tokenizer.model", "vocab.json"):
        file = checkpoint.path / name
        if file.is_file():
            raw = file.read_bytes()
            return json.loads(raw) if name == "tokenizer.json" else raw
    return None


def write_mixed(
    out: Path,
    checkpoints: Sequence[Checkpoint],
    mix: Callable[[Sequence[torch.Tensor]], torch.Tensor],
    progress: Callable[[int, int], None],
) -> None:
    """Write one file of `mix` of each tensor, in the number types of the first checkpoint.

    Args:
        mix: of the same tensor of all checkpoints, in float32 at least; returns one like them.
    """
    import torch

    first = entries(checkpoints[0])
    header = _header({name: entry for name, (_, entry) in first.items()})
    with ExitStack() as stack, (out / WEIGHTS).open("wb") as file:
        readers = [_reader(checkpoint, stack) for checkpoint in checkpoints]
        file.write(len(header).to_bytes(8, "little") + header)
        for number, name in enumerate(sorted(first), 1):
            tensors = [read(name) for read in readers]
            wide = [t.to(torch.promote_types(t.dtype, torch.float32)) for t in tensors]
            mixed = mix(wide).to(tensors[0].dtype).contiguous()
            file.write(mixed.view(-1).view(torch.uint8).numpy().tobytes())
            progress(number, len(first))


def _header(tensors: Mapping[str, TensorEntry]) -> bytes:
    """The JSON header of a file of these tensors in name order, padded to eight bytes."""
    described: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name in sorted(tensors):
        entry = tensors[name]
        size = entry.end - entry.start
        described[name] = {
            "dtype": entry.dtype,
            "shape": list(entry.shape),
            "data_offsets": [at, at + size],
        }
        at += size
    text = json.dumps(described, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % 8)


def _reader(checkpoint: Checkpoint, stack: ExitStack) -> Callable[[str], torch.Tensor]:
    """Reads a tensor of a checkpoint by name; its files stay open, mapped and not loaded."""
    from safetensors import safe_open

    placed = {name: file for name, (file, _) in entries(checkpoint).items()}
    opened: dict[Path, Any] = {
        file: stack.enter_context(safe_open(file, framework="pt"))
        for file in sorted(set(placed.values()))
    }

    def read(name: str) -> torch.Tensor:
        tensor: torch.Tensor = opened[placed[name]].get_tensor(name)
        return tensor

    return read


def other_files(folder: Path) -> Iterator[Path]:
    """Files of a checkpoint that go with its weights: configs, tokenizer, template."""
    for pattern in ("*.json", "*.jinja", "*.model", "*.txt", "additional_chat_templates/*.jinja"):
        for file in sorted(folder.glob(pattern)):
            if file.name not in ("model.safetensors.index.json", "waterbed.json"):
                yield file
