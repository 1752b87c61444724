"""Post-training quantization, one stage a method, through llm-compressor; no training.

    rtn           weights rounded to the nearest of 2**bits levels a group; what the others are held against
    gptq          Frantar et al. 2022 (arXiv 2210.17323): rounds column by column, mending the rest
    awq           Lin et al. 2023 (arXiv 2306.00978): scales salient channels before rounding; needs a GPU
    int8-dynamic  8-bit weights a channel; activations rounded to 8 bits a token, as they come
    int8-static   the same, with one scale a layer for activations, by the least and greatest seen
    smoothquant   Xiao et al. 2022 (arXiv 2211.10438): moves outliers into the weights, then int8-dynamic
    fp8           8-bit floats (E4M3), a scale a channel and a token

Every linear layer is quantized but the output layer, unless `head` says so, those that `exclude` names, and
the most sensitive ones if so many are to be kept; embeddings and norms never are. What is written loads in
transformers, which unpacks weights and rounds activations as asked, and in vLLM, which has kernels for it.
Not here: the numbers of a scheme (quantize_schemes.py), which layers are sensitive
(quantize_sensitivity.py), llm-compressor itself (oneshot.py), training with quantization.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..harness.backends.loading import load
from ..harness.checkpoints import Checkpoint
from ..harness.errors import UsageError
from ..harness.stage import StageContext, StagePlan, stage
from .achieved import Asked, measurement
from .calibration import NO_DATA, Calibration, gather
from .dense import Dense, open_dense, plan_dense
from .distributed import assert_alone
from .oneshot import compress, quiet, require_llm_compressor
from .quantize_schemes import Scheme, fp8, grouped, int8
from .quantize_sensitivity import check_left, ignored, sensitivity
from .speed import Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizeConfig:
    """Settings that every method has; all of `int8-dynamic` and `fp8`."""

    head: bool = False
    """Quantize the output layer too; an embedding that was tied to it is then kept apart, as it was."""
    exclude: tuple[str, ...] = ()
    """Linear layers that stay as they are, as patterns such as `*.down_proj`; vLLM computes q, k and v as
    one matrix, and gate and up, and wants them alike."""
    keep_most_sensitive: int = 0
    """So many parts stay as they are beside those: the ones whose rounding moves the answers to `data`
    most. A part is what engines compute as one matrix."""
    data: Mapping[str, int | None] = field(default_factory=dict)
    """Datasets of chats or texts, with the number of rows of each (None: all); for `keep_most_sensitive`."""
    longest: int | None = None
    """Most tokens of a row; None means what the model can hold."""
    timing: Timing = field(default_factory=Timing)
    """How speed before and after is measured, in transformers, which unpacks weights."""

    def __post_init__(self) -> None:
        if self.keep_most_sensitive < 0:
            raise ValueError(
                f"keep_most_sensitive must not be below 0, got {self.keep_most_sensitive}"
            )
        if self.keep_most_sensitive and not self.data:
            raise ValueError("keep_most_sensitive is measured on rows; name some in data")
        if self.data and not (self.keep_most_sensitive or isinstance(self, CalibratedConfig)):
            raise ValueError(
                "this method looks at data for keep_most_sensitive only; set that, or drop data"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibratedConfig(QuantizeConfig):
    """Settings of methods that look at data; all of `int8-static`."""

    data: Mapping[str, int | None]
    """Datasets of chats or texts, with the number of rows of each (None: all)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RtnConfig(QuantizeConfig):
    """Settings of `rtn`."""

    bits: int = 4
    group_size: int | None = None
    """Inputs that share a scale; None is the greatest of 128, 64, 32, 16 that fits every layer."""

    def __post_init__(self) -> None:
        QuantizeConfig.__post_init__(self)
        _check_grid(self.bits, self.group_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibratedGridConfig(CalibratedConfig):
    """Settings of methods that round to few bits and look at data; all of `awq`."""

    bits: int = 4
    group_size: int | None = None
    """As in `rtn`."""

    def __post_init__(self) -> None:
        QuantizeConfig.__post_init__(self)
        _check_grid(self.bits, self.group_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class GptqConfig(CalibratedGridConfig):
    """Settings of `gptq`."""

    damping: float = 0.01
    """Share of the Hessian's mean diagonal that is added to its diagonal."""
    block_size: int = 128
    """Columns that are rounded before the rest of the layer is mended."""

    def __post_init__(self) -> None:
        CalibratedGridConfig.__post_init__(self)
        if self.damping <= 0 or self.block_size < 1:
            raise ValueError(
                f"damping must be above 0 and block_size at least 1, got {self.damping}, {self.block_size}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SmoothQuantConfig(CalibratedConfig):
    """Settings of `smoothquant`."""

    strength: float = 0.5
    """How much of an outlier moves into the weights: alpha of eq. 4."""

    def __post_init__(self) -> None:
        QuantizeConfig.__post_init__(self)
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength must be in [0, 1], got {self.strength}")


def _check_grid(bits: int, group_size: int | None) -> None:
    if not 2 <= bits <= 8:
        raise ValueError(f"bits must be from 2 to 8, got {bits}")
    if group_size is not None and group_size < 1:
        raise ValueError(f"group_size must be at least 1, got {group_size}")


@dataclass(frozen=True, slots=True)
class Work:
    """What a method asks of llm-compressor."""

    scheme: Scheme
    modifiers: Sequence[Any]


#: What a method asks for, of a model, its settings, and the layers that stay as they are.
Method = Callable[[Any, Any, Sequence[str]], Work]


def rtn(model: Any, config: RtnConfig, ignore: Sequence[str]) -> Work:
    """Round weights to the nearest level."""
    scheme = grouped(model, config.bits, config.group_size, ignore)
    return Work(scheme, [scheme.rounding()])


def gptq(model: Any, config: GptqConfig, ignore: Sequence[str]) -> Work:
    """Round weights so that each layer's outputs on the calibration rows change least."""
    from llmcompressor.modifiers.quantization import GPTQModifier

    scheme = grouped(model, config.bits, config.group_size, ignore)
    modifier = GPTQModifier(
        config_groups=scheme.groups,
        ignore=scheme.ignore,
        dampening_frac=config.damping,
        block_size=config.block_size,
        actorder="static",  # columns of large activations first; costs nothing at inference
    )
    return Work(scheme, [modifier])


def awq(model: Any, config: CalibratedGridConfig, ignore: Sequence[str]) -> Work:
    """Scale channels by the activations they meet, then round.

    Raises:
        UsageError: there is no accelerator here.
    """
    import torch

    if not torch.accelerator.is_available():
        raise UsageError(
            "Stage 'awq' needs an accelerator and there is none here; use the stage 'gptq', which runs on "
            "a CPU."
        )
    from llmcompressor.modifiers.transform.awq import AWQModifier

    scheme = grouped(model, config.bits, config.group_size, ignore, symmetric=False)
    return Work(scheme, [AWQModifier(), scheme.rounding()])


def int8_dynamic(model: Any, _config: QuantizeConfig, ignore: Sequence[str]) -> Work:
    """Round weights to 8 bits, and activations as they come."""
    scheme = int8(model, ignore, dynamic=True)
    return Work(scheme, [scheme.rounding()])


def int8_static(model: Any, _config: CalibratedConfig, ignore: Sequence[str]) -> Work:
    """Round weights to 8 bits, and activations within the range that the calibration rows span."""
    scheme = int8(model, ignore, dynamic=False)
    return Work(scheme, [scheme.rounding()])


def smoothquant(model: Any, config: SmoothQuantConfig, ignore: Sequence[str]) -> Work:
    """Move the activations' outliers into the weights, then round as `int8_dynamic`."""
    from llmcompressor.modifiers.transform.smoothquant import SmoothQuantModifier

    scheme = int8(model, ignore, dynamic=True)
    smooth = SmoothQuantModifier(smoothing_strength=config.strength)
    return Work(scheme, [smooth, scheme.rounding()])


def fp8_dynamic(model: Any, _config: QuantizeConfig, ignore: Sequence[str]) -> Work:
    """Round weights, and activations as they come, to 8-bit floats."""
    scheme = fp8(model, ignore)
    return Work(scheme, [scheme.rounding()])


def register(name: str, config: type[Any], method: Method) -> None:
    """Make a stage of a method."""

    def plan(checkpoint: Checkpoint | None, config: Any, context: StageContext) -> StagePlan:
        return _plan(name, checkpoint, config, context)

    def run(checkpoint: Checkpoint | None, config: Any, context: StageContext) -> Checkpoint:
        return quantize(name, method, checkpoint, config, context)

    run.__doc__ = method.__doc__
    stage(name, config=config, plan=plan)(run)


def quantize(
    name: str,
    method: Method,
    checkpoint: Checkpoint | None,
    config: QuantizeConfig,
    context: StageContext,
) -> Checkpoint:
    """Quantize, save, reload, count and time.

    Raises:
        UsageError: no checkpoint, one that is quantized already, a group size that does not fit, an
            exclude that names nothing, nothing left to quantize, or what the method cannot do here.
        DataError: a calibration row is bad or too long.
        CheckpointError: the checkpoint does not load, or what was saved is not what was asked for.
    """
    dense, ignore, calibration = _start(name, checkpoint, config, context)
    with quiet():
        work = method(dense.model, config, ignore)
    further: dict[str, Any] = {}
    if config.keep_most_sensitive:
        found = sensitivity(dense, work.scheme, calibration.examples, context, name)
        ignore += [name for part in [*found][: config.keep_most_sensitive] for name in part]
        further = {"sensitivity": {" ".join(part): nats for part, nats in found.items()}}
        dense = open_dense(dense.parent, name, context)  # the first was rounded
        with quiet():
            work = method(dense.model, config, ignore)
    save = compress(dense, work.modifiers, calibration.examples, context, name)
    asked = Asked(bits=work.scheme.most_bits, among=lambda layer: layer not in ignore)
    count = measurement(name, dense.parent, asked, config.timing, context, further=further)

    def reloaded(folder: Path) -> Mapping[str, Any]:
        load(folder, context.device, "float32", trust_remote_code=False)
        return count(folder)

    return context.finish(
        save,
        parent=dense.parent,
        stage=name,
        config=config,
        data=calibration.data,
        measure=reloaded,
    )


def _plan(
    name: str, checkpoint: Checkpoint | None, config: QuantizeConfig, context: StageContext
) -> StagePlan:
    """The dry run of every method; nothing is timed, since there are no steps."""
    dense, _, calibration = _start(name, checkpoint, config, context)
    count = len(calibration.examples)
    tokens = sum(len(example.tokens) for example in calibration.examples)
    return plan_dense(dense, name, steps=0, rows=count, tokens=tokens)


def _start(
    name: str, checkpoint: Checkpoint | None, config: QuantizeConfig, context: StageContext
) -> tuple[Dense, list[str], Calibration]:
    """The checkpoint to quantize, layers that stay as they are, and the rows to look at."""
    require_llm_compressor()
    assert_alone(context, name)
    dense = open_dense(checkpoint, name, context)
    ignore = ignored(dense.model, config.head, config.exclude)
    check_left(dense.model, ignore, config.keep_most_sensitive)
    if not config.data and not isinstance(config, CalibratedConfig):
        return dense, ignore, NO_DATA
    longest = config.longest or dense.longest
    return dense, ignore, gather(config.data, dense.tokenizer, longest, context.seed)


register("rtn", RtnConfig, rtn)
register("gptq", GptqConfig, gptq)
register("awq", CalibratedGridConfig, awq)
register("int8-dynamic", QuantizeConfig, int8_dynamic)
register("int8-static", CalibratedConfig, int8_static)
register("smoothquant", SmoothQuantConfig, smoothquant)
register("fp8", QuantizeConfig, fp8_dynamic)
