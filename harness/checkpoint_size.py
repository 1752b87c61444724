"""How large a checkpoint is: bytes of its weight files and numbers of weights, without loading it.

Counted in the headers. Where weights are packed, the headers do not say how many there are; then what the
compression stage counted stands, and where it said nothing, nothing is claimed. Not here: sparsity and
bits, which compression stages record.
"""

from __future__ import annotations

import json
import math
from typing import Any

from .checkpoints import LINEAGE, Checkpoint, shards


def size_of(checkpoint: Checkpoint) -> dict[str, int | None]:
    """`bytes` on disk and `parameters`, None where they cannot be known.

    Raises:
        CheckpointError: a weight file is truncated.
    """
    if not checkpoint.path.is_dir():
        # Answered by a backend that was given; the weights are elsewhere.
        return {"bytes": None, "parameters": None}
    headers = shards(checkpoint.path)
    numbers = [math.prod(t.shape) for header in headers.values() for t in header.tensors.values()]
    packed = "quantization_config" in _json(checkpoint, "config.json")
    return {
        "bytes": sum(file.stat().st_size for file in headers),
        "parameters": _counted(checkpoint) if packed else sum(numbers),
    }


def _counted(checkpoint: Checkpoint) -> int | None:
    """What the compression stage counted; a file that came with the checkpoint may say anything."""
    found: Any = _json(checkpoint, LINEAGE)
    for key in ("achieved", "after", "parameters"):
        found = found.get(key) if isinstance(found, dict) else None
    return found if type(found) is int else None


def _json(checkpoint: Checkpoint, name: str) -> dict[str, Any]:
    try:
        found = json.loads((checkpoint.path / name).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
