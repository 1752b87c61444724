"""Preference pairs for the stages that learn from them: rows, both answers as tokens, and the training.

Only the last answer is compared: assistant turns inside a prompt are shown, not learned. A row that is
too long is an error here, because TRL's trainers cut such rows or drop them without a word. Not here:
what a good row is (harness/dataset_rows.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..harness.backends.loading import Loaded
from ..harness.backends.loading import load as load_model
from ..harness.checkpoints import Checkpoint
from ..harness.datasets import Row, fingerprint, load
from ..harness.errors import UsageError
from ..harness.stage import StageContext, given
from .chats import Example, encode
from .saving import saver
from .training import TrainingConfig
from .trl_base import Job, train

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one prompt; only the tokens of the answers are `said`."""

    chosen: Example
    rejected: Example

    @property
    def tokens(self) -> int:
        """Of both chats together, the prompt counted twice."""
        return len(self.chosen.tokens) + len(self.rejected.tokens)


@dataclass(frozen=True, slots=True)
class Material:
    """What a stage on pairs starts from, all of it checked."""

    data: Mapping[str, list[Row]]
    """Rows in the preference shape under the references that the recipe names."""
    pairs: list[Pair]
    """The same rows, in order, as tokens."""
    loaded: Loaded

    @property
    def rows(self) -> list[Row]:
        """The rows of all references, in order."""
        return [row for rows in self.data.values() for row in rows]


def gather(
    checkpoint: Checkpoint | None,
    data: Mapping[str, int | None],
    longest: int | None,
    context: StageContext,
    stage: str,
) -> Material:
    """Read and check the data and load the checkpoint, before any training time is spent.

    Raises:
        UsageError: no checkpoint, no chat template, no data, an unknown dataset, a test split.
        CheckpointError: the checkpoint does not load as a whole, or is no language model.
        DataError: a row is not a prompt with two different answers, or has more than `longest` tokens.
    """
    checkpoint = given(checkpoint, stage)
    if not data:
        raise UsageError(
            "data is empty; name at least one dataset, for example pocket/chat-preferences@train."
        )
    rows = {
        name: load(name, shape="preference", n=n, seed=context.seed) for name, n in data.items()
    }
    loaded = load_model(checkpoint.path, context.device, "float32", trust_remote_code=False)
    if loaded.tokenizer.chat_template is None:
        raise UsageError(
            f"'{checkpoint.path}' has no chat template; {stage} needs one to write chats."
        )
    named = [
        (f"{name}: row {i}", r) for name, found in rows.items() for i, r in enumerate(found, 1)
    ]
    return Material(rows, encode_pairs(named, loaded.tokenizer, longest or loaded.context), loaded)


def encode_pairs(
    named: Sequence[tuple[str, Row]], tokenizer: PreTrainedTokenizerBase, longest: int | None
) -> list[Pair]:
    """Encode both sides with the tokenizer's chat template.

    Raises:
        DataError: a prompt with one of its answers has more than `longest` tokens; names the row.
    """
    chosen, rejected = (
        encode([(n, {"messages": r["prompt"] + r[side]}) for n, r in named], tokenizer, longest)
        for side in ("chosen", "rejected")
    )
    return [Pair(_last_answer(c), _last_answer(r)) for c, r in zip(chosen, rejected, strict=True)]


def _last_answer(example: Example) -> Example:
    """The same tokens, with only the last answer said."""
    shown = max(i for i, said in enumerate(example.said) if not said) + 1
    return replace(example, said=(False,) * shown + (True,) * (len(example.said) - shown))


def train_on_pairs(
    job: Job,
    material: Material,
    parent: Checkpoint | None,
    config: TrainingConfig,
    context: StageContext,
) -> Checkpoint:
    """Train and write the new checkpoint.

    Raises:
        TrainingDiverged: the loss or a gradient is not finite.
    """
    rows = fingerprint(material.rows)
    model = train(job, config, context, parent=parent, identity=rows)
    return context.finish(
        saver(model, material.loaded.tokenizer),
        parent=parent,
        stage=job.stage,
        config=config,
        data=material.data,
    )
