"""Rows for pre-training, chats and texts mixed: of a chat the answers are learned, of a text everything.

A text longer than the model's context is cut into pieces that fit; a chat that long is refused, because
an answer without its question teaches nothing. Not here: preference and reward rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..harness.datasets import Row, load_any
from ..harness.errors import DataError, UsageError
from .chats import Example, encode, named

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def load_corpus(data: Mapping[str, int | None], seed: int) -> dict[str, list[Row]]:
    """The rows of a recipe's `data` by reference: `{dataset: rows or None for all}`.

    Raises:
        UsageError: no data, an unknown dataset, a test split.
        DataError: a row is neither a chat nor a text.
    """
    if not data:
        raise UsageError(
            "data is empty; name at least one dataset, for example pocket/pretrain@train."
        )
    found = {name: load_any(name, n=n, seed=seed) for name, n in data.items()}
    for name, rows in found.items():
        if not {"messages", "text"} & set(rows[0]):
            raise DataError(
                f"'{name}' has the columns {', '.join(sorted(rows[0]))}; pre-training reads messages or text."
            )
    return found


def encode_corpus(
    data: Mapping[str, Sequence[Row]], tokenizer: PreTrainedTokenizerBase, longest: int | None
) -> list[Example]:
    """Every row as tokens, a long text as several examples.

    Raises:
        DataError: a chat has more than `longest` tokens; names the row.
    """
    rows = named(data)
    chats = [(name, row) for name, row in rows if "messages" in row]
    examples = encode(chats, tokenizer, longest) if chats else []
    texts = [row["text"] for _, row in rows if "text" in row]
    return examples + [piece for text in texts for piece in _pieces(text, tokenizer, longest)]


def _pieces(text: str, tokenizer: PreTrainedTokenizerBase, longest: int | None) -> list[Example]:
    """A text with its end token, in pieces of at most `longest` tokens and at least two."""
    tokens = [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    size = longest or len(tokens)
    cut = [tuple(tokens[i : i + size]) for i in range(0, len(tokens), size)]
    return [Example(piece, (True,) * len(piece)) for piece in cut if len(piece) > 1]
