"""From chats to batches: which tokens a model is asked to say, and which examples share a step.

A row is cut into what the model is shown and what it says, each encoded by itself, exactly as at
inference; every assistant turn is learned. Batches hold rows of similar length. No packing: the
examples are short and bucketing leaves little padding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from ..harness.datasets import Row, load
from ..harness.errors import DataError, UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

#: Batches are cut from runs of this many shuffled examples sorted by length.
WINDOW = 1024


@dataclass(frozen=True, slots=True)
class Example:
    """One chat as tokens, and for each token whether the model says it."""

    tokens: tuple[int, ...]
    said: tuple[bool, ...]


def load_rows(data: Mapping[str, int | None], seed: int) -> dict[str, list[Row]]:
    """The chats of a recipe's `data` by reference: `{dataset: rows or None for all}`.

    Raises:
        UsageError: no data, an unknown dataset, a test split.
        DataError: a row is not a chat that ends with an answer.
    """
    if not data:
        raise UsageError("data is empty; name at least one dataset, for example pocket/math@train.")
    return {name: load(name, shape="messages", n=n, seed=seed) for name, n in data.items()}


def named(data: Mapping[str, Sequence[Row]]) -> list[tuple[str, Row]]:
    """All rows, each with the name that messages give it."""
    return [
        (f"{name}: row {i}", row) for name, rows in data.items() for i, row in enumerate(rows, 1)
    ]


def encode(
    named: Sequence[tuple[str, Row]], tokenizer: PreTrainedTokenizerBase, longest: int | None
) -> list[Example]:
    """Encode rows with the tokenizer's chat template.

    Raises:
        DataError: a row has more than `longest` tokens, or the template rewrites earlier turns.
    """
    cut = [list(_pieces(name, row["messages"], tokenizer)) for name, row in named]
    texts = [text for pieces in cut for text, _ in pieces]
    ids = iter(tokenizer(texts, add_special_tokens=False)["input_ids"])
    examples = []
    for (name, _), pieces in zip(named, cut, strict=True):
        tokens: list[int] = []
        said: list[bool] = []
        for _, by_model in pieces:
            piece = next(ids)
            tokens += piece
            said += [by_model] * len(piece)
        if longest is not None and len(tokens) > longest:
            raise DataError(f"{name} has {len(tokens)} tokens, more than {longest}; shorten it.")
        examples.append(Example(tuple(tokens), tuple(said)))
    return examples


def _pieces(
    name: str, turns: Sequence[Mapping[str, str]], tokenizer: PreTrainedTokenizerBase
) -> Iterator[tuple[str, bool]]:
    """The rendered chat in pieces, each with whether the model says it."""
    done = ""
    for index, turn in enumerate(turns):
        if turn["role"] != "assistant":
            continue
        shown = _render(tokenizer, turns[:index], True)
        whole = _render(tokenizer, turns[: index + 1], False)
        if not whole.startswith(shown) or not shown.startswith(done):
            raise DataError(
                f"{name}: this chat template rewrites earlier turns; split the chat into one row a turn."
            )
        yield shown[len(done) :], False
        yield whole[len(shown) :], True
        done = whole


def _render(
    tokenizer: PreTrainedTokenizerBase, turns: Sequence[Mapping[str, str]], ask: bool
) -> str:
    text = tokenizer.apply_chat_template(
        [dict(t) for t in turns], tokenize=False, add_generation_prompt=ask
    )
    return str(text)


def batches(examples: Sequence[Example], budget: int, rng: Random) -> list[list[Example]]:
    """One pass over all examples, in batches of at most `budget` tokens with padding (or one example)."""
    order = list(examples)
    rng.shuffle(order)
    cut: list[list[Example]] = []
    for start in range(0, len(order), WINDOW):
        cut += _cut(sorted(order[start : start + WINDOW], key=lambda e: len(e.tokens)), budget)
    rng.shuffle(cut)
    return cut


def _cut(ordered: Sequence[Example], budget: int) -> Iterator[list[Example]]:
    batch: list[Example] = []
    for example in ordered:  # lengths rise, so the newest example sets the padding
        if batch and len(example.tokens) * (len(batch) + 1) > budget:
            yield batch
            batch = []
        batch.append(example)
    if batch:
        yield batch
