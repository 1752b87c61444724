"""Which layers stay as they are when a model is quantized: those named, and those that rounding hurts most.

The sensitivity of a part is the mean KL divergence, in nats a token, between what the model says as it is
and what it says with that part alone rounded (Cai et al. 2020, "ZeroQ", arXiv 2001.00281, the section on
sensitivity). Parts that engines compute as one matrix (q, k and v; gate and up) are one part, since they
must be stored alike. Rounding is to the nearest, in the numbers of the method's own scheme. Not here: the
methods (quantize.py); other numbers of bits for other layers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..harness.errors import UsageError
from ..harness.stage import StageContext
from .chats import Example
from .dense import Dense, matrices
from .distillation import forward_kl
from .loop import padded, reproducible
from .oneshot import compress
from .quantize_schemes import Scheme, linear

if TYPE_CHECKING:
    import torch

#: Layers that engines compute as one matrix, by the end of their names.
FUSED = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
#: Rows of one forward pass.
BATCH = 16
#: Names of layers that are rounded or kept together.
Part = tuple[str, ...]


def ignored(model: Any, head: bool, exclude: Sequence[str]) -> list[str]:
    """Linear layers that stay as they are, by name: the output layer unless `head`, and those excluded.

    Raises:
        UsageError: a pattern names nothing, or nothing is left.
    """
    kept = matrices(model, exclude)
    output = model.get_output_embeddings()
    return [
        name
        for name, layer in linear(model, ()).items()
        if name not in kept and not (head and layer is output)
    ]


def parts(names: Iterable[str]) -> list[Part]:
    """Layers that engines compute as one matrix, together."""
    found: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for name in names:
        block, _, last = name.rpartition(".")
        fused = next((ends for ends in FUSED if last in ends), (last,))
        found.setdefault((block, fused), []).append(name)
    return [tuple(layers) for layers in found.values()]


def sensitivity(
    dense: Dense, scheme: Scheme, examples: Sequence[Example], context: StageContext, stage: str
) -> dict[Part, float]:
    """Nats a token that rounding each part alone moves what the model says; greatest first.

    Args:
        dense: rounded in place, so that it is of no further use.
        examples: rows whose answers are compared, and that set the ranges of a static scheme.

    Raises:
        UsageError: llm-compressor refuses this model or this scheme.
    """
    import torch

    layers = linear(dense.model, scheme.ignore)
    compress(dense, [scheme.rounding()], examples, context, stage)
    nats = dict.fromkeys(parts(layers), 0.0)
    batches = [examples[i : i + BATCH] for i in range(0, len(examples), BATCH)]
    rounding(layers.values(), on=False)
    with reproducible(context), torch.inference_mode():
        for number, batch in enumerate(batches, 1):
            plain_nv = said(dense.model, batch)
            for part in nats:
                members = [layers[name] for name in part]
                rounding(members, on=True)
                moved = forward_kl(plain_nv, said(dense.model, batch), 1.0)
                rounding(members, on=False)
                nats[part] += float(moved) * len(plain_nv)
            context.progress(f"{stage}: sensitivity", number, len(batches))
    tokens = sum(sum(example.said[1:]) for example in examples)
    return {part: nats[part] / tokens for part in sorted(nats, key=lambda p: (-nats[p], p))}


def check_left(model: Any, ignore: Sequence[str], keep: int) -> None:
    """Stop where nothing would be left to quantize beside `keep` parts, before any is measured.

    Raises:
        UsageError: names both numbers.
    """
    found = parts(linear(model, ignore))
    if keep >= len(found):
        raise UsageError(
            f"keep_most_sensitive is {keep} and the model has {len(found)} parts to quantize; leave at "
            "least one of them."
        )


def rounding(layers: Iterable[Any], *, on: bool) -> None:
    """Let layers round weights and activations as their scheme says, or compute as they did before."""
    from compressed_tensors.quantization import disable_quantization, enable_quantization

    for layer in layers:
        (enable_quantization if on else disable_quantization)(layer)


def said(model: Any, batch: Sequence[Example]) -> torch.Tensor:
    """Logits [n, v] before each of the n tokens that the model is to say."""
    tokens_bt, said_bt, _ = padded(batch, model.device)
    hidden_btd = model.base_model(input_ids=tokens_bt, use_cache=False).last_hidden_state
    logits_nv: torch.Tensor = model.get_output_embeddings()(hidden_btd[said_bt])
    return logits_nv
