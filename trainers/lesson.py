"""A student, its rows and its loss brought together, and learned from: what `distill` and `prune-heal` share.

Not here: the losses (distillation.py), the loop (loop.py), what becomes of the student (distill.py,
prune_heal.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from ..harness.checkpoints import Checkpoint
from ..harness.datasets import Row, fingerprint
from ..harness.errors import UsageError
from ..harness.stage import StageContext
from ..harness.stage_config import plain
from .chats import Example
from .corpus import encode_corpus, load_corpus
from .dense import Dense
from .distillation import Teaching, teaching_loss, with_projections
from .loop import Loss, Steps, answer_loss, fit


@dataclass(frozen=True, slots=True)
class Lesson:
    """Who learns what from which rows."""

    student: Dense
    loss: Loss
    others: tuple[Checkpoint, ...]
    """The teacher, where it is not the student's parent."""
    data: Mapping[str, list[Row]]
    examples: list[Example]


@contextmanager
def prepare(
    student: Dense,
    teacher: Dense | None,
    teaching: Teaching | None,
    others: tuple[Checkpoint, ...],
    data: Mapping[str, int | None],
    context: StageContext,
) -> Iterator[Lesson]:
    """What `student` is to learn, with the projections that it needs for that while the block runs.

    Args:
        teacher, teaching: both None where it learns the true tokens alone.
        data: datasets of chats or texts, with the number of rows of each (None: all).

    Raises:
        UsageError: the two have other tokens, no data, an unknown dataset, a test split.
        DataError: a bad row, or a chat that is too long.
    """
    if teacher is not None:
        check_same_tokens(teacher, student)
    rows = load_corpus(data, context.seed)
    examples = encode_corpus(rows, student.tokenizer, student.longest)
    student.model.requires_grad_(True)
    if teacher is None or teaching is None:
        yield Lesson(student, answer_loss, others, rows, examples)
        return
    loss = teaching_loss(teacher.model, teaching)
    with with_projections(student.model, teacher.model, teaching):
        yield Lesson(student, loss, others, rows, examples)


def check_same_tokens(teacher: Dense, student: Dense) -> None:
    """Refuse two models whose distributions are over different tokens.

    Raises:
        UsageError: names both folders.
    """
    rows = [dense.model.get_output_embeddings().weight.shape[0] for dense in (teacher, student)]
    if teacher.tokenizer.get_vocab() != student.tokenizer.get_vocab() or rows[0] != rows[1]:
        raise UsageError(
            f"'{teacher.parent.path}' cannot teach '{student.parent.path}': their tokenizers or output layers "
            f"differ ({rows[0]} and {rows[1]} rows); take a teacher with the student's tokenizer."
        )


def learn(
    lesson: Lesson,
    steps: Steps,
    context: StageContext,
    stage: str,
    constrain: Callable[[int, int], None],
) -> None:
    """Train the student in place; after a kill, go on from where it was.

    Args:
        constrain: see `fit`.

    Raises:
        TrainingDiverged: the loss is not finite.
    """
    parents = [lesson.student.parent.digest, *(other.digest for other in lesson.others)]
    rows = fingerprint(row for found in lesson.data.values() for row in found)
    fit(
        lesson.student.model,
        lesson.examples,
        steps,
        context,
        stage=stage,
        identity=[parents, plain(steps), rows],
        loss=lesson.loss,
        constrain=constrain,
    )
