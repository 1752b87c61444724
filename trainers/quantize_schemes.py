"""The numbers of a quantization scheme, in compressed-tensors' terms, every field written out.

llm-compressor's presets fix groups of 128, which fail on small layers; here a group that fits is found,
or the one that was asked for refused. Not here: methods (quantize.py); which layers stay as they are
(quantize_sensitivity.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..harness.errors import UsageError

#: Group sizes that are tried, in this order.
SIZES = (128, 64, 32, 16)
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
    """A weight of the other layers takes at most so many on disk, scales included."""

    def rounding(self) -> Any:
        """The modifier that rounds to the nearest, with a scale from the least and greatest value."""
        from llmcompressor.modifiers.quantization import QuantizationModifier

        return QuantizationModifier(config_groups=self.groups, ignore=self.ignore)


def grouped(
    model: Any, bits: int, group_size: int | None, ignore: Sequence[str], *, symmetric: bool = True
) -> Scheme:
    """Integer weights with a scale for each group of inputs; activations as they are.

    Args:
        ignore: linear layers that stay as they are, by name; so below.

    Raises:
        UsageError: a layer's inputs are no multiple of the group size, or of any that is tried.
    """
    size = _group(_inputs(model, ignore), group_size)
    weights = {
        "num_bits": bits,
        "type": "int",
        "symmetric": symmetric,
        "strategy": "group",
        "group_size": size,
        "observer": "memoryless_minmax",
    }
    scales = (_SCALE if symmetric else _SCALE + bits) / size
    return _scheme(model, ignore, weights, None, bits + scales)


def int8(model: Any, ignore: Sequence[str], *, dynamic: bool) -> Scheme:
    """8-bit integer weights with a scale for each output; activations a token, or a layer (static)."""
    activations = {
        "num_bits": 8,
        "type": "int",
        "symmetric": True,
        "strategy": "token" if dynamic else "tensor",
        "dynamic": dynamic,
        "observer": None if dynamic else "static_minmax",
    }
    return _scheme(model, ignore, _channel("int"), activations, _by_channel(model, ignore))


def fp8(model: Any, ignore: Sequence[str]) -> Scheme:
    """E4M3 weights with a scale for each output, activations with one for each token."""
    activations = {
        "num_bits": 8,
        "type": "float",
        "symmetric": True,
        "strategy": "token",
        "dynamic": True,
        "observer": None,
    }
    return _scheme(model, ignore, _channel("float"), activations, _by_channel(model, ignore))


def _channel(kind: str) -> dict[str, Any]:
    return {
        "num_bits": 8,
        "type": kind,
        "symmetric": True,
        "strategy": "channel",
        "observer": "memoryless_minmax",
    }


def _by_channel(model: Any, ignore: Sequence[str]) -> float:
    return 8 + _SCALE / min(_inputs(model, ignore).values())


def _scheme(
    model: Any, ignore: Sequence[str], weights: Any, activations: Any, bits: float
) -> Scheme:
    smallest = min(layer.weight.numel() for layer in linear(model, ignore).values())
    group = {"targets": ["Linear"], "weights": weights, "input_activations": activations}
    return Scheme(
        groups={"group_0": group},
        ignore=[*ignore],
        most_bits=bits + _RECORD / smallest,
    )


def linear(model: Any, ignore: Sequence[str]) -> dict[str, Any]:
    """The layers that are quantized, by name."""
    from torch import nn

    found = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear)}
    return {n: m for n, m in found.items() if n not in ignore}


def _inputs(model: Any, ignore: Sequence[str]) -> dict[str, int]:
    return {name: int(layer.in_features) for name, layer in linear(model, ignore).items()}


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
