"""What a backend finds out about model and machine when it starts: padding, threads, batch size.

Every figure ends up in `describe()` and can be passed back in, so that a resumed Run computes as it
began. Nothing is tuned while answers are being made.
"""

from __future__ import annotations

import os
import statistics
import time
from typing import Any

import torch

from ..errors import BackendError
from .engine import Engine

#: Largest difference between a row read alone and read in company, in standard deviations of its
#: logits: rounding stays far below, a wrong mask or position far above.
ROUNDING = {"float32": 1e-3, "bfloat16": 0.5, "float16": 0.5}
#: More threads must be this much faster than one: a neighbor on a core makes them many times slower.
WORTH_THREADS = 1.25
#: Multiply-adds of one timed forward pass.
TIMED_WORK = 1.5e9
CPU_ROWS, GPU_ROWS = 64, 256
#: Tokens of prompt and answer that a row is budgeted for, where the context is longer.
BUDGET_TOKENS = 4096
#: Part of the free memory that caches and logits of one batch may take.
MEMORY_PART = {"cpu": 0.25, "cuda": 0.6}


def probe(engine: Engine) -> int:
    """Check on the model itself that padding and shared prefixes change nothing; switch off what does.

    Returns:
        Bytes that one token takes in the cache.

    Raises:
        BackendError: the model cannot be read token by token.
    """
    vocabulary = engine.model.get_input_embeddings().weight.shape[0]
    rows = [[(7 * i + 3 * i * i + 1) % vocabulary for i in range(n)] for n in (9, 6)]
    rows[1][:4] = rows[0][:4]
    alone = torch.cat([engine.prime([row], shared=0).logits for row in rows])
    tolerance = ROUNDING[_precision(engine)] * float(alone.std())
    state = engine.prime(rows[:1], shared=0)
    layers = [layer for layer in state.cache.layers if getattr(layer, "keys", None) is not None]
    held: int = sum(t.nbytes for layer in layers for t in (layer.keys, layer.values))
    if not _same(engine, rows[:1], 0, alone[:1], tolerance):
        raise BackendError(
            f"{type(engine.model).__name__} does not continue from its cache as other models do; "
            "serve it with another backend."
        )
    engine.pads = engine.pads and _same(engine, rows, 0, alone, tolerance)
    engine.shares = engine.shares and engine.pads and _same(engine, rows, 4, alone, tolerance)
    engine.prefix = None
    return max(1, held // len(rows[0]))


def _precision(engine: Engine) -> str:
    if getattr(engine.model.config, "quantization_config", None) is not None:
        return "bfloat16"  # activations rounded to 8 bits jump by as much as 8 bits of mantissa do
    name = str(engine.model.dtype).removeprefix("torch.")
    return name if name in ROUNDING else "float16"


def _same(
    engine: Engine, rows: list[list[int]], shared: int, alone: torch.Tensor, tolerance: float
) -> bool:
    """Whether rows read in company say what they did alone.

    All but the last token together, then, in the opposite order, that token.
    """
    state = engine.prime([row[:-1] for row in rows], shared=shared)
    if len(rows) > 1:
        state = engine.select(state, range(len(rows))[::-1])
    engine.step(state, [row[-1] for row in rows[::-1]])
    return float((state.logits - alone.flip(0)).abs().max()) <= tolerance


def choose_threads(engine: Engine) -> int:
    """One thread, unless all that torch would use are clearly faster on this model now.

    Raises nothing; takes a fraction of a second.
    """
    most: int = torch.get_num_threads()
    if engine.device.type != "cpu" or most == 1:
        return most
    if _busy():
        return 1
    weights = max(1, sum(p.numel() for p in engine.model.parameters()))
    rows = [[1, 2, 3, 4]] * max(1, min(64, int(TIMED_WORK / weights / 4)))
    times: dict[int, list[float]] = {1: [], most: []}
    for _ in range(4):
        for threads, seen in times.items():
            torch.set_num_threads(threads)
            began = time.perf_counter()
            engine.prime(rows, shared=0)
            seen.append(time.perf_counter() - began)
    typical = {threads: statistics.median(seen[1:]) for threads, seen in times.items()}
    return most if typical[most] * WORTH_THREADS < typical[1] else 1


def _busy() -> bool:
    """Whether others already use a good part of this machine."""
    try:
        return os.getloadavg()[0] > 0.75 * (os.cpu_count() or 1)
    except OSError:  # not known on this system
        return False


def choose_batch_size(
    engine: Engine, context: int | None, token_bytes: int, wanted: int | None
) -> int:
    """What is wanted, else the largest power of two whose caches and logits fit the free memory.

    One where rows cannot be read in company, whatever is wanted.
    """
    if not engine.pads:
        return 1
    if wanted:
        return wanted
    kind = "cuda" if engine.device.type == "cuda" else "cpu"
    vocabulary = engine.model.get_input_embeddings().weight.shape[0]
    tokens = min(context or BUDGET_TOKENS, BUDGET_TOKENS)
    row_bytes = tokens * token_bytes + 3 * 4 * vocabulary
    fit = MEMORY_PART[kind] * free_memory(engine.device) / row_bytes
    if fit < 2:
        return 1
    most: int = GPU_ROWS if kind == "cuda" else CPU_ROWS
    return min(most, 1 << (int(fit).bit_length() - 1))


def free_memory(device: torch.device) -> int:
    """Bytes free on a device, as far as the system says."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            found: dict[str, Any] = dict(line.split(":", 1) for line in lines)
        return int(found["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return 4 << 30  # not Linux: assume little
