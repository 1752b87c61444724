"""Reads safetensors files without trusting them and without torch.

Only the header and raw byte ranges; every offset is checked against the file's size first. The
format: 8 bytes little-endian header length, a JSON header, then the tensors' bytes
(huggingface/safetensors, README, "Format"). Not here: turning bytes into tensors.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import CheckpointError

#: The reference implementation's own limit on a header.
MAX_HEADER_BYTES = 100_000_000
BITS = {"F4": 4, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "BOOL": 8, "U8": 8, "I8": 8}
BITS |= {"U16": 16, "I16": 16, "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "F32": 32}
BITS |= {"U64": 64, "I64": 64, "F64": 64, "C64": 64}


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """Where a tensor lies in its file; `start` and `end` are absolute byte offsets."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says it holds, checked against its size."""

    tensors: Mapping[str, TensorEntry]


def read_header(file: Path) -> Header:
    """Parse and check the header of one file.

    Raises:
        CheckpointError: the file is truncated, or its header is not what the format says.
    """
    size = file.stat().st_size
    with file.open("rb") as data:
        length = int.from_bytes(data.read(8), "little")
        if size < 8 or length > min(size - 8, MAX_HEADER_BYTES):
            raise CheckpointError(
                f"'{file}' is truncated or no safetensors file ({size} bytes, header says {length}); "
                "copy it again."
            )
        raw = data.read(length)
    try:
        header = json.loads(raw)
        entries = {
            name: _entry(file, name, value, 8 + length)
            for name, value in header.items()
            if name != "__metadata__"
        }
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"'{file}' has a damaged header ({error}); copy it again.") from error
    end = max((e.end for e in entries.values()), default=8 + length)
    if end != size:
        raise CheckpointError(
            f"'{file}' is truncated: {size} bytes, its header describes {end}; copy it again."
        )
    return Header(entries)


def _entry(file: Path, name: str, value: Mapping[str, object], base: int) -> TensorEntry:
    dtype = str(value["dtype"])
    shape = tuple(int(d) for d in value["shape"])  # type: ignore[attr-defined]
    start, end = (int(o) for o in value["data_offsets"])  # type: ignore[attr-defined]
    wanted = math.prod(shape) * BITS[dtype] // 8
    if start < 0 or min(shape, default=0) < 0 or end - start != wanted:
        raise CheckpointError(
            f"'{file}': tensor '{name}' of {dtype} {list(shape)} needs {wanted} bytes, "
            f"its header gives it {end - start}; copy the file again."
        )
    return TensorEntry(dtype, shape, base + start, base + end)
