"""What a student is taught by a teacher: its softened distribution, and hints about hidden states.

Logits: Hinton, Vinyals & Dean 2015, "Distilling the Knowledge in a Neural Network", section 2: the
forward KL between teacher and student at temperature T, times T^2 so that its gradients keep their size
beside the cross-entropy with the true tokens. Features: Romero et al. 2015, "FitNets", eq. 3: half the
squared distance between the teacher's hidden states and the student's, which learned projections bring
to the teacher's width. Only answer tokens count. Not here: answers that the student wrote itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .chats import Example
from .loop import Loss, padded

if TYPE_CHECKING:
    import torch

#: Under this name a student carries its projections while it learns.
PROJECTIONS = "waterbed_projections"


@dataclass(frozen=True, slots=True, kw_only=True)
class Teaching:
    """What counts how much."""

    temperature: float = 2.0
    """Of both distributions; above 1 the teacher's lesser guesses count more."""
    logits: float = 1.0
    """Weight of the teacher's distribution; the true tokens get the rest to 1."""
    features: float = 0.0
    """Weight of the hidden states; 0 leaves them alone."""

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise ValueError(f"temperature must be above 0, got {self.temperature}")
        if not 0 <= self.logits <= 1:
            raise ValueError(f"logits must be in [0, 1], got {self.logits}")
        if self.features < 0:
            raise ValueError(f"features must not be below 0, got {self.features}")
        if not self.logits and not self.features:
            raise ValueError("logits and features are both 0, so the teacher teaches nothing")


def forward_kl(
    teacher_nv: torch.Tensor, student_nv: torch.Tensor, temperature: float
) -> torch.Tensor:
    """T^2 times the mean of KL(teacher || student) over tokens, in nats, both softened by T.

    Args:
        teacher_nv, student_nv: logits of n tokens over the vocabulary.
    """
    log_p_nv = (teacher_nv.float() / temperature).log_softmax(-1)
    log_q_nv = (student_nv.float() / temperature).log_softmax(-1)
    return (log_p_nv.exp() * (log_p_nv - log_q_nv)).sum(-1).mean() * temperature**2


def hint(teacher_nd: torch.Tensor, projected_nd: torch.Tensor) -> torch.Tensor:
    """Half the squared distance, averaged over tokens and width."""
    return (teacher_nd.float() - projected_nd.float()).square().mean() / 2


def teaching_loss(teacher: Any, teaching: Teaching) -> Loss:
    """The loss of a student (with projections, if it is given hints) on a batch."""
    import torch

    def loss(student: Any, batch: Sequence[Example]) -> torch.Tensor:
        tokens_bt, said_bt, targets_n = padded(batch, student.device)
        with torch.no_grad():
            theirs = _answer(teacher, tokens_bt, said_bt, teaching)
        ours = _answer(student, tokens_bt, said_bt, teaching)
        total = teaching.logits * forward_kl(theirs.logits_nv, ours.logits_nv, teaching.temperature)
        if teaching.logits < 1:
            truth = torch.nn.functional.cross_entropy(ours.logits_nv.float(), targets_n)
            total = total + (1 - teaching.logits) * truth
        if teaching.features:
            layers = getattr(student, PROJECTIONS)
            pairs = partners(len(ours.states), len(theirs.states))
            hints = [
                hint(theirs.states[t - 1], layer(ours.states[s - 1]))
                for (s, t), layer in zip(pairs, layers, strict=True)
            ]
            total = total + teaching.features * torch.stack(hints).mean()
        return total

    return loss


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a model makes of n answer tokens."""

    logits_nv: torch.Tensor
    states: Sequence[torch.Tensor]
    """Hidden states [n, d] after each layer, the last after its norm; empty where not asked for."""


def _answer(
    model: Any, tokens_bt: torch.Tensor, said_bt: torch.Tensor, teaching: Teaching
) -> _Answer:
    out = model.base_model(
        input_ids=tokens_bt, use_cache=False, output_hidden_states=bool(teaching.features)
    )
    logits_nv = model.get_output_embeddings()(out.last_hidden_state[said_bt])
    return _Answer(logits_nv, [state[said_bt] for state in (out.hidden_states or ())[1:]])


def partners(student: int, teacher: int) -> list[tuple[int, int]]:
    """Each layer of the student (from 1) with the teacher's at the same share of its depth."""
    return [(layer, max(1, round(layer * teacher / student))) for layer in range(1, student + 1)]


@contextmanager
def with_projections(student: Any, teacher: Any, teaching: Teaching) -> Iterator[None]:
    """Let the student carry one projection a layer while it learns; none is left on it afterwards."""
    import torch

    if not teaching.features:
        yield
        return
    ours, theirs = (m.get_input_embeddings().weight.shape[1] for m in (student, teacher))
    depth = student.config.num_hidden_layers
    layers = [torch.nn.Linear(ours, theirs, bias=False) for _ in range(depth)]
    student.add_module(PROJECTIONS, torch.nn.ModuleList(layers).to(student.device))
    try:
        yield
    finally:
        delattr(student, PROJECTIONS)
