"""The numbers of a quantization scheme, in compressed-tensors' terms, every field written out.

llm-compressor's presets fix groups of 128, which fail on small layers; here a group that fits is found,
or the one that was asked for refused. Not here: methods (quantize.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..harness.errors import UsageError

#: Group sizes that are tried, in this order.
SIZES = (128, 64, 32, 16)
HEAD = "lm_head"
#: Bits of a scale, and of a matrix's own record (its shape).
_SCALE = 32
_RECORD = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """How linear layers are stored and computed."""

    groups: dict[str, Any]
    """compressed-tensors' `config_groups`."""
    ignore: list[str]
    """Layers that stay as they are."""
    most_bits: float
    """A weight takes at most so many on disk, scales included."""

    def rounding(self) -> Any:
        """The modifier that rounds to the nearest, with a scale from the least and greatest value."""
        from llmcompressor.modifiers.quantization import QuantizationModifier

        return QuantizationModifier(config_groups=self.groups, ignore=self.ignore)


def grouped(
    model: Any, bits: int, group_size: int | None, head: bool, *, symmetric: bool = True
) -> Scheme:
    """Integer weights with a scale for each group of inputs; activations as they are.

    Raises:
        UsageError: a layer's inputs are no multiple of the group size, or of any that is tried.
    """
    size = _group(_inputs(model, head), group_size)
    weights = {
        "num_bits": bits,
        "type": "int",
        "symmetric": symmetric,
        "strategy": "group",
        "group_size": size,
        "observer": "memoryless_minmax",
    }
    scales = (_SCALE if symmetric else _SCALE + bits) / size
    return _scheme(model, head, weights, None, bits + scales)


def int8(model: Any, head: bool, *, dynamic: bool) -> Scheme:
    """8-bit integer weights with a scale for each output; activations a token, or a layer (static)."""
    activations = {
        "num_bits": 8,
        "type": "int",
        "symmetric": True,
        "strategy": "token" if dynamic else "tensor",
        "dynamic": dynamic,
        "observer": None if dynamic else "static_minmax",
    }
    return _scheme(model, head, _channel("int"), activations, _by_channel(model, head))


def fp8(model: Any, head: bool) -> Scheme:
    """E4M3 weights with a scale for each output, activations with one for each token."""
    activations = {
        "num_bits": 8,
        "type": "float",
        "symmetric": True,
        "strategy": "token",
        "dynamic": True,
        "observer": None,
    }
    return _scheme(model, head, _channel("float"), activations, _by_channel(model, head))


def _channel(kind: str) -> dict[str, Any]:
    return {
        "num_bits": 8,
        "type": kind,
        "symmetric": True,
        "strategy": "channel",
        "observer": "memoryless_minmax",
    }


def _by_channel(model: Any, head: bool) -> float:
    return 8 + _SCALE / min(_inputs(model, head).values())


def _scheme(model: Any, head: bool, weights: Any, activations: Any, bits: float) -> Scheme:
    smallest = min(layer.weight.numel() for layer in _linear(model, head).values())
    group = {"targets": ["Linear"], "weights": weights, "input_activations": activations}
    return Scheme(
        groups={"group_0": group},
        ignore=[] if head else [HEAD],
        most_bits=bits + _RECORD / smallest,
    )


def _linear(model: Any, head: bool) -> dict[str, Any]:
    """The layers that are quantized."""
    from torch import nn

    found = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear)}
    return {n: m for n, m in found.items() if head or n != HEAD}


def _inputs(model: Any, head: bool) -> dict[str, int]:
    return {name: int(layer.in_features) for name, layer in _linear(model, head).items()}


def _group(inputs: Mapping[str, int], wanted: int | None) -> int:
    for size in SIZES if wanted is None else (wanted,):
        if all(width % size == 0 for width in inputs.values()):
            return size
    size = SIZES[-1] if wanted is None else wanted
    name, width = next((n, w) for n, w in inputs.items() if w % size)
    raise UsageError(
        f"Layer '{name}' has {width} inputs, no multiple of a group of {size}; set group_size to a divisor "
        "of every layer's inputs."
    )
