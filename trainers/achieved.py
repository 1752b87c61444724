"""What a compression stage achieved: counted in the files it wrote and timed in one run, not claimed.

Sparsity, bits, parameters and bytes are counted tensor by tensor in the saved folder. Speed is timed
with the checkpoint before and after side by side (speed.py). A stage that misses what it was asked for
fails and leaves no checkpoint. Not here: quality, which a gate measures; the speed of packed weights in
an engine of their own, since transformers unpacks what it loads.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..harness.backends.loading import load
from ..harness.checkpoints import Checkpoint, shards
from ..harness.errors import CheckpointError
from ..harness.stage import StageContext
from .speed import Timing, compare

if TYPE_CHECKING:
    import torch

#: Modules whose matrices are tables of tokens and counted apart.
EMBEDDING = re.compile(r"(^|\.)(embed_\w+|lm_head|wte|wpe|shared)$")
#: Number types that hold one weight in each element.
PLAIN = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "I8"})
#: An achieved sparsity may lie this far below the asked one: groups and rows are cut in whole weights.
SLACK = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """One weight matrix as it lies in the files."""

    weights: int
    zeros: int | None
    """None where the weights are packed."""
    halved: bool
    """Of every four neighbours along the input at least two are zero."""
    bits: float
    """Per weight, scales and zero points included."""

    @property
    def sparsity(self) -> float | None:
        """Share of the weights that are zero."""
        return None if self.zeros is None else self.zeros / self.weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """What lies in a checkpoint's weight files."""

    bytes_on_disk: int
    parameters: int
    nonzero: int | None
    """None where weights are packed."""
    inner: Mapping[str, Matrix]
    """Matrices by name, tables of tokens left out."""
    embeddings: Mapping[str, Matrix]

    def record(self) -> dict[str, Any]:
        """As JSON: totals, then each matrix."""
        matrices = {**self.inner, **self.embeddings}
        return {
            "bytes_on_disk": self.bytes_on_disk,
            "parameters": self.parameters,
            "nonzero_parameters": self.nonzero,
            "sparsity": sparsity(self.inner.values()),
            "bits_per_weight": bits(self.inner.values()),
            "embedding_sparsity": sparsity(self.embeddings.values()),
            "embedding_bits_per_weight": bits(self.embeddings.values()),
            "matrices": {
                name: {"sparsity": found.sparsity, **asdict(found)}
                for name, found in matrices.items()
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a stage was asked for; None asks for nothing."""

    sparsity: float | None = None
    """Least share of zeros among `among`."""
    two_four: bool = False
    """Two of four weights zero in each of `among`."""
    bits: float | None = None
    """Most bits per weight of `among`, scales included."""
    parameters: int | None = None
    """Exactly so many in all."""
    among: Callable[[str], bool] = lambda _: True
    """Which inner matrices are meant, by name (`model.layers.0.mlp.up_proj`)."""


def sparsity(matrices: Iterable[Matrix]) -> float | None:
    """Share of zeros in all of them; None where one is packed or there is none."""
    known = [(m.zeros, m.weights) for m in matrices]
    if not known or any(zeros is None for zeros, _ in known):
        return None
    return sum(zeros or 0 for zeros, _ in known) / sum(weights for _, weights in known)


def bits(matrices: Iterable[Matrix]) -> float | None:
    """Mean bits of a weight in all of them; None where there is none."""
    known = [(m.bits * m.weights, m.weights) for m in matrices]
    return sum(b for b, _ in known) / sum(w for _, w in known) if known else None


def weigh(folder: Path, unpacked: Path | None = None) -> Weights:
    """Count what lies in a folder's weight files, one tensor in memory at a time.

    Args:
        unpacked: a folder with the same matrices unpacked, which says how many weights packed ones hold.

    Raises:
        CheckpointError: a damaged file, or packed weights of unknown number.
    """
    files = shards(folder)
    entries = {n: (f, e) for f, header in files.items() for n, e in header.tensors.items()}
    shapes = _shapes(unpacked) if unpacked else {}
    modules: dict[str, list[str]] = {}
    for name in entries:
        modules.setdefault(name.rpartition(".")[0], []).append(name)
    inner: dict[str, Matrix] = {}
    embeddings: dict[str, Matrix] = {}
    rest = 0
    for module, names in sorted(modules.items()):
        size = sum(entries[n][1].end - entries[n][1].start for n in names)
        matrix = _matrix(module, entries, shapes, size)
        if matrix is None:
            rest += sum(math.prod(entries[n][1].shape) for n in names)
        else:
            (embeddings if EMBEDDING.search(module) else inner)[module] = matrix
    found = [*inner.values(), *embeddings.values()]
    zeros = None if any(m.zeros is None for m in found) else sum(m.zeros or 0 for m in found)
    parameters = rest + sum(m.weights for m in found)
    return Weights(
        bytes_on_disk=sum(file.stat().st_size for file in files),
        parameters=parameters,
        nonzero=None if zeros is None else parameters - zeros,
        inner=inner,
        embeddings=embeddings,
    )


def _matrix(
    module: str, entries: Mapping[str, Any], shapes: Mapping[str, int], size: int
) -> Matrix | None:
    """The matrix of a module whose tensors take `size` bytes; None where the module has none."""
    file, entry = entries.get(f"{module}.weight", (None, None))
    if entry is not None and entry.dtype in PLAIN:
        if len(entry.shape) != 2:
            return None
        zeros, halved = _zeros(file, f"{module}.weight")
        weights = math.prod(entry.shape)
        bias = entries.get(f"{module}.bias")
        kept = size - (bias[1].end - bias[1].start if bias else 0)
        return Matrix(weights=weights, zeros=zeros, halved=halved, bits=8 * kept / weights)
    if module in shapes:
        weights = shapes[module]
        return Matrix(weights=weights, zeros=None, halved=False, bits=8 * size / weights)
    return None


def _zeros(file: Path, name: str) -> tuple[int, bool]:
    """Zeros in a matrix of shape [out, in], and whether at least two of any four along `in` are."""
    from safetensors import safe_open

    with safe_open(file, framework="pt") as data:
        weight: torch.Tensor = data.get_tensor(name)
    zero_oi = (weight if weight.element_size() > 1 else weight.float()) == 0
    width = zero_oi.shape[1]
    halved = width % 4 == 0 and bool((zero_oi.reshape(-1, 4).sum(1) >= 2).all())
    return int(zero_oi.sum()), halved


def _shapes(folder: Path) -> dict[str, int]:
    """Weights in each matrix of an unpacked checkpoint, by module."""
    return {
        name.removesuffix(".weight"): math.prod(entry.shape)
        for header in shards(folder).values()
        for name, entry in header.tensors.items()
        if name.endswith(".weight") and len(entry.shape) == 2
    }


def missed(asked: Asked, found: Weights) -> str | None:
    """What was not achieved, with both values; None where all was."""
    among = {name: m for name, m in found.inner.items() if asked.among(name)}
    if not among:
        return "no matrix of this model was meant"
    zeros, width = sparsity(among.values()), bits(among.values())
    if asked.sparsity is not None and (zeros is None or zeros < asked.sparsity - SLACK):
        seen = "weights that are packed" if zeros is None else f"{zeros:.4f}"
        return f"sparsity {asked.sparsity:g} was asked for and {seen} achieved"
    dense = [name for name, matrix in among.items() if not matrix.halved]
    if asked.two_four and dense:
        return f"2:4 was asked for and {dense[0]} is not 2:4 ({len(dense)} of {len(among)} are not)"
    if asked.bits is not None and (width or math.inf) > asked.bits:
        return f"at most {asked.bits:g} bits a weight were asked for and {width:.3f} achieved"
    if asked.parameters is not None and found.parameters != asked.parameters:
        return f"{asked.parameters} parameters were asked for and {found.parameters} achieved"
    return None


def measurement(
    stage: str,
    parent: Checkpoint,
    asked: Asked,
    timing: Timing,
    context: StageContext,
    *,
    further: Mapping[str, Any] | None = None,
    speed: Callable[[Path, Path], Mapping[str, Any]] | None = None,
) -> Callable[[Path], dict[str, Any]]:
    """What `StageContext.finish` calls on the saved folder: counts, refuses a miss, times, records.

    Args:
        further: what else the lineage says, such as the calibration rows.
        speed: times the folders before and after in another way than `compare_folders`.

    Raises (when called):
        CheckpointError: the saved folder misses what was asked for.
    """

    def measure(folder: Path) -> dict[str, Any]:
        before, after = weigh(parent.path), weigh(folder, unpacked=parent.path)
        wrong = missed(asked, after)
        if wrong:
            raise CheckpointError(
                f"Stage '{stage}': {wrong}; nothing was kept, check its settings against the model."
            )
        total = before.record()
        del total["matrices"]
        timed = speed or (lambda a, b: compare_folders(a, b, timing, context))
        achieved: dict[str, Any] = {"before": total, "after": after.record()}
        if timing.repeats:
            achieved["speed"] = timed(parent.path, folder)
        achieved["peak_memory_bytes"] = peak_memory(context.device)
        return {"achieved": achieved, **(further or {})}

    return measure


def compare_folders(
    before: Path, after: Path, timing: Timing, context: StageContext
) -> dict[str, Any]:
    """Speed of two checkpoints in transformers, which unpacks packed weights when it loads them."""
    sides = [load(folder, context.device, "float32", False).model for folder in (before, after)]
    packed = "quantization_config" in json.loads((after / "config.json").read_text("utf-8"))
    return {**compare(sides[0], sides[1], timing, context), "unpacked_to_time": packed}


def peak_memory(device: str) -> int:
    """Most bytes that the stage's process held until now: of the GPU where it ran on one, else resident."""
    import torch

    if torch.device(device).type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
