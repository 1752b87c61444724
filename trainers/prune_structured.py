"""Structured pruning: neurons, groups of heads and layers are cut out, and a smaller dense model is left.

What goes is what moves the output least on calibration rows. A neuron of an MLP, or an input of the
attention's output matrix, counts the norm of its activation times the norm of its outgoing weights (the
score of Sun et al. 2023, "Wanda", section 3, summed over a column); a group is a key-value head with its
query heads. Of whole layers those go whose input and output are most alike (Men et al. 2024, "ShortGPT",
eq. 1). Every layer keeps one width, so that the config says it and any engine loads the model. For
Llama-like models (gate_proj, up_proj, down_proj; q_proj, k_proj, v_proj, o_proj) without biases. Not
here: healing, which `distill` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..harness.checkpoints import Checkpoint
from ..harness.errors import UsageError
from ..harness.stage import StageContext, StagePlan, stage
from .achieved import Asked, measurement
from .calibration import Calibration, gather
from .chats import Example
from .dense import Dense, open_dense, plan_dense
from .distributed import assert_alone
from .loop import reproducible
from .speed import Timing

if TYPE_CHECKING:
    import torch

MLP, ATTENTION = ("gate_proj", "up_proj", "down_proj"), ("q_proj", "k_proj", "v_proj", "o_proj")


@dataclass(frozen=True, slots=True, kw_only=True)
class StructuredConfig:
    """Settings of `prune-structured`."""

    data: Mapping[str, int | None]
    """Calibration rows by dataset, chats or texts, with the number of rows of each (None: all)."""
    neurons: float = 0.0
    """Share of each layer's MLP neurons that go."""
    groups: float = 0.0
    """Share of each layer's key-value heads that go, with their query heads."""
    layers: int = 0
    """Whole layers that go."""
    timing: Timing = field(default_factory=Timing)
    """How speed before and after is measured."""

    def __post_init__(self) -> None:
        for name in ("neurons", "groups"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)}")
        if self.layers < 0:
            raise ValueError(f"layers must not be below 0, got {self.layers}")
        if not (self.neurons or self.groups or self.layers):
            raise ValueError("neurons, groups and layers are all 0, so nothing would go")


@dataclass(slots=True)
class Evidence:
    """What calibration rows did in one layer."""

    neurons_f: torch.Tensor
    """Sum of squares of each neuron's activation."""
    heads_a: torch.Tensor
    """The same of each input of the attention's output matrix."""
    cosine: float
    """Sum over tokens of the cosine between the layer's input and output."""


def plan_structured(
    checkpoint: Checkpoint | None, config: StructuredConfig, context: StageContext
) -> StagePlan:
    """The dry run of `prune-structured`; a step is a calibration row."""
    dense, rows = _gather(checkpoint, config, context)
    tokens = sum(len(example.tokens) for example in rows.examples)
    count = len(rows.examples)
    return plan_dense(dense, "prune-structured", steps=count, rows=count, tokens=tokens)


@stage("prune-structured", config=StructuredConfig, plan=plan_structured)
def prune_structured(
    checkpoint: Checkpoint | None, config: StructuredConfig, context: StageContext
) -> Checkpoint:
    """Cut out what matters least.

    Raises:
        UsageError: no checkpoint, a quantized one, a model of another kind, or nothing would be left.
        CheckpointError: the checkpoint does not load, or the result has another size than it should.
        DataError: a row is too long, or neither chat nor text.
    """
    assert_alone(context, "prune-structured")
    dense, rows = _gather(checkpoint, config, context)
    with reproducible(context):
        evidence = observe(dense.model, rows.examples, context)
        keep_layers(dense.model, evidence, config.layers)
        for layer, seen in zip(dense.model.model.layers, evidence, strict=True):
            shrink_mlp(layer.mlp, seen.neurons_f, config.neurons)
            shrink_attention(layer.self_attn, seen.heads_a, config.groups)
    small = replace(dense, model=rebuilt(dense.model))
    asked = Asked(parameters=sum(p.numel() for p in small.model.parameters()))
    return context.finish(
        small.saver(),
        parent=dense.parent,
        stage="prune-structured",
        config=config,
        data=rows.data,
        measure=measurement("prune-structured", dense.parent, asked, config.timing, context),
    )


def _gather(
    checkpoint: Checkpoint | None, config: StructuredConfig, context: StageContext
) -> tuple[Dense, Calibration]:
    dense = open_dense(checkpoint, "prune-structured", context)
    _check_kind(dense.model)
    depth = len(dense.model.model.layers)
    if config.layers >= depth:
        raise UsageError(
            f"layers is {config.layers} and the model has {depth}; leave at least one of them."
        )
    rows = gather(config.data, dense.tokenizer, dense.longest, context.seed)
    return dense, rows


def _check_kind(model: Any) -> None:
    """Refuse models whose layers are not Llama's, and biases, which would be left too long."""
    layers = getattr(getattr(model, "model", None), "layers", ())
    named = bool(layers) and all(
        all(hasattr(getattr(layer, "mlp", None), name) for name in MLP)
        and all(hasattr(getattr(layer, "self_attn", None), name) for name in ATTENTION)
        for layer in layers
    )
    if not named or any("_proj.bias" in name for name, _ in model.named_parameters()):
        raise UsageError(
            f"A model of type '{model.config.model_type}' is not built of Llama's layers without biases, and "
            "only those can be cut here; prune single weights with 'prune' instead."
        )


def observe(model: Any, examples: Sequence[Example], context: StageContext) -> list[Evidence]:
    """Run the rows through the model and add up what each layer did; names as in `Evidence`."""
    import torch

    layers = model.model.layers
    found = [
        Evidence(
            torch.zeros(layer.mlp.down_proj.in_features, device=model.device),
            torch.zeros(layer.self_attn.o_proj.in_features, device=model.device),
            0.0,
        )
        for layer in layers
    ]
    with ExitStack() as stack, torch.inference_mode():
        for layer, seen in zip(layers, found, strict=True):
            for module, hook in _hooks(layer, seen):
                stack.callback(module.register_forward_hook(hook).remove)
        for number, example in enumerate(examples, 1):
            tokens_bt = torch.tensor([example.tokens], device=model.device)
            model.base_model(input_ids=tokens_bt, use_cache=False)
            context.progress("prune-structured", number, len(examples))
    return found


def _hooks(layer: Any, seen: Evidence) -> list[tuple[Any, Callable[..., None]]]:
    import torch

    def mlp(_module: Any, inputs: Any, _output: Any) -> None:
        seen.neurons_f += inputs[0].float().square().sum((0, 1))

    def attention(_module: Any, inputs: Any, _output: Any) -> None:
        seen.heads_a += inputs[0].float().square().sum((0, 1))

    def whole(_module: Any, inputs: Any, output: Any) -> None:
        after_btd = output if isinstance(output, torch.Tensor) else output[0]
        alike_bt = torch.nn.functional.cosine_similarity(inputs[0].float(), after_btd.float(), -1)
        seen.cosine += float(alike_bt.sum())

    return [(layer.mlp.down_proj, mlp), (layer.self_attn.o_proj, attention), (layer, whole)]


def keep_layers(model: Any, evidence: list[Evidence], drop: int) -> None:
    """Take out the `drop` layers that change their input least, in place."""
    import torch

    order = sorted(range(len(evidence)), key=lambda i: evidence[i].cosine, reverse=True)
    kept = [i for i in range(len(evidence)) if i not in order[:drop]]
    model.model.layers = torch.nn.ModuleList(model.model.layers[i] for i in kept)
    evidence[:] = [evidence[i] for i in kept]


def shrink_mlp(mlp: Any, squares_f: torch.Tensor, share: float) -> None:
    """Keep the neurons that move the output most, in place."""
    score_f = squares_f.sqrt() * mlp.down_proj.weight.norm(dim=0)
    kept_f = largest(score_f, share)
    _cut(mlp.gate_proj, kept_f, 0)
    _cut(mlp.up_proj, kept_f, 0)
    _cut(mlp.down_proj, kept_f, 1)


def shrink_attention(attention: Any, squares_a: torch.Tensor, share: float) -> None:
    """Keep the key-value heads, with their query heads, that move the output most, in place."""
    import torch

    width = attention.head_dim
    groups = attention.k_proj.out_features // width
    score_a = squares_a.sqrt() * attention.o_proj.weight.norm(dim=0)
    kept_g = largest(score_a.view(groups, -1).square().sum(1), share)
    per = attention.q_proj.out_features // groups
    queries_a = (kept_g[:, None] * per + torch.arange(per, device=kept_g.device)).flatten()
    keys_a = (kept_g[:, None] * width + torch.arange(width, device=kept_g.device)).flatten()
    _cut(attention.q_proj, queries_a, 0)
    _cut(attention.k_proj, keys_a, 0)
    _cut(attention.v_proj, keys_a, 0)
    _cut(attention.o_proj, queries_a, 1)


def largest(score_n: torch.Tensor, drop: float) -> torch.Tensor:
    """Places, ascending, of all but the round(drop * n) smallest; at least one stays."""
    kept = max(1, len(score_n) - round(drop * len(score_n)))
    return score_n.sort(descending=True, stable=True).indices[:kept].sort().values


def _cut(linear: Any, kept: torch.Tensor, dim: int) -> None:
    """Keep some rows (dim 0, outputs) or columns (dim 1, inputs) of a linear layer, in place."""
    import torch

    linear.weight = torch.nn.Parameter(linear.weight.index_select(dim, kept), requires_grad=False)
    linear.out_features, linear.in_features = linear.weight.shape


def rebuilt(model: Any) -> Any:
    """A new model of the shape that the cut one has, with its weights and a config that says so."""
    import copy

    first, config = model.model.layers[0], copy.deepcopy(model.config)
    width = first.self_attn.head_dim
    config.num_hidden_layers = len(model.model.layers)
    config.intermediate_size = first.mlp.up_proj.out_features
    config.num_attention_heads = first.self_attn.q_proj.out_features // width
    config.num_key_value_heads = first.self_attn.k_proj.out_features // width
    config.head_dim = (
        width  # without it many engines divide the hidden size by the heads that are left
    )
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[: config.num_hidden_layers]
    made = type(model)(config).to(model.device).eval()
    made.load_state_dict(model.state_dict())
    made.generation_config = copy.deepcopy(model.generation_config)
    return made.requires_grad_(False)
